//! What a place that keeps the ledger must promise.
//!
//! All calls together are linearizable: they look as if they happened one after the other, each
//! between its start and its end. What was answered is durable: it outlives the process, and, for
//! engines with files, the power. An error promises nothing either way: the change may have
//! happened and may show later. Dropping a call does not undo it.
//!
//! Whatever goes wrong is one of two things to callers, and both mean the same for money: nothing
//! is sent.

use futures_util::future::BoxFuture;

use super::record::{Key, OperationKind, Record, State};

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot work now; it may later.
    #[error("the ledger is unavailable: {0}")]
    Unavailable(String),
    /// What it holds cannot be trusted, and a person must look.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
}

/// What became of an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Insert {
    /// The key was free; the entry as it was kept, of version 1.
    Inserted(Record),
    /// The key was taken, by this entry.
    Exists(Record),
}

/// What became of a replacement.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // passed on once, never kept
pub enum Replace {
    /// Done; the version now.
    Done(u64),
    /// Somebody was faster; the entry now.
    Changed(Record),
}

/// Which entries a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Whose.
    pub owner: Box<str>,
    /// Of which kind; all when absent.
    pub kind: Option<OperationKind>,
    /// In which states; all when empty.
    pub states: Vec<State>,
}

/// The place after an entry in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When the entry was created.
    pub created_ms: i64,
    /// Its key.
    pub key: Key,
}

impl Cursor {
    /// The place after this entry.
    pub fn after(record: &Record) -> Self {
        Self { created_ms: record.created_ms, key: record.key.clone() }
    }
}

/// A part of a list, newest entries first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries.
    pub records: Vec<Record>,
    /// Where to go on, when there is more.
    pub next: Option<Cursor>,
}

/// What tidying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    /// Full entries that became short ones.
    pub trimmed: u64,
    /// Short entries that went.
    pub removed: u64,
}

/// How long a full entry is kept after its last change.
pub const FULL_MS: i64 = 90 * DAY_MS;

/// How long its short form is kept, counted from the same moment: thirteen months of 31 days.
pub const SHORT_MS: i64 = 13 * 31 * DAY_MS;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A place that keeps the ledger.
pub trait LedgerStore: Send + Sync + 'static {
    /// Keeps an entry unless its key is taken.
    fn insert(&self, record: Record) -> BoxFuture<'_, Result<Insert, StoreError>>;

    /// Replaces the entry of the same key if it still has the expected version.
    ///
    /// An entry that is not there at all is an error: only age takes entries away, and never ones
    /// that anybody still works on.
    fn replace(
        &self,
        expected_version: u64,
        record: Record,
    ) -> BoxFuture<'_, Result<Replace, StoreError>>;

    /// The entry of a key.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// Up to `limit` entries, newest first, after a place or from the start.
    fn list<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>>;

    /// Entries that somebody still looks after ([`Record::is_watched`]): at most `limit`, the newest.
    fn unsettled(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>>;

    /// Shortens entries older than [`FULL_MS`] and removes those older than [`SHORT_MS`], in
    /// bounded steps between which others get their turn. Unsettled entries stay whole.
    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, StoreError>>;

    /// Whether other processes use the same ledger at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether money may move: the last word of the engine, without asking it anything.
    fn health(&self) -> Result<(), StoreError>;
}
