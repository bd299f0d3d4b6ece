//! Clients that show a merchant's certificate, one for each certificate in use.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::ExposeSecret as _;
use url::Url;

use super::client::{Failure, HostClient, Identity};
use crate::config;
use crate::credentials::{ClientIdentity, Credential};

/// Most clients kept; the least used go first.
const CLIENTS_MAX: u64 = 256;
/// How long a client is kept that nobody uses. A renewed certificate makes a new one, and the old
/// key has no business here after that.
const IDLE: Duration = Duration::from_secs(3600);

/// The clients of one host, by what their credentials were read from.
pub struct Clients {
    base: Url,
    settings: config::Upstream,
    ca: Option<Vec<u8>>,
    known: moka::sync::Cache<Box<[u8]>, Arc<HostClient>>,
}

/// A client for one attempt.
pub enum Client<'a> {
    /// The one everybody shares.
    Common(&'a HostClient),
    /// One that shows a certificate.
    Merchant(Arc<HostClient>),
}

impl Deref for Client<'_> {
    type Target = HostClient;

    fn deref(&self) -> &HostClient {
        match self {
            Self::Common(client) => client,
            Self::Merchant(client) => client,
        }
    }
}

impl Clients {
    /// No clients yet.
    pub fn new(base: Url, settings: config::Upstream, ca: Option<Vec<u8>>) -> Self {
        let known =
            moka::sync::Cache::builder().max_capacity(CLIENTS_MAX).time_to_idle(IDLE).build();
        Self { base, settings, ca, known }
    }

    /// The client of a credential that has a certificate.
    pub fn of(&self, credential: &Credential) -> Result<Arc<HostClient>, Failure> {
        let content = credential.content();
        if let Some(client) = self.known.get(content) {
            return Ok(client);
        }
        let identity = credential.identity().map(certified).transpose()?;
        let client = HostClient::new(&self.base, &self.settings, self.ca.clone(), identity)
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        Ok(self.known.get_with(content.into(), || Arc::new(client)))
    }
}

/// Certificate and key in the form of the TLS library. They were checked when they were read.
fn certified(identity: &ClientIdentity) -> Result<Identity, Failure> {
    let unusable = |what: &str| Failure::Certificate(format!("the client certificate {what}"));
    let chain = CertificateDer::pem_slice_iter(&identity.certificate_pem)
        .map(|one| one.map(CertificateDer::into_owned))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose_secret())
        .map_err(|_| unusable("has no private key in PEM"))?;
    let key = any_supported_type(&key).map_err(|_| unusable("has a key of an unknown kind"))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
