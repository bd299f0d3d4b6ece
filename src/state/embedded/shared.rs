//! What the writer's thread and everybody who asks share: the open database and how it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redb::Database;

use super::fault::Fault;
use crate::ledger::StoreError;

/// The open database and how it is.
pub struct Shared {
    database: RwLock<Option<Arc<Database>>>,
    status: Mutex<Result<(), StoreError>>,
    busy_since: Mutex<Option<Instant>>,
    /// Longer than this the disk may not take for anything.
    patience: Duration,
}

impl Shared {
    /// No database yet.
    pub fn new(patience: Duration) -> Self {
        Self {
            database: RwLock::new(None),
            status: Mutex::new(Ok(())),
            busy_since: Mutex::new(None),
            patience,
        }
    }

    /// The database to read from.
    pub fn database(&self) -> Result<Arc<Database>, StoreError> {
        self.status()?;
        self.database.read().clone().ok_or_else(|| self.reason())
    }

    /// Lends the database to readers, or takes it back.
    pub fn set_database(&self, database: Option<Arc<Database>>) {
        *self.database.write() = database;
    }

    /// How it is.
    pub fn status(&self) -> Result<(), StoreError> {
        self.status.lock().clone()
    }

    /// How it is, the disk's silence included.
    pub fn health(&self) -> Result<(), StoreError> {
        self.status()?;
        match *self.busy_since.lock() {
            Some(since) if since.elapsed() >= self.patience => {
                Err(StoreError::Unavailable("the disk does not answer".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Why something was not done.
    pub fn reason(&self) -> StoreError {
        let closed = || StoreError::Unavailable("the ledger is closed".to_owned());
        self.status().err().unwrap_or_else(closed)
    }

    /// Takes note of a fault. Damage is not forgotten until the process ends.
    pub fn report(&self, fault: Fault) {
        let error = StoreError::from(fault);
        let mut status = self.status.lock();
        if !matches!(*status, Err(StoreError::Damaged(_))) && *status != Err(error.clone()) {
            tracing::error!(%error, "money is refused");
            *status = Err(error);
        }
    }

    /// Takes note that it works again.
    pub fn recovered(&self) {
        let mut status = self.status.lock();
        if matches!(*status, Err(StoreError::Unavailable(_))) {
            tracing::warn!("the ledger works again");
            *status = Ok(());
        }
    }

    /// Says that the disk is being worked with, until the guard goes.
    pub fn busy(self: &Arc<Self>) -> Busy {
        *self.busy_since.lock() = Some(Instant::now());
        Busy(self.clone())
    }
}

/// Work with the disk.
pub struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.busy_since.lock() = None;
    }
}
