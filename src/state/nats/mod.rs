//! The engine that replicas share: ledger, cells and events in streams of NATS JetStream.
//!
//! What is acknowledged is on the disks of a majority of the brokers: `preflight` refuses brokers
//! and streams of which that is not so, by name. Everything a caller is answered rests on
//! compare-and-set or on what a stream's leader says; nothing rests on a clock or on a message that
//! may get lost. `keeper` watches whether the brokers still store anything, and whether the
//! streams are still the ones they were.
//!
//! Until the brokers were found good, and whenever they stop being so, writes are refused at once:
//! payments are not sent, and QIWI is asked to come again.

mod broker;
mod cells;
mod connect;
pub mod coordinate;
mod index;
mod keeper;
mod ledger;
mod log;
mod preflight;
mod streams;
mod table;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

pub use connect::Unconnected;
pub use ledger::NatsLedger;
pub use log::NatsLog;

use crate::config;
use crate::events::{LogError, Retention};
use crate::ledger::{Record, StoreError};
use broker::Broker;
use streams::Streams;

/// How the engine behaves.
#[derive(Debug, Clone)]
struct Settings {
    /// Longest wait for one answer.
    timeout: Duration,
    /// Longest time in which a write of the ledger is tried again.
    patience: Duration,
    /// Pause between trial writes.
    canary: Duration,
    /// Where brokers tell whether they sync.
    monitors: Vec<config::BaseUrl>,
}

/// What can be relied on now.
#[derive(Debug, Clone)]
struct Standing {
    /// Whether the ledger takes entries.
    ledger: Result<(), StoreError>,
    /// Whether the log takes events, and which log it is.
    log: Result<Uuid, LogError>,
    /// Whether the streams were found once as they must be: from then on they can be read.
    found: Option<Uuid>,
}

/// What ledger, log and keeper share.
struct Shared {
    broker: Broker,
    streams: Streams,
    settings: Settings,
    standing: RwLock<Standing>,
    /// The last event this process knows of.
    tail: watch::Sender<u64>,
    /// Asks the keeper to look now.
    look: Arc<Notify>,
    /// The entry that tells whether the key is the ledger's.
    check: Record,
}

impl Shared {
    fn may_write_ledger(&self) -> Result<(), StoreError> {
        self.standing.read().ledger.clone()
    }

    fn may_read_ledger(&self) -> Result<(), StoreError> {
        let standing = self.standing.read();
        match &standing.ledger {
            // What is there can be read; whether the brokers answer shows.
            Err(StoreError::Unavailable(_)) if standing.found.is_some() => Ok(()),
            other => other.clone(),
        }
    }

    fn may_write_log(&self) -> Result<Uuid, LogError> {
        self.standing.read().log.clone()
    }

    fn may_read_log(&self) -> Result<Uuid, LogError> {
        let standing = self.standing.read();
        match (&standing.log, standing.found) {
            (Err(LogError::Unavailable(_)), Some(epoch)) => Ok(epoch),
            (other, _) => other.clone(),
        }
    }

    /// Something was not answered: the keeper finds out whether that is so for everything.
    fn doubt(&self) {
        self.look.notify_one();
    }

    /// Tells this process, and the others by a hint, that there is an event.
    async fn tell_tail(&self, epoch: Uuid, seq: u64) {
        self.advance(seq);
        let hint = format!("{epoch} {seq}");
        let subject = self.streams.passing("tail");
        // Whoever misses it looks by itself in a while.
        let _ = self.broker.client().publish(subject, hint.into()).await;
    }

    fn advance(&self, seq: u64) {
        self.tail.send_if_modified(|tail| {
            let is_new = seq > *tail;
            *tail = seq.max(*tail);
            is_new
        });
    }
}

/// The engine, and a way to the brokers for what else replicas tell each other.
pub struct Opened {
    /// The ledger.
    pub ledger: NatsLedger,
    /// The event log.
    pub log: NatsLog,
    /// The connection.
    pub client: async_nats::Client,
}

/// Connects to the brokers and begins to look after the streams. Brokers that cannot be reached are
/// tried again for as long as the engine lives; meanwhile it refuses.
///
/// `check` is the entry that tells whether the key is the ledger's. Waits a moment for the brokers.
///
/// # Errors
/// When the settings for the connection cannot be used.
pub async fn open(
    state: &config::State,
    retention: Retention,
    check: Record,
) -> Result<Opened, Unconnected> {
    let client = connect::connect(state).await?;
    let starting = "the brokers were not reached yet";
    let shared = Arc::new(Shared {
        broker: Broker::new(client.clone(), state.nats_timeout),
        streams: Streams::new(
            &state.nats_prefix,
            state.nats_replicas,
            state.nats_placement_tag.as_deref(),
            retention,
        ),
        settings: Settings {
            timeout: state.nats_timeout,
            patience: state.nats_patience,
            canary: state.nats_canary,
            monitors: state.nats_monitor_urls.iter().flat_map(|of| of.iter().cloned()).collect(),
        },
        standing: RwLock::new(Standing {
            ledger: Err(StoreError::Unavailable(starting.to_owned())),
            log: Err(LogError::Unavailable(starting.to_owned())),
            found: None,
        }),
        tail: watch::Sender::new(0),
        look: Arc::default(),
        check,
    });
    keeper::start(&shared).await;
    Ok(Opened { ledger: NatsLedger::new(Arc::clone(&shared)), log: NatsLog::new(shared), client })
}
