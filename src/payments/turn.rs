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

use super::{Payments, now_ms, unavailable};
use crate::error::{Error, Sent, reason};
use crate::ledger::{Amount, Insert, Key, OperationKind, Record, Replace, State};

/// How often others may be faster before it is given up.
const TRIES: usize = 8;
/// What separates kind and id in an entry.
const BETWEEN: char = '/';

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
    let mut next = Record { provider: holder, updated_ms: now_ms(), ..entry.clone() };
    next.trimmed = false;
    match payments.store.replace(entry.version, next.clone()).await {
        Ok(Replace::Done(version)) => Ok(Ok(Record { version, ..next })),
        Ok(Replace::Changed(theirs)) => Ok(Err(theirs)),
        Err(error) => Err(unavailable(&error)),
    }
}

/// Whether the operation that has the turn may still change something.
async fn is_held(payments: &Payments, entry: &Record) -> Result<bool, Error> {
    let holder = entry.provider.split_once(BETWEEN).and_then(|(kind, id)| {
        let kind = OperationKind::from_number(kind.parse().ok()?)?;
        Some(Key::new(entry.key.owner.clone(), kind, id))
    });
    // An entry that age has shortened says nothing of anybody.
    let Some(holder) = holder else { return Ok(false) };
    let found = payments.store.get(&holder).await.map_err(|error| unavailable(&error))?;
    Ok(found.is_some_and(|record| record.state.is_unsettled()))
}
