//! How far the log was followed, and what is not done yet.

use prost::Message;
use uuid::Uuid;

use crate::events::cell::{CellKind, Kept};
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

/// How far the log was followed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Which log.
    pub(super) epoch: Uuid,
    /// Everything up to here was seen.
    pub(super) through: u64,
    /// Of that, what is not done.
    pub(super) open: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(bytes = "vec", tag = "1")]
    epoch: Vec<u8>,
    #[prost(uint64, tag = "2")]
    through: u64,
    #[prost(uint64, repeated, tag = "3")]
    open: Vec<u64>,
}

impl Kept for Progress {
    const KIND: CellKind = CellKind::Progress;

    fn encode(&self) -> Vec<u8> {
        let Self { epoch, through, open } = self.clone();
        sealed::seal(FORMAT, &Written { epoch: epoch.as_bytes().to_vec(), through, open })
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Written { epoch, through, open } = sealed::open(FORMAT, bytes)?;
        let epoch = Uuid::from_slice(&epoch).map_err(|_| Unreadable::Unknown("epoch"))?;
        Ok(Self { epoch, through, open })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let progress = Progress { epoch: Uuid::from_u128(7), through: 9, open: vec![3, 8] };
        assert_eq!(Progress::decode(&progress.encode()), Ok(progress));
        assert!(Progress::decode(b"").is_err());
    }
}
