//! Instruments of credentials: what ends or fails while calls still go well.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Gauge, Meter};

use super::names;

/// Instruments of credentials.
#[derive(Debug)]
pub struct SecretMetrics {
    rejected: Gauge<u64>,
    stale: Gauge<f64>,
    expiry: Gauge<f64>,
    certificate: Gauge<f64>,
}

impl SecretMetrics {
    /// Builds the instruments.
    pub(super) fn new(meter: &Meter) -> Self {
        let seconds = |name: &'static str, text: &'static str| {
            meter.f64_gauge(name).with_unit("s").with_description(text).build()
        };
        Self {
            rejected: meter
                .u64_gauge(names::CREDENTIAL_REJECTED)
                .with_description("Whether QIWI's last answer to a credential was a rejection.")
                .build(),
            stale: seconds(
                names::CREDENTIAL_STALE,
                "For how long newer content of a credential cannot be used; 0 when it can.",
            ),
            expiry: seconds(
                names::CREDENTIAL_EXPIRY,
                "When a credential is expected to expire, as the configuration says; Unix time.",
            ),
            certificate: seconds(
                names::CREDENTIAL_CERTIFICATE_EXPIRY,
                "When the client certificate of a credential expires; Unix time.",
            ),
        }
    }

    /// How a credential is.
    pub fn credential(
        &self,
        name: &str,
        rejected: bool,
        stale: Duration,
        expires: Option<SystemTime>,
    ) {
        let credential = [KeyValue::new(names::CREDENTIAL, name.to_owned())];
        self.rejected.record(u64::from(rejected), &credential);
        self.stale.record(stale.as_secs_f64(), &credential);
        if let Some(expires) = expires {
            self.expiry.record(unix(expires), &credential);
        }
    }

    /// When the client certificate of a credential expires.
    pub fn certificate(&self, name: &str, expires: SystemTime) {
        let credential = [KeyValue::new(names::CREDENTIAL, name.to_owned())];
        self.certificate.record(unix(expires), &credential);
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
