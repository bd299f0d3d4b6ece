//! Keys as bytes that sort as they should.
//!
//! Times are stored so that bytes sort as the numbers do; where the newest comes first, inverted.

use crate::ledger::{Cursor, Key, Record};
use crate::state::disk::Fault;

const TIME: usize = 8;

/// The key of an entry.
pub fn of(key: &Key) -> Vec<u8> {
    let mut bytes = text(&key.owner);
    bytes.push(key.kind.number());
    bytes.extend_from_slice(&text(&key.id));
    bytes
}

/// The key of an entry among those of its owner, newest first.
pub fn by_owner(record: &Record, key: &[u8]) -> Vec<u8> {
    let mut bytes = text(&record.key.owner);
    bytes.extend_from_slice(&newest_first(record.created_ms));
    bytes.extend_from_slice(key);
    bytes
}

/// How much of [`by_owner`] names the owner.
pub fn owner_prefix_len(owner: &str) -> usize {
    text(owner).len()
}

/// From where to where an owner's entries after a place are.
pub fn owner_range(owner: &str, after: Option<&Cursor>) -> (Vec<u8>, Vec<u8>) {
    let mut start = text(owner);
    let mut end = start.clone();
    // Longer than any time of ours: nothing is created at the beginning of time.
    end.extend_from_slice(&[u8::MAX; TIME + 1]);
    if let Some(after) = after {
        start.extend_from_slice(&newest_first(after.created_ms));
        start.extend_from_slice(&of(&after.key));
        // The first key that is greater.
        start.push(0);
    }
    (start, end)
}

/// The key of an entry among the unsettled ones, newest first.
pub fn by_age(record: &Record, key: &[u8]) -> Vec<u8> {
    [&newest_first(record.created_ms), key].concat()
}

/// The key of an entry among those whose age is looked at, first due first.
pub fn by_due(due_ms: i64, key: &[u8]) -> Vec<u8> {
    [&oldest_first(due_ms), key].concat()
}

/// The end of what is due now.
pub fn due_end(now_ms: i64) -> [u8; TIME] {
    oldest_first(now_ms.saturating_add(1))
}

/// The key behind a time.
pub fn of_place(place: &[u8]) -> Result<&[u8], Fault> {
    place.get(TIME..).ok_or_else(|| Fault::damaged("an index has a key that is too short"))
}

fn oldest_first(ms: i64) -> [u8; TIME] {
    ms.wrapping_sub(i64::MIN).to_be_bytes()
}

fn newest_first(ms: i64) -> [u8; TIME] {
    (!ms.wrapping_sub(i64::MIN)).to_be_bytes()
}

/// Text with its length in front; callers' ids are far shorter than the length can say.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
