//! The state of a consumer group: what it has looked at, what it holds, and what is due again.
//!
//! It is one value, changed by compare-and-set, so that any engine can keep it and any process can
//! go on with it. The functions here only compute; reading the log, asking the clock and saving
//! are the caller's. Deliveries may repeat; none is forgotten.
//!
//! An event at or below [`Group::read`] that is not among the claims is settled, or was never
//! wanted. So the floor needs no place of its own.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::cell::{CellKind, Kept};
use super::id::Owner;
use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

/// Most events a group looks at before it settled any of them.
pub const CLAIMS_MAX: usize = 8192;

/// An event that a group has looked at, wants, and has not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub owner: Owner,
    /// How often it was delivered.
    pub attempt: u32,
    /// When it is due: the end of the delivery, or of the pause before the next one. Unix
    /// milliseconds.
    pub due_ms: i64,
    /// Whether somebody has it.
    pub held: bool,
}

/// One delivery of an event to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The event.
    pub seq: u64,
    /// Which delivery of it.
    pub attempt: u32,
}

/// What became of word about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is so now.
    Done,
    /// The event is settled, or somebody else has it by now: nothing changed.
    AlreadyDone,
    /// There never was such a delivery.
    Unknown,
}

/// Events that retention took before the group was done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

/// The state of a group. Its name is the group's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What its members agree on, such as the filter: the caller's bytes.
    pub terms: Bytes,
    /// The log whose sequences these are.
    pub epoch: Uuid,
    /// Whether an owner's next event waits until the one before is settled.
    pub ordered: bool,
    /// Whether it is delivered nothing for now.
    pub paused: bool,
    /// When a member was last there: Unix milliseconds.
    pub used_ms: i64,
    /// Everything up to here was looked at.
    pub read: u64,
    /// What of it is wanted and not settled.
    pub claims: BTreeMap<u64, Claim>,
}

impl Group {
    /// A group that begins after a place.
    pub fn new(terms: impl Into<Bytes>, epoch: Uuid, ordered: bool, after: u64) -> Self {
        Self {
            terms: terms.into(),
            epoch,
            ordered,
            paused: false,
            used_ms: 0,
            read: after,
            claims: BTreeMap::new(),
        }
    }

    /// Everything up to here is settled.
    pub fn floor(&self) -> u64 {
        self.claims.keys().next().map_or(self.read, |first| first.saturating_sub(1))
    }

    /// Whether it may look at more.
    pub fn has_room(&self) -> bool {
        self.claims.len() < CLAIMS_MAX
    }

    /// How many deliveries are in somebody's hands.
    pub fn held(&self, now_ms: i64) -> usize {
        self.claims.values().filter(|claim| claim.held && claim.due_ms > now_ms).count()
    }

    /// Looks at the next event of the log; wants it when it has an owner here. Says no to an event
    /// that is not the next one, and to a wanted one when there is no room.
    pub fn look(&mut self, seq: u64, wanted: Option<Owner>) -> bool {
        if Some(seq) != self.read.checked_add(1) || wanted.is_some() && !self.has_room() {
            return false;
        }
        self.read = seq;
        if let Some(owner) = wanted {
            self.claims.insert(seq, Claim { owner, attempt: 0, due_ms: i64::MIN, held: false });
        }
        true
    }

    /// Up to `limit` new deliveries, each until a moment, of what is due.
    pub fn deliver(&mut self, now_ms: i64, until_ms: i64, limit: usize) -> Vec<Token> {
        let mut tokens = Vec::new();
        if self.paused {
            return tokens;
        }
        let mut before = HashSet::new();
        for (seq, claim) in &mut self.claims {
            if tokens.len() == limit {
                break;
            }
            let is_first = !self.ordered || before.insert(claim.owner);
            if is_first && claim.due_ms <= now_ms {
                claim.attempt = claim.attempt.saturating_add(1);
                claim.due_ms = until_ms;
                claim.held = true;
                tokens.push(Token { seq: *seq, attempt: claim.attempt });
            }
        }
        tokens
    }

    /// When the next claim is due, if any is not yet: when to look again.
    pub fn next_due(&self, now_ms: i64) -> Option<i64> {
        self.claims.values().map(|claim| claim.due_ms).filter(|due_ms| *due_ms > now_ms).min()
    }

    /// The event was handled, or buried. Late word is as good as any: the work is done.
    pub fn settle(&mut self, token: Token) -> Settled {
        match self.known(token) {
            Ok(_) => {
                self.claims.remove(&token.seq);
                Settled::Done
            }
            Err(settled) => settled,
        }
    }

    /// The event was not handled; it is due again at a moment.
    pub fn give_back(&mut self, token: Token, due_ms: i64) -> Settled {
        self.of_holder(token, |claim| {
            claim.due_ms = due_ms;
            claim.held = false;
        })
    }

    /// The work takes longer.
    pub fn extend(&mut self, token: Token, until_ms: i64) -> Settled {
        self.of_holder(token, |claim| claim.due_ms = claim.due_ms.max(until_ms))
    }

    /// What only the last one it was delivered to may do.
    fn of_holder(&mut self, token: Token, change: impl FnOnce(&mut Claim)) -> Settled {
        match self.known(token) {
            Ok(claim) if claim.held && claim.attempt == token.attempt => {
                change(claim);
                Settled::Done
            }
            Ok(_) => Settled::AlreadyDone,
            Err(settled) => settled,
        }
    }

    /// The claim of a delivery that was made.
    fn known(&mut self, token: Token) -> Result<&mut Claim, Settled> {
        match self.claims.get_mut(&token.seq) {
            _ if token.attempt == 0 || token.seq > self.read => Err(Settled::Unknown),
            None => Err(Settled::AlreadyDone),
            Some(claim) if token.attempt > claim.attempt => Err(Settled::Unknown),
            Some(claim) => Ok(claim),
        }
    }

    /// Takes note of where the log begins by now, and says what was lost by it.
    pub fn begins(&mut self, first: u64) -> Option<Gap> {
        let from = self.floor().saturating_add(1);
        if from >= first {
            return None;
        }
        self.claims = self.claims.split_off(&first);
        self.read = self.read.max(first - 1);
        Some(Gap { from, to: first - 1 })
    }

    /// Goes on after another place, as if everything before were settled and nothing after.
    pub fn move_to(&mut self, epoch: Uuid, after: u64) {
        self.epoch = epoch;
        self.read = after;
        self.claims.clear();
    }
}

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
}

#[derive(Clone, PartialEq, Message)]
struct WrittenClaim {
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

impl Kept for Group {
    const KIND: CellKind = CellKind::Group;

    fn encode(&self) -> Vec<u8> {
        let claims = self.claims.iter().map(|(seq, claim)| WrittenClaim {
            seq: *seq,
            owner: claim.owner.as_bytes().to_vec(),
            attempt: claim.attempt,
            due_ms: claim.due_ms,
            held: claim.held,
        });
        let written = Written {
            terms: self.terms.clone(),
            epoch: self.epoch.as_bytes().to_vec(),
            ordered: self.ordered,
            paused: self.paused,
            used_ms: self.used_ms,
            read: self.read,
            claims: claims.collect(),
        };
        sealed::seal(FORMAT, &written)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let written: Written = sealed::open(FORMAT, bytes)?;
        let claims = written.claims.into_iter().map(|of| {
            let owner = Owner::try_from(&*of.owner).map_err(|_| Unreadable::Unknown("owner"))?;
            let WrittenClaim { seq, attempt, due_ms, held, .. } = of;
            Ok((seq, Claim { owner, attempt, due_ms, held }))
        });
        Ok(Self {
            terms: written.terms,
            epoch: Uuid::from_slice(&written.epoch).map_err(|_| Unreadable::Unknown("epoch"))?,
            ordered: written.ordered,
            paused: written.paused,
            used_ms: written.used_ms,
            read: written.read,
            claims: claims.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests;
