//! How an event is written down, sealed as [`crate::sealed`] says.
//!
//! The message holds the sequence as well, so that an event found in the wrong place is noticed.

use bytes::Bytes;
use prost::Message;

use super::id::{Chain, EventId, Owner};
use super::record::{Event, Kind, Source, Stored, Trust};
use crate::sealed::{self, Unreadable};

/// The only format so far.
const FORMAT: u8 = 1;

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(int64, tag = "2")]
    logged_ms: i64,
    #[prost(bool, tag = "3")]
    late: bool,
    #[prost(bytes = "vec", tag = "4")]
    id: Vec<u8>,
    #[prost(uint32, tag = "5")]
    kind: u32,
    #[prost(uint32, tag = "6")]
    source: u32,
    #[prost(uint32, tag = "7")]
    trust: u32,
    #[prost(bytes = "vec", tag = "8")]
    owner: Vec<u8>,
    #[prost(string, tag = "9")]
    r#type: String,
    #[prost(string, tag = "10")]
    transaction: String,
    #[prost(string, tag = "11")]
    status: String,
    #[prost(string, tag = "12")]
    provider: String,
    #[prost(bytes = "vec", optional, tag = "13")]
    about: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "14")]
    chain: Option<Vec<u8>>,
    #[prost(int64, optional, tag = "15")]
    occurred_ms: Option<i64>,
    #[prost(int64, tag = "16")]
    received_ms: i64,
    #[prost(bytes = "bytes", tag = "17")]
    payload: Bytes,
}

impl Stored {
    /// The event as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let event = &self.event;
        let written = Written {
            seq: self.seq,
            logged_ms: self.logged_ms,
            late: self.late,
            id: event.id.as_bytes().to_vec(),
            kind: event.kind.number().into(),
            source: event.source.number().into(),
            trust: event.trust.number().into(),
            owner: event.owner.as_bytes().to_vec(),
            r#type: event.r#type.clone(),
            transaction: event.transaction.clone(),
            status: event.status.clone(),
            provider: event.provider.clone(),
            about: event.about.map(|id| id.as_bytes().to_vec()),
            chain: event.chain.map(|chain| chain.as_bytes().to_vec()),
            occurred_ms: event.occurred_ms,
            received_ms: event.received_ms,
            payload: event.payload.clone(),
        };
        sealed::seal(FORMAT, &written)
    }

    /// The event that was written as these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = sealed::open(FORMAT, bytes)?;
        let id = |bytes: &[u8]| EventId::try_from(bytes).map_err(|_| Unreadable::Unknown("id"));
        let chain = |bytes: &[u8]| Chain::try_from(bytes).map_err(|_| Unreadable::Unknown("chain"));
        let event = Event {
            id: id(&written.id)?,
            kind: Kind::from_number(written.kind).ok_or(Unreadable::Unknown("kind"))?,
            source: Source::from_number(written.source).ok_or(Unreadable::Unknown("source"))?,
            trust: Trust::from_number(written.trust).ok_or(Unreadable::Unknown("trust"))?,
            owner: Owner::try_from(&*written.owner).map_err(|_| Unreadable::Unknown("owner"))?,
            r#type: written.r#type,
            transaction: written.transaction,
            status: written.status,
            provider: written.provider,
            about: written.about.as_deref().map(id).transpose()?,
            chain: written.chain.as_deref().map(chain).transpose()?,
            occurred_ms: written.occurred_ms,
            received_ms: written.received_ms,
            payload: written.payload,
        };
        let Written { seq, logged_ms, late, .. } = written;
        Ok(Self { seq, logged_ms, late, event })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    prop_compose! {
        fn event()(
            tags: [[u8; 16]; 2],
            kind in select(Kind::ALL),
            source in select(Source::ALL),
            trust in select(Trust::ALL),
            texts: [String; 4],
            about: Option<[u8; 16]>,
            chain: Option<[u8; 16]>,
            occurred_ms: Option<i64>,
            received_ms: i64,
            payload: Vec<u8>,
        ) -> Event {
            let [r#type, transaction, status, provider] = texts;
            let [id, owner] = tags;
            Event {
                r#type,
                transaction,
                status,
                provider,
                about: about.map(EventId::from_bytes),
                chain: chain.map(Chain::from_bytes),
                occurred_ms,
                received_ms,
                payload: payload.into(),
                ..Event::new(
                    EventId::from_bytes(id), kind, source, trust, Owner::from_bytes(owner),
                )
            }
        }
    }

    prop_compose! {
        fn stored()(event in event(), seq: u64, logged_ms: i64, late: bool) -> Stored {
            Stored { seq, logged_ms, late, event }
        }
    }

    proptest! {
        #[test]
        fn an_event_survives(stored in stored()) {
            prop_assert_eq!(Stored::decode(&stored.encode()), Ok(stored));
        }

        #[test]
        fn a_flipped_bit_and_a_cut_are_noticed(stored in stored(), at: usize, bit in 0..8_u8) {
            let bytes = stored.encode();
            let at = at % bytes.len();
            prop_assert!(Stored::decode(&bytes[..at]).is_err());
            let mut damaged = bytes;
            damaged[at] ^= 1_u8 << bit;
            prop_assert!(Stored::decode(&damaged).is_err());
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes: Vec<u8>, more in option::of(0..9_u8)) {
            let mut whole = vec![FORMAT];
            whole.extend_from_slice(&sealed::crc32c(&bytes).to_le_bytes());
            whole.extend_from_slice(&bytes);
            whole.extend(more);
            // Random bytes have no two tags of 16 bytes in the right places.
            prop_assert!(Stored::decode(&whole).is_err());
            prop_assert!(Stored::decode(&bytes).is_err());
        }
    }
}
