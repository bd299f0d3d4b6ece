//! The sections of the process itself: page tokens, stopping, telemetry, state, security.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{MonitorUrls, NatsUrl};
use super::choices::{choice_value, choices};
use super::section::section;
use super::tls::Listener;
use super::units::Percent;

const HOUR: Duration = Duration::from_secs(3600);

choices! {
    /// Where events, the ledger and coordination live.
    pub enum Engine {
        /// In memory: gone with the process.
        Memory = "memory",
        /// In files of this one process.
        Embedded = "embedded",
        /// In a NATS cluster that replicas share.
        Nats = "nats",
    }
}
choice_value!(Engine);

choices! {
    /// Whether telemetry is exported over OTLP.
    pub enum Otlp {
        /// When the environment names an endpoint.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never.
        Off = "off",
    }
}
choice_value!(Otlp);

impl Otlp {
    /// The standard variables that name an endpoint.
    pub const ENDPOINTS: [&'static str; 4] = [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    ];

    /// Whether to export, where `is_set` tells which environment variables have a value.
    pub fn enabled(self, is_set: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::Auto => Self::ENDPOINTS.into_iter().any(is_set),
        }
    }
}

section! {
    /// Page tokens of lists.
    Pages in "pages" {
        /// File with one or two keys of 32 bytes, hex or base64, one a line: the first seals,
        /// both open. Without it a key is made at start, and tokens end with the process.
        key_file: Option<PathBuf> = None;
        /// Age at which a token is refused.
        lifetime: Duration = 72 * HOUR, Duration::from_secs(1)..=24 * 365 * HOUR;
    }
}

section! {
    /// Stopping without losing a call.
    Drain in "drain" {
        /// Time after SIGTERM in which connections are still taken, since clients learn late.
        lame_duck: Duration = Duration::from_secs(5), Duration::ZERO..=HOUR;
        /// Longest time for calls in progress to end after that.
        grace: Duration = Duration::from_secs(30), Duration::ZERO..=HOUR;
        /// Longest time to send the last telemetry.
        telemetry_flush: Duration = Duration::from_secs(5), Duration::ZERO..=HOUR;
    }
}

section! {
    /// Logs, traces and metrics. Endpoints and headers are the standard `OTEL_…` variables.
    Telemetry in "telemetry" {
        /// Which log lines are written, such as `info` or `warn,qiwi_gateway::ledger=debug`.
        log_filter: String = "info".to_owned();
        /// Whether telemetry is exported over OTLP; `auto` when the environment names an endpoint.
        otlp: Otlp = Otlp::Auto;
        /// Share of reads that are traced when the caller did not decide; money always is.
        sample_read_percent: Percent = Percent(5);
        /// Pause between exports of metrics.
        metric_interval: Duration = Duration::from_secs(30), Duration::from_millis(100)..=HOUR;
        /// What the service is called in telemetry.
        service_name: String = "qiwi-gateway".to_owned();
    }
}

section! {
    /// Where events and the payment ledger are kept.
    State in "state" {
        /// `memory` for trials, `embedded` for one process, `nats` for several replicas.
        engine: Engine = Engine::Memory;
        /// Directory of the embedded engine; one process at a time.
        path: PathBuf = PathBuf::from("./state");
        /// File with the secret under which the ledger hides wallet numbers: 32 bytes in hex or
        /// base64. It never changes while the ledger lives. Without it the embedded engine makes one
        /// in its directory.
        key_file: Option<PathBuf> = None;
        /// Addresses of the NATS cluster.
        nats_url: Option<NatsUrl> = None;
        /// What streams and subjects of this installation begin with: letters, digits, `-` and `_`.
        nats_prefix: String = "qiwi".to_owned();
        /// Copies of each stream, on as many brokers. Fewer than three are refused.
        nats_replicas: usize = 3, 1..=5;
        /// File with credentials as `nsc` writes them (JWT and seed).
        nats_credentials_file: Option<PathBuf> = None;
        /// User of the broker, whose password is in `nats_password_file`.
        nats_user: Option<String> = None;
        /// File with that user's password.
        nats_password_file: Option<PathBuf> = None;
        /// PEM file of the authorities that sign the brokers' certificates.
        nats_ca_file: Option<PathBuf> = None;
        /// PEM file with the certificate the gateway shows to the brokers.
        nats_cert_file: Option<PathBuf> = None;
        /// PEM file with its private key.
        nats_key_file: Option<PathBuf> = None;
        /// Monitoring addresses of all brokers, comma separated, such as
        /// `http://nats-0.nats:8222,http://nats-1.nats:8222`. There they say whether they sync each
        /// write before they acknowledge it (`sync_interval: always`).
        nats_monitor_urls: Option<MonitorUrls> = None;
        /// Placement tag that only brokers have which sync each write: the operator's promise in
        /// place of `nats_monitor_urls`.
        nats_placement_tag: Option<String> = None;
        /// Longest wait for one answer of the brokers; an event has to be stored within
        /// `notifications.store_timeout`.
        nats_timeout: Duration = Duration::from_millis(400), Duration::from_millis(20)..=Duration::from_secs(10);
        /// Longest time in which a write of the ledger is tried again before it counts as failed.
        nats_patience: Duration = Duration::from_secs(3), Duration::from_millis(100)..=Duration::from_secs(60);
        /// Pause between trial writes, which show whether the brokers still store anything.
        nats_canary: Duration = Duration::from_secs(5), Duration::from_millis(50)..=HOUR;
        /// How long one turn at a wallet's history may wait for the NATS cluster. A replica that waits
        /// longer goes on with its own part of the limit, a fifth divided by `limit.replicas`.
        nats_turn_timeout: Duration = Duration::from_millis(250), Duration::from_millis(10)..=Duration::from_secs(5);
        /// How often replicas tell each other that they can be heard. After two and a half of these
        /// without a word kept answers are not used until the link is back.
        nats_beat: Duration = Duration::from_secs(1), Duration::from_millis(20)..=Duration::from_secs(60);
        /// How long the work for a wallet (reading its history, its balances, its webhook) waits for
        /// the replica that does it, once that is gone.
        nats_lease: Duration = Duration::from_secs(5), Duration::from_millis(100)..=HOUR;
    }
}

section! {
    /// What callers and operators may do.
    Security in "security" {
        /// Whether callers may bring a token of their own.
        pass_through: bool = true;
        /// File with the secret that makes fingerprints of tokens; without it one is made at
        /// start, and fingerprints of two runs or replicas differ.
        fingerprint_pepper_file: Option<PathBuf> = None;
        /// Listeners that other machines may reach without TLS, because a proxy or mesh before the
        /// gateway encrypts, or because the network is trusted.
        plaintext_listeners: Vec<Listener> = Vec::new();
        /// How often files with secrets, certificates and the configuration itself are looked at for
        /// new content.
        reload_interval: Duration = Duration::from_secs(5), Duration::from_millis(10)..=HOUR;
        /// Whether every warning about the configuration is a mistake.
        strict: bool = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otlp_is_on_when_any_signal_has_an_endpoint() {
        let traces = |name: &str| name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        assert!(Otlp::Auto.enabled(traces));
        assert!(!Otlp::Auto.enabled(|_| false));
        assert!(!Otlp::Off.enabled(traces));
        assert!(Otlp::On.enabled(|_| false));
    }
}
