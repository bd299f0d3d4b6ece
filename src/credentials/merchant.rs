//! A merchant of QIWI PAY: the site it sells on, and the key that signs for it.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::{Credential, Kind, SigningKey};
use crate::error::{Error, reason};

/// A merchant site with its key.
#[derive(Debug, Clone)]
pub struct Merchant {
    /// QIWI's identifier of the site.
    pub site: Arc<str>,
    /// What requests are signed with.
    pub key: SigningKey,
}

impl Merchant {
    /// The merchant of a credential; `None` for credentials of another kind.
    pub fn of(credential: &Credential) -> Option<Self> {
        if credential.kind != Some(Kind::Merchant) {
            return None;
        }
        let site = credential.merchant_site.clone()?;
        let key = SigningKey::new(credential.secret()?.expose_secret());
        Some(Self { site, key })
    }

    /// The merchant of the credential a call names, if any.
    ///
    /// # Errors
    /// `CREDENTIAL_MISSING`, and `CREDENTIAL_KIND_UNSUITABLE` when it is none that can sign for a site.
    pub fn required(credential: Option<&Credential>) -> Result<Self, Error> {
        let credential = credential.ok_or_else(|| Error::new(&reason::CREDENTIAL_MISSING))?;
        Self::of(credential).ok_or_else(Self::missing)
    }

    /// What a call with a credential of another kind is told.
    pub fn missing() -> Error {
        Error::new(&reason::CREDENTIAL_KIND_UNSUITABLE).field(
            "x-qiwi-credential",
            "Name a credential of a merchant, with its site and its secret key.",
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;
    use crate::credentials::Credentials;

    #[test]
    fn a_merchant_signs_for_its_site_and_no_other_credential_does() {
        let config = Config::from_toml(
            "[credentials.shop]\nkind = \"merchant\"\nmerchant_site = \"99\"\nsecret_env = \"S\"\n\
             [credentials.main]\nkind = \"wallet\"\ntoken_env = \"T\"\n",
        );
        let secret = |_: &str| Some("secret_key".to_owned());
        let credentials = Credentials::load(&config.unwrap(), secret).unwrap();
        let shop = Merchant::required(credentials.named("shop").as_deref()).unwrap();
        assert_eq!(&*shop.site, "99");
        assert_eq!(shop.key.sign(["a"]), SigningKey::new("secret_key").sign(["a"]));
        let main = credentials.named("main").unwrap();
        assert!(Merchant::of(&main).is_none());
        let error = Merchant::required(Some(&main)).unwrap_err();
        assert_eq!(error.reason().name, "CREDENTIAL_KIND_UNSUITABLE");
        assert!(format!("{error:?}").contains("x-qiwi-credential"));
        let error = Merchant::required(None).unwrap_err();
        assert_eq!(error.reason().name, "CREDENTIAL_MISSING");
    }
}
