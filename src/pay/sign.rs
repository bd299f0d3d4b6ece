//! The key of a merchant and the signatures it makes (catalogue P-SIG).

use std::fmt::{self, Write as _};

use ring::hmac;
use secrecy::ExposeSecret as _;

use crate::credentials::Credential;
use crate::error::{Error, reason};

/// A merchant's secret key, ready to sign. Printing it shows nothing.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The key of this secret: its bytes as they stand in the credential, not decoded.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The key of a merchant's credential.
    ///
    /// # Errors
    /// `CREDENTIAL_KIND_UNSUITABLE` when the credential has no secret that could sign.
    pub fn of(credential: &Credential) -> Result<Self, Error> {
        let secret = credential.secret().map(|secret| Self::new(secret.expose_secret()));
        secret.ok_or_else(|| {
            Error::new(&reason::CREDENTIAL_KIND_UNSUITABLE).field(
                "x-qiwi-credential",
                "The credential has no secret key to sign with; name one of a merchant.",
            )
        })
    }

    /// Signs values in the order they come: joined with `|`, empty ones left out, as lower-case
    /// hexadecimal digits.
    pub fn sign<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> String {
        // Fed value by value: the joined text, card number and all, never exists.
        let mut context = hmac::Context::with_key(&self.0);
        for (index, value) in values.into_iter().filter(|value| !value.is_empty()).enumerate() {
            if index > 0 {
                context.update(b"|");
            }
            context.update(value.as_bytes());
        }
        let mut digits = String::with_capacity(64);
        for byte in context.sign().as_ref() {
            // Writing into a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }
}

/// The site of a merchant's credential.
///
/// # Errors
/// `CREDENTIAL_KIND_UNSUITABLE` when the credential names none.
pub fn site_of(credential: &Credential) -> Result<&str, Error> {
    credential.merchant_site.as_deref().ok_or_else(|| {
        Error::new(&reason::CREDENTIAL_KIND_UNSUITABLE).field(
            "x-qiwi-credential",
            "The credential belongs to no merchant site; name one of a merchant.",
        )
    })
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
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
        let shop = credentials.named("shop").unwrap();
        assert_eq!(site_of(&shop).unwrap(), "99");
        let key = SigningKey::of(&shop).unwrap();
        assert_eq!(key.sign(["a"]), SigningKey::new("secret_key").sign(["a"]));
        let main = credentials.named("main").unwrap();
        for error in [SigningKey::of(&main).map(|_| ()), site_of(&main).map(|_| ())] {
            let error = error.unwrap_err();
            assert_eq!(error.reason().name, "CREDENTIAL_KIND_UNSUITABLE");
            assert!(format!("{error:?}").contains("x-qiwi-credential"));
        }
    }

    #[test]
    fn values_are_joined_with_bars_and_empty_ones_leave_none() {
        let key = SigningKey::new("secret_key");
        let documented = "9c878bfbf9baa30c26c8c6206976fc3ed2c036afeabf352f8a045fe331d42d7e";
        assert_eq!(key.sign(["7.00", "643", "555", "3"]), documented);
        assert_eq!(key.sign(["", "7.00", "", "643", "555", "3", ""]), documented);
        assert_eq!(key.sign(["7.00|643|555|3"]), documented);
        assert_ne!(key.sign(["7.00", "643", "555", "3", "0"]), documented);
        assert_ne!(SigningKey::new("other").sign(["7.00", "643", "555", "3"]), documented);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", SigningKey::new("secret_key")), "SigningKey(***)");
    }
}
