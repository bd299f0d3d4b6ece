//! What a store brings along: its names, its tables, and what becomes known with each commit.

use redb::{Database, ReadableDatabase, TableDefinition, WriteTransaction};

use super::fault::Fault;
use super::head::Head;

/// A table of bytes by bytes.
pub type Name = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// How far the database got; every store's database has this table.
const META: Name = TableDefinition::new("meta");

const HEAD: &[u8] = b"head";

/// What people read about a store.
#[derive(Debug)]
pub struct Names {
    /// The files' name, without what tells them apart.
    pub stem: &'static str,
    /// The store.
    pub what: &'static str,
    /// What happens while it does not work.
    pub without: &'static str,
    /// What a person does about damage.
    pub advice: &'static str,
}

/// A store in files.
pub trait Schema: Send + Sync + 'static {
    /// Its names.
    const NAMES: Names;

    /// Its tables within a transaction that changes them.
    type Tables<'t>;

    /// What becomes known when a transaction is durable.
    type News;

    /// Creates the tables in a new database.
    fn create(&self, transaction: &WriteTransaction) -> Result<(), Fault>;

    /// Opens the tables.
    fn tables<'t>(&self, transaction: &'t WriteTransaction) -> Result<Self::Tables<'t>, Fault>;

    /// Makes sure that there is something to commit.
    fn touch(tables: &mut Self::Tables<'_>);

    /// The end of a transaction: what it changed, or nothing.
    fn finish(tables: Self::Tables<'_>) -> Result<Option<Self::News>, Fault>;

    /// Whether the tables agree with each other, as far as can be seen soon enough for a start.
    fn check(&self, database: &Database) -> Result<Self::News, Fault>;

    /// Spreads what is durable now, to whoever waits for it.
    fn publish(&self, head: &Head, news: Self::News);
}

/// Writes how far the database got.
pub fn set_head(transaction: &WriteTransaction, head: &Head) -> Result<(), Fault> {
    transaction.open_table(META)?.insert(HEAD, &*head.encode())?;
    Ok(())
}

/// How far the database got.
pub fn head(database: &Database) -> Result<Head, Fault> {
    let meta = database.begin_read()?.open_table(META)?;
    let head = meta.get(HEAD)?.and_then(|bytes| Head::decode(bytes.value()));
    head.ok_or_else(|| Fault::damaged("the database does not say how far it got"))
}
