//! The engine in files of one process: redb, one writer, and a high-water mark beside it.
//!
//! What is answered is on the disk, in two files: the database, committed in two phases, and then
//! the mark that says how far it got ([`writer`] has the order and what a crash in between
//! leaves). A database that lacks something answered, be it cut, flipped, rolled back or replaced,
//! is refused as damaged; so is an entry whose checksum is wrong. A full disk is tried again until
//! there is room. The files are never removed or replaced; redb may finish or undo its last commit
//! when it opens the database. A folder that vanished with both files, or that was put back with
//! both from one moment, cannot be told from what it looks like.

mod fault;
mod files;
mod head;
mod keys;
mod mark;
mod shared;
mod tables;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use redb::Database;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::mark::sync_folder;

use self::fault::Fault;
use self::files::{Files, Opener};
use self::shared::Shared;
use self::tables::Tables;
use self::writer::{Change, Writer};
use crate::ledger::{
    Cursor, Insert, Key, LedgerStore, Page, Query, Record, Replace, StoreError, Tidied,
};

/// Changes that may wait for their turn.
const WAITING_MAX: usize = 4096;

/// What the engine is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the files; created when it is not there.
    pub path: PathBuf,
    /// How long to wait at start for another process to let go of the folder.
    pub lock_wait: Duration,
    /// How long a call waits for the disk.
    pub answer_within: Duration,
    /// A database smaller than this is read and checked as a whole when it is opened.
    pub check_below_bytes: u64,
    /// Memory for pages of the database.
    pub cache_bytes: usize,
}

impl Settings {
    /// The defaults, in a folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            lock_wait: Duration::from_secs(30),
            answer_within: Duration::from_secs(5),
            check_below_bytes: 256 << 20,
            cache_bytes: 64 << 20,
        }
    }
}

/// The ledger in files; they are let go of soon after this is dropped.
pub struct EmbeddedLedger {
    shared: Arc<Shared>,
    changes: SyncSender<Box<dyn Change>>,
    answer_within: Duration,
}

impl EmbeddedLedger {
    /// Opens the ledger, or creates it in an empty folder. Blocks, as long as `lock_wait` and the
    /// check of the whole database may take. A full disk does not make it fail: the ledger then is
    /// unavailable until there is room.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        Self::open_with(settings, files::plain())
    }

    fn open_with(settings: &Settings, opener: Opener) -> Result<Self, StoreError> {
        let files = Files::lock(settings, opener)?;
        let shared = Arc::new(Shared::new(settings.answer_within));
        let (changes, receiver) = sync_channel(WAITING_MAX);
        let writer = Writer::start(files, shared.clone(), receiver)?;
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Fault::io("starting the ledger's thread", &error))?;
        Ok(Self { shared, changes, answer_within: settings.answer_within })
    }

    /// Hands a change to the writer and waits for the answer.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.health()?;
        let (to, answer) = oneshot::channel();
        match self.changes.try_send(writer::ask(work, to)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(StoreError::Unavailable("too many changes wait".to_owned()));
            }
            Err(TrySendError::Disconnected(_)) => return Err(self.shared.reason()),
        }
        match timeout(self.answer_within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.shared.reason()),
            Err(_) => Err(StoreError::Unavailable("the disk does not answer".to_owned())),
        }
    }

    /// Reads on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.shared.database()?;
        let reading = tokio::task::spawn_blocking(move || {
            catch_unwind(AssertUnwindSafe(|| read(&database)))
                .unwrap_or_else(|payload| Err(Fault::panic(&*payload)))
        });
        match timeout(self.answer_within, reading).await {
            Ok(Ok(Ok(read))) => Ok(read),
            Ok(Ok(Err(fault))) => {
                if matches!(fault, Fault::Damaged(_)) {
                    self.shared.report(fault.clone());
                }
                // Whatever it was, the writer meets it too and says how the ledger is; when it has
                // no place for a probe it is about to.
                drop(self.changes.try_send(writer::probe()));
                Err(fault.into())
            }
            Ok(Err(_)) => Err(StoreError::Unavailable("the gateway is stopping".to_owned())),
            Err(_) => Err(StoreError::Unavailable("the disk does not answer".to_owned())),
        }
    }
}

impl LedgerStore for EmbeddedLedger {
    fn insert(&self, record: Record) -> BoxFuture<'_, Result<Insert, StoreError>> {
        self.change(|tables| tables.insert(record)).boxed()
    }

    fn replace(
        &self,
        expected_version: u64,
        record: Record,
    ) -> BoxFuture<'_, Result<Replace, StoreError>> {
        let key = record.key.clone();
        self.change(move |tables| tables.replace(expected_version, record))
            .map(move |replaced| {
                replaced?.ok_or_else(|| {
                    StoreError::Damaged(format!("{key:?} is not there to be replaced"))
                })
            })
            .boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        let key = key.clone();
        self.read(move |database| tables::get(database, &key)).boxed()
    }

    fn list<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        let (query, after) = (query.clone(), after.cloned());
        self.read(move |database| tables::list(database, &query, after.as_ref(), limit)).boxed()
    }

    fn unsettled(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        self.read(move |database| tables::unsettled(database, limit)).boxed()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        async move {
            let mut all = Tidied::default();
            loop {
                let (tidied, more) = self.change(move |tables| tables.tidy(now_ms)).await?;
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
        self.shared.health()
    }
}

#[cfg(test)]
mod tests;
