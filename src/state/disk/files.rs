//! The files of a store: who may use them, and whether they are what they were.
//!
//! Of a store named `ledger`, `ledger.lock` is held by the one process that uses the others,
//! `ledger.redb` is the database, `ledger.mark` its high-water mark. Nothing here removes or replaces any of them. A new database
//! is made under another name and appears whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use redb::{Builder, Database, DatabaseError};

use super::Settings;
use super::fault::Fault;
use super::head::{Head, Match};
use super::mark::{Mark, sync_folder};
use super::schema::{Names, Schema, head, set_head};

/// Pause between attempts to get what another process holds.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Opens the database of a path, and creates it when told so.
pub type Opener =
    Arc<dyn Fn(&Builder, &Path, bool) -> Result<Database, DatabaseError> + Send + Sync>;

/// The folder, locked until this is dropped.
pub struct Files<S> {
    /// Whose files they are.
    pub schema: Arc<S>,
    folder: PathBuf,
    opener: Opener,
    cache_bytes: usize,
    check_below_bytes: u64,
    _lock: File,
}

/// An open database and its mark.
pub struct Open {
    /// The database.
    pub database: Arc<Database>,
    /// How far it got.
    pub head: Head,
    /// Its mark.
    pub mark: Mark,
}

impl<S: Schema> Files<S> {
    const NAMES: Names = S::NAMES;

    /// Makes sure that this process is the only one that uses the folder; waits for another one
    /// to end.
    pub fn lock(settings: &Settings, schema: Arc<S>, opener: Opener) -> Result<Self, Fault> {
        let folder = settings.path.clone();
        let path = folder.join(format!("{}.lock", Self::NAMES.stem));
        let opened = std::fs::create_dir_all(&folder).and_then(|()| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)
        });
        let doing = || format!("opening {}", path.display());
        let mut lock = opened.map_err(|error| Fault::io(&doing(), &error))?;
        let until = Instant::now() + settings.lock_wait;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(Fault::io(&doing(), &error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                    let holder = std::fs::read_to_string(&path).unwrap_or_default();
                    return Err(Fault::Held(format!(
                        "{} is held by another process ({}); one process uses the folder at a time",
                        path.display(),
                        holder.trim(),
                    )));
                }
                Err(TryLockError::WouldBlock) => thread::sleep(ASK_AGAIN),
            }
        }
        // For people; nothing depends on it, so a full disk is no reason to give up.
        let name = format!("process {}\n", std::process::id());
        if lock.set_len(0).and_then(|()| lock.write_all(name.as_bytes())).is_err() {
            tracing::debug!("the lock file does not name this process");
        }
        Ok(Self {
            schema,
            folder,
            opener,
            cache_bytes: settings.cache_bytes,
            check_below_bytes: settings.check_below_bytes,
            _lock: lock,
        })
    }

    /// Opens the database and checks that it lacks nothing that was ever answered.
    ///
    /// redb is not to be trusted with content that was changed behind its back: it may panic.
    pub fn open(&self) -> Result<Open, Fault> {
        catch_unwind(AssertUnwindSafe(|| self.open_inner()))
            .unwrap_or_else(|payload| Err(Fault::panic(&*payload)))
    }

    fn open_inner(&self) -> Result<Open, Fault> {
        let stem = Self::NAMES.stem;
        let path = self.folder.join(format!("{stem}.redb"));
        let mark_path = self.folder.join(format!("{stem}.mark"));
        let is_marked = exists(&mark_path)?;
        match (exists(&path)?, is_marked) {
            (false, false) => self.create(&path)?,
            (false, true) => {
                return Err(Fault::damaged(format!("{stem}.redb is gone, {stem}.mark is not")));
            }
            (true, _) => {}
        }
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) => return Err(Fault::io("looking at the database", &error)),
        };
        if length == 0 {
            return Err(Fault::damaged(format!("{stem}.redb is empty")));
        }
        let database = (self.opener)(&self.builder(length), &path, false)?;
        let head = head(&database)?;
        let mark = if is_marked {
            let (mark, point) = Mark::open(&mark_path)?;
            if head.compare(&point)? == Match::OneAhead {
                mark.write(head.point)?;
            }
            mark
        } else if head.point.seq == 0 {
            // The process ended while it created the store.
            Mark::create(&mark_path, head.point)?
        } else {
            return Err(Fault::damaged(format!("{stem}.mark is gone, {stem}.redb is not")));
        };
        self.schema.publish(&head, self.schema.check(&database)?);
        Ok(Open { database: Arc::new(database), head, mark })
    }

    fn builder(&self, length: u64) -> Builder {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        builder.set_check_integrity_on_open(length < self.check_below_bytes);
        builder
    }

    /// Creates an empty database. What an earlier attempt left was never in use.
    fn create(&self, path: &Path) -> Result<(), Fault> {
        let new = path.with_extension("redb.new");
        File::create(&new).map_err(|error| Fault::io("creating the database", &error))?;
        let database = (self.opener)(&self.builder(0), &new, true)?;
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        self.schema.create(&transaction)?;
        set_head(&transaction, &Head::new())?;
        transaction.commit()?;
        database.close()?;
        std::fs::rename(&new, path)
            .and_then(|()| sync_folder(path))
            .map_err(|error| Fault::io("creating the database", &error))?;
        tracing::warn!(path = %path.display(), "an empty {} was created", Self::NAMES.what);
        Ok(())
    }
}

/// redb's own way to files.
pub fn plain() -> Opener {
    Arc::new(|builder, path, create| if create { builder.create(path) } else { builder.open(path) })
}

fn exists(path: &Path) -> Result<bool, Fault> {
    path.try_exists().map_err(|error: io::Error| Fault::io("looking for the files", &error))
}
