//! What a reader of a wallet's history remembers beside its watermark.

use bytes::Bytes;
use prost::Message;

use crate::events::{EventId, LogError};

/// Transactions without a final status that are remembered.
const OPEN_MAX: usize = 1000;

/// What a reader remembers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Note {
    /// What QIWI dates before this is none of the log's business: Unix milliseconds.
    pub(super) floor_ms: i64,
    /// Events behind the floor that were there already when reading began.
    pub(super) seeded: Vec<Seeded>,
    /// Transactions that have no final status yet.
    pub(super) open: Vec<Open>,
}

/// An event that was there before the reading began.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Seeded {
    /// What it is known by.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    /// When QIWI dates it: Unix milliseconds.
    #[prost(sint64, tag = "2")]
    pub(super) date_ms: i64,
}

/// A transaction without a final status.
#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Open {
    /// QIWI's number.
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// The type's number in the contract.
    #[prost(int32, tag = "2")]
    pub(super) kind: i32,
    /// When QIWI dates it: Unix milliseconds.
    #[prost(sint64, tag = "3")]
    pub(super) date_ms: i64,
    /// When it was first seen: Unix milliseconds.
    #[prost(sint64, tag = "4")]
    pub(super) since_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(sint64, tag = "1")]
    floor_ms: i64,
    #[prost(message, repeated, tag = "2")]
    seeded: Vec<Seeded>,
    #[prost(message, repeated, tag = "3")]
    open: Vec<Open>,
}

impl Note {
    pub(super) fn encode(&self) -> Bytes {
        let Self { floor_ms, seeded, open } = self.clone();
        Written { floor_ms, seeded, open }.encode_to_vec().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let Written { floor_ms, seeded, open } = Written::decode(bytes)
            .map_err(|_| LogError::Damaged("the note of a history's reader".to_owned()))?;
        Ok(Self { floor_ms, seeded, open })
    }

    /// Whether an event was there before the reading began.
    pub(super) fn is_seeded(&self, id: &EventId) -> bool {
        self.seeded.iter().any(|seeded| seeded.id == id.as_bytes())
    }

    /// Notes a transaction without a final status, or that it has one now; whether that is news.
    pub(super) fn follow(&mut self, open: Open, waits: bool) -> bool {
        let at = self.open.iter().position(|of| of.id == open.id && of.kind == open.kind);
        match (at, waits) {
            (None, true) if self.open.len() < OPEN_MAX => {
                self.open.push(open);
                true
            }
            (Some(at), false) => {
                self.open.remove(at);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_transaction_is_open_until_it_ends() {
        let open = |id: &str| Open { id: id.into(), kind: 1, date_ms: 5, since_ms: 6 };
        let mut note = Note { floor_ms: -3, ..Note::default() };
        assert!(note.follow(open("1"), true) && note.follow(open("2"), true));
        assert!(!note.follow(open("1"), true) && !note.follow(open("3"), false));
        note.seeded.push(Seeded { id: vec![7; 16], date_ms: 9 });
        let note = Note::decode(&note.encode()).unwrap();
        assert!(note.is_seeded(&EventId::from_bytes([7; 16])));
        assert_eq!((note.open.len(), note.floor_ms), (2, -3));
    }
}
