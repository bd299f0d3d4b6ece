//! Gauges of what ends or fails while calls still go well: credentials and their certificates.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::credentials::{Credentials, Status};
use crate::telemetry::Metrics;

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(10);

/// Keeps them true.
pub(super) async fn run(credentials: Arc<Credentials>, metrics: Arc<Metrics>) {
    loop {
        look(&credentials, &metrics, SystemTime::now());
        tokio::time::sleep(LOOK).await;
    }
}

fn look(credentials: &Credentials, metrics: &Metrics, now: SystemTime) {
    for credential in credentials.list() {
        let Some(name) = credential.name.as_deref() else { continue };
        let Some(state) = credentials.state(name) else { continue };
        let stale = state.stale_since.and_then(|since| now.duration_since(since).ok());
        metrics.secrets.credential(
            name,
            state.status == Status::Rejected,
            stale.unwrap_or_default(),
            state.expires,
        );
        let expires = credential.identity().and_then(|of| expiry(&of.certificate_pem));
        if let Some(expires) = expires {
            metrics.secrets.certificate(name, expires);
        }
    }
}

/// When the certificate of a PEM file expires: the first one, which is its owner's.
fn expiry(pem: &[u8]) -> Option<SystemTime> {
    let own = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&own).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_expiry_is_that_of_the_first_certificate() {
        let certificate = |year| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            parameters.self_signed(&key).unwrap().pem()
        };
        let pem = certificate(2031) + &certificate(2029);
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_924_992_000);
        assert_eq!(expiry(pem.as_bytes()), Some(at));
        assert_eq!(expiry(b"no certificate"), None);
    }
}
