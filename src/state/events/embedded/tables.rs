//! The tables of the log and what a change does to them.
//!
//! Events are found by sequence. Four more tables lead to sequences: from identities, from
//! deliveries (and back, for the day when the event goes), and from chains. One row counts. Cells
//! are in two tables of their own ([`super::cells`]). All of a change happens in one transaction.

use parking_lot::Mutex;
use prost::Message;
use redb::{Database, ReadableTable, Table, WriteTransaction};
use tokio::sync::watch;
use uuid::Uuid;

use super::reads;
use crate::events::store::DELIVERIES_MAX;
use crate::events::{
    Append, Chain, Delivery, EventId, LogError, Outcome, Retention, Stored, Tidied, Tier,
};
use crate::sealed::{self, Unreadable};
use crate::state::disk::{Fault, Head, Name, Names, Schema};
use crate::state::events::rules::{self, Decision, Index, TIDIED_AT_ONCE};

pub const EVENTS: Name = Name::new("events");
pub const IDS: Name = Name::new("ids");
pub const DELIVERIES: Name = Name::new("deliveries");
pub const DELIVERED: Name = Name::new("delivered");
pub const CHAINS: Name = Name::new("chains");
pub const CELLS: Name = Name::new("cells");
pub const EXPIRY: Name = Name::new("expiry");
pub const STATS: Name = Name::new("stats");

/// The key of the only row of its table.
pub const COUNTS: &[u8] = b"counts";

const FORMAT: u8 = 1;

/// A table that can be changed.
pub type Writable<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Stats {
    /// The first event, or where the next one will be.
    #[prost(uint64, tag = "1")]
    pub first: u64,
    /// The last event; 0 before the first.
    #[prost(uint64, tag = "2")]
    pub last: u64,
    /// Bytes of all events.
    #[prost(uint64, tag = "3")]
    pub bytes: u64,
    /// When the last event was logged.
    #[prost(int64, tag = "4")]
    pub logged_ms: i64,
    /// The last version of any cell.
    #[prost(uint64, tag = "5")]
    pub version: u64,
}

impl Stats {
    /// What a new log has counted.
    const NEW: Self = Self { first: 1, last: 0, bytes: 0, logged_ms: 0, version: 0 };

    /// The counts that were written as these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        sealed::open(FORMAT, bytes).map_err(|error| unreadable("the row of counts", error))
    }
}

/// The log, as the files' machinery knows it, and what of it is durable.
pub struct LogTables {
    /// How long events are kept.
    pub retention: Retention,
    published: Mutex<(Uuid, Stats)>,
    tail: watch::Sender<u64>,
}

impl LogTables {
    /// A log of which nothing is known yet.
    pub fn new(retention: Retention) -> Self {
        let published = Mutex::new((Uuid::nil(), Stats::NEW));
        Self { retention, published, tail: watch::Sender::new(0) }
    }

    /// Which log it is, and what is durable of it.
    pub fn published(&self) -> (Uuid, Stats) {
        *self.published.lock()
    }

    /// The last sequence that is durable.
    pub fn tail(&self) -> watch::Receiver<u64> {
        self.tail.subscribe()
    }
}

impl Schema for LogTables {
    const NAMES: Names = Names {
        stem: "events",
        what: "event log",
        without: "notifications are refused",
        advice: "stop the gateway and put back events.redb and events.mark from one moment, or \
                 move both away to begin an empty log, which QIWI's history then fills again",
    };

    type Tables<'t> = Tables<'t>;
    type News = Stats;

    fn create(&self, transaction: &WriteTransaction) -> Result<(), Fault> {
        let counts = sealed::seal(FORMAT, &Stats::NEW);
        transaction.open_table(STATS)?.insert(COUNTS, &*counts)?;
        Tables::open(transaction, self.retention).map(drop)
    }

    fn tables<'t>(&self, transaction: &'t WriteTransaction) -> Result<Tables<'t>, Fault> {
        Tables::open(transaction, self.retention)
    }

    fn touch(tables: &mut Tables<'_>) {
        tables.changed = true;
    }

    fn finish(mut tables: Tables<'_>) -> Result<Option<Stats>, Fault> {
        if tables.changed {
            tables.counts.insert(COUNTS, &*sealed::seal(FORMAT, &tables.stats))?;
        }
        Ok(tables.changed.then_some(tables.stats))
    }

    fn check(&self, database: &Database) -> Result<Stats, Fault> {
        reads::check(database)
    }

    fn publish(&self, head: &Head, stats: Stats) {
        *self.published.lock() = (head.point.epoch, stats);
        self.tail.send_if_modified(|last| std::mem::replace(last, stats.last) != stats.last);
    }
}

/// The tables within a transaction that changes them.
pub struct Tables<'t> {
    events: Writable<'t>,
    ids: Writable<'t>,
    deliveries: Writable<'t>,
    delivered: Writable<'t>,
    chains: Writable<'t>,
    /// Cells by key.
    pub cells: Writable<'t>,
    /// Keys of cells by the end of their time.
    pub expiry: Writable<'t>,
    counts: Writable<'t>,
    /// What is counted, this transaction included.
    pub stats: Stats,
    retention: Retention,
    /// Whether there is something to commit.
    pub changed: bool,
}

impl Index for Tables<'_> {
    type Error = Fault;

    fn delivered(&self, key: &[u8; 16]) -> Result<Option<(u64, [u8; 32])>, Fault> {
        let Some(row) = self.deliveries.get(&key[..])? else { return Ok(None) };
        let (digest, place) = row.value().split_first_chunk::<32>().ok_or_else(short)?;
        let checked = [&key[..], digest].concat();
        Ok(Some((of_place(&checked, place)?, *digest)))
    }

    fn place(&self, id: &EventId) -> Result<Option<u64>, Fault> {
        place_in(&self.ids, id.as_bytes())
    }

    fn last(&self, chain: &Chain) -> Result<Option<u64>, Fault> {
        place_in(&self.chains, chain.as_bytes())
    }
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction, retention: Retention) -> Result<Self, Fault> {
        let counts = transaction.open_table(STATS)?;
        let stats = match counts.get(COUNTS)? {
            Some(row) => Stats::decode(row.value())?,
            None => return Err(Fault::damaged("the row of counts is gone")),
        };
        Ok(Self {
            events: transaction.open_table(EVENTS)?,
            ids: transaction.open_table(IDS)?,
            deliveries: transaction.open_table(DELIVERIES)?,
            delivered: transaction.open_table(DELIVERED)?,
            chains: transaction.open_table(CHAINS)?,
            cells: transaction.open_table(CELLS)?,
            expiry: transaction.open_table(EXPIRY)?,
            counts,
            stats,
            retention,
            changed: false,
        })
    }

    /// An event and its size. A duplicate is one only of an event that is still whole: QIWI is not
    /// told that it is there when it cannot be read.
    fn at(&self, seq: u64) -> Result<(Stored, u64), Fault> {
        match self.events.get(&seq.to_be_bytes()[..])? {
            Some(row) => Ok((reads::event(seq, row.value())?, row.value().len() as u64)),
            None => Err(gone(seq)),
        }
    }

    /// Makes an event part of the log, unless it is there already.
    pub fn append(&mut self, append: Append) -> Result<Result<Outcome, LogError>, Fault> {
        let late = match rules::decide(self, &append)? {
            Decision::Answer(outcome) => {
                if let Outcome::Duplicate { seq, .. } = outcome {
                    self.at(seq)?;
                }
                return Ok(Ok(outcome));
            }
            Decision::Known(seq, delivery) => {
                self.at(seq)?;
                self.deliver(seq, delivery)?;
                return Ok(Ok(Outcome::Duplicate { seq, tier: Tier::Transition }));
            }
            Decision::New { late } => late,
        };
        let logged_ms = rules::clock(self.stats.logged_ms);
        let seq = self.stats.last + 1;
        let stored = Stored { seq, logged_ms, late, event: append.event };
        let bytes = stored.encode();
        let size = bytes.len() as u64;
        for _ in 0..TIDIED_AT_ONCE {
            if self.stats.bytes + size <= self.retention.bytes
                || !self.drop_first(size, logged_ms)?
            {
                break;
            }
        }
        if self.stats.bytes + size > self.retention.bytes {
            return Ok(Err(LogError::Full));
        }
        self.events.insert(&seq.to_be_bytes()[..], &*bytes)?;
        let id = stored.event.id;
        self.ids.insert(&id.as_bytes()[..], &*place(id.as_bytes(), seq))?;
        if let Some(chain) = stored.event.chain {
            self.chains.insert(&chain.as_bytes()[..], &*place(chain.as_bytes(), seq))?;
        }
        self.deliver(seq, append.delivery)?;
        self.stats.last = seq;
        self.stats.bytes += size;
        self.stats.logged_ms = logged_ms;
        self.changed = true;
        Ok(Ok(Outcome::Appended { seq }))
    }

    fn deliver(&mut self, seq: u64, delivery: Option<Delivery>) -> Result<(), Fault> {
        let Some(Delivery { key, digest }) = delivery else { return Ok(()) };
        if self.deliveries_of(seq)?.len() < DELIVERIES_MAX {
            let checked = [&key[..], &digest].concat();
            let row = [&digest[..], &place(&checked, seq)].concat();
            self.deliveries.insert(&key[..], &*row)?;
            self.delivered.insert(&*[&seq.to_be_bytes()[..], &key].concat(), &[][..])?;
            self.changed = true;
        }
        Ok(())
    }

    /// The keys by which an event's deliveries are found.
    fn deliveries_of(&self, seq: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let (start, end) = (seq.to_be_bytes(), seq.saturating_add(1).to_be_bytes());
        let mut keys = Vec::new();
        for row in self.delivered.range::<&[u8]>(&start[..]..&end[..])? {
            keys.push(row?.0.value().to_vec());
        }
        Ok(keys)
    }

    /// Lets the oldest event go if it may, with room wanted for another one.
    fn drop_first(&mut self, wanted: u64, now_ms: i64) -> Result<bool, Fault> {
        let Stats { first, last, bytes, .. } = self.stats;
        if first > last {
            return Ok(false);
        }
        let (stored, size) = self.at(first)?;
        if !self.retention.ends(stored.logged_ms, bytes.saturating_add(wanted), now_ms) {
            return Ok(false);
        }
        self.events.remove(&first.to_be_bytes()[..])?;
        self.ids.remove(&stored.event.id.as_bytes()[..])?;
        for row in self.deliveries_of(first)? {
            self.deliveries.remove(row.get(8..).ok_or_else(short)?)?;
            self.delivered.remove(&*row)?;
        }
        if let Some(chain) = stored.event.chain
            && self.last(&chain)? == Some(first)
        {
            self.chains.remove(&chain.as_bytes()[..])?;
        }
        self.stats.first = first + 1;
        self.stats.bytes = bytes
            .checked_sub(size)
            .ok_or_else(|| Fault::damaged("the counts disagree with the events"))?;
        self.changed = true;
        Ok(true)
    }

    /// Lets some of what is over go.
    pub fn tidy(&mut self, now_ms: i64) -> Result<Tidied, Fault> {
        let mut tidied = Tidied { events: 0, cells: self.expire(now_ms)? };
        while tidied.events < TIDIED_AT_ONCE as u64 && self.drop_first(0, now_ms)? {
            tidied.events += 1;
        }
        Ok(tidied)
    }
}

/// A place as a row: the sequence, and a checksum over key and sequence.
pub fn place(key: &[u8], seq: u64) -> Vec<u8> {
    let seq = seq.to_be_bytes();
    let crc = sealed::crc32c(&[key, &seq].concat());
    [&seq[..], &crc.to_be_bytes()].concat()
}

/// The place of a row found under a key.
pub fn of_place(key: &[u8], row: &[u8]) -> Result<u64, Fault> {
    let seq = row.first_chunk::<8>().map(|seq| u64::from_be_bytes(*seq)).ok_or_else(short)?;
    if place(key, seq) != row {
        return Err(Fault::damaged("a row that leads to an event is not what was written"));
    }
    Ok(seq)
}

/// The place that a table has for a key.
pub fn place_in(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<u64>, Fault> {
    table.get(key)?.map(|row| of_place(key, row.value())).transpose()
}

/// A row that is shorter than any.
pub fn short() -> Fault {
    Fault::damaged("a row is too short")
}

/// An event that is not there.
pub fn gone(seq: u64) -> Fault {
    Fault::damaged(format!("event {seq} is gone"))
}

/// A row that cannot be read.
pub fn unreadable(what: &str, error: Unreadable) -> Fault {
    Fault::damaged(format!("{what} cannot be read: {error}"))
}
