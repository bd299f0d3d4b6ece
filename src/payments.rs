//! Payments: at most once, whatever fails.
//!
//! The life of a payment, and where each part of it is:
//!
//! 1. [`flow`]: the request is checked, whatever must be asked first is asked, and its id is taken in
//!    the ledger. Calls with the same id in this process take turns at the [`desk`].
//! 2. [`attempt`]: a task of its own, which no caller can end, marks the entry as being sent, sends it
//!    once, and writes down what came of it. [`verdict`] tells a refusal from doubt.
//! 3. [`settle`]: doubt is ended by QIWI's payment history, which [`search`] reads: at once while the
//!    caller waits, later by [`watch`], which also picks up what a crash left behind.
//! 4. [`show`]: how an entry is answered. [`rpc`]: asking for payments.
//!
//! What is paid, and how, is in the area files behind [`crate::order::Payment`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::config;
use crate::credentials::Credential;
use crate::error::{Error, Sent, reason};
use crate::ledger::{
    Key, LedgerKey, LedgerStore, OperationKind, Record, Replace, State, StoreError,
};
use crate::order::Account;
use crate::telemetry::Metrics;

pub mod acquiring;
pub mod attempt;
pub mod desk;
pub mod flow;
pub mod handover;
pub mod memo;
pub mod rpc;
pub mod search;
pub mod settle;
pub mod show;
pub mod turn;
pub mod verdict;
pub mod watch;

use desk::Desk;
use handover::Handovers;
use search::Scans;
use watch::Watchlist;

/// How often a change is tried again when others change the same entry.
const REPLACE_TRIES: usize = 16;

/// From so many on, payments whose pause is over are forgotten.
const REFRESHED_MAX: usize = 10_000;

/// What all payments share.
pub struct Payments {
    store: Arc<dyn LedgerStore>,
    key: Arc<LedgerKey>,
    /// Whose leases are ours.
    process: Uuid,
    desk: Arc<Desk>,
    watchlist: Watchlist,
    scans: Scans,
    handovers: Handovers,
    /// When the state of a payment was asked for on behalf of callers.
    refreshed: Mutex<HashMap<Key, Instant>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    settings: config::Payments,
    metrics: Arc<Metrics>,
}

impl Payments {
    /// Payments over a ledger.
    pub fn new(
        store: Arc<dyn LedgerStore>,
        key: Arc<LedgerKey>,
        settings: config::Payments,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            key,
            process: Uuid::now_v7(),
            desk: Arc::default(),
            watchlist: Watchlist::default(),
            scans: Scans::default(),
            handovers: Handovers::new(settings.three_ds_window),
            refreshed: Mutex::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            settings,
            metrics,
        }
    }

    /// What entries call an account.
    fn owner(&self, account: &Account) -> Box<str> {
        match account {
            Account::Wallet(wallet) => self.key.owner(wallet),
            Account::Site(merchant) => self.key.site(&merchant.site),
        }
    }

    /// Whether money may move.
    ///
    /// # Errors
    /// The last word of the ledger's engine.
    pub fn health(&self) -> Result<(), StoreError> {
        self.store.health()
    }

    /// Whether a payment's state may be asked for again; the pause begins now.
    fn may_refresh(&self, key: &Key) -> bool {
        let pause = self.settings.refresh_pause;
        let mut refreshed = self.refreshed.lock();
        if refreshed.get(key).is_some_and(|at| at.elapsed() < pause) {
            return false;
        }
        if refreshed.len() >= REFRESHED_MAX {
            refreshed.retain(|_, at| at.elapsed() < pause);
        }
        refreshed.insert(key.clone(), Instant::now());
        true
    }

    /// Ends the looks into the history and waits for what is being sent: each has an end of its own.
    pub async fn finish(&self) {
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Replaces an entry by what `change` makes of it; where somebody was faster, again by what it
    /// makes of theirs. `change` says whether there is anything to write.
    async fn update(
        &self,
        mut record: Record,
        owner: Option<(&Account, Option<&Arc<Credential>>)>,
        change: impl Fn(&mut Record) -> bool,
    ) -> Result<Record, StoreError> {
        for _ in 0..REPLACE_TRIES {
            let before = record.version;
            let mut next = record.clone();
            if !change(&mut next) {
                return Ok(record);
            }
            debug_assert!(
                record.state.may_become(next.state),
                "{:?} {:?}",
                record.state,
                next.state
            );
            next.updated_ms = now_ms();
            match self.store.replace(before, next.clone()).await? {
                Replace::Done(version) => {
                    next.version = version;
                    if next.state != record.state {
                        self.metrics.payments.state(show::name(next.state));
                    }
                    self.watchlist.note(&next, owner);
                    return Ok(next);
                }
                Replace::Changed(theirs) => record = theirs,
            }
        }
        Err(StoreError::Unavailable("an entry changes all the time".to_owned()))
    }

    /// Whether a payment that was not executed is sent again when its caller repeats it, without being
    /// told to: QIWI PAY documents so for a capture that broke off, after three minutes.
    fn is_permitted_again(&self, record: &Record) -> bool {
        record.state == State::NotExecuted
            && record.key.kind == OperationKind::Capture
            && now_ms() >= self.repeat_from(record)
    }

    /// From when on QIWI PAY permits to repeat a capture.
    fn repeat_from(&self, record: &Record) -> i64 {
        let sent = record.sent_ms.unwrap_or(record.created_ms);
        sent.saturating_add(millis(self.settings.capture_repeat))
    }

    /// Whether nobody works on an entry although its state says so.
    fn is_orphan(&self, record: &Record) -> bool {
        if self.desk.is_busy(&record.key) {
            return false;
        }
        match record.lease {
            // Of this process, or of an earlier one that had the ledger for itself.
            Some(lease) if lease.owner != self.process && self.store.is_shared() => {
                lease.until_ms < now_ms()
            }
            _ => matches!(record.state, State::Reserved | State::Sending),
        }
    }
}

/// The ledger does not do what it must: nothing is sent.
fn unavailable(error: &StoreError) -> Error {
    Error::new(&reason::LEDGER_UNAVAILABLE)
        .sent(Sent::No)
        .retry_after(Duration::from_secs(5))
        .log(error.to_string())
}

/// Unix milliseconds.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in milliseconds.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
