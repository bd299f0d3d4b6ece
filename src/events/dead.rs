//! Events that a group could not handle, in full: they stay when retention takes the originals.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::cell::{CellKind, Kept};
use super::id::EventId;
use super::record::{Stored, numbered};
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

numbered! {
    /// Why an event became a dead letter.
    Cause {
        /// It was delivered as often as it may be.
        Exhausted = 1,
        /// A member rejected it.
        Rejected = 2,
    }
}

/// An event that a group could not handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event.
    pub stored: Stored,
    /// The log it has its place in.
    pub epoch: Uuid,
    /// Why it is here.
    pub cause: Cause,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up, in the words of who did; sealed by the caller.
    pub reason: Bytes,
    /// When: Unix milliseconds.
    pub buried_ms: i64,
    /// When it goes: Unix milliseconds.
    pub expires_ms: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(bytes = "bytes", tag = "1")]
    stored: Bytes,
    #[prost(uint32, tag = "2")]
    attempts: u32,
    #[prost(bytes = "bytes", tag = "3")]
    reason: Bytes,
    #[prost(sint64, tag = "4")]
    buried_ms: i64,
    #[prost(bytes = "vec", tag = "5")]
    epoch: Vec<u8>,
    #[prost(uint32, tag = "6")]
    cause: u32,
    #[prost(sint64, tag = "7")]
    expires_ms: i64,
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
        Self::named(group, self.stored.seq, &self.stored.event.id)
    }

    /// The name of the letter of an event at a place.
    pub fn named(group: &str, seq: u64, id: &EventId) -> Vec<u8> {
        let mut name = Self::prefix(group);
        name.extend_from_slice(&seq.to_be_bytes());
        name.extend_from_slice(id.as_bytes());
        name
    }
}

impl Kept for DeadLetter {
    const KIND: CellKind = CellKind::DeadLetter;

    fn encode(&self) -> Vec<u8> {
        let Self { stored, epoch, cause, attempts, reason, buried_ms, expires_ms } = self;
        let written = Written {
            stored: stored.encode().into(),
            attempts: *attempts,
            reason: reason.clone(),
            buried_ms: *buried_ms,
            epoch: epoch.as_bytes().to_vec(),
            cause: cause.number().into(),
            expires_ms: *expires_ms,
        };
        sealed::seal(FORMAT, &written)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = sealed::open(FORMAT, bytes)?;
        let Written { stored, attempts, reason, buried_ms, epoch, cause, expires_ms } = written;
        Ok(Self {
            stored: Stored::decode(&stored)?,
            epoch: Uuid::from_slice(&epoch).map_err(|_| Unreadable::Unknown("epoch"))?,
            cause: Cause::from_number(cause).ok_or(Unreadable::Unknown("cause"))?,
            attempts,
            reason,
            buried_ms,
            expires_ms,
        })
    }

    fn expires_ms(&self) -> Option<i64> {
        Some(self.expires_ms)
    }
}
