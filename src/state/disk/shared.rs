//! What the writer's thread and everybody who asks share: the open database and how it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use redb::Database;

use super::fault::{Failure, Fault};
use super::schema::Names;

/// The open database and how it is.
pub struct Shared {
    database: RwLock<Option<Arc<Database>>>,
    status: Mutex<Result<(), Failure>>,
    busy_since: Mutex<Option<Instant>>,
    names: &'static Names,
    /// Longer than this the disk may not take for anything.
    patience: Duration,
}

impl Shared {
    /// No database yet.
    pub fn new(names: &'static Names, patience: Duration) -> Self {
        Self {
            database: RwLock::new(None),
            status: Mutex::new(Ok(())),
            busy_since: Mutex::new(None),
            names,
            patience,
        }
    }

    /// A fault as callers are told it.
    pub fn tell(&self, fault: Fault) -> Failure {
        fault.told(self.names.advice)
    }

    /// The database to read from.
    pub fn database(&self) -> Result<Arc<Database>, Failure> {
        self.status()?;
        self.database.read().clone().ok_or_else(|| self.reason())
    }

    /// Lends the database to readers, or takes it back.
    pub fn set_database(&self, database: Option<Arc<Database>>) {
        *self.database.write() = database;
    }

    /// How it is.
    pub fn status(&self) -> Result<(), Failure> {
        self.status.lock().clone()
    }

    /// How it is, the disk's silence included.
    pub fn health(&self) -> Result<(), Failure> {
        self.status()?;
        match *self.busy_since.lock() {
            Some(since) if since.elapsed() >= self.patience => {
                Err(Failure::Unavailable("the disk does not answer".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Why something was not done.
    pub fn reason(&self) -> Failure {
        let closed = || Failure::Unavailable(format!("the {} is closed", self.names.what));
        self.status().err().unwrap_or_else(closed)
    }

    /// Takes note of a fault. Damage is not forgotten until the process ends.
    pub fn report(&self, fault: Fault) {
        let error = fault.told(self.names.advice);
        let mut status = self.status.lock();
        if !matches!(*status, Err(Failure::Damaged(_))) && *status != Err(error.clone()) {
            let Names { what, without, .. } = self.names;
            tracing::error!(?error, "the {what} fails: {without}");
            *status = Err(error);
        }
    }

    /// Takes note that it works again.
    pub fn recovered(&self) {
        let mut status = self.status.lock();
        if matches!(*status, Err(Failure::Unavailable(_))) {
            tracing::warn!("the {} works again", self.names.what);
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
