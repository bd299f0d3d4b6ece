//! TLS of a listener: what it shows, whom it lets in, and new files without a restart.
//!
//! Certificate, key and client authorities are read together, checked, and become one configuration
//! of the TLS library, which is replaced as a whole: new connections meet the new one, open ones go on.
//! What cannot be used leaves the last good one in place. A new configuration knows no sessions of the
//! old one, so nobody comes in by resuming what an authority vouched for that is trusted no longer.

mod files;
mod stream;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::{CertificateError, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{Config, Listener, Mistakes, TlsKeys};
use crate::credentials::Peer;
use crate::telemetry::Metrics;
use files::{Files, Loaded};

pub use stream::Stream;

/// Protocols of the gRPC listener.
pub const HTTP2: &[&[u8]] = &[b"h2"];
/// Protocols of the other two.
pub const HTTP1: &[&[u8]] = &[b"http/1.1"];

/// TLS of one listener.
pub struct Tls {
    files: Files,
    now: ArcSwap<Loaded>,
    metrics: Arc<Metrics>,
}

/// A client that was not let in; why is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// Reads what the listeners' sections name and says what is wrong or will be soon, without keeping it.
///
/// # Errors
/// Everything that is wrong with any of the files.
pub fn check(config: &Config) -> Result<Vec<crate::config::Warning>, Mistakes> {
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    for keys in config.listeners().iter().filter(|keys| keys.is_on()) {
        match Files::new(keys, config, HTTP1).read() {
            Ok(loaded) => warnings.extend(loaded.warning(keys, SystemTime::now())),
            Err(Mistakes(more)) => mistakes.extend(more),
        }
    }
    if mistakes.is_empty() { Ok(warnings) } else { Err(Mistakes(mistakes)) }
}

impl Tls {
    /// Reads what a listener's section names; `None` where the listener speaks no TLS.
    ///
    /// # Errors
    /// Everything that is wrong with the files.
    pub fn load(
        keys: &TlsKeys<'_>,
        config: &Config,
        protocols: &'static [&'static [u8]],
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Arc<Self>>, Mistakes> {
        if !keys.is_on() {
            return Ok(None);
        }
        let files = Files::new(keys, config, protocols);
        let loaded = files.read()?;
        if let Some(warning) = loaded.warning(keys, SystemTime::now()) {
            tracing::warn!("{warning}");
        }
        metrics.certificate_expires(keys.listener.as_str(), loaded.expires);
        let metrics = Arc::clone(metrics);
        Ok(Some(Arc::new(Self { files, now: ArcSwap::from_pointee(loaded), metrics })))
    }

    /// Which listener it is of.
    pub fn listener(&self) -> Listener {
        self.files.listener()
    }

    /// Reads the files again; tells whether there is something new, which new connections meet from
    /// now on. Reads files: not for the hot path.
    ///
    /// # Errors
    /// Everything that is wrong; then the last good content stays in use.
    pub fn reload(&self) -> Result<bool, Mistakes> {
        let before = self.now.load_full();
        let Some(loaded) = self.files.read_other(&before)? else { return Ok(false) };
        self.metrics.certificate_expires(self.listener().as_str(), loaded.expires);
        self.now.store(Arc::new(loaded));
        Ok(true)
    }

    /// Shakes hands. The caller limits the time.
    ///
    /// # Errors
    /// When the client is not let in; the reason is counted.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<Arc<Peer>>), Refused> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.now.load().server));
        let counted = Counted { metrics: &self.metrics, listener: self.listener(), done: false };
        let stream = match acceptor.accept(stream).await {
            Ok(stream) => stream,
            Err(error) => return Err(counted.refused(refusal(&error))),
        };
        let peer = match stream.get_ref().1.peer_certificates() {
            None | Some([]) => None,
            Some([own, ..]) => match files::names(own) {
                Some(peer) => Some(Arc::new(peer)),
                None => return Err(counted.refused("certificate")),
            },
        };
        counted.welcome();
        Ok((stream, peer))
    }
}

/// A handshake under way; one that is given up counts as too slow.
struct Counted<'a> {
    metrics: &'a Metrics,
    listener: Listener,
    done: bool,
}

impl Counted<'_> {
    fn welcome(mut self) {
        self.done = true;
    }

    fn refused(mut self, reason: &'static str) -> Refused {
        self.done = true;
        self.metrics.tls_refused(self.listener.as_str(), reason);
        Refused
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.metrics.tls_refused(self.listener.as_str(), "timeout");
        }
    }
}

/// The label of a failed handshake.
fn refusal(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match inner {
        None => "closed",
        Some(rustls::Error::NoCertificatesPresented) => "no_certificate",
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "unknown_issuer"
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "expired",
        Some(rustls::Error::InvalidCertificate(_)) => "certificate",
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => "plaintext",
        Some(rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }) => {
            "garbage"
        }
        Some(rustls::Error::NoApplicationProtocol) => "protocol",
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        // The client does not trust the listener, as a rule.
        Some(rustls::Error::AlertReceived(_)) => "alert",
        Some(_) => "error",
    }
}
