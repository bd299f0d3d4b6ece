//! A merchant of QIWI PAY: the site it sells on, and the key that signs for it.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::{Credential, Kind, SigningKey};

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
}
