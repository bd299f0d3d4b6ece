//! Events that a group could not handle, in full: they stay when retention takes the originals.

use bytes::Bytes;
use prost::Message;

use super::cell::{CellKind, Kept};
use super::record::Stored;
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

/// How long they are kept.
pub const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// An event that a group could not handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub stored: Stored,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When: Unix milliseconds.
    pub buried_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(bytes = "bytes", tag = "1")]
    stored: Bytes,
    #[prost(uint32, tag = "2")]
    attempts: u32,
    #[prost(string, tag = "3")]
    reason: String,
    #[prost(sint64, tag = "4")]
    buried_ms: i64,
}

impl DeadLetter {
    /// What all names of a group's dead letters begin with, and no other group's.
    pub fn prefix(group: &str) -> Vec<u8> {
        // A group's name holds no zero byte; one that did could only meet its own letters.
        [group.as_bytes(), &[0]].concat()
    }

    /// The name it is kept under: a second copy for the same group finds the first one there, and
    /// a list shows them in the order of the log.
    pub fn name(&self, group: &str) -> Vec<u8> {
        let mut name = Self::prefix(group);
        name.extend_from_slice(&self.stored.seq.to_be_bytes());
        name.extend_from_slice(self.stored.event.id.as_bytes());
        name
    }
}

impl Kept for DeadLetter {
    const KIND: CellKind = CellKind::DeadLetter;

    fn encode(&self) -> Vec<u8> {
        let Self { stored, attempts, reason, buried_ms } = self;
        let written = Written {
            stored: stored.encode().into(),
            attempts: *attempts,
            reason: reason.clone(),
            buried_ms: *buried_ms,
        };
        sealed::seal(FORMAT, &written)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Written { stored, attempts, reason, buried_ms } = sealed::open(FORMAT, bytes)?;
        Ok(Self { stored: Stored::decode(&stored)?, attempts, reason, buried_ms })
    }

    fn expires_ms(&self) -> Option<i64> {
        Some(self.buried_ms.saturating_add(KEPT_MS))
    }
}
