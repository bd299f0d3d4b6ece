//! Which replica does the work for a wallet that one should do: reading its history and balances,
//! looking after its webhook, asking about its notifications.
//!
//! Only effort depends on it: two replicas that both believe to have a lease find out the same, and
//! the log knows what it has. No clocks are compared. Who holds a lease changes its cell again and
//! again; another one takes it over by compare-and-set when it has seen one version for the whole
//! time to live, by its own clock. The version fences: whoever wakes up late cannot keep a lease
//! that somebody else has taken.
//!
//! A lease is wanted by asking whether it is held; who no longer asks gives it back.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Owner;
use super::cell::{self, CellKey, CellKind, Kept, Put, Saved};
use super::hub::now_ms;
use super::store::{EventLog, LogError};
use crate::sealed::{self, Unreadable};
use crate::telemetry::Metrics;

const FORMAT: u8 = 1;
/// After so long without a change a cell may go: nobody has wanted the lease.
const GONE_MS: i64 = 3_600_000;
/// A lease is renewed so often in its time.
const RENEWALS: u32 = 4;
/// Leases that are looked at side by side.
const AT_ONCE: usize = 16;

/// What one replica does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// What is asked about a wallet's transactions.
    History(Owner),
    /// Looking at balances, which not every replica has been asked to do.
    Balances(Owner),
    /// Looking after a webhook.
    Webhook(Owner),
}

impl Work {
    fn name(self) -> [u8; 17] {
        let (kind, owner) = match self {
            Self::History(owner) => (b'h', owner),
            Self::Balances(owner) => (b'b', owner),
            Self::Webhook(owner) => (b'w', owner),
        };
        let mut name = [kind; 17];
        for (to, from) in name.iter_mut().skip(1).zip(owner.as_bytes()) {
            *to = *from;
        }
        name
    }
}

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    holder: u64,
    renewed_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(fixed64, tag = "1")]
    holder: u64,
    #[prost(sint64, tag = "2")]
    renewed_ms: i64,
}

impl Kept for Lease {
    const KIND: CellKind = CellKind::Lease;

    fn encode(&self) -> Vec<u8> {
        let Self { holder, renewed_ms } = *self;
        sealed::seal(FORMAT, &Written { holder, renewed_ms })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Written { holder, renewed_ms } = sealed::open(FORMAT, bytes)?;
        Ok(Self { holder, renewed_ms })
    }

    fn expires_ms(&self) -> Option<i64> {
        Some(self.renewed_ms.saturating_add(GONE_MS))
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    /// When somebody here asked last.
    wanted: Instant,
    /// The version seen last, and since when.
    seen: Option<(u64, Instant)>,
    /// Until when it is held here.
    held_until: Option<Instant>,
}

/// The leases of this replica.
pub struct Leases {
    log: Arc<dyn EventLog>,
    /// Whether there is anybody to share work with.
    is_shared: bool,
    ttl: Duration,
    holder: u64,
    known: Mutex<HashMap<Work, Known>>,
    /// Told when something is wanted that was not before.
    wanted: tokio::sync::Notify,
    metrics: Arc<Metrics>,
}

impl Leases {
    /// None held yet; over a log that nobody shares all are, for ever.
    pub fn new(log: Arc<dyn EventLog>, ttl: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            is_shared: log.is_shared(),
            log,
            ttl,
            holder: rand::random(),
            known: Mutex::default(),
            wanted: tokio::sync::Notify::new(),
            metrics,
        }
    }

    /// Whether work is divided at all.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Whether this replica does some work now; it will, if nobody else does.
    pub fn is_mine(&self, work: Work) -> bool {
        if !self.is_shared {
            return true;
        }
        let now = Instant::now();
        let mut all = self.known.lock();
        let known = all.entry(work).or_insert_with(|| {
            self.wanted.notify_one();
            Known { wanted: now, seen: None, held_until: None }
        });
        known.wanted = now;
        known.held_until.is_some_and(|until| now < until)
    }

    /// Takes, renews and gives back until dropped.
    pub async fn run(&self) {
        if !self.is_shared {
            return;
        }
        let mut ticks = interval(self.ttl / RENEWALS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.wanted.notified() => {}
            }
            self.step().await;
        }
    }

    async fn step(&self) {
        let all: Vec<_> = self.known.lock().iter().map(|(work, known)| (*work, *known)).collect();
        let looks = all.into_iter().map(|(work, known)| async move {
            let unwanted = known.wanted.elapsed() > self.ttl;
            let outcome = match unwanted {
                true => self.give_back(work, known).await,
                false => self.take(work, known).await,
            };
            if let Err(error) = outcome {
                tracing::debug!(error = %error, "a lease could not be looked at; again soon");
            }
        });
        // One after the other, hundreds of wallets would take longer than a lease is good for.
        stream::iter(looks).buffer_unordered(AT_ONCE).for_each(|()| ready(())).await;
        let now = Instant::now();
        let held = |known: &&Known| known.held_until.is_some_and(|until| now < until);
        let held = self.known.lock().values().filter(held).count();
        self.metrics.coordination.leases(held as u64);
    }

    /// Takes or renews a lease if it may be.
    async fn take(&self, work: Work, known: Known) -> Result<(), LogError> {
        let begun = Instant::now();
        let there = cell::load::<Lease>(&*self.log, &work.name()).await?;
        let version = there.as_ref().map_or(0, |there| there.version);
        let mine = there.as_ref().is_some_and(|there| there.kept.holder == self.holder);
        let since = match known.seen {
            Some((seen, since)) if seen == version => since,
            _ => begun,
        };
        // A version nobody has changed for the whole time has no holder any more.
        if !mine && there.is_some() && begun - since < self.ttl {
            self.note(work, Some((version, since)), None);
            return Ok(());
        }
        let lease = Lease { holder: self.holder, renewed_ms: now_ms() };
        match cell::save(&*self.log, &work.name(), version, &lease).await? {
            // Others count from a later moment than the one this began at.
            Saved::Done(version) => {
                self.note(work, Some((version, begun)), Some(begun + self.ttl));
            }
            Saved::Changed(there) => {
                let seen = there.map(|there| (there.version, Instant::now()));
                self.note(work, seen, None);
            }
        }
        Ok(())
    }

    fn note(&self, work: Work, seen: Option<(u64, Instant)>, held_until: Option<Instant>) {
        if let Some(known) = self.known.lock().get_mut(&work) {
            (known.seen, known.held_until) = (seen, held_until);
        }
    }

    /// Lets others have a lease at once.
    async fn give_back(&self, work: Work, known: Known) -> Result<(), LogError> {
        self.known.lock().remove(&work);
        let Some((version, _)) = known.seen.filter(|_| known.held_until.is_some()) else {
            return Ok(());
        };
        let key = CellKey::new(CellKind::Lease, work.name());
        match self.log.put(key, version, None).await? {
            // Or it was somebody else's already.
            Put::Done(_) | Put::Changed(_) => Ok(()),
        }
    }

    /// Gives everything back, because this replica stops.
    pub async fn finish(&self) {
        let all: Vec<_> = self.known.lock().iter().map(|(work, known)| (*work, *known)).collect();
        for (work, known) in all {
            if self.give_back(work, known).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
