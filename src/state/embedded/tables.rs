//! The tables of the database and what a change does to them.
//!
//! Entries are found by key; three more tables order the keys by owner and age, by what is
//! unsettled, and by when age is to be looked at. All of a change happens in one transaction.

use redb::{
    Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};

use super::keys;
use crate::ledger::{Cursor, Insert, Key, Page, Query, Record, Replace, Tidied};
use crate::state::disk::{Fault, Head, Name, Names, Schema};
use crate::state::rules::{self, Fate};

const RECORDS: Name = TableDefinition::new("records");
const OWNERS: Name = TableDefinition::new("owners");
const UNSETTLED: Name = TableDefinition::new("unsettled");
const DUE: Name = TableDefinition::new("due");

/// Entries that age is looked at for in one transaction.
const TIDIED_AT_ONCE: usize = 500;

type Writable<'t> = Table<'t, &'static [u8], &'static [u8]>;
type Readable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// The ledger, as the files' machinery knows it.
pub struct LedgerTables;

impl Schema for LedgerTables {
    const NAMES: Names = Names {
        stem: "ledger",
        what: "payment ledger",
        without: "money is refused",
        advice: "stop the gateway and put back ledger.redb and ledger.mark from one moment, or \
                 move both away to begin an empty ledger, after asking QIWI about every recent \
                 payment",
    };

    type Tables<'t> = Tables<'t>;
    type News = ();

    fn create(&self, transaction: &WriteTransaction) -> Result<(), Fault> {
        Tables::open(transaction).map(drop)
    }

    fn tables<'t>(&self, transaction: &'t WriteTransaction) -> Result<Tables<'t>, Fault> {
        Tables::open(transaction)
    }

    fn touch(tables: &mut Tables<'_>) {
        tables.changed = true;
    }

    fn finish(tables: Tables<'_>) -> Result<Option<()>, Fault> {
        Ok(tables.changed.then_some(()))
    }

    fn check(&self, database: &Database) -> Result<(), Fault> {
        check(database)
    }

    fn publish(&self, _: &Head, (): ()) {}
}

/// The tables within a transaction that changes them.
pub struct Tables<'t> {
    records: Writable<'t>,
    owners: Writable<'t>,
    unsettled: Writable<'t>,
    due: Writable<'t>,
    changed: bool,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            owners: transaction.open_table(OWNERS)?,
            unsettled: transaction.open_table(UNSETTLED)?,
            due: transaction.open_table(DUE)?,
            changed: false,
        })
    }

    /// Keeps an entry unless its key is taken.
    pub fn insert(&mut self, record: Record) -> Result<Insert, Fault> {
        let key = keys::of(&record.key);
        if let Some(there) = self.records.get(&*key)? {
            return Ok(Insert::Exists(read(&key, there.value())?));
        }
        let record = rules::first(record);
        self.records.insert(&*key, &*record.encode())?;
        self.owners.insert(&*keys::by_owner(&record, &key), &[][..])?;
        self.due.insert(&*keys::by_due(rules::due(&record), &key), &[][..])?;
        if record.is_watched() {
            self.unsettled.insert(&*keys::by_age(&record, &key), &[][..])?;
        }
        self.changed = true;
        Ok(Insert::Inserted(record))
    }

    /// Replaces an entry of the expected version; nothing when there is none at all.
    pub fn replace(&mut self, expected: u64, record: Record) -> Result<Option<Replace>, Fault> {
        let key = keys::of(&record.key);
        let current = match self.records.get(&*key)? {
            Some(there) => read(&key, there.value())?,
            None => return Ok(None),
        };
        if current.version != expected {
            return Ok(Some(Replace::Changed(current)));
        }
        let record = rules::next(&current, record);
        self.put(&key, &record)?;
        Ok(Some(Replace::Done(record.version)))
    }

    fn put(&mut self, key: &[u8], record: &Record) -> Result<(), Fault> {
        self.records.insert(key, &*record.encode())?;
        let by_age = keys::by_age(record, key);
        if record.is_watched() {
            self.unsettled.insert(&*by_age, &[][..])?;
        } else {
            self.unsettled.remove(&*by_age)?;
        }
        self.changed = true;
        Ok(())
    }

    /// Looks at the age of some entries; says whether there may be more to look at.
    pub fn tidy(&mut self, now_ms: i64) -> Result<(Tidied, bool), Fault> {
        let mut tidied = Tidied::default();
        let end = keys::due_end(now_ms);
        let mut places = Vec::new();
        for place in self.due.range::<&[u8]>(..&end[..])?.take(TIDIED_AT_ONCE) {
            places.push(place?.0.value().to_vec());
        }
        for place in &places {
            let key = keys::of_place(place)?;
            let mut record = match self.records.get(key)? {
                Some(there) => read(key, there.value())?,
                None => return Err(Fault::damaged("an entry is gone")),
            };
            self.due.remove(&**place)?;
            self.changed = true;
            let again_ms = match rules::fate(&record, now_ms) {
                Fate::Keep(until_ms) => until_ms,
                Fate::Trim(until_ms) => {
                    record.trim();
                    record.version = record.version.saturating_add(1);
                    self.put(key, &record)?;
                    tidied.trimmed += 1;
                    until_ms
                }
                Fate::Remove => {
                    self.records.remove(key)?;
                    self.owners.remove(&*keys::by_owner(&record, key))?;
                    tidied.removed += 1;
                    continue;
                }
            };
            self.due.insert(&*keys::by_due(again_ms, key), &[][..])?;
        }
        Ok((tidied, places.len() == TIDIED_AT_ONCE))
    }
}

/// Whether the tables agree with each other, as far as can be seen at a glance, and whether every
/// unsettled entry can be read.
fn check(database: &Database) -> Result<(), Fault> {
    let moment = database.begin_read()?;
    let records = moment.open_table(RECORDS)?;
    let count = records.len()?;
    if moment.open_table(OWNERS)?.len()? != count || moment.open_table(DUE)?.len()? != count {
        return Err(Fault::damaged("the tables disagree about the number of entries"));
    }
    for place in moment.open_table(UNSETTLED)?.iter()? {
        let record = at_place(&records, place?.0.value())?;
        if !record.is_watched() {
            return Err(Fault::damaged("the tables disagree about an entry's state"));
        }
    }
    Ok(())
}

/// The entry of a key.
pub fn get(database: &Database, key: &Key) -> Result<Option<Record>, Fault> {
    let key = keys::of(key);
    // What a table gives out does not keep its transaction alive, so the table has to live longer:
    // without it the writer may take the page back while it is read.
    let records = database.begin_read()?.open_table(RECORDS)?;
    let there = records.get(&*key)?;
    there.map(|there| read(&key, there.value())).transpose()
}

/// A page of an owner's entries.
pub fn list(
    database: &Database,
    query: &Query,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page, Fault> {
    // Both as of one moment: an entry is in neither or in both.
    let moment = database.begin_read()?;
    let (records, owners) = (moment.open_table(RECORDS)?, moment.open_table(OWNERS)?);
    let (start, end) = keys::owner_range(&query.owner, after);
    let mut page = Page { records: Vec::new(), next: None };
    let mut last = None;
    for (looked_at, place) in owners.range::<&[u8]>(&*start..&*end)?.enumerate() {
        if page.records.len() >= limit || looked_at == rules::LOOKED_AT_MAX {
            page.next = last;
            break;
        }
        let place = place?.0;
        let place = place.value().get(keys::owner_prefix_len(&query.owner)..).unwrap_or_default();
        let record = at_place(&records, place)?;
        last = Some(Cursor::after(&record));
        if rules::matches(query, &record) {
            page.records.push(record);
        }
    }
    Ok(page)
}

/// Unsettled entries, newest first.
pub fn unsettled(database: &Database, limit: usize) -> Result<Vec<Record>, Fault> {
    let moment = database.begin_read()?;
    let (records, unsettled) = (moment.open_table(RECORDS)?, moment.open_table(UNSETTLED)?);
    let places = unsettled.iter()?.take(limit);
    places.map(|place| at_place(&records, place?.0.value())).collect()
}

/// The entry whose key stands behind eight bytes of time.
fn at_place(records: &Readable, place: &[u8]) -> Result<Record, Fault> {
    let key = keys::of_place(place)?;
    match records.get(key)? {
        Some(there) => read(key, there.value()),
        None => Err(Fault::damaged("an entry is gone")),
    }
}

/// The entry found under a key.
fn read(key: &[u8], bytes: &[u8]) -> Result<Record, Fault> {
    let record = Record::decode(bytes)
        .map_err(|error| Fault::damaged(format!("an entry cannot be read: {error}")))?;
    if keys::of(&record.key) != key {
        return Err(Fault::damaged("an entry is in another one's place"));
    }
    Ok(record)
}
