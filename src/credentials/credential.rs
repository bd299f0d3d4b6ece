//! One credential, ready to be used.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::health::{Health, Status};
use super::secret::check_token;
use super::{Fingerprint, Kind, Scopes, Wallet};
use crate::config::{Poll, Webhook};

/// A credential as it was when a call began. A reload makes a new one: calls in progress end
/// with the one they began with.
#[derive(Debug)]
pub struct Credential {
    /// Its name; `None` for a token a caller brought.
    pub name: Option<Arc<str>>,
    /// What it opens; `None` when nobody has said.
    pub kind: Option<Kind>,
    /// Its permissions; `None` when nobody has said, so that only QIWI can refuse.
    pub scopes: Option<Scopes>,
    /// The wallet it belongs to, where the configuration says.
    pub wallet: Option<Wallet>,
    /// The merchant site it belongs to (`merchant` only).
    pub merchant_site: Option<Arc<str>>,
    /// How it is told apart.
    pub fingerprint: Fingerprint,
    /// What the wallet's history is read for by itself.
    pub poll: Poll,
    /// When it was read.
    pub loaded: SystemTime,
    pub(super) authorization: HeaderValue,
    pub(super) expires: Option<SystemTime>,
    pub(super) secret: Option<SecretString>,
    pub(super) identity: Option<ClientIdentity>,
    pub(super) hook: Hook,
    pub(super) health: Option<Arc<Health>>,
    /// Digest of everything that was read, by which a reload sees a change.
    pub(super) content: Vec<u8>,
}

impl Credential {
    /// The ready-made `authorization` header, marked sensitive. Empty for a merchant, whose
    /// secret is never sent: see [`Kind::is_bearer`].
    #[must_use]
    pub const fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// When QIWI is expected to stop accepting it.
    #[must_use]
    pub const fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// The key that signs requests (`merchant`) and verifies notifications (`p2p`, `merchant`).
    #[must_use]
    pub const fn secret(&self) -> Option<&SecretString> {
        self.secret.as_ref()
    }

    /// The TLS client certificate (`merchant`).
    #[must_use]
    pub const fn identity(&self) -> Option<&ClientIdentity> {
        self.identity.as_ref()
    }

    /// A digest of everything it was read from: another one when anything of it was renewed.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// What belongs to its notifications.
    #[must_use]
    pub const fn hook(&self) -> &Hook {
        &self.hook
    }

    /// Whether nothing should be sent with it for now, because QIWI keeps answering 401.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.is_held_back(SystemTime::now()))
    }

    /// Whether QIWI answered 401 to this very token: using it again is pointless.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.is_rejected())
    }

    /// Notes that QIWI accepted the credential, or answered 401 to it.
    pub fn report(&self, accepted: bool) {
        if let Some(health) = &self.health {
            health.note(accepted, SystemTime::now());
        }
    }

    /// What QIWI has said about it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.health.as_ref().map_or(Status::Untried, |health| health.status())
    }
}

/// A TLS client certificate with its private key, both PEM.
pub struct ClientIdentity {
    /// The certificate and its chain.
    pub certificate_pem: Vec<u8>,
    /// The private key.
    pub key_pem: SecretSlice<u8>,
}

impl ClientIdentity {
    /// Certificate, chain and private key in one PEM text, as HTTP clients take it.
    #[must_use]
    pub fn pem(&self) -> Zeroizing<Vec<u8>> {
        let key = self.key_pem.expose_secret();
        let length = self.certificate_pem.len() + key.len() + 2;
        let mut pem = Zeroizing::new(Vec::with_capacity(length));
        for part in [&self.certificate_pem, key] {
            pem.extend_from_slice(part);
            pem.push(b'\n');
        }
        pem
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(***)")
    }
}

/// What belongs to a credential's notifications.
#[derive(Debug)]
pub struct Hook {
    /// How the hook is looked after.
    pub webhook: Webhook,
    /// Whether a hook of somebody else is deleted for the gateway's own.
    pub replace: bool,
    /// The key that verifies a wallet's notifications, decoded, when the operator gave it.
    pub key: Option<SecretSlice<u8>>,
    /// The last segment the notification address must have, when it has a secret one.
    pub path_secret: Option<SecretString>,
}

/// A token that no header can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token {0}")]
pub struct InvalidToken(&'static str);

/// Makes the `authorization` header of a token.
///
/// # Errors
///
/// When the token is empty, longer than 4096 bytes or not visible ASCII.
pub(super) fn bearer(token: &str) -> Result<HeaderValue, InvalidToken> {
    check_token(token).map_err(InvalidToken)?;
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut header =
        HeaderValue::from_str(&text).map_err(|_| InvalidToken("does not fit a header"))?;
    header.set_sensitive(true);
    Ok(header)
}
