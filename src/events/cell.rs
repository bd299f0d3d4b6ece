//! What changes beside the log: small values under names, changed by compare-and-set.
//!
//! The state of a group, a watermark, a dead letter or a message that waits to be believed is one
//! cell each; nothing changes two cells at once, so that every engine can keep the promise. What a
//! value means is left to its kind.

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::record::numbered;
use super::store::LogError;
use crate::sealed::Unreadable;

numbered! {
    /// What a cell holds; part of its key.
    CellKind {
        /// The state of a consumer group.
        Group = 1,
        /// An event that a group could not handle.
        DeadLetter = 2,
        /// How far an owner's history was reconciled.
        Watermark = 3,
        /// A message that is not believed yet.
        Inbox = 4,
        /// What somebody wants to be polled.
        Interest = 5,
        /// The webhooks of a credential and their keys, sealed.
        Hook = 6,
        /// How far a reader of the log has come.
        Progress = 8,
        /// Which replica looks after something.
        Lease = 9,
    }
}

/// What a cell is found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// What it holds.
    pub kind: CellKind,
    /// Its name; bytes sort as names do.
    pub name: Box<[u8]>,
}

impl CellKey {
    /// A key of these parts.
    pub fn new(kind: CellKind, name: impl Into<Box<[u8]>>) -> Self {
        Self { kind, name: name.into() }
    }
}

/// What is put into a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub bytes: Bytes,
    /// When it may go by itself: Unix milliseconds.
    pub expires_ms: Option<i64>,
}

impl Value {
    /// A value that stays.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), expires_ms: None }
    }
}

/// What a cell holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Grows with each change, and is never given twice, whatever was removed in between.
    pub version: u64,
    /// The value.
    pub value: Value,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Done; the version now.
    Done(u64),
    /// Somebody was faster; the cell now, if there is one.
    Changed(Option<Cell>),
}

/// Most bytes of a value.
pub const VALUE_MAX: usize = 512 << 10;

/// Most bytes of a name.
pub const NAME_MAX: usize = 256;

/// A place that keeps cells: durable, each by itself linearizable.
pub trait Cells: Send + Sync + 'static {
    /// The cell of a key. One whose time is over may be seen until somebody tidies.
    fn cell<'a>(&'a self, key: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>>;

    /// Puts a value into a cell that still has the expected version, which is 0 for none; without
    /// a value the cell goes.
    fn put(
        &self,
        key: CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> BoxFuture<'_, Result<Put, LogError>>;

    /// Up to `limit` cells of a kind whose names begin with a prefix, in order, after a name.
    fn cells<'a>(
        &'a self,
        kind: CellKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(CellKey, Cell)>, LogError>>;

    /// Whether other processes use the same cells at the same time.
    fn is_shared(&self) -> bool {
        false
    }
}

/// Whether a change is of a size that every engine takes.
pub fn check(key: &CellKey, value: Option<&Value>) -> Result<(), LogError> {
    if key.name.len() > NAME_MAX {
        return Err(LogError::TooLarge { what: "a name", max: NAME_MAX });
    }
    if value.is_some_and(|value| value.bytes.len() > VALUE_MAX) {
        return Err(LogError::TooLarge { what: "a value", max: VALUE_MAX });
    }
    Ok(())
}

/// What is kept in cells of one kind.
pub trait Kept: Sized {
    /// The kind.
    const KIND: CellKind;

    /// It as bytes.
    fn encode(&self) -> Vec<u8>;

    /// What was written as these bytes.
    fn decode(bytes: &[u8]) -> Result<Self, Unreadable>;

    /// When it may go by itself: Unix milliseconds.
    fn expires_ms(&self) -> Option<i64> {
        None
    }
}

/// Something kept, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<K> {
    /// The version.
    pub version: u64,
    /// What is kept.
    pub kept: K,
}

/// What became of a change of something kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved<K> {
    /// Done; the version now.
    Done(u64),
    /// Somebody was faster; what is there now.
    Changed(Option<Versioned<K>>),
}

fn read<K: Kept>(cell: &Cell) -> Result<Versioned<K>, LogError> {
    let kept = K::decode(&cell.value.bytes)
        .map_err(|error| LogError::Damaged(format!("a {:?} cannot be read: {error}", K::KIND)))?;
    Ok(Versioned { version: cell.version, kept })
}

/// What is kept under a name.
pub async fn load<K: Kept>(
    cells: &dyn Cells,
    name: &[u8],
) -> Result<Option<Versioned<K>>, LogError> {
    let cell = cells.cell(&CellKey::new(K::KIND, name)).await?;
    cell.as_ref().map(read).transpose()
}

/// Keeps something under a name in place of the expected version; 0 for none.
pub async fn save<K: Kept>(
    cells: &dyn Cells,
    name: &[u8],
    expected: u64,
    kept: &K,
) -> Result<Saved<K>, LogError> {
    let value = Value { bytes: kept.encode().into(), expires_ms: kept.expires_ms() };
    match cells.put(CellKey::new(K::KIND, name), expected, Some(value)).await? {
        Put::Done(version) => Ok(Saved::Done(version)),
        Put::Changed(cell) => Ok(Saved::Changed(cell.as_ref().map(read).transpose()?)),
    }
}

/// Up to `limit` of what is kept under names with a prefix, in order, after a name.
pub async fn list<K: Kept>(
    cells: &dyn Cells,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Box<[u8]>, Versioned<K>)>, LogError> {
    let cells = cells.cells(K::KIND, prefix, after, limit).await?;
    cells.into_iter().map(|(key, cell)| Ok((key.name, read(&cell)?))).collect()
}
