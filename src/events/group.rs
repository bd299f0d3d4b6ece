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
use uuid::Uuid;

use super::id::{EventId, Owner};

mod token;
mod written;

/// Most events a group looks at before it settled any of them.
pub const CLAIMS_MAX: usize = 6000;

/// Most dead letters a group delivers again at a time.
pub const REDRIVEN_MAX: usize = 1000;

/// Places of this size and above are not of the log: they are those of dead letters delivered again.
const REDRIVEN: u64 = 1 << 63;

/// The pause after the first attempt, and the longest one.
const PAUSE_MS: (i64, i64) = (1_000, 600_000);

/// The pause after so many attempts: a second, then twice as long each time, at most ten minutes.
pub fn pause_ms(attempt: u32) -> i64 {
    let doubled = PAUSE_MS.0.saturating_mul(1_i64 << attempt.saturating_sub(1).min(20));
    doubled.min(PAUSE_MS.1)
}

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
    /// Whether somebody has it, or had it last and neither settled it nor gave it back.
    pub held: bool,
}

impl Claim {
    const fn new(owner: Owner) -> Self {
        Self { owner, attempt: 0, due_ms: i64::MIN, held: false }
    }

    /// When it may be delivered again.
    pub fn next_ms(&self) -> i64 {
        if self.held { self.due_ms.saturating_add(pause_ms(self.attempt)) } else { self.due_ms }
    }

    /// Whether somebody has it and has time left.
    pub const fn is_in_hand(&self, now_ms: i64) -> bool {
        self.held && self.due_ms > now_ms
    }
}

/// A dead letter that is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redriven {
    /// The place its event had in its log.
    pub seq: u64,
    /// Its event.
    pub id: EventId,
    /// How far that is.
    pub claim: Claim,
}

/// One delivery of an event to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The event: its place, or that of a dead letter delivered again.
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
    /// How often an event is delivered before it is buried.
    pub attempts_max: u32,
    /// Tells this group from another one of its name, and from itself at another place: tokens
    /// made before are unknown.
    pub generation: u64,
    /// When it was created: Unix milliseconds.
    pub created_ms: i64,
    /// Whether it is delivered nothing for now.
    pub paused: bool,
    /// When a member was last there: Unix milliseconds.
    pub used_ms: i64,
    /// Everything up to here was looked at.
    pub read: u64,
    /// What of it is wanted and not settled.
    pub claims: BTreeMap<u64, Claim>,
    /// Dead letters delivered again. They are out of order, and hold up nothing.
    pub redriven: BTreeMap<u64, Redriven>,
    /// How many ever were.
    pub redrives: u64,
}

impl Group {
    /// A group that begins after a place.
    pub fn new(terms: impl Into<Bytes>, epoch: Uuid, ordered: bool, after: u64) -> Self {
        Self {
            terms: terms.into(),
            epoch,
            ordered,
            attempts_max: u32::MAX,
            generation: 0,
            created_ms: 0,
            paused: false,
            used_ms: 0,
            read: after,
            claims: BTreeMap::new(),
            redriven: BTreeMap::new(),
            redrives: 0,
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
        self.all().filter(|(_, claim)| claim.is_in_hand(now_ms)).count()
    }

    /// Every claim: those of the log in its order, then those of dead letters.
    fn all(&self) -> impl Iterator<Item = (u64, &Claim)> {
        let redriven = self.redriven.iter().map(|(place, of)| (*place, &of.claim));
        self.claims.iter().map(|(place, claim)| (*place, claim)).chain(redriven)
    }

    /// The claim of a place.
    pub fn claim(&self, place: u64) -> Option<&Claim> {
        self.claims.get(&place).or_else(|| self.redriven.get(&place).map(|of| &of.claim))
    }

    fn claim_mut(&mut self, place: u64) -> Option<&mut Claim> {
        match self.claims.get_mut(&place) {
            Some(claim) => Some(claim),
            None => self.redriven.get_mut(&place).map(|of| &mut of.claim),
        }
    }

    /// Looks at the next event of the log; wants it when it has an owner here. Says no to an event
    /// that is not the next one, and to a wanted one when there is no room.
    pub fn look(&mut self, seq: u64, wanted: Option<Owner>) -> bool {
        if Some(seq) != self.read.checked_add(1) || wanted.is_some() && !self.has_room() {
            return false;
        }
        self.read = seq;
        if let Some(owner) = wanted {
            self.claims.insert(seq, Claim::new(owner));
        }
        true
    }

    /// Has a dead letter delivered again. Says no when it is on its way already, and when there is
    /// no room.
    pub fn redrive(&mut self, seq: u64, id: EventId, owner: Owner) -> bool {
        if self.redriven.len() >= REDRIVEN_MAX || self.is_redriving(seq, &id) {
            return false;
        }
        self.redrives += 1;
        let claim = Claim::new(owner);
        self.redriven.insert(REDRIVEN | self.redrives, Redriven { seq, id, claim });
        true
    }

    /// Whether a dead letter is on its way.
    pub fn is_redriving(&self, seq: u64, id: &EventId) -> bool {
        self.redriven.values().any(|of| of.seq == seq && of.id == *id)
    }

    /// Up to `limit` places whose turn it is, in order.
    pub fn due(&self, now_ms: i64, limit: usize) -> Vec<u64> {
        let mut places = Vec::new();
        if self.paused {
            return places;
        }
        let mut before = HashSet::new();
        for (place, claim) in self.all() {
            if places.len() == limit {
                break;
            }
            let waits = self.ordered && place < REDRIVEN && !before.insert(claim.owner);
            if !waits && claim.attempt < self.attempts_max && claim.next_ms() <= now_ms {
                places.push(place);
            }
        }
        places
    }

    /// A new delivery of a place whose turn it is.
    pub fn take(&mut self, place: u64, until_ms: i64) -> Option<Token> {
        let claim = self.claim_mut(place)?;
        claim.attempt = claim.attempt.saturating_add(1);
        claim.due_ms = until_ms;
        claim.held = true;
        Some(Token { seq: place, attempt: claim.attempt })
    }

    /// Up to `limit` new deliveries, each until a moment, of what is due.
    pub fn deliver(&mut self, now_ms: i64, until_ms: i64, limit: usize) -> Vec<Token> {
        let due = self.due(now_ms, limit);
        due.into_iter().filter_map(|place| self.take(place, until_ms)).collect()
    }

    /// What was delivered as often as it may be, and is in nobody's hands: to be buried.
    pub fn spent(&self, now_ms: i64) -> Vec<Token> {
        let spent = self
            .all()
            .filter(|(_, claim)| claim.attempt >= self.attempts_max && !claim.is_in_hand(now_ms));
        spent.map(|(seq, claim)| Token { seq, attempt: claim.attempt }).collect()
    }

    /// When a claim changes what it is next, if any does: when to look again.
    pub fn next_due(&self, now_ms: i64) -> Option<i64> {
        let moments = self.all().flat_map(|(_, claim)| [claim.due_ms, claim.next_ms()]);
        moments.filter(|moment_ms| *moment_ms > now_ms).min()
    }

    /// The event was handled, or buried. Late word is as good as any: the work is done.
    pub fn settle(&mut self, token: Token) -> Settled {
        match self.known(token) {
            Ok(_) => {
                self.forget(token.seq);
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

    /// There is nothing more to do about a place.
    pub fn forget(&mut self, place: u64) {
        if self.claims.remove(&place).is_none() {
            self.redriven.remove(&place);
        }
    }

    /// Whether it differs from another state in more than in how far it looked in vain and when it
    /// was used.
    pub fn differs(&self, other: &Self) -> bool {
        self.claims != other.claims
            || self.redriven != other.redriven
            || self.redrives != other.redrives
            || self.paused != other.paused
            || self.generation != other.generation
            || self.epoch != other.epoch
            || self.terms != other.terms
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

    /// What would become of word that an event was handled.
    pub fn settling(&mut self, token: Token) -> Settled {
        self.known(token).map_or_else(|settled| settled, |_| Settled::Done)
    }

    /// The claim of a delivery that was made.
    fn known(&mut self, token: Token) -> Result<&mut Claim, Settled> {
        let ever = if token.seq < REDRIVEN { self.read } else { REDRIVEN | self.redrives };
        match self.claim_mut(token.seq) {
            _ if token.attempt == 0 || token.seq == REDRIVEN || token.seq > ever => {
                Err(Settled::Unknown)
            }
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

    /// Goes on after another place, as if everything before were settled and nothing after. Dead
    /// letters on their way are dead letters again.
    pub fn move_to(&mut self, epoch: Uuid, after: u64, generation: u64) {
        self.epoch = epoch;
        self.read = after;
        self.generation = generation;
        self.claims.clear();
        self.redriven.clear();
    }
}

#[cfg(test)]
mod tests;
