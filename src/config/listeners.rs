//! The sections of what the gateway listens on.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::address::BaseUrl;
use super::choices::{choice_value, choices};
use super::section::section;
use super::tls::ClientAuth;
use super::units::{Percent, Size};
use crate::wallet::webhook::write::URL_LENGTH_MAX;

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

section! {
    /// The gRPC listener, where callers connect, and the limits that protect it.
    Grpc in "grpc" {
        /// Address callers connect to.
        listen: SocketAddr = loopback(50051);
        /// PEM file with the certificate the listener shows and its chain; with it the listener
        /// speaks TLS and nothing else. Looked at again and again, as the two below.
        tls_cert_file: Option<PathBuf> = None;
        /// PEM file with the certificate's private key.
        tls_key_file: Option<PathBuf> = None;
        /// PEM file with the authorities of client certificates; with it callers are asked for one.
        tls_client_ca_file: Option<PathBuf> = None;
        /// Whether a client without a certificate is refused.
        tls_client_auth: ClientAuth = ClientAuth::Required;
        /// Connections open at once; further ones wait to be accepted.
        connections_max: usize = 10_000, 1..=1_000_000;
        /// Calls open at once on one connection, as announced to the client.
        streams_max: u32 = 256, 1..=65_536;
        /// HTTP/2 flow-control window of one stream.
        stream_window: Size = Size::kib(256), Size::kib(64)..=Size::mib(1024);
        /// HTTP/2 flow-control window of one connection.
        connection_window: Size = Size::mib(1), Size::kib(64)..=Size::mib(1024);
        /// Largest HTTP/2 frame accepted.
        frame_max: Size = Size::kib(16), Size::kib(16)..=Size((1 << 24) - 1);
        /// Largest header list the HTTP/2 layer accepts; above it a client meets a bare 431.
        header_list_max: Size = Size::kib(16), Size::kib(4)..=Size::mib(1);
        /// Largest metadata of a call, refused with an explanation; below `header_list_max`.
        metadata_max: Size = Size::kib(8), Size::kib(1)..=Size::mib(1);
        /// Largest request message, after decompression.
        message_max: Size = Size::kib(256), Size::kib(1)..=Size::mib(64);
        /// Largest response message.
        reply_max: Size = Size::mib(4), Size::kib(64)..=Size::mib(64);
        /// Pause between HTTP/2 pings, sent on idle connections too.
        ping_interval: Duration = Duration::from_secs(30), SECOND..=HOUR;
        /// Wait for a ping's answer before the connection is closed.
        ping_timeout: Duration = Duration::from_secs(10), Duration::from_millis(100)..=HOUR;
        /// Idle time before TCP keepalive probes.
        tcp_keepalive: Duration = Duration::from_secs(60), SECOND..=HOUR;
        /// Time from accept to the HTTP/2 preface, the TLS handshake included.
        preface_timeout: Duration = Duration::from_secs(5), Duration::from_millis(10)..=HOUR;
        /// Age at which a connection is asked to close, so that clients spread over replicas.
        connection_age: Duration = Duration::from_secs(300), Duration::from_millis(100)..=DAY;
        /// Random part of the age, so that connections do not end together.
        connection_age_jitter_percent: Percent = Percent(10);
        /// Time without a call after which a connection is closed.
        connection_idle: Duration = Duration::from_secs(900), Duration::from_millis(100)..=DAY;
        /// Streams a client may reset before they are accepted; guards against rapid reset.
        pending_accept_reset_streams: usize = 20, 1..=100_000;
        /// Streams the gateway may reset for a client's errors before it ends the connection.
        local_error_reset_streams: usize = 1024, 1..=1_000_000;
        /// Whether replies above 1 KiB are compressed for callers that accept gzip. Most client
        /// libraries accept it unasked, and inside a cluster it costs more time than it saves.
        compress_replies: bool = false;
        /// Whether gRPC reflection is served.
        reflection: bool = true;
    }
}

section! {
    /// The operators' HTTP listener: probes and metrics.
    Admin in "admin" {
        /// Address of `/livez`, `/readyz`, `/readyz/notifications`, `/startupz` and `/metrics`.
        listen: SocketAddr = loopback(9464);
        /// PEM file with the certificate the listener shows and its chain; with it the listener
        /// speaks TLS and nothing else. Looked at again and again, as the two below.
        tls_cert_file: Option<PathBuf> = None;
        /// PEM file with the certificate's private key.
        tls_key_file: Option<PathBuf> = None;
        /// PEM file with the authorities of client certificates; with it clients are asked for one.
        /// Kubernetes shows none when it probes.
        tls_client_ca_file: Option<PathBuf> = None;
        /// Whether a client without a certificate is refused.
        tls_client_auth: ClientAuth = ClientAuth::Required;
        /// Connections open at once; further ones wait to be accepted.
        connections_max: usize = 256, 1..=100_000;
        /// Time for the TLS handshake and for the head of a request; a connection that is idle for
        /// as long is closed.
        read_timeout: Duration = Duration::from_secs(10), Duration::from_millis(50)..=HOUR;
        /// Age of the main runtime's heartbeat at which the process is no longer alive.
        heartbeat_max: Duration = Duration::from_secs(10), Duration::from_millis(100)..=HOUR;
    }
}

section! {
    /// The HTTP listener for QIWI's notifications.
    Notifications in "notifications" {
        /// Address QIWI, or the proxy before the gateway, sends notifications to.
        listen: SocketAddr = loopback(8080);
        /// PEM file with the certificate the listener shows and its chain; with it the listener
        /// speaks TLS and nothing else. Looked at again and again, as the two below.
        tls_cert_file: Option<PathBuf> = None;
        /// PEM file with the certificate's private key.
        tls_key_file: Option<PathBuf> = None;
        /// PEM file with the authorities of client certificates; with it senders are asked for one.
        tls_client_ca_file: Option<PathBuf> = None;
        /// Whether a client without a certificate is refused.
        tls_client_auth: ClientAuth = ClientAuth::Required;
        /// Whether the listener is opened at all.
        enabled: bool = true;
        /// Where QIWI reaches the listener from outside, such as `https://pay.example.com/qiwi`;
        /// needed for hooks the gateway registers by itself.
        public_url: Option<BaseUrl> = None;
        /// Networks notifications may come from; empty for those QIWI documents, `any` for all.
        sources: Vec<String> = Vec::new();
        /// Networks of proxies before the gateway, whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<String> = Vec::new();
        /// Lists of signed fields besides the documented one that are trusted, each with at least
        /// the documented fields.
        sign_fields: Vec<String> = Vec::new();
        /// Largest notification.
        body_max: Size = Size::kib(64), Size::kib(1)..=Size::mib(1);
        /// Time for the TLS handshake and for the head of a request; a connection that is idle for
        /// as long is closed.
        head_timeout: Duration = Duration::from_secs(5), Duration::from_millis(50)..=Duration::from_secs(60);
        /// Time to read a notification.
        read_timeout: Duration = SECOND, Duration::from_millis(50)..=Duration::from_secs(60);
        /// Time to store a notification before its sender is asked to come again.
        store_timeout: Duration = Duration::from_millis(800), Duration::from_millis(50)..=Duration::from_secs(60);
        /// Connections open at once.
        connections_max: usize = 512, 1..=100_000;
        /// How long replaced hooks and keys are still good: QIWI repeats for a day.
        key_grace: Duration = Duration::from_secs(25 * 3600), SECOND..=DAY * 30;
        /// Pause between looks at hooks the gateway looks after; shorter after a failure.
        hook_check: Duration = Duration::from_secs(300), SECOND..=DAY;
        /// Whether test notifications become events.
        publish_tests: bool = false;
    }
}

/// What an address for notifications is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A wallet's transactions.
    Wallet,
    /// P2P bills.
    P2p,
    /// Transactions of a QIWI PAY merchant.
    Pay,
}

impl About {
    /// What all addresses for notifications begin with.
    pub const ROOT: &'static str = "notifications";
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wallet, Self::P2p, Self::Pay];

    /// The segment of the address that says so, which is also the label of metrics.
    #[must_use]
    pub const fn segment(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::P2p => "p2p",
            Self::Pay => "pay",
        }
    }

    /// How long such an address may be for QIWI, where it says.
    #[must_use]
    pub const fn length_max(self) -> Option<usize> {
        match self {
            Self::Wallet => Some(URL_LENGTH_MAX),
            Self::P2p => None,
            // `callback_url` has as many characters (catalogue P-API-1).
            Self::Pay => Some(256),
        }
    }
}

impl Notifications {
    /// Where QIWI reaches the listener with notifications for a credential; a secret where the
    /// credential has one, so it is never logged. `None` without a public address.
    #[must_use]
    pub fn address(&self, about: About, credential: &str, secret: Option<&str>) -> Option<String> {
        let base = self.public_url.as_ref()?;
        let secret = secret.map(|secret| format!("/{secret}")).unwrap_or_default();
        let (root, about) = (About::ROOT, about.segment());
        Some(format!("{base}/{root}/{about}/{credential}{secret}"))
    }
}

choices! {
    /// Whether QIWI is asked about what only a signature vouches for.
    pub enum Confirm {
        /// After the event is in the log: another event tells what QIWI says.
        After = "after",
        /// Never.
        Off = "off",
    }
}
choice_value!(Confirm);

choices! {
    /// Whose balances are polled.
    pub enum Balances {
        /// Those that some stream asks for.
        Wanted = "wanted",
        /// Those of every named credential.
        Always = "always",
    }
}
choice_value!(Balances);

section! {
    /// The event log and its streams.
    Events in "events" {
        /// How long events are kept.
        keep: Duration = DAY * 30, SECOND..=DAY * 400;
        /// Room for events; beyond it the oldest go, but none younger than 25 hours.
        bytes_max: Size = Size::mib(8192), Size::mib(1)..=Size::mib(1024 * 1024);
        /// Encoded events kept in memory for streams that are up to date.
        ring: Size = Size::mib(64), Size::kib(64)..=Size::mib(4096);
        /// Event streams open at once.
        streams_max: usize = 10_000, 1..=1_000_000;
        /// Streams that read old events from the log at once.
        readers_max: usize = 32, 1..=10_000;
        /// Pause between heartbeats of a stream whose caller gave none.
        heartbeat: Duration = Duration::from_secs(15), Duration::from_millis(100)..=Duration::from_secs(60);
        /// Events of this time go out together.
        gather: Duration = Duration::from_millis(5), Duration::ZERO..=SECOND;
        /// A stream that took nothing for this long while events wait is ended.
        stalled: Duration = Duration::from_secs(60), Duration::from_millis(100)..=HOUR;
        /// Age at which a stream is ended, so that clients spread over replicas; up to twice as
        /// long, at random.
        stream_age: Duration = Duration::from_secs(1800), Duration::from_millis(100)..=DAY;
        /// How often a stream makes sure that the credentials it rests on are still there.
        rights_check: Duration = Duration::from_secs(10), Duration::from_millis(10)..=Duration::from_secs(30);
        /// How often a token that was passed through proves its wallet again while its stream is
        /// open: one profile request for each stream.
        token_check: Duration = Duration::from_secs(300), Duration::from_millis(100)..=HOUR;
        /// Whether QIWI is asked about the final status of transactions that only a notification's
        /// signature vouches for.
        confirm: Confirm = Confirm::After;
        /// How long it is tried to ask; after that the event stays as it is.
        confirm_within: Duration = DAY, SECOND..=DAY * 30;
        /// How long QIWI may say that it does not know a transaction before that contradicts its
        /// notification: the history shows some late.
        confirm_absent: Duration = Duration::from_secs(900), Duration::from_millis(100)..=DAY;
        /// How far back the first reading of a wallet's history reaches; with `0s` it begins with
        /// what comes.
        poll_from: Duration = Duration::ZERO, Duration::ZERO..=DAY * 85;
        /// Shortest pause between two readings of a polled history, after something was found.
        poll_fastest: Duration = Duration::from_secs(5), Duration::from_millis(20)..=HOUR;
        /// Longest pause, after nothing was found for a while.
        poll_slowest: Duration = Duration::from_secs(60), Duration::from_millis(20)..=HOUR;
        /// Pause between comparisons of a webhook's notifications with the history.
        reconcile_interval: Duration = Duration::from_secs(600), Duration::from_millis(100)..=DAY;
        /// Whose balances are polled.
        balances: Balances = Balances::Wanted;
        /// Pause between two polls of a wallet's balances.
        balance_interval: Duration = Duration::from_secs(15), Duration::from_millis(100)..=HOUR;
        /// Consumer groups there may be.
        groups_max: usize = 1000, 1..=100_000;
        /// Time a member of a group has to settle a delivery unless it says otherwise.
        ack_deadline: Duration = Duration::from_secs(30), Duration::from_millis(100)..=HOUR;
        /// The shortest such time a member may ask for.
        ack_deadline_min: Duration = Duration::from_secs(10), Duration::from_millis(100)..=HOUR;
        /// The longest such time a member may ask for.
        ack_deadline_max: Duration = Duration::from_secs(600), Duration::from_millis(100)..=HOUR;
        /// How long dead letters are kept.
        dead_letters_keep: Duration = DAY * 30, SECOND..=DAY * 400;
    }
}

section! {
    /// The built-in imitation of QIWI, for `sandbox` and `serve --sandbox`.
    Sandbox in "sandbox" {
        /// Address of the imitated hosts.
        listen: SocketAddr = loopback(8090);
        /// Address of the imitated card acquiring over TLS; by default the port after that of
        /// `listen`, or any free one when that is any.
        acquiring_listen: Option<SocketAddr> = None;
    }
}

impl Sandbox {
    /// Where card acquiring is imitated, whether or not the configuration says so.
    #[must_use]
    pub fn acquiring(&self) -> SocketAddr {
        let port = self.listen.port();
        let next = if port == 0 { 0 } else { port.wrapping_add(1) };
        self.acquiring_listen.unwrap_or_else(|| SocketAddr::new(self.listen.ip(), next))
    }
}
