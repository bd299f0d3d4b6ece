//! What is read of the log; each time in one transaction, so that it fits together.

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata};

use super::tables::{
    CELLS, CHAINS, COUNTS, DELIVERED, DELIVERIES, EVENTS, IDS, STATS, Stats, gone, place_in, short,
    unreadable,
};
use crate::events::{Chain, EventId, Limit, ReadError, Stored};
use crate::state::disk::{Fault, Name};
use crate::state::events::rules;

/// Events at the end that are read when a log is opened.
const TAIL: u64 = 10_000;

/// A table that can be read.
pub type Readable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The tables of a moment.
struct Reader {
    transaction: ReadTransaction,
    events: Readable,
    stats: Stats,
}

impl Reader {
    fn of(database: &Database) -> Result<Self, Fault> {
        let transaction = database.begin_read()?;
        let stats = match transaction.open_table(STATS)?.get(COUNTS)? {
            Some(row) => Stats::decode(row.value())?,
            None => return Err(Fault::damaged("the row of counts is gone")),
        };
        let events = transaction.open_table(EVENTS)?;
        Ok(Self { transaction, events, stats })
    }

    fn table(&self, name: Name) -> Result<Readable, Fault> {
        Ok(self.transaction.open_table(name)?)
    }

    fn at(&self, seq: u64) -> Result<Stored, Fault> {
        match self.events.get(&seq.to_be_bytes()[..])? {
            Some(row) => event(seq, row.value()),
            None => Err(gone(seq)),
        }
    }

    /// The events after a place, for as long as somebody wants them.
    fn walk(
        &self,
        after: u64,
        mut wants: impl FnMut(Stored) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let start = after.saturating_add(1).to_be_bytes();
        let mut expected = after;
        for row in self.events.range::<&[u8]>(&start[..]..)? {
            let (key, value) = row?;
            let seq = key.value().try_into().map(u64::from_be_bytes).map_err(|_| short())?;
            expected += 1;
            if seq != expected {
                return Err(gone(expected));
            }
            if !wants(event(seq, value.value())?)? {
                return Ok(());
            }
        }
        if expected != self.stats.last {
            return Err(gone(expected + 1));
        }
        Ok(())
    }

    /// Whether the events after a place are whole and are found by their identities.
    fn verify(&self, after: u64, count: usize) -> Result<u64, Fault> {
        let ids = self.table(IDS)?;
        let (mut left, mut last) = (count, after);
        self.walk(after, |stored| {
            let there = place_in(&ids, stored.event.id.as_bytes())?;
            if there != Some(stored.seq) {
                return Err(Fault::damaged("an event is not found by its identity"));
            }
            last = stored.seq;
            left = left.saturating_sub(1);
            Ok(left > 0)
        })?;
        Ok(last)
    }
}

/// The event found at a place.
pub fn event(seq: u64, bytes: &[u8]) -> Result<Stored, Fault> {
    let stored = Stored::decode(bytes).map_err(|error| unreadable("an event", error))?;
    if stored.seq != seq {
        return Err(Fault::damaged("an event is in another one's place"));
    }
    Ok(stored)
}

/// The events after a place.
pub fn after(
    database: &Database,
    after: u64,
    limit: Limit,
) -> Result<Result<Vec<Stored>, ReadError>, Fault> {
    let reader = Reader::of(database)?;
    let Stats { first, last, .. } = reader.stats;
    if after.saturating_add(1) < first {
        return Ok(Err(ReadError::Expired { first }));
    }
    if after > last {
        return Ok(Err(ReadError::Ahead { last }));
    }
    let (mut found, mut bytes) = (Vec::new(), 0);
    if limit.events > 0 {
        reader.walk(after, |stored| {
            bytes += stored.event.payload.len();
            if bytes > limit.bytes && !found.is_empty() {
                return Ok(false);
            }
            found.push(stored);
            Ok(found.len() < limit.events)
        })?;
    }
    Ok(Ok(found))
}

/// The event of an identity.
pub fn by_id(database: &Database, id: &EventId) -> Result<Option<Stored>, Fault> {
    let reader = Reader::of(database)?;
    let Some(seq) = place_in(&reader.table(IDS)?, id.as_bytes())? else { return Ok(None) };
    let stored = reader.at(seq)?;
    if stored.event.id != *id {
        return Err(Fault::damaged("an identity leads to another event"));
    }
    Ok(Some(stored))
}

/// The last event of a chain.
pub fn last_of(database: &Database, chain: &Chain) -> Result<Option<Stored>, Fault> {
    let reader = Reader::of(database)?;
    let seq = place_in(&reader.table(CHAINS)?, chain.as_bytes())?;
    seq.map(|seq| reader.at(seq)).transpose()
}

/// The place after which the events of a moment and later begin.
pub fn seek(database: &Database, time_ms: i64) -> Result<u64, Fault> {
    let reader = Reader::of(database)?;
    let Stats { first, last, .. } = reader.stats;
    let at = rules::first_where(first, last + 1, |seq| {
        reader.at(seq).map(|stored| stored.logged_ms >= time_ms)
    })?;
    Ok(at - 1)
}

/// Whether the next events after a place are whole; answers where to go on, from the start again
/// after the last one.
pub fn verify(database: &Database, after: u64, count: usize) -> Result<u64, Fault> {
    let reader = Reader::of(database)?;
    let Stats { first, last, .. } = reader.stats;
    let read = reader.verify(after.clamp(first - 1, last), count)?;
    Ok(if read >= last { 0 } else { read })
}

/// Whether the tables agree with each other, and the last events are whole.
pub fn check(database: &Database) -> Result<Stats, Fault> {
    let reader = Reader::of(database)?;
    let Stats { first, last, .. } = reader.stats;
    let disagree = |what: &str| Fault::damaged(format!("the tables disagree about {what}"));
    let Some(count) = last.checked_add(1).and_then(|end| end.checked_sub(first)) else {
        return Err(disagree("first and last"));
    };
    if first == 0 || reader.events.len()? != count || reader.table(IDS)?.len()? != count {
        return Err(disagree("the number of events"));
    }
    if reader.table(DELIVERIES)?.len()? != reader.table(DELIVERED)?.len()? {
        return Err(disagree("the number of deliveries"));
    }
    reader.table(CELLS)?;
    reader.verify(last.saturating_sub(TAIL).max(first - 1), usize::MAX)?;
    Ok(reader.stats)
}
