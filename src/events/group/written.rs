//! How the state of a group is written down.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::{Claim, Group, Redriven};
use crate::events::cell::{CellKind, Kept};
use crate::events::id::{EventId, Owner};
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(bytes = "bytes", tag = "1")]
    terms: Bytes,
    #[prost(bytes = "vec", tag = "2")]
    epoch: Vec<u8>,
    #[prost(bool, tag = "3")]
    ordered: bool,
    #[prost(bool, tag = "4")]
    paused: bool,
    #[prost(sint64, tag = "5")]
    used_ms: i64,
    #[prost(uint64, tag = "6")]
    read: u64,
    #[prost(message, repeated, tag = "7")]
    claims: Vec<WrittenClaim>,
    #[prost(uint32, tag = "8")]
    attempts_max: u32,
    #[prost(fixed64, tag = "9")]
    generation: u64,
    #[prost(sint64, tag = "10")]
    created_ms: i64,
    #[prost(message, repeated, tag = "11")]
    redriven: Vec<WrittenRedriven>,
    #[prost(uint64, tag = "12")]
    redrives: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenClaim {
    /// The place.
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "vec", tag = "2")]
    owner: Vec<u8>,
    #[prost(uint32, tag = "3")]
    attempt: u32,
    #[prost(sint64, tag = "4")]
    due_ms: i64,
    #[prost(bool, tag = "5")]
    held: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenRedriven {
    #[prost(message, required, tag = "1")]
    claim: WrittenClaim,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(bytes = "vec", tag = "3")]
    id: Vec<u8>,
}

fn write(place: u64, claim: &Claim) -> WrittenClaim {
    WrittenClaim {
        seq: place,
        owner: claim.owner.as_bytes().to_vec(),
        attempt: claim.attempt,
        due_ms: claim.due_ms,
        held: claim.held,
    }
}

fn read(written: WrittenClaim) -> Result<(u64, Claim), Unreadable> {
    let owner = Owner::try_from(&*written.owner).map_err(|_| Unreadable::Unknown("owner"))?;
    let WrittenClaim { seq, attempt, due_ms, held, .. } = written;
    Ok((seq, Claim { owner, attempt, due_ms, held }))
}

impl Kept for Group {
    const KIND: CellKind = CellKind::Group;

    fn encode(&self) -> Vec<u8> {
        let redriven = self.redriven.iter().map(|(place, of)| WrittenRedriven {
            claim: write(*place, &of.claim),
            seq: of.seq,
            id: of.id.as_bytes().to_vec(),
        });
        let written = Written {
            terms: self.terms.clone(),
            epoch: self.epoch.as_bytes().to_vec(),
            ordered: self.ordered,
            paused: self.paused,
            used_ms: self.used_ms,
            read: self.read,
            claims: self.claims.iter().map(|(place, claim)| write(*place, claim)).collect(),
            attempts_max: self.attempts_max,
            generation: self.generation,
            created_ms: self.created_ms,
            redriven: redriven.collect(),
            redrives: self.redrives,
        };
        sealed::seal(FORMAT, &written)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = sealed::open(FORMAT, bytes)?;
        let redriven = written.redriven.into_iter().map(|of| {
            let id = EventId::try_from(&*of.id).map_err(|_| Unreadable::Unknown("id"))?;
            let (place, claim) = read(of.claim)?;
            Ok((place, Redriven { seq: of.seq, id, claim }))
        });
        Ok(Self {
            terms: written.terms,
            epoch: Uuid::from_slice(&written.epoch).map_err(|_| Unreadable::Unknown("epoch"))?,
            ordered: written.ordered,
            attempts_max: written.attempts_max,
            generation: written.generation,
            created_ms: written.created_ms,
            paused: written.paused,
            used_ms: written.used_ms,
            read: written.read,
            claims: written.claims.into_iter().map(read).collect::<Result<_, _>>()?,
            redriven: redriven.collect::<Result<_, _>>()?,
            redrives: written.redrives,
        })
    }
}
