//! The event log in files of one process, on [`crate::state::disk`], beside the ledger's.
//!
//! Every event, and every row by which one is found again, has a checksum of its own. At open the
//! tables are counted and the last events read; tidying reads on through the others. What is wrong
//! is damage: nothing more is taken or shown then. Appends that wait share one commit.

mod cells;
mod reads;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::watch;

use self::tables::LogTables;
use super::rules;
use crate::events::{
    Append, Cell, CellKey, CellKind, Cells, Chain, Durability, EventId, EventLog, Info, Limit,
    LogError, Outcome, Put, ReadError, Retention, Stored, Tidied, Value, cell,
};
use crate::state::disk::{Engine, Failure, Opener, Settings, plain};

/// Events that one round of tidying reads again to see that they are whole.
const READ_AGAIN: usize = 2_000;

/// The event log in files; they are let go of soon after this is dropped.
pub struct EmbeddedLog {
    engine: Engine<LogTables>,
    tables: Arc<LogTables>,
    /// Up to where events were read again.
    read_again: AtomicU64,
}

impl EmbeddedLog {
    /// Opens the log, or creates it where there is none. Blocks, as long as `lock_wait` and the
    /// check of the whole database may take. A full disk does not make it fail: the log then is
    /// unavailable until there is room.
    pub fn open(settings: &Settings, retention: Retention) -> Result<Self, LogError> {
        Self::open_with(settings, retention, plain())
    }

    fn open_with(
        settings: &Settings,
        retention: Retention,
        opener: Opener,
    ) -> Result<Self, LogError> {
        let tables = Arc::new(LogTables::new(retention));
        let engine = Engine::open(settings, tables.clone(), opener)?;
        Ok(Self { engine, tables, read_again: AtomicU64::new(0) })
    }

    /// Up to where the log goes, as far as anybody was told. The database is ahead of that for a
    /// moment, between a commit and its mark: what is shown then would be ahead of the log itself,
    /// and whoever came back with a cursor of it would hear that the log went back.
    fn told(&self) -> u64 {
        self.tables.published().1.last
    }

    /// Reads some events again, the next ones in turn.
    async fn read_again(&self) -> Result<(), LogError> {
        let after = self.read_again.load(Ordering::Relaxed);
        let read = self.engine.read(move |database| reads::verify(database, after, READ_AGAIN));
        self.read_again.store(read.await?, Ordering::Relaxed);
        Ok(())
    }
}

impl From<Failure> for LogError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(text) => Self::Unavailable(text),
            Failure::Damaged(text) => Self::Damaged(text),
        }
    }
}

impl Cells for EmbeddedLog {
    fn cell<'a>(&'a self, key: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>> {
        let key = key.clone();
        self.engine.read(move |database| cells::get(database, &key)).err_into().boxed()
    }

    fn put(
        &self,
        key: CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> BoxFuture<'_, Result<Put, LogError>> {
        async move {
            cell::check(&key, value.as_ref())?;
            Ok(self.engine.change(move |tables| tables.put(&key, expected, value)).await?)
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
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        self.engine
            .read(move |database| cells::list(database, kind, &prefix, after.as_deref(), limit))
            .err_into()
            .boxed()
    }
}

impl EventLog for EmbeddedLog {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, LogError>> {
        async move {
            append.check()?;
            self.engine.change(move |tables| tables.append(append)).await?
        }
        .boxed()
    }

    fn read(&self, after: u64, limit: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>> {
        async move {
            let told = self.told();
            let read = self.engine.read(move |database| reads::after(database, after, limit));
            let mut read = read.await.map_err(LogError::from)??;
            read.retain(|stored| stored.seq <= told);
            Ok(read)
        }
        .boxed()
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        async move {
            let told = self.told();
            let found = self.engine.read(move |database| reads::by_id(database, &id)).await?;
            Ok(found.filter(|stored| stored.seq <= told))
        }
        .boxed()
    }

    fn last_of(&self, chain: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        self.engine.read(move |database| reads::last_of(database, &chain)).err_into().boxed()
    }

    fn seek(&self, time_ms: i64) -> BoxFuture<'_, Result<u64, LogError>> {
        async move {
            let told = self.told();
            let seq = self.engine.read(move |database| reads::seek(database, time_ms)).await?;
            Ok(seq.min(told))
        }
        .boxed()
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>> {
        async move {
            self.engine.health()?;
            let (epoch, stats) = self.tables.published();
            Ok(Info {
                epoch,
                first: stats.first,
                last: stats.last,
                bytes: stats.bytes,
                durability: Durability::Disk,
                retention: self.tables.retention,
            })
        }
        .boxed()
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.tables.tail()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, LogError>> {
        async move {
            let mut all = Tidied::default();
            loop {
                let tidied = self.engine.change(move |tables| tables.tidy(now_ms)).await?;
                all.events += tidied.events;
                all.cells += tidied.cells;
                let at_once = rules::TIDIED_AT_ONCE as u64;
                if tidied.events < at_once && tidied.cells < at_once {
                    break;
                }
            }
            self.read_again().await?;
            Ok(all)
        }
        .boxed()
    }

    fn health(&self) -> Result<(), LogError> {
        self.engine.health().map_err(LogError::from)
    }
}

#[cfg(test)]
mod tests;
