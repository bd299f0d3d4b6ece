//! Whose turn it is to change a transaction of QIWI PAY.
//!
//! Captures, reversals and refunds have no id at QIWI: which transaction one has made is known by
//! comparing what there was before with what there is after. That holds only while nobody else
//! changes the same purchase, so there is an entry of the ledger for each that says whose turn it
//! is. The turn is anybody's when the operation that had it is decided, or was never begun.
//!
//! It is taken before anything is read, and kept once more between reserving the operation and
//! sending it: whoever takes the turn away has seen that the operation is not reserved, and whoever
//! keeps it has reserved it, so of two only one goes on, in any order of events and in any number of
//! processes.
//!
//! The entry also remembers who has had the turn: what one of them has made is none of the others'.

use super::memo::Memo;
use super::{Payments, now_ms, unavailable};
use crate::error::{Error, Sent, reason};
use crate::ledger::{Amount, Insert, Key, OperationKind, Record, Replace, State};

/// How often others may be faster before it is given up.
const TRIES: usize = 8;
/// What separates kind and id in an entry.
const BETWEEN: char = '/';
/// Most operations remembered of a transaction; the oldest go first.
const HOLDERS_MAX: usize = 256;

/// A turn that was taken.
pub struct Turn(Record);

/// Takes the turn of `parent` for the operation of `key`.
///
/// # Errors
/// `OPERATION_IN_PROGRESS` while another operation has it, `LEDGER_UNAVAILABLE`.
pub async fn take(payments: &Payments, key: &Key, parent: &str) -> Result<Turn, Error> {
    let at = Key::new(key.owner.clone(), OperationKind::Turn, parent);
    let holder = format!("{}{BETWEEN}{}", key.kind.number(), key.id);
    let mut found = payments.store.get(&at).await.map_err(|error| unavailable(&error))?;
    for _ in 0..TRIES {
        let Some(entry) = found else {
            let mut fresh =
                Record::reserved(at.clone(), [0; 32], holder.clone(), Amount::default(), now_ms());
            // It is no operation, so nobody has to find out what became of it.
            fresh.state = State::Accepted;
            fresh.attempt = 0;
            fresh.reply = remembered(&fresh, &holder);
            match payments.store.insert(fresh).await.map_err(|error| unavailable(&error))? {
                Insert::Inserted(entry) => return Ok(Turn(entry)),
                Insert::Exists(entry) => found = Some(entry),
            }
            continue;
        };
        if entry.provider != holder && is_held(payments, &entry).await? {
            return Err(Error::new(&reason::OPERATION_IN_PROGRESS).sent(Sent::No));
        }
        match changed(payments, &entry, holder.clone()).await? {
            Ok(entry) => return Ok(Turn(entry)),
            Err(theirs) => found = Some(theirs),
        }
    }
    Err(Error::new(&reason::OPERATION_IN_PROGRESS).sent(Sent::No))
}

impl Turn {
    /// Makes sure that nobody has taken the turn since.
    ///
    /// # Errors
    /// `OPERATION_IN_PROGRESS` when somebody has, `LEDGER_UNAVAILABLE`.
    pub async fn keep(&self, payments: &Payments) -> Result<(), Error> {
        match changed(payments, &self.0, self.0.provider.clone()).await? {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(&reason::OPERATION_IN_PROGRESS).sent(Sent::No)),
        }
    }
}

/// Writes the holder into an entry; the entry of whoever was faster otherwise.
async fn changed(
    payments: &Payments,
    entry: &Record,
    holder: String,
) -> Result<Result<Record, Record>, Error> {
    let reply = remembered(entry, &holder);
    let mut next = Record { provider: holder, updated_ms: now_ms(), reply, ..entry.clone() };
    next.trimmed = false;
    match payments.store.replace(entry.version, next.clone()).await {
        Ok(Replace::Done(version)) => Ok(Ok(Record { version, ..next })),
        Ok(Replace::Changed(theirs)) => Ok(Err(theirs)),
        Err(error) => Err(unavailable(&error)),
    }
}

/// What an entry remembers when this one gets the turn.
fn remembered(entry: &Record, holder: &str) -> Option<bytes::Bytes> {
    let mut memo = Memo::of(entry);
    memo.holders.retain(|of| of != holder);
    memo.holders.push(holder.to_owned());
    let more = memo.holders.len().saturating_sub(HOLDERS_MAX);
    memo.holders.drain(..more);
    memo.bytes()
}

/// The other operations that have had the turn of `parent` besides the one of `key`.
///
/// # Errors
/// `LEDGER_UNAVAILABLE`.
pub async fn others(payments: &Payments, key: &Key, parent: &str) -> Result<Vec<Record>, Error> {
    let at = Key::new(key.owner.clone(), OperationKind::Turn, parent);
    let entry = payments.store.get(&at).await.map_err(|error| unavailable(&error))?;
    let holders = entry.as_ref().map(|entry| Memo::of(entry).holders).unwrap_or_default();
    let mut others = Vec::with_capacity(holders.len());
    for other in holders.iter().filter_map(|holder| named(&key.owner, holder)) {
        if other != *key {
            let found = payments.store.get(&other).await.map_err(|error| unavailable(&error))?;
            others.extend(found);
        }
    }
    Ok(others)
}

/// The key of the operation an entry names.
fn named(owner: &str, holder: &str) -> Option<Key> {
    let (kind, id) = holder.split_once(BETWEEN)?;
    Some(Key::new(owner, OperationKind::from_number(kind.parse().ok()?)?, id))
}

/// Whether the operation that has the turn may still change something.
async fn is_held(payments: &Payments, entry: &Record) -> Result<bool, Error> {
    // An entry that age has shortened says nothing of anybody.
    let Some(holder) = named(&entry.key.owner, &entry.provider) else { return Ok(false) };
    let found = payments.store.get(&holder).await.map_err(|error| unavailable(&error))?;
    Ok(found.is_some_and(|record| record.state.is_unsettled()))
}

#[cfg(test)]
mod tests;
