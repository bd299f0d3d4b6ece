//! The sandbox: a stateful fake of the QIWI REST interfaces.
//!
//! One HTTP/1.1 listener plays every upstream host (their paths do not collide), so each base
//! address of the gateway can point at it. Card acquiring can have a second one, over TLS and for
//! clients with a certificate, as it is behind QIWI's own address. The sandbox answers from a seeded wallet in memory,
//! enforces tokens and permissions, counts requests the way QIWI does, and misbehaves on demand.
//! It sends notifications to webhooks that are registered at it, to loopback addresses unless told
//! otherwise, and repeats them as QIWI does, if wanted in a shorter time.
//!
//! It is written from the official documents alone and shares nothing with the gateway's own
//! mapping, so that a mistake on one side cannot hide behind the same mistake on the other.

mod acquiring;
mod admin;
mod agenda;
mod answer;
mod auth;
mod call;
mod catalog;
mod committed;
mod connection;
pub mod demo;
mod faults;
mod files;
mod incoming;
mod journal;
mod letter;
mod limit;
mod moment;
mod money;
mod notice;
mod outbox;
mod postman;
mod query;
mod seed;
mod seed_history;
mod server;
mod state;

mod balances;
mod bills;
mod card_control;
mod cards;
mod detection;
mod execution;
mod history;
mod history_filter;
mod identification;
mod invoices;
mod kazakhstan;
mod keys;
mod limits;
mod operation;
mod orders;
mod payment_body;
mod payments;
mod profile;
mod providers;
mod receipts;
mod requisites;
mod tariffs;
mod terms;
mod webhooks;

#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

pub use acquiring::{
    AcquiringConfig, AcquiringTransaction, Certificate, ClientFiles, MerchantSite, SafeDeal,
    Strangers, ThreeDSecure,
};
pub use committed::CommittedPayment;
pub use incoming::Incoming;
pub use server::Sandbox;

/// What the sandbox does with a payment whose id its wallet has used before.
///
/// The documents demand unique ids and leave open what happens otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamDuplicate {
    /// Carries it out once more. The worst that can happen, so it is what happens by default.
    #[default]
    Executes,
    /// Refuses it with code 408, "the same payment already exists".
    Refused,
}

/// How a sandbox runs. `SandboxConfig::default()` is the behaviour the documents describe.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The moment the seeded data is relative to, in Unix seconds; `None` is the time of start.
    pub seed_time: Option<i64>,
    /// How many history requests one wallet may make within [`history_window`](Self::history_window).
    pub history_limit: usize,
    /// The sliding window over which history requests are counted.
    pub history_window: Duration,
    /// How long a wallet that exceeded the limit is refused.
    pub history_ban: Duration,
    /// Whether a history query without any match answers 404, as documented, or an empty page.
    pub empty_history_is_not_found: bool,
    /// How many of the latest requests `GET /__sandbox/requests` keeps.
    pub request_log: usize,
    /// How long an accepted payment waits for its final status.
    pub settle_delay: Duration,
    /// What happens to a payment id that comes again.
    pub duplicates: UpstreamDuplicate,
    /// How many times shorter the pauses are after which an unheard notification is sent again.
    pub notification_time_scale: u32,
    /// How long the answer to a notification is waited for.
    pub notification_timeout: Duration,
    /// Whether notifications are sent to addresses outside this machine, too.
    pub notify_beyond_loopback: bool,
    /// Card acquiring, QIWI PAY.
    pub acquiring: AcquiringConfig,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            seed_time: None,
            history_limit: 100,
            history_window: Duration::from_secs(60),
            history_ban: Duration::from_secs(300),
            empty_history_is_not_found: true,
            request_log: 1000,
            settle_delay: Duration::from_millis(500),
            duplicates: UpstreamDuplicate::Executes,
            notification_time_scale: 1,
            notification_timeout: Duration::from_secs(2),
            notify_beyond_loopback: false,
            acquiring: AcquiringConfig::default(),
        }
    }
}
