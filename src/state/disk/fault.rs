//! What can go wrong with the files, by what has to happen next.

use std::io;

/// Why the files did not do what they were asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No room; opened again until there is.
    Full(String),
    /// Held by another process.
    Held(String),
    /// The disk or the system failed. What a handle says after that cannot be trusted, and the
    /// page cache hides what was lost: only a restart helps.
    Broken(String),
    /// The content is wrong.
    Damaged(String),
}

impl Fault {
    /// An entry or table that is not what it should be.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// An operation on a file that failed.
    pub fn io(doing: &str, error: &io::Error) -> Self {
        let text = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full(text),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Damaged(text),
            _ => Self::Broken(text),
        }
    }

    /// What redb said.
    fn redb(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => Self::io("the database", &error),
            redb::Error::DatabaseAlreadyOpen => Self::Held("the database is open elsewhere".into()),
            // A handle that failed before; the first failure decided what happens next.
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Self::Full("the database was closed after a failure".into())
            }
            other => Self::Damaged(other.to_string()),
        }
    }

    /// What a panic carried; inside redb it means that the content surprised it.
    pub fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        Self::Damaged(format!("the database panicked: {text}"))
    }
}

/// What callers are told: whether it may pass, and what a person can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It cannot work now; it may later.
    Unavailable(String),
    /// What the files hold cannot be trusted, and a person must look.
    Damaged(String),
}

impl Fault {
    /// The fault as callers are told it. The gateway itself never removes or replaces the files:
    /// what to do about damage is advice to a person.
    pub fn told(self, advice: &str) -> Failure {
        match self {
            Self::Full(text) | Self::Held(text) => Failure::Unavailable(text),
            Self::Broken(text) => {
                Failure::Unavailable(format!("{text}; check the disk, then restart the gateway"))
            }
            Self::Damaged(text) => Failure::Damaged(format!("{text}; {advice}")),
        }
    }
}

macro_rules! from_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::redb(error.into())
            }
        }
    )*};
}

from_redb!(StorageError TableError TransactionError CommitError DatabaseError);
