//! The event log without files: one mutex, gone with the process.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::ops::Bound;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::rules::{self, Decision, Index};
use crate::events::store::DELIVERIES_MAX;
use crate::events::{
    Append, Cell, CellKey, CellKind, Cells, Chain, Delivery, Durability, EventId, EventLog, Info,
    Limit, LogError, Outcome, Put, ReadError, Retention, Stored, Tidied, Tier, Value, cell,
};

/// The event log in memory.
#[derive(Debug)]
pub struct MemoryLog {
    kept: Mutex<Kept>,
    epoch: Uuid,
    retention: Retention,
    is_shared: bool,
    tail: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// How many events are gone from the front.
    gone: u64,
    /// Events and their sizes.
    events: VecDeque<(Stored, u64)>,
    bytes: u64,
    logged_ms: i64,
    ids: HashMap<EventId, u64>,
    deliveries: HashMap<[u8; 16], (u64, [u8; 32])>,
    /// The deliveries of each event.
    delivered: BTreeSet<(u64, [u8; 16])>,
    chains: HashMap<Chain, u64>,
    cells: BTreeMap<CellKey, Cell>,
    version: u64,
}

impl Index for Kept {
    type Error = Infallible;

    fn delivered(&self, key: &[u8; 16]) -> Result<Option<(u64, [u8; 32])>, Infallible> {
        Ok(self.deliveries.get(key).copied())
    }

    fn place(&self, id: &EventId) -> Result<Option<u64>, Infallible> {
        Ok(self.ids.get(id).copied())
    }

    fn last(&self, chain: &Chain) -> Result<Option<u64>, Infallible> {
        Ok(self.chains.get(chain).copied())
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new(retention: Retention) -> Self {
        Self {
            kept: Mutex::default(),
            epoch: Uuid::new_v4(),
            retention,
            is_shared: false,
            tail: watch::Sender::new(0),
        }
    }

    /// The same for several gateways of one process.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }
}

impl Kept {
    fn last(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    fn at(&self, seq: u64) -> Option<&Stored> {
        let at = usize::try_from(seq.checked_sub(self.gone + 1)?).ok()?;
        self.events.get(at).map(|(stored, _)| stored)
    }

    fn append(&mut self, append: Append, retention: &Retention) -> Result<Outcome, LogError> {
        let Ok(decision) = rules::decide(self, &append);
        let late = match decision {
            Decision::Answer(outcome) => return Ok(outcome),
            Decision::Known(seq, delivery) => {
                self.deliver(seq, delivery);
                return Ok(Outcome::Duplicate { seq, tier: Tier::Transition });
            }
            Decision::New { late } => late,
        };
        self.logged_ms = rules::clock(self.logged_ms);
        let (seq, logged_ms) = (self.last() + 1, self.logged_ms);
        let stored = Stored { seq, logged_ms, late, event: append.event };
        let size = stored.encode().len() as u64;
        while self.bytes + size > retention.bytes {
            if !self.drop_first(retention, size, logged_ms) {
                return Err(LogError::Full);
            }
        }
        self.bytes += size;
        self.ids.insert(stored.event.id, seq);
        self.deliver(seq, append.delivery);
        self.chains.extend(stored.event.chain.map(|chain| (chain, seq)));
        self.events.push_back((stored, size));
        Ok(Outcome::Appended { seq })
    }

    fn deliver(&mut self, seq: u64, delivery: Option<Delivery>) {
        let Some(Delivery { key, digest }) = delivery else { return };
        if self.delivered.range((seq, [0; 16])..=(seq, [255; 16])).count() < DELIVERIES_MAX {
            self.deliveries.insert(key, (seq, digest));
            self.delivered.insert((seq, key));
        }
    }

    /// Lets the oldest event go if it may, with room wanted for another one.
    fn drop_first(&mut self, retention: &Retention, wanted: u64, now_ms: i64) -> bool {
        let bytes = self.bytes + wanted;
        let oldest = self.events.front();
        if !oldest.is_some_and(|(of, _)| retention.ends(of.logged_ms, bytes, now_ms)) {
            return false;
        }
        if let Some((stored, size)) = self.events.pop_front() {
            self.gone = stored.seq;
            self.bytes -= size;
            self.ids.remove(&stored.event.id);
            let later = self.delivered.split_off(&(stored.seq + 1, [0; 16]));
            for (_, key) in std::mem::replace(&mut self.delivered, later) {
                self.deliveries.remove(&key);
            }
            if let Some(chain) = stored.event.chain
                && self.chains.get(&chain) == Some(&stored.seq)
            {
                self.chains.remove(&chain);
            }
        }
        true
    }

    fn read(&self, after: u64, limit: Limit) -> Result<Vec<Stored>, ReadError> {
        if after < self.gone {
            return Err(ReadError::Expired { first: self.gone + 1 });
        }
        if after > self.last() {
            return Err(ReadError::Ahead { last: self.last() });
        }
        let (mut found, mut bytes) = (Vec::new(), 0);
        let next = usize::try_from(after - self.gone).unwrap_or(usize::MAX);
        for (stored, _) in self.events.iter().skip(next).take(limit.events) {
            bytes += stored.event.payload.len();
            if bytes > limit.bytes && !found.is_empty() {
                break;
            }
            found.push(stored.clone());
        }
        Ok(found)
    }

    fn put(&mut self, key: CellKey, expected: u64, value: Option<Value>) -> Put {
        let there = self.cells.get(&key);
        if there.map_or(0, |cell| cell.version) != expected {
            return Put::Changed(there.cloned());
        }
        self.version += 1;
        let version = self.version;
        match value {
            Some(value) => drop(self.cells.insert(key, Cell { version, value })),
            None => drop(self.cells.remove(&key)),
        }
        Put::Done(version)
    }

    fn tidy(&mut self, retention: &Retention, now_ms: i64) -> Tidied {
        let mut tidied = Tidied::default();
        while self.drop_first(retention, 0, now_ms) {
            tidied.events += 1;
        }
        self.cells.retain(|_, cell| {
            let stays = cell.value.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms);
            tidied.cells += u64::from(!stays);
            stays
        });
        tidied
    }
}

impl Cells for MemoryLog {
    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn cell<'a>(&'a self, key: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>> {
        async move { Ok(self.kept.lock().cells.get(key).cloned()) }.boxed()
    }

    fn put(
        &self,
        key: CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> BoxFuture<'_, Result<Put, LogError>> {
        async move {
            cell::check(&key, value.as_ref())?;
            Ok(self.kept.lock().put(key, expected, value))
        }
        .boxed()
    }

    fn cells<'a>(
        &'a self,
        kind: CellKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(CellKey, Cell)>, LogError>> {
        async move {
            let start = match after {
                Some(after) if after >= prefix => Bound::Excluded(CellKey::new(kind, after)),
                _ => Bound::Included(CellKey::new(kind, prefix)),
            };
            let kept = self.kept.lock();
            let of_prefix = kept
                .cells
                .range((start, Bound::Unbounded))
                .take_while(|(key, _)| key.kind == kind && key.name.starts_with(prefix));
            Ok(of_prefix.take(limit).map(|(key, cell)| (key.clone(), cell.clone())).collect())
        }
        .boxed()
    }
}

impl EventLog for MemoryLog {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, LogError>> {
        async move {
            append.check()?;
            let mut kept = self.kept.lock();
            let outcome = kept.append(append, &self.retention);
            if let Ok(Outcome::Appended { seq }) = outcome {
                self.tail.send_replace(seq);
            }
            outcome
        }
        .boxed()
    }

    fn read(&self, after: u64, limit: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>> {
        async move { self.kept.lock().read(after, limit) }.boxed()
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        async move {
            let kept = self.kept.lock();
            Ok(kept.ids.get(&id).and_then(|seq| kept.at(*seq)).cloned())
        }
        .boxed()
    }

    fn last_of(&self, chain: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        async move {
            let kept = self.kept.lock();
            Ok(kept.chains.get(&chain).and_then(|seq| kept.at(*seq)).cloned())
        }
        .boxed()
    }

    fn seek(&self, time_ms: i64) -> BoxFuture<'_, Result<u64, LogError>> {
        let kept = self.kept.lock();
        let before = kept.events.partition_point(|(stored, _)| stored.logged_ms < time_ms);
        ready(Ok(kept.gone + before as u64)).boxed()
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>> {
        let kept = self.kept.lock();
        let info = Info {
            epoch: self.epoch,
            first: kept.gone + 1,
            last: kept.last(),
            bytes: kept.bytes,
            durability: Durability::Process,
            retention: self.retention,
        };
        ready(Ok(info)).boxed()
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, LogError>> {
        async move { Ok(self.kept.lock().tidy(&self.retention, now_ms)) }.boxed()
    }

    fn health(&self) -> Result<(), LogError> {
        Ok(())
    }
}
