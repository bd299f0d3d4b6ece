//! The engine without files: one mutex, gone with the process.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::rules::{self, Fate};
use crate::ledger::{
    Cursor, Insert, Key, LedgerStore, OperationKind, Page, Query, Record, Replace, StoreError,
    Tidied,
};

/// The ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<Key, Record>,
    /// Every key by owner, newest first.
    places: BTreeSet<Place>,
}

type Place = (Box<str>, Reverse<i64>, Key);

fn place(record: &Record) -> Place {
    (record.key.owner.clone(), Reverse(record.created_ms), record.key.clone())
}

impl MemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Kept {
    fn insert(&mut self, record: Record) -> Insert {
        if let Some(there) = self.records.get(&record.key) {
            return Insert::Exists(there.clone());
        }
        let record = rules::first(record);
        self.places.insert(place(&record));
        self.records.insert(record.key.clone(), record.clone());
        Insert::Inserted(record)
    }

    fn replace(&mut self, expected: u64, record: Record) -> Result<Replace, StoreError> {
        let Some(there) = self.records.get_mut(&record.key) else {
            return Err(StoreError::Damaged(format!("{:?} is gone", record.key)));
        };
        if there.version != expected {
            return Ok(Replace::Changed(there.clone()));
        }
        *there = rules::next(there, record);
        Ok(Replace::Done(there.version))
    }

    fn list(&self, query: &Query, after: Option<&Cursor>, limit: usize) -> Page {
        let mut page = Page { records: Vec::new(), next: None };
        let start = match after {
            Some(of) => (query.owner.clone(), Reverse(of.created_ms), of.key.clone()),
            None => {
                let smallest = Key::new("", OperationKind::Payment, "");
                (query.owner.clone(), Reverse(i64::MAX), smallest)
            }
        };
        let own = self
            .places
            .range((Bound::Excluded(start), Bound::Unbounded))
            .take_while(|(owner, ..)| *owner == query.owner);
        let mut last = None;
        for (looked_at, (_, Reverse(created_ms), key)) in own.enumerate() {
            if page.records.len() == limit || looked_at == rules::LOOKED_AT_MAX {
                page.next = last;
                break;
            }
            last = Some(Cursor { created_ms: *created_ms, key: key.clone() });
            page.records.extend(
                self.records.get(key).filter(|record| rules::matches(query, record)).cloned(),
            );
        }
        page
    }

    fn unsettled(&self, limit: usize) -> Vec<Record> {
        let mut found: Vec<_> =
            self.records.values().filter(|record| record.is_watched()).collect();
        found.sort_by_key(|record| Reverse(record.created_ms));
        found.into_iter().take(limit).cloned().collect()
    }

    fn tidy(&mut self, now_ms: i64) -> Tidied {
        let mut tidied = Tidied::default();
        let places = &mut self.places;
        self.records.retain(|_, record| match rules::fate(record, now_ms) {
            Fate::Keep(_) => true,
            Fate::Trim(_) => {
                record.trim();
                record.version = record.version.saturating_add(1);
                tidied.trimmed += 1;
                true
            }
            Fate::Remove => {
                places.remove(&place(record));
                tidied.removed += 1;
                false
            }
        });
        tidied
    }
}

impl LedgerStore for MemoryLedger {
    fn insert(&self, record: Record) -> BoxFuture<'_, Result<Insert, StoreError>> {
        async move { Ok(self.kept.lock().insert(record)) }.boxed()
    }

    fn replace(
        &self,
        expected_version: u64,
        record: Record,
    ) -> BoxFuture<'_, Result<Replace, StoreError>> {
        async move { self.kept.lock().replace(expected_version, record) }.boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        async move { Ok(self.kept.lock().records.get(key).cloned()) }.boxed()
    }

    fn list<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        async move { Ok(self.kept.lock().list(query, after, limit)) }.boxed()
    }

    fn unsettled(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        async move { Ok(self.kept.lock().unsettled(limit)) }.boxed()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        async move { Ok(self.kept.lock().tidy(now_ms)) }.boxed()
    }

    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
