//! What a place that keeps the event log must promise.
//!
//! What was answered is durable, as far as [`Info::durability`] says, and neither lost nor there
//! twice. An error promises nothing either way: the event may be in the log, now or a little
//! later; appending it again then answers that it is a duplicate. Dropping a call does not undo it.
//!
//! Sequences begin with 1 and leave none out. Reading never jumps over what is gone and never
//! waits for what does not exist: both are errors. An engine that holds less than it once answered
//! says that it is damaged, or begins another epoch; it never gives a sequence to another event
//! within one.

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use uuid::Uuid;

use super::cell::Cells;
use super::id::{Chain, Delivery, EventId};
use super::record::{Event, Stored};

/// Why a log did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// It cannot work now; it may later.
    #[error("the event log is unavailable: {0}")]
    Unavailable(String),
    /// What it holds cannot be trusted, and a person must look.
    #[error("the event log is damaged: {0}")]
    Damaged(String),
    /// Its room is used up by what is too young to go.
    #[error("the event log is full: nothing in it is old enough to go")]
    Full,
    /// What was given is larger than anything the gateway makes.
    #[error("{what} is larger than {max} bytes")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// How large it may be.
        max: usize,
    },
}

/// Why nothing can be read from a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// What comes next is gone: retention took it.
    #[error("the log begins at {first} by now")]
    Expired {
        /// The first event there is, or will be.
        first: u64,
    },
    /// The log never got there: it went back, or this engine is behind.
    #[error("the log ends at {last}")]
    Ahead {
        /// The last event there is.
        last: u64,
    },
    /// The log does not work.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Most bytes of a payload.
pub const PAYLOAD_MAX: usize = 256 << 10;

/// Most bytes of a text of an event.
pub const TEXT_MAX: usize = 512;

/// Most deliveries an event remembers. QIWI makes three; their numbers are not signed, so that
/// whoever caught one message could otherwise fill the log with them.
pub const DELIVERIES_MAX: usize = 16;

/// What is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The event.
    pub event: Event,
    /// How it came, when QIWI brought it.
    pub delivery: Option<Delivery>,
    /// What would make it late: events that come after it.
    pub before: Vec<EventId>,
    /// The last event of its chain, as the caller knows it; 0 for none. It is appended only if
    /// this is still so. A chain whose last event is gone has none.
    pub follows: Option<u64>,
}

impl Append {
    /// This event, whatever else there is.
    pub fn new(event: Event) -> Self {
        Self { event, delivery: None, before: Vec::new(), follows: None }
    }

    /// Whether it is of a size that every engine takes.
    pub fn check(&self) -> Result<(), LogError> {
        let Event { r#type, transaction, status, provider, payload, .. } = &self.event;
        if payload.len() > PAYLOAD_MAX {
            return Err(LogError::TooLarge { what: "a payload", max: PAYLOAD_MAX });
        }
        if [r#type, transaction, status, provider].iter().any(|of| of.len() > TEXT_MAX) {
            return Err(LogError::TooLarge { what: "a text of an event", max: TEXT_MAX });
        }
        Ok(())
    }
}

/// By what an event was known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// QIWI had delivered it before.
    Delivery,
    /// Something else had brought the same transition.
    Transition,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log, here.
    Appended {
        /// Its place.
        seq: u64,
    },
    /// It was there already, here.
    Duplicate {
        /// The place of the first one.
        seq: u64,
        /// By what it was known.
        tier: Tier,
    },
    /// Its delivery was seen with another content. Nothing was appended.
    Conflict {
        /// The place of the event that came with the other content, where the engine can tell.
        seq: Option<u64>,
    },
    /// Its chain has gone on. Nothing was appended.
    Overtaken {
        /// The last event of the chain; 0 for none.
        last: u64,
    },
}

/// How much is read at once: at least one event if there is any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Events.
    pub events: usize,
    /// Bytes of their payloads together.
    pub bytes: usize,
}

impl Limit {
    /// This many events of any usual size.
    pub const fn events(events: usize) -> Self {
        Self { events, bytes: 16 << 20 }
    }
}

/// What survives which fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing survives the process.
    Process,
    /// What was answered survives the power, not the disk.
    Disk,
    /// What was answered survives a minority of machines.
    Quorum,
}

/// How a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Info {
    /// Which log: another one never continues it.
    pub epoch: Uuid,
    /// The first event there is; one more than `last` when there is none.
    pub first: u64,
    /// The last event; also the high-water mark of what was answered. 0 before the first.
    pub last: u64,
    /// Bytes of the events.
    pub bytes: u64,
    /// What survives which fault.
    pub durability: Durability,
    /// How long events are kept.
    pub retention: Retention,
}

/// How long events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Older ones go.
    pub age_ms: i64,
    /// More bytes than this are not kept: the oldest go, or, in an engine that goes by age alone,
    /// nothing new is taken.
    pub bytes: u64,
    /// Younger ones stay in any case; rather is nothing new taken.
    pub keep_ms: i64,
}

const HOUR_MS: i64 = 60 * 60 * 1000;

impl Retention {
    /// What a log on one disk keeps. QIWI repeats for 24 hours: what is told apart by the log must
    /// be there for longer.
    pub const DEFAULT: Self =
        Self { age_ms: 30 * 24 * HOUR_MS, bytes: 8 << 30, keep_ms: 25 * HOUR_MS };

    /// Whether an event goes, the oldest of a log of so many bytes.
    pub fn ends(&self, logged_ms: i64, bytes: u64, now_ms: i64) -> bool {
        let age_ms = now_ms.saturating_sub(logged_ms);
        age_ms > self.keep_ms && (age_ms > self.age_ms || bytes > self.bytes)
    }
}

/// What tidying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// Events that went.
    pub events: u64,
    /// Cells whose time was over.
    pub cells: u64,
}

/// A place that keeps the event log.
pub trait EventLog: Cells {
    /// Makes an event part of the log, unless it is there already.
    ///
    /// The delivery is looked at first, then the event's identity, then its chain. What makes two
    /// of them the same is remembered for as long as the event is kept. Whether it is late is
    /// found out as well as the engine can while others append.
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, LogError>>;

    /// The events after a place, in order, none left out; none at the end.
    fn read(&self, after: u64, limit: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>>;

    /// The event of an identity, while it is kept.
    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>>;

    /// The last event of a chain, while it is kept.
    fn last_of(&self, chain: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>>;

    /// The place after which the events logged at or after a moment begin, by the log's clock.
    fn seek(&self, time_ms: i64) -> BoxFuture<'_, Result<u64, LogError>>;

    /// How the log is.
    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>>;

    /// The last sequence, and word of every change of it. It closes with the log.
    fn tail(&self) -> watch::Receiver<u64>;

    /// Lets go of what retention and expiry give free, in bounded steps between which others get
    /// their turn. An engine that does so by itself does nothing here.
    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, LogError>>;

    /// Whether events can be taken: the last word of the engine, without asking it anything.
    fn health(&self) -> Result<(), LogError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_young_stay_whatever_the_room() {
        let kept = Retention { age_ms: 1_000, bytes: 50, keep_ms: 100 };
        for (age_ms, bytes, ends) in [
            (-5, 99, false),
            (100, 99, false),
            (101, 99, true),
            (101, 50, false),
            (1_000, 50, false),
            (1_001, 0, true),
        ] {
            assert_eq!(kept.ends(10_000 - age_ms, bytes, 10_000), ends, "{age_ms} {bytes}");
        }
    }
}
