//! The newest events, encoded once and shared by everybody who reads.
//!
//! One task of the process reads what is appended into a ring. A reader is a place and nothing
//! more: what is in the ring it takes from there, what is older from the log, in batches and with
//! few others at a time. What a batch is for, and how streams are paced, is left to
//! [`super::stream`] and [`super::list`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::cursor::Position;
use super::filter::Filter;
use super::hub::{Hub, now_ms};
use super::record::Stored;
use super::store::{Limit, LogError, ReadError};
use super::wire;

/// How much is read of the log at once.
const READ: Limit = Limit { events: 256, bytes: 512 << 10 };
/// Events looked at before others get their turn.
const SCAN_MAX: usize = 4096;
/// What an entry takes beside its bytes.
const ENTRY: usize = 512;
/// How often the log is asked how it is.
const LOOK: Duration = Duration::from_secs(1);
/// How long it may take to say so.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// A pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// One event, ready to be sent.
pub struct Entry {
    /// What filters look at; its payload is gone.
    pub stored: Stored,
    /// The event as it is sent, unless it cannot be opened.
    pub bytes: Result<Bytes, LogError>,
}

impl Entry {
    fn new(hub: &Hub, epoch: Uuid, mut stored: Stored) -> Self {
        let bytes = wire::encoded(&hub.cipher, &hub.cursors, epoch, &stored);
        if let Err(error) = &bytes {
            hub.metrics.events.alarm("event_unreadable");
            tracing::error!(sequence = stored.seq, error = %error, "an event cannot be opened");
        }
        stored.event.payload = Bytes::new();
        Self { stored, bytes }
    }

    fn size(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }
}

/// The newest word of the log about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// Which log; `None` before the first word.
    pub epoch: Option<Uuid>,
    /// The newest event in the ring: everything up to it can be read.
    pub head: u64,
    /// When the log last said that there is none newer: Unix milliseconds.
    pub at_ms: i64,
}

/// How much a reader takes at once.
#[derive(Debug, Clone, Copy)]
pub struct Take {
    /// Events.
    pub events: usize,
    /// Bytes of them together; a single one may be larger.
    pub bytes: usize,
    /// The last place that is looked at.
    pub until: u64,
}

/// What a reader gets.
pub struct Batch {
    /// What was selected.
    pub events: Vec<Arc<Entry>>,
    /// Everything up to here was looked at.
    pub through: Position,
    size: usize,
}

impl Batch {
    /// Nothing, looked at up to a place.
    pub const fn nothing(from: Position) -> Self {
        Self { events: Vec::new(), through: from, size: 0 }
    }

    /// Whether there is room for one of this size.
    fn takes(&self, entry: &Entry, take: &Take) -> bool {
        self.events.is_empty()
            || (self.events.len() < take.events && self.size + entry.size() <= take.bytes)
    }

    /// Looks at the next event; `false` when it has to wait for the next batch.
    fn look(&mut self, entry: &Arc<Entry>, filter: &Filter, take: &Take) -> bool {
        if filter.matches(&entry.stored) {
            if !self.takes(entry, take) {
                return false;
            }
            self.size += entry.size();
            self.events.push(Arc::clone(entry));
        }
        self.through = Position::behind(self.through.epoch, &entry.stored);
        true
    }
}

#[derive(Default)]
struct Ring {
    epoch: Option<Uuid>,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The place behind the newest entry.
    last: u64,
}

impl Ring {
    fn begin(&mut self, epoch: Uuid, last: u64) {
        *self = Self { epoch: Some(epoch), last, ..Self::default() };
    }

    fn push(&mut self, entry: Entry, room: usize) {
        self.last = entry.stored.seq;
        self.bytes += entry.size() + ENTRY;
        self.entries.push_back(Arc::new(entry));
        while self.bytes > room && self.entries.len() > 1 {
            let gone = self.entries.pop_front().map_or(0, |gone| gone.size() + ENTRY);
            self.bytes = self.bytes.saturating_sub(gone);
        }
    }

    /// The index of the event after a place; `None` where the ring does not go back so far.
    fn index(&self, after: u64) -> Option<usize> {
        let first = self.last.checked_sub(self.entries.len() as u64)?;
        usize::try_from(after.checked_sub(first)?).ok()
    }
}

/// The newest events, and how the log is.
pub struct Feed {
    ring: RwLock<Ring>,
    heard: watch::Sender<Heard>,
    readers: Semaphore,
}

impl Feed {
    /// An empty feed that lets so many read the log at once.
    pub fn new(readers_max: usize) -> Self {
        Self {
            ring: RwLock::default(),
            heard: watch::Sender::new(Heard::default()),
            readers: Semaphore::new(readers_max),
        }
    }

    /// The newest word of the log, and every change of it.
    pub fn heard(&self) -> watch::Receiver<Heard> {
        self.heard.subscribe()
    }

    /// Forgets all events, as if many had come since.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        let mut ring = self.ring.write();
        ring.entries.clear();
        ring.bytes = 0;
    }

    /// The events after a place as far as the ring has them; `None` where it does not go back so
    /// far.
    fn ring_after(&self, from: Position, filter: &Filter, take: &Take) -> Option<Batch> {
        let ring = self.ring.read();
        if ring.epoch != Some(from.epoch) {
            return None;
        }
        let index = ring.index(from.seq)?;
        let mut batch = Batch::nothing(from);
        for entry in ring.entries.iter().skip(index).take(SCAN_MAX) {
            if entry.stored.seq > take.until || !batch.look(entry, filter, take) {
                break;
            }
        }
        Some(batch)
    }
}

impl Hub {
    /// Reads on from a place, at most to the end; without waiting for what is not there yet.
    ///
    /// # Errors
    /// As the log says.
    pub async fn read_on(
        &self,
        from: Position,
        filter: &Filter,
        take: Take,
    ) -> Result<Batch, ReadError> {
        if from.seq >= take.until {
            return Ok(Batch::nothing(from));
        }
        if let Some(batch) = self.feed.ring_after(from, filter, &take) {
            return Ok(batch);
        }
        let stopped = |_| LogError::Unavailable("the gateway stops".to_owned());
        let _turn = self.feed.readers.acquire().await.map_err(stopped)?;
        let mut batch = Batch::nothing(from);
        for stored in self.log.read(from.seq, READ).await? {
            if stored.seq > take.until {
                break;
            }
            // What is not selected is not opened either.
            let entry = if filter.matches(&stored) {
                Entry::new(self, from.epoch, stored)
            } else {
                Entry { stored, bytes: Ok(Bytes::new()) }
            };
            if !batch.look(&Arc::new(entry), filter, &take) {
                break;
            }
        }
        Ok(batch)
    }

    /// Keeps the ring full; ends with the log.
    pub async fn run_feed(&self) {
        let mut tail = self.log.tail();
        let mut told = Instant::now();
        loop {
            match self.fill().await {
                Ok(0) => {
                    // Looking again costs little, and nothing is waited for that was missed.
                    if let Ok(Err(_)) = tokio::time::timeout(LOOK, tail.changed()).await {
                        tokio::time::sleep(LOOK).await;
                    }
                    // What happens at once goes out together; what is alone goes at once.
                    let quiet = told + self.settings.gather;
                    tokio::time::sleep_until(quiet).await;
                    tail.mark_unchanged();
                }
                Ok(_) => told = Instant::now(),
                Err(error) => {
                    tracing::debug!(error = %error, "the tail of the event log cannot be read");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reads on at the tail; answers how many events came.
    pub(super) async fn fill(&self) -> Result<usize, ReadError> {
        let (epoch, last) = {
            let ring = self.feed.ring.read();
            (ring.epoch, ring.last)
        };
        let Some(epoch) = epoch else {
            let info = self.log.info().await?;
            self.begin(info.epoch, info.last);
            return Ok(0);
        };
        let events = match self.log.read(last, READ).await {
            Ok(events) => events,
            // Nobody has read for long, or the log went back: begin again where it is now.
            Err(ReadError::Expired { .. } | ReadError::Ahead { .. }) => {
                let info = self.log.info().await?;
                if info.epoch != epoch || info.first > last.saturating_add(1) {
                    self.begin(info.epoch, info.last);
                }
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let count = events.len();
        let entries: Vec<_> =
            events.into_iter().map(|stored| Entry::new(self, epoch, stored)).collect();
        let room = usize::try_from(self.settings.ring.get()).unwrap_or(usize::MAX);
        let head = {
            let mut ring = self.feed.ring.write();
            entries.into_iter().for_each(|entry| ring.push(entry, room));
            ring.last
        };
        self.hear(epoch, head, count > 0);
        Ok(count)
    }

    fn begin(&self, epoch: Uuid, last: u64) {
        self.feed.ring.write().begin(epoch, last);
        self.hear(epoch, last, true);
    }

    /// Tells readers that something is new, or only notes the time.
    fn hear(&self, epoch: Uuid, head: u64, is_new: bool) {
        let heard = Heard { epoch: Some(epoch), head, at_ms: now_ms() };
        self.feed.heard.send_if_modified(|before| {
            *before = heard;
            is_new
        });
    }

    /// Keeps the gauges of the log true, and notices when it becomes another one.
    pub async fn watch_log(&self) {
        loop {
            let info = tokio::time::timeout(LOOK_MAX, self.log.info()).await;
            match info {
                Ok(Ok(info)) => {
                    self.metrics.events.log(self.log.health().is_ok(), info.first, info.last);
                    let known = self.feed.ring.read().epoch;
                    if known.is_some_and(|known| known != info.epoch) {
                        self.metrics.events.alarm("epoch_changed");
                        tracing::error!("the event log is another one now");
                        self.begin(info.epoch, info.last);
                    }
                }
                Ok(Err(_)) | Err(_) => self.metrics.events.log(false, 0, 0),
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests;
