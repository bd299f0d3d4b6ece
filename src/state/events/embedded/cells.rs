//! The tables of cells, and of when their time is over.

use std::ops::Bound;

use bytes::Bytes;
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable};

use super::tables::{CELLS, Tables, short, unreadable};
use crate::events::{Cell, CellKey, CellKind, Put, Value};
use crate::sealed;
use crate::state::disk::Fault;
use crate::state::events::rules::TIDIED_AT_ONCE;

const FORMAT: u8 = 1;

/// A cell as it is written. The name is in it, so that one in the wrong place is noticed.
#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(uint64, tag = "3")]
    version: u64,
    #[prost(bytes = "bytes", tag = "4")]
    value: Bytes,
    #[prost(int64, optional, tag = "5")]
    expires_ms: Option<i64>,
}

fn key_bytes(kind: CellKind, name: &[u8]) -> Vec<u8> {
    [&[kind.number()], name].concat()
}

fn expiry_bytes(expires_ms: i64, key: &[u8]) -> Vec<u8> {
    [&sortable(expires_ms), key].concat()
}

/// A time whose bytes sort as it does.
fn sortable(ms: i64) -> [u8; 8] {
    ms.wrapping_sub(i64::MIN).to_be_bytes()
}

fn read(key: &[u8], bytes: &[u8]) -> Result<(CellKey, Cell), Fault> {
    let written: Written =
        sealed::open(FORMAT, bytes).map_err(|error| unreadable("a cell", error))?;
    let Written { kind, name, version, value, expires_ms } = written;
    match CellKind::from_number(kind) {
        Some(kind) if key_bytes(kind, &name) == key => {
            let cell = Cell { version, value: Value { bytes: value, expires_ms } };
            Ok((CellKey::new(kind, name), cell))
        }
        _ => Err(Fault::damaged("a cell is in another one's place")),
    }
}

/// The cell of a key.
pub fn get(database: &Database, key: &CellKey) -> Result<Option<Cell>, Fault> {
    let key = key_bytes(key.kind, &key.name);
    // What is found is good for as long as its table is there.
    let cells = database.begin_read()?.open_table(CELLS)?;
    let there = cells.get(&*key)?;
    there.map(|row| read(&key, row.value()).map(|(_, cell)| cell)).transpose()
}

/// Cells of a kind whose names begin with a prefix, after a name.
pub fn list(
    database: &Database,
    kind: CellKind,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(CellKey, Cell)>, Fault> {
    let cells = database.begin_read()?.open_table(CELLS)?;
    let prefix = key_bytes(kind, prefix);
    let after = after.map(|after| key_bytes(kind, after)).filter(|after| *after >= prefix);
    let start = match &after {
        Some(after) => Bound::Excluded(&**after),
        None => Bound::Included(&*prefix),
    };
    let mut found = Vec::new();
    for row in cells.range::<&[u8]>((start, Bound::Unbounded))?.take(limit) {
        let (key, value) = row?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        found.push(read(key.value(), value.value())?);
    }
    Ok(found)
}

impl Tables<'_> {
    /// Puts a value into a cell of the expected version, or removes it.
    pub fn put(
        &mut self,
        cell: &CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> Result<Put, Fault> {
        let key = key_bytes(cell.kind, &cell.name);
        let there = match self.cells.get(&*key)? {
            Some(row) => Some(read(&key, row.value())?.1),
            None => None,
        };
        if there.as_ref().map_or(0, |there| there.version) != expected {
            return Ok(Put::Changed(there));
        }
        if let Some(expires_ms) = there.and_then(|there| there.value.expires_ms) {
            self.expiry.remove(&*expiry_bytes(expires_ms, &key))?;
        }
        self.stats.version += 1;
        let version = self.stats.version;
        match value {
            Some(Value { bytes, expires_ms }) => {
                let written = Written {
                    kind: cell.kind.number().into(),
                    name: cell.name.to_vec(),
                    version,
                    value: bytes,
                    expires_ms,
                };
                self.cells.insert(&*key, &*sealed::seal(FORMAT, &written))?;
                if let Some(expires_ms) = expires_ms {
                    self.expiry.insert(&*expiry_bytes(expires_ms, &key), &[][..])?;
                }
            }
            None => drop(self.cells.remove(&*key)?),
        }
        self.changed = true;
        Ok(Put::Done(version))
    }

    /// Removes some of the cells whose time is over.
    pub fn expire(&mut self, now_ms: i64) -> Result<u64, Fault> {
        let end = sortable(now_ms.saturating_add(1));
        let mut over = Vec::new();
        for row in self.expiry.range::<&[u8]>(..&end[..])?.take(TIDIED_AT_ONCE) {
            over.push(row?.0.value().to_vec());
        }
        for row in &over {
            self.cells.remove(row.get(8..).ok_or_else(short)?)?;
            self.expiry.remove(&**row)?;
            self.changed = true;
        }
        Ok(over.len() as u64)
    }
}
