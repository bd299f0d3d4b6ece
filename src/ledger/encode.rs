//! How an entry is written down.
//!
//! Sealed as [`crate::sealed`] says, in a message of this file's own. The message holds the key as
//! well, so that an entry found in the wrong place is noticed. Numbers of kinds, states and fields
//! stay in files for more than a year: they are only added to.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::record::{Amount, Key, Lease, OperationKind, Record, Settle, State};
use crate::sealed::{self, Unreadable};

/// The only format so far.
const FORMAT: u8 = 1;

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(string, tag = "1")]
    owner: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(bytes = "vec", tag = "4")]
    body_mac: Vec<u8>,
    #[prost(uint32, tag = "5")]
    state: u32,
    #[prost(uint32, tag = "6")]
    attempt: u32,
    #[prost(bytes = "vec", optional, tag = "7")]
    lease_owner: Option<Vec<u8>>,
    #[prost(int64, tag = "8")]
    lease_until_ms: i64,
    #[prost(int64, tag = "9")]
    created_ms: i64,
    #[prost(int64, tag = "10")]
    updated_ms: i64,
    #[prost(int64, optional, tag = "11")]
    sent_ms: Option<i64>,
    #[prost(string, tag = "12")]
    provider: String,
    #[prost(string, tag = "13")]
    currency: String,
    #[prost(sint64, tag = "14")]
    units: i64,
    #[prost(sint32, tag = "15")]
    nanos: i32,
    #[prost(string, optional, tag = "16")]
    transaction_id: Option<String>,
    #[prost(string, optional, tag = "17")]
    upstream_status: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "18")]
    reply: Option<Bytes>,
    #[prost(uint32, tag = "19")]
    scans: u32,
    #[prost(int64, optional, tag = "20")]
    first_scan_ms: Option<i64>,
    #[prost(bool, tag = "21")]
    technical: bool,
    #[prost(int64, optional, tag = "22")]
    next_ms: Option<i64>,
    #[prost(bool, tag = "23")]
    trimmed: bool,
    #[prost(uint64, tag = "24")]
    version: u64,
    #[prost(int64, optional, tag = "25")]
    last_scan_ms: Option<i64>,
}

impl Record {
    /// The entry as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            owner: self.key.owner.to_string(),
            kind: u32::from(self.key.kind.number()),
            id: self.key.id.to_string(),
            body_mac: self.body_mac.to_vec(),
            state: u32::from(self.state.number()),
            attempt: self.attempt,
            lease_owner: self.lease.map(|lease| lease.owner.as_bytes().to_vec()),
            lease_until_ms: self.lease.map_or(0, |lease| lease.until_ms),
            created_ms: self.created_ms,
            updated_ms: self.updated_ms,
            sent_ms: self.sent_ms,
            provider: self.provider.clone(),
            currency: self.amount.currency.clone(),
            units: self.amount.units,
            nanos: self.amount.nanos,
            transaction_id: self.transaction_id.clone(),
            upstream_status: self.upstream_status.clone(),
            reply: self.reply.clone(),
            scans: self.settle.scans,
            first_scan_ms: self.settle.first_scan_ms,
            technical: self.settle.technical,
            next_ms: self.settle.next_ms,
            last_scan_ms: self.settle.last_scan_ms,
            trimmed: self.trimmed,
            version: self.version,
        };
        sealed::seal(FORMAT, &stored)
    }

    /// The entry that was written as these bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        sealed::open::<Stored>(FORMAT, bytes)?.try_into()
    }
}

impl TryFrom<Stored> for Record {
    type Error = Unreadable;

    fn try_from(stored: Stored) -> Result<Self, Unreadable> {
        let kind = u8::try_from(stored.kind).ok().and_then(OperationKind::from_number);
        let state = u8::try_from(stored.state).ok().and_then(State::from_number);
        let lease = match stored.lease_owner {
            None => None,
            Some(owner) => Some(Lease {
                owner: Uuid::from_slice(&owner).map_err(|_| Unreadable::Unknown("lease"))?,
                until_ms: stored.lease_until_ms,
            }),
        };
        Ok(Self {
            key: Key::new(stored.owner, kind.ok_or(Unreadable::Unknown("kind"))?, stored.id),
            body_mac: stored.body_mac.try_into().map_err(|_| Unreadable::Unknown("MAC"))?,
            state: state.ok_or(Unreadable::Unknown("state"))?,
            attempt: stored.attempt,
            lease,
            created_ms: stored.created_ms,
            updated_ms: stored.updated_ms,
            sent_ms: stored.sent_ms,
            provider: stored.provider,
            amount: Amount { currency: stored.currency, units: stored.units, nanos: stored.nanos },
            transaction_id: stored.transaction_id,
            upstream_status: stored.upstream_status,
            reply: stored.reply,
            settle: Settle {
                scans: stored.scans,
                first_scan_ms: stored.first_scan_ms,
                technical: stored.technical,
                last_scan_ms: stored.last_scan_ms,
                next_ms: stored.next_ms,
            },
            trimmed: stored.trimmed,
            version: stored.version,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    fn full() -> Record {
        let key = Key::new("79991112233", OperationKind::Payment, "18446744073709551616");
        let amount = Amount { currency: "RUB".to_owned(), units: 100, nanos: 500_000_000 };
        Record {
            state: State::Uncertain,
            attempt: 2,
            lease: Some(Lease { owner: Uuid::from_u128(7), until_ms: 99 }),
            updated_ms: 30,
            sent_ms: Some(20),
            transaction_id: Some("9112223344".to_owned()),
            upstream_status: Some("Accepted".to_owned()),
            reply: Some(Bytes::from_static(b"\x00answer")),
            settle: Settle {
                scans: 3,
                first_scan_ms: Some(21),
                technical: true,
                last_scan_ms: Some(35),
                next_ms: Some(40),
            },
            version: u64::MAX,
            ..Record::reserved(key, [9; 32], "99", amount, 10)
        }
    }

    #[test]
    fn an_entry_survives() {
        let mut record = full();
        assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
        record.trim();
        record.lease = None;
        assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
        assert!(record.trimmed && record.reply.is_none() && record.transaction_id.is_some());
        for kind in OperationKind::ALL {
            for state in State::ALL {
                record.key.kind = kind;
                record.state = state;
                assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = full().encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(Record::decode(&damaged).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Record::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused_by_name() {
        let mut bytes = full().encode();
        bytes[0] = 2;
        assert_eq!(Record::decode(&bytes), Err(Unreadable::Format(2)));
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_it_panic(bytes: Vec<u8>) {
            let mut whole = vec![FORMAT];
            whole.extend_from_slice(&sealed::crc32c(&bytes).to_le_bytes());
            whole.extend_from_slice(&bytes);
            // Random bytes have no MAC of 32 bytes in the right place.
            prop_assert!(Record::decode(&whole).is_err());
            prop_assert!(Record::decode(&bytes).is_err());
        }
    }
}
