//! The machinery of engines in files of one process: redb, one writer, and a high-water mark.
//!
//! What is answered is on the disk, in two files: the database, committed in two phases, and then
//! the mark that says how far it got ([`writer`] has the order and what a crash in between
//! leaves). A database that lacks something answered, be it cut, flipped, rolled back or replaced,
//! is refused as damaged. A full disk is tried again until there is room. The files are never
//! removed or replaced; redb may finish or undo its last commit when it opens the database. A
//! folder that vanished with both files, or that was put back with both from one moment, cannot be
//! told from what it looks like.
//!
//! What the tables hold is a [`Schema`]'s.

mod fault;
mod files;
mod head;
mod mark;
mod schema;
mod shared;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use redb::Database;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::files::Files;
use self::shared::Shared;
use self::writer::{Change, Writer};

pub use self::fault::{Failure, Fault};
pub use self::files::{Opener, plain};
pub use self::head::Head;
pub use self::mark::sync_folder;
pub use self::schema::{Name, Names, Schema};

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

/// A store in files; they are let go of soon after this is dropped.
pub struct Engine<S: Schema> {
    shared: Arc<Shared>,
    changes: SyncSender<Box<dyn Change<S>>>,
    answer_within: Duration,
}

impl<S: Schema> Engine<S> {
    const NAMES: &'static Names = &S::NAMES;

    /// Opens the store, or creates it in an empty folder. Blocks, as long as `lock_wait` and the
    /// check of the whole database may take. A full disk does not make it fail: the store then is
    /// unavailable until there is room.
    pub fn open(settings: &Settings, schema: Arc<S>, opener: Opener) -> Result<Self, Failure> {
        let told = |fault: Fault| fault.told(Self::NAMES.advice);
        let files = Files::lock(settings, schema, opener).map_err(told)?;
        let shared = Arc::new(Shared::new(Self::NAMES, settings.answer_within));
        let (changes, receiver) = sync_channel(WAITING_MAX);
        let writer = Writer::start(files, shared.clone(), receiver).map_err(told)?;
        std::thread::Builder::new()
            .name(Self::NAMES.stem.to_owned())
            .spawn(move || writer.run())
            .map_err(|error| told(Fault::io("starting the writer's thread", &error)))?;
        Ok(Self { shared, changes, answer_within: settings.answer_within })
    }

    /// How it is: the last word of the writer, and the disk's silence.
    pub fn health(&self) -> Result<(), Failure> {
        self.shared.health()
    }

    /// Hands a change to the writer and waits for the answer.
    pub async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S::Tables<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Failure> {
        self.shared.health()?;
        let (to, answer) = oneshot::channel();
        match self.changes.try_send(writer::ask::<S, T>(work, to)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Failure::Unavailable("too many changes wait".to_owned()));
            }
            Err(TrySendError::Disconnected(_)) => return Err(self.shared.reason()),
        }
        match timeout(self.answer_within, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.shared.reason()),
            Err(_) => Err(Failure::Unavailable("the disk does not answer".to_owned())),
        }
    }

    /// Reads on a thread that may wait for the disk.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Failure> {
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
                // Whatever it was, the writer meets it too and says how the store is; when it has
                // no place for a probe it is about to.
                drop(self.changes.try_send(writer::probe()));
                Err(self.shared.tell(fault))
            }
            Ok(Err(_)) => Err(Failure::Unavailable("the gateway is stopping".to_owned())),
            Err(_) => Err(Failure::Unavailable("the disk does not answer".to_owned())),
        }
    }
}

#[cfg(test)]
pub mod testing;
