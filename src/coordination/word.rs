//! Words among replicas, as they are written.
//!
//! Each teller numbers what it tells. Whoever misses a number knows that it missed something, and a
//! beat tells the last number to those who missed the last word.

use prost::Message;

use super::Name;
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

/// A word.
#[derive(Clone, PartialEq, Message)]
pub struct Word {
    /// Who tells it: a number each process makes for itself.
    #[prost(fixed64, tag = "1")]
    pub teller: u64,
    /// How many words it has told, this one included; beats do not count.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// What it tells.
    #[prost(oneof = "Said", tags = "3, 4, 5, 6, 7")]
    pub said: Option<Said>,
}

/// What is told.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Said {
    /// The teller is there; the number of the beat.
    #[prost(uint64, tag = "3")]
    Beat(u64),
    /// Kept answers became old.
    #[prost(message, tag = "4")]
    Forget(Forget),
    /// QIWI told a token or wallet to wait.
    #[prost(message, tag = "5")]
    Rest(Resting),
    /// A webhook of this credential, or its key, became another one.
    #[prost(bytes = "vec", tag = "6")]
    Hook(Vec<u8>),
    /// Files with secrets have new content.
    #[prost(bool, tag = "7")]
    Reload(bool),
}

/// Kept answers that became old.
#[derive(Clone, PartialEq, Message)]
pub struct Forget {
    /// The token's name.
    #[prost(bytes = "vec", tag = "1")]
    pub token: Vec<u8>,
    /// The operations of the catalogue.
    #[prost(string, repeated, tag = "2")]
    pub operations: Vec<String>,
}

/// Who is to wait.
#[derive(Clone, PartialEq, Message)]
pub struct Resting {
    /// Their names.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub names: Vec<Vec<u8>>,
    /// Where.
    #[prost(string, tag = "2")]
    pub area: String,
    /// For how long from now.
    #[prost(uint64, tag = "3")]
    pub rest_ms: u64,
}

impl Said {
    /// What it is called in metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Beat(_) => "beat",
            Self::Forget(_) => "forget",
            Self::Rest(_) => "rest",
            Self::Hook(_) => "hook",
            Self::Reload(_) => "reload",
        }
    }
}

impl Word {
    /// It as bytes.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        sealed::seal(FORMAT, self)
    }

    /// What was written as these bytes.
    ///
    /// # Errors
    /// When it is of another format.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        sealed::open(FORMAT, bytes)
    }
}

/// A name as bytes.
pub(super) fn bytes(name: Name) -> Vec<u8> {
    name.as_u128().to_be_bytes().to_vec()
}

/// A name that was written as these bytes.
pub(super) fn name(bytes: &[u8]) -> Option<Name> {
    bytes.try_into().ok().map(u128::from_be_bytes).map(Name::from_u128)
}
