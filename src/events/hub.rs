//! What everything about events shares: log, keys, names and settings.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cipher::Cipher;
use super::consume::Groups;
use super::cursor::Cursors;
use super::feed::Feed;
use super::hooks::Hooks;
use super::id::Owner;
use super::interest::Interest;
use super::lease::Leases;
use super::missed::Missed;
use super::record::Source;
use super::seats::Seats;
use super::store::{Append, EventLog, LogError, Outcome, Tier};
use crate::config;
use crate::credentials::{Credential, Wallet};
use crate::ledger::LedgerKey;
use crate::notification::source::Networks;
use crate::notification::wallet::TrustedLists;
use crate::telemetry::Metrics;

/// Everything about events.
pub struct Hub {
    /// Where events are kept.
    pub log: Arc<dyn EventLog>,
    /// Seals what is kept.
    pub cipher: Cipher,
    /// Makes and reads cursors.
    pub cursors: Cursors,
    /// Webhooks and their keys.
    pub hooks: Hooks,
    /// What work is this replica's.
    pub leases: Leases,
    /// How streams are served.
    pub settings: config::Events,
    /// How notifications are taken.
    pub notifications: config::Notifications,
    /// Where notifications may come from; `None` for anywhere.
    pub(super) sources: Option<Networks>,
    /// Who may say where they come from.
    pub(super) proxies: Networks,
    /// Which lists of signed fields are trusted.
    pub(super) lists: TrustedLists,
    /// Work that outlives whoever asked for it.
    pub(super) tasks: TaskTracker,
    /// The newest events, ready to be sent.
    pub feed: Feed,
    /// How many streams there may be.
    pub seats: Seats,
    /// Whose balances are wanted.
    pub interest: Arc<Interest>,
    missed: Missed,
    /// Which consumer groups have members in this process.
    pub groups: Groups,
    /// Ends streams, and what runs in the background.
    pub draining: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
    key: Arc<LedgerKey>,
}

/// A value of the configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Unusable {
    /// The key.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl Hub {
    /// Everything about events, over a log.
    ///
    /// # Errors
    /// When networks or lists of signed fields are not what they must be.
    pub fn new(
        log: Arc<dyn EventLog>,
        key: Arc<LedgerKey>,
        settings: config::Events,
        notifications: config::Notifications,
        lease: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Unusable> {
        let unusable = |key, problem: String| Unusable { key, problem };
        let networks = |key, listed: &[String]| {
            Networks::parse(listed)
                .map_err(|(text, error)| unusable(key, format!("{text:?} is {error}")))
        };
        let sources = match notifications.sources.as_slice() {
            [] => Some(Networks::qiwi()),
            [any] if any == "any" => None,
            listed => Some(networks("notifications.sources", listed)?),
        };
        let proxies = networks("notifications.trusted_proxies", &notifications.trusted_proxies)?;
        let mut lists = vec![crate::notification::wallet::SIGN_FIELDS.to_owned()];
        lists.extend(notifications.sign_fields.iter().cloned());
        let lists = TrustedLists::new(lists).map_err(|list| {
            let what = format!("{list:?} leaves out a field of the documented list");
            unusable("notifications.sign_fields", what)
        })?;
        Ok(Self {
            cipher: Cipher::new(&key.derived("events")),
            cursors: Cursors::new(&[key.derived("cursors")], uuid::Uuid::nil()),
            hooks: Hooks::default(),
            leases: Leases::new(Arc::clone(&log), lease, Arc::clone(&metrics)),
            log,
            feed: Feed::new(settings.readers_max),
            seats: Seats::new(settings.streams_max),
            settings,
            notifications,
            sources,
            proxies,
            lists,
            interest: Arc::default(),
            missed: Missed::default(),
            groups: Groups::default(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            metrics,
            key,
        })
    }

    /// What events call a wallet.
    pub fn owner(&self, wallet: &Wallet) -> Owner {
        Owner::from_bytes(self.key.owner_tag(wallet))
    }

    /// What events call a merchant site.
    pub fn site(&self, merchant_site: &str) -> Owner {
        Owner::from_bytes(self.key.site_tag(merchant_site))
    }

    /// What events call whoever a credential stands for; `wallet` is its own where that is known.
    pub fn owner_of(&self, credential: &Credential, wallet: Option<&Wallet>) -> Owner {
        let wallet = wallet.or(credential.wallet.as_ref());
        match (&credential.merchant_site, wallet, credential.name.as_deref()) {
            (Some(site), ..) => self.site(site),
            (None, Some(wallet), _) => self.owner(wallet),
            (None, None, name) => Owner::from_bytes(self.key.issuer_tag(name.unwrap_or_default())),
        }
    }

    /// A digest by which texts are compared that are so few that a plain one could be guessed.
    pub(super) fn content(&self, text: &str) -> [u8; 32] {
        self.key.content(text.as_bytes())
    }

    /// Waits for what is being stored.
    pub async fn finish(&self) {
        self.draining.cancel();
        self.tasks.close();
        let within = self.notifications.store_timeout;
        let _ = tokio::time::timeout(within, self.tasks.wait()).await;
        let _ = tokio::time::timeout(within, self.leases.finish()).await;
    }

    /// Notes that a notification for a named credential could not be stored: the wallet's history
    /// is compared as soon as the log works again. Cheap, and never waits.
    pub fn missed(&self, credential: &str) {
        self.missed.note(credential, now_ms());
    }

    pub(super) fn gaps(&self) -> &Missed {
        &self.missed
    }

    /// Appends an event and counts what became of it.
    ///
    /// # Errors
    /// As the log says; the event may be there all the same.
    pub async fn append(&self, append: Append) -> Result<Outcome, LogError> {
        let source = source_name(append.event.source);
        let outcome = self.log.append(append).await?;
        match outcome {
            Outcome::Appended { .. } => self.metrics.events.appended(source),
            Outcome::Duplicate { tier: Tier::Delivery, .. } => {
                self.metrics.events.duplicate("delivery");
            }
            Outcome::Duplicate { tier: Tier::Transition, .. } => {
                self.metrics.events.duplicate("transition");
            }
            Outcome::Conflict { .. } => {
                self.metrics.events.conflict();
                tracing::warn!("a delivery came again with another content; it was not believed");
            }
            Outcome::Overtaken { .. } => self.metrics.events.duplicate("chain"),
        }
        Ok(outcome)
    }
}

/// The label of a source.
pub const fn source_name(source: Source) -> &'static str {
    match source {
        Source::Webhook => "webhook",
        Source::HistoryPoll => "history_poll",
        Source::Reconciled => "reconciled",
        Source::BalancePoll => "balance_poll",
        Source::Call => "rpc",
        Source::Gateway => "gateway",
    }
}

/// Unix milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    #[cfg(test)]
    let now_ms = now_ms + super::testing::step_ms();
    now_ms
}
