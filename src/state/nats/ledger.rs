//! The ledger in a stream: one message an entry, changed by compare-and-set.
//!
//! The subject of an entry is a digest of its key, so that neither ids nor sites stand in the names
//! that monitoring shows. An entry that age removes leaves a mark, which goes by itself: nothing is
//! ever deleted.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use ring::digest::{Context, SHA256};

use super::Shared;
use super::broker::{Failure, GONE, Message, header, hex};
use super::index::{Current, Entries, Index, NoList};
use super::streams::Of;
use super::table::{self, Write, Written};
use crate::ledger::store::{Cursor, LedgerStore, Page, Query, Tidied};
use crate::ledger::{Insert, Key, OperationKind, Record, Replace, State, StoreError};
use crate::state::rules::{self, Fate};

/// Entries asked for at once.
const AT_ONCE: usize = 16;
/// How long the mark of a removed entry stays.
const MARK: &str = "720h";

/// The ledger of replicas.
pub struct NatsLedger {
    shared: Arc<Shared>,
    index: Index<Places>,
}

impl NatsLedger {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, index: Index::default() }
    }

    fn subject(&self, key: &Key) -> String {
        self.shared.streams.subject(Of::Ledger, &name(key))
    }

    fn stream(&self) -> &str {
        self.shared.streams.name(Of::Ledger)
    }

    /// The newest message of a key, and the entry in it.
    async fn there(&self, key: &Key) -> Result<(u64, Option<Record>), StoreError> {
        let last = self.shared.broker.last(self.stream(), &self.subject(key)).await;
        match last.map_err(|error| self.failed(error))? {
            Some(message) => Ok((message.seq, read(&message, key)?)),
            None => Ok((0, None)),
        }
    }

    async fn write(
        &self,
        expected: u64,
        record: &Record,
        is_gone: bool,
    ) -> Result<Written, StoreError> {
        self.shared.may_write_ledger()?;
        let mut headers = async_nats::HeaderMap::new();
        if is_gone {
            headers = header(GONE, "1");
            headers.insert("Nats-TTL", MARK);
        }
        let write = Write {
            subject: self.subject(&record.key),
            expected,
            headers,
            payload: record.encode().into(),
        };
        let broker = &self.shared.broker;
        table::write(broker, self.stream(), write, self.shared.settings.patience)
            .await
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: Failure) -> StoreError {
        self.shared.doubt();
        failed(error)
    }

    async fn current(&self) -> Result<Current<'_, Places>, StoreError> {
        let patience = self.shared.settings.patience;
        self.index.current(&self.shared.broker, self.stream(), patience).await.map_err(|error| {
            match error {
                NoList::Failed(error) => self.failed(error),
                NoList::Damaged(text) => StoreError::Damaged(text),
            }
        })
    }

    /// Does to one entry what age does.
    async fn age(&self, key: &Key, now_ms: i64) -> Result<Tidied, StoreError> {
        let mut tidied = Tidied::default();
        let (seq, Some(there)) = self.there(key).await? else { return Ok(tidied) };
        match rules::fate(&there, now_ms) {
            Fate::Keep(_) => {}
            Fate::Trim(_) => {
                let mut short = there.clone();
                short.trim();
                let short = rules::next(&there, short);
                let written = self.write(seq, &short, false).await?;
                tidied.trimmed = u64::from(matches!(written, Written::Done(_)));
            }
            Fate::Remove => {
                let written = self.write(seq, &there, true).await?;
                tidied.removed = u64::from(matches!(written, Written::Done(_)));
            }
        }
        Ok(tidied)
    }

    /// The entries of these keys that are still there.
    async fn all(&self, keys: Vec<Arc<Key>>) -> Result<Vec<Record>, StoreError> {
        let mut records = Vec::with_capacity(keys.len());
        let mut asked = stream::iter(keys)
            .map(|key| async move { self.there(&key).await.map(|(_, record)| record) })
            .buffered(AT_ONCE);
        while let Some(record) = asked.next().await {
            records.extend(record?);
        }
        Ok(records)
    }
}

/// What the ledger says of a failure of the brokers.
pub(super) fn failed(error: Failure) -> StoreError {
    match error {
        Failure::NoStream(name) => {
            StoreError::Damaged(format!("its stream {name} does not exist any more"))
        }
        Failure::Full => StoreError::Unavailable("its stream is full".to_owned()),
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// A digest of a key; parts are told apart by their lengths.
pub(super) fn name(key: &Key) -> String {
    let mut context = Context::new(&SHA256);
    for part in [key.owner.as_bytes(), &[key.kind.number()], key.id.as_bytes()] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    hex(context.finish().as_ref().get(..16).unwrap_or_default())
}

/// The entry in a message, unless it is the mark of one that is gone.
fn read(message: &Message, key: &Key) -> Result<Option<Record>, StoreError> {
    if message.is_gone() {
        return Ok(None);
    }
    let record = Record::decode(&message.payload)
        .map_err(|error| StoreError::Damaged(format!("{key:?} cannot be read: {error}")))?;
    if record.key != *key {
        return Err(StoreError::Damaged(format!("{key:?} holds another entry")));
    }
    Ok(Some(record))
}

impl LedgerStore for NatsLedger {
    fn insert(&self, record: Record) -> BoxFuture<'_, Result<Insert, StoreError>> {
        async move {
            let record = rules::first(record);
            let mut expected = 0;
            loop {
                match self.write(expected, &record, false).await? {
                    Written::Done(_) => return Ok(Insert::Inserted(record)),
                    Written::Changed(Some(message)) => match read(&message, &record.key)? {
                        Some(there) => return Ok(Insert::Exists(there)),
                        None => expected = message.seq,
                    },
                    Written::Changed(None) => expected = 0,
                }
            }
        }
        .boxed()
    }

    fn replace(
        &self,
        expected_version: u64,
        record: Record,
    ) -> BoxFuture<'_, Result<Replace, StoreError>> {
        async move {
            let (seq, there) = self.there(&record.key).await?;
            let gone = || StoreError::Damaged(format!("{:?} is gone", record.key));
            let there = there.ok_or_else(gone)?;
            if there.version != expected_version {
                return Ok(Replace::Changed(there));
            }
            let key = record.key.clone();
            let next = rules::next(&there, record);
            match self.write(seq, &next, false).await? {
                Written::Done(_) => Ok(Replace::Done(next.version)),
                Written::Changed(None) => Err(StoreError::Damaged(format!("{key:?} is gone"))),
                Written::Changed(Some(message)) => match read(&message, &key)? {
                    Some(now) => Ok(Replace::Changed(now)),
                    None => Err(StoreError::Damaged(format!("{key:?} is gone"))),
                },
            }
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        async move {
            self.shared.may_read_ledger()?;
            self.there(key).await.map(|(_, record)| record)
        }
        .boxed()
    }

    fn list<'a>(
        &'a self,
        query: &'a Query,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        async move {
            // Lists wait for each other: while nobody answers, none is begun.
            self.shared.may_write_ledger()?;
            let (keys, next) = self.current().await?.page(query, after, limit);
            let records = self.all(keys).await?;
            Ok(Page { records, next })
        }
        .boxed()
    }

    fn unsettled(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        async move {
            // Lists wait for each other: while nobody answers, none is begun.
            self.shared.may_write_ledger()?;
            let keys = self.current().await?.watched(limit);
            let mut records = self.all(keys).await?;
            records.retain(Record::is_watched);
            Ok(records)
        }
        .boxed()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        async move {
            self.shared.may_write_ledger()?;
            let due = self.current().await?.due(now_ms);
            let mut tidied = Tidied::default();
            // A few at once, so that others get their turn.
            let mut done = stream::iter(due)
                .map(|key| async move { self.age(&key, now_ms).await })
                .buffer_unordered(AT_ONCE);
            while let Some(one) = done.next().await {
                let one = one?;
                tidied.trimmed += one.trimmed;
                tidied.removed += one.removed;
            }
            Ok(tidied)
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn health(&self) -> Result<(), StoreError> {
        self.shared.may_write_ledger()
    }
}

/// What the index keeps of an entry: enough to tell whether it is asked for.
#[derive(Debug, Clone, Copy)]
struct Slot {
    created_ms: i64,
    updated_ms: i64,
    state: State,
    watched: bool,
    trimmed: bool,
}

/// The order of a list: by owner, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    created_ms: i64,
    key: Arc<Key>,
}

impl Ord for Listed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |of: &Self| Reverse(of.created_ms);
        (&self.key.owner, rank(self), &*self.key).cmp(&(&other.key.owner, rank(other), &*other.key))
    }
}

impl PartialOrd for Listed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Every entry, in the order of lists.
#[derive(Debug, Default)]
struct Places {
    slots: HashMap<Arc<Key>, Slot>,
    listed: BTreeSet<Listed>,
}

impl Entries for Places {
    fn apply(&mut self, message: &Message) -> Result<(), String> {
        // Trial writes are no entries.
        if message.payload.is_empty() {
            return Ok(());
        }
        let record = Record::decode(&message.payload)
            .map_err(|error| format!("message {} cannot be read: {error}", message.seq))?;
        let key = Arc::new(record.key.clone());
        if let Some(before) = self.slots.remove(&key) {
            self.listed.remove(&Listed { created_ms: before.created_ms, key: Arc::clone(&key) });
        }
        if !message.is_gone() {
            let slot = Slot {
                created_ms: record.created_ms,
                updated_ms: record.updated_ms,
                state: record.state,
                watched: record.is_watched(),
                trimmed: record.trimmed,
            };
            self.listed.insert(Listed { created_ms: slot.created_ms, key: Arc::clone(&key) });
            self.slots.insert(key, slot);
        }
        Ok(())
    }
}

impl Places {
    fn page(
        &self,
        query: &Query,
        after: Option<&Cursor>,
        limit: usize,
    ) -> (Vec<Arc<Key>>, Option<Cursor>) {
        let start = match after {
            Some(of) => Listed { created_ms: of.created_ms, key: Arc::new(of.key.clone()) },
            None => {
                let smallest = Key::new(query.owner.clone(), OperationKind::Payment, "");
                Listed { created_ms: i64::MAX, key: Arc::new(smallest) }
            }
        };
        let own = self
            .listed
            .range((Bound::Excluded(start), Bound::Unbounded))
            .take_while(|of| of.key.owner == query.owner);
        let (mut keys, mut last) = (Vec::new(), None);
        for (looked_at, place) in own.enumerate() {
            if keys.len() == limit || looked_at == rules::LOOKED_AT_MAX {
                return (keys, last);
            }
            last = Some(Cursor { created_ms: place.created_ms, key: (*place.key).clone() });
            let matches = self.slots.get(&place.key).is_some_and(|slot| {
                query.kind.is_none_or(|kind| kind == place.key.kind)
                    && (query.states.is_empty() || query.states.contains(&slot.state))
            });
            keys.extend(matches.then(|| Arc::clone(&place.key)));
        }
        (keys, None)
    }

    fn watched(&self, limit: usize) -> Vec<Arc<Key>> {
        let mut found: Vec<_> = self.slots.iter().filter(|(_, slot)| slot.watched).collect();
        found.sort_by_key(|(_, slot)| Reverse(slot.created_ms));
        found.into_iter().take(limit).map(|(key, _)| Arc::clone(key)).collect()
    }

    /// What age may do something to.
    fn due(&self, now_ms: i64) -> Vec<Arc<Key>> {
        let is_due = |slot: &Slot| {
            let kept = if slot.trimmed {
                crate::ledger::store::SHORT_MS
            } else {
                crate::ledger::store::FULL_MS
            };
            !slot.state.is_unsettled() && now_ms >= slot.updated_ms.saturating_add(kept)
        };
        let due = self.slots.iter().filter(|(_, slot)| is_due(slot));
        due.map(|(key, _)| Arc::clone(key)).collect()
    }
}
