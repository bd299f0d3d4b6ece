//! What engines of one process decide alike, whatever they keep events in.

use crate::events::hub::now_ms;
use crate::events::{Append, Chain, Delivery, EventId, Outcome, Tier};

/// Most events and cells that go at once, before others get their turn.
pub const TIDIED_AT_ONCE: usize = 500;

/// Where a log looks things up.
pub trait Index {
    /// Why it cannot.
    type Error;

    /// The event that a delivery brought, and what it said.
    fn delivered(&self, key: &[u8; 16]) -> Result<Option<(u64, [u8; 32])>, Self::Error>;

    /// The place of an event.
    fn place(&self, id: &EventId) -> Result<Option<u64>, Self::Error>;

    /// The last event of a chain.
    fn last(&self, chain: &Chain) -> Result<Option<u64>, Self::Error>;
}

/// What happens to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is answered; nothing changes.
    Answer(Outcome),
    /// The transition is known, this delivery of it is not.
    Known(u64, Option<Delivery>),
    /// It is new.
    New {
        /// Whether the log has what comes after it.
        late: bool,
    },
}

/// What happens to an append.
pub fn decide<I: Index>(index: &I, append: &Append) -> Result<Decision, I::Error> {
    if let Some(delivery) = &append.delivery
        && let Some((seq, digest)) = index.delivered(&delivery.key)?
    {
        return Ok(Decision::Answer(if digest == delivery.digest {
            Outcome::Duplicate { seq, tier: Tier::Delivery }
        } else {
            Outcome::Conflict { seq: Some(seq) }
        }));
    }
    if let Some(seq) = index.place(&append.event.id)? {
        return Ok(Decision::Known(seq, append.delivery.clone()));
    }
    if let (Some(chain), Some(expected)) = (&append.event.chain, append.follows) {
        let last = index.last(chain)?.unwrap_or(0);
        if last != expected {
            return Ok(Decision::Answer(Outcome::Overtaken { last }));
        }
    }
    for id in &append.before {
        if index.place(id)?.is_some() {
            return Ok(Decision::New { late: true });
        }
    }
    Ok(Decision::New { late: false })
}

/// The log's clock: the system's, and never back.
pub fn clock(last_ms: i64) -> i64 {
    now_ms().max(last_ms)
}

/// The first of the places from `first` to before `end` at which something holds, which holds at
/// all after it, or `end`.
pub fn first_where<E>(
    first: u64,
    end: u64,
    mut holds: impl FnMut(u64) -> Result<bool, E>,
) -> Result<u64, E> {
    let (mut low, mut high) = (first, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_is_found() {
        for (first, end) in [(1, 1), (1, 2), (3, 10), (5, 104)] {
            for from in first..=end {
                assert_eq!(first_where::<()>(first, end, |at| Ok(at >= from)), Ok(from));
            }
        }
    }

    #[test]
    fn the_clock_never_goes_back() {
        assert!(clock(0) > 1_600_000_000_000);
        assert_eq!(clock(i64::MAX - 1), i64::MAX - 1);
    }
}
