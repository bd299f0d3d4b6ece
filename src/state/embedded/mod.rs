//! The ledger in files of one process, on [`crate::state::disk`].
//!
//! Every entry has a checksum of its own, and one that is wrong is damage: money is refused then.

mod keys;
mod tables;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};

use self::tables::LedgerTables;
use super::disk::{Engine, Failure, Opener, Settings, plain};
use crate::ledger::{
    Cursor, Insert, Key, LedgerStore, Page, Query, Record, Replace, StoreError, Tidied,
};

/// The ledger in files; they are let go of soon after this is dropped.
pub struct EmbeddedLedger {
    engine: Engine<LedgerTables>,
}

impl EmbeddedLedger {
    /// Opens the ledger, or creates it in an empty folder. Blocks, as long as `lock_wait` and the
    /// check of the whole database may take. A full disk does not make it fail: the ledger then is
    /// unavailable until there is room.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        Self::open_with(settings, plain())
    }

    fn open_with(settings: &Settings, opener: Opener) -> Result<Self, StoreError> {
        Ok(Self { engine: Engine::open(settings, Arc::new(LedgerTables), opener)? })
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Damaged(text) => Self::Damaged(text),
        }
    }
}

impl LedgerStore for EmbeddedLedger {
    fn insert(&self, record: Record) -> BoxFuture<'_, Result<Insert, StoreError>> {
        self.engine.change(|tables| tables.insert(record)).err_into().boxed()
    }

    fn replace(
        &self,
        expected_version: u64,
        record: Record,
    ) -> BoxFuture<'_, Result<Replace, StoreError>> {
        let key = record.key.clone();
        self.engine
            .change(move |tables| tables.replace(expected_version, record))
            .map(move |replaced| {
                replaced?.ok_or_else(|| {
                    StoreError::Damaged(format!("{key:?} is not there to be replaced"))
                })
            })
            .boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        let key = key.clone();
        self.engine.read(move |database| tables::get(database, &key)).err_into().boxed()
    }

    fn list<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (query, after) = (query.clone(), after.cloned());
        self.engine
            .read(move |database| tables::list(database, &query, after.as_ref(), limit))
            .err_into()
            .boxed()
    }

    fn unsettled(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        self.engine.read(move |database| tables::unsettled(database, limit)).err_into().boxed()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        async move {
            let mut all = Tidied::default();
            loop {
                let (tidied, more) = self.engine.change(move |tables| tables.tidy(now_ms)).await?;
                all.trimmed += tidied.trimmed;
                all.removed += tidied.removed;
                if !more {
                    return Ok(all);
                }
            }
        }
        .boxed()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.engine.health().map_err(StoreError::from)
    }
}

#[cfg(test)]
mod tests;
