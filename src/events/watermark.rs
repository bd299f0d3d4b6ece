//! How far an owner's history is known to be in the log.

use bytes::Bytes;
use prost::Message;

use super::cell::{CellKind, Kept};
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

/// How far an owner's history is known to be in the log. Its name is the owner's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Everything QIWI dates before this is in the log: Unix milliseconds, by QIWI's clock.
    pub through_ms: i64,
    /// When the last pass over the history ended: Unix milliseconds, by the gateway's clock.
    pub reconciled_ms: i64,
    /// What else whoever reads the history has to remember, such as open transactions.
    pub note: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(sint64, tag = "1")]
    through_ms: i64,
    #[prost(sint64, tag = "2")]
    reconciled_ms: i64,
    #[prost(bytes = "bytes", tag = "3")]
    note: Bytes,
}

impl Kept for Watermark {
    const KIND: CellKind = CellKind::Watermark;

    fn encode(&self) -> Vec<u8> {
        let Self { through_ms, reconciled_ms, note } = self.clone();
        sealed::seal(FORMAT, &Written { through_ms, reconciled_ms, note })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Written { through_ms, reconciled_ms, note } = sealed::open(FORMAT, bytes)?;
        Ok(Self { through_ms, reconciled_ms, note })
    }
}
