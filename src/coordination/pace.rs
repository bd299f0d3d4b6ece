//! The pace of one wallet's history, as one small value that all replicas change in turn.
//!
//! A GCRA: each request runs ahead of the even rate by one interval, and time takes that back. The
//! value says how far ahead requests were **when it was written**, never when that was. Whoever
//! reads it subtracts what has passed since it saw the value first, by its own clock; that is never
//! more than has really passed, so that no clock and no skew can make the pace faster.
//!
//! Why no window holds too much: let `s` be the moment a replica computes a value from the one
//! before. It saw that one after it was computed, so it subtracts at most `s - s'`. By induction
//! the requests of any window of length `W` are at most `burst + W / interval`. A request reaches
//! QIWI a little after its moment; [`super::share`] leaves room for that.

use std::time::Duration;

use prost::Message;

use crate::sealed::{self, Unreadable};

const FORMAT: u8 = 1;

/// What a request of the minute after a cool-down costs.
const SLOW_COST: u32 = 2;

/// A part of the permitted requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Between two requests at the even rate.
    pub interval: Duration,
    /// How many may come at once; at least one.
    pub burst: u32,
}

impl Quota {
    /// How far ahead requests may be.
    fn capacity(self) -> Duration {
        self.interval.saturating_mul(self.burst.max(1))
    }

    /// Takes requests, or tells when there is room for them.
    fn take(self, ahead: &mut Duration, cost: u32) -> Result<(), Duration> {
        // A burst of one cannot hold a double cost; then a single one has to do.
        let cost = self.interval.saturating_mul(cost.min(self.burst.max(1)));
        let then = ahead.saturating_add(cost);
        match then.checked_sub(self.capacity()) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *ahead = then;
                Ok(())
            }
        }
    }
}

/// What a pace allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// For everybody.
    pub common: Quota,
    /// For finding out what became of payments, before they take from the common one.
    pub reserve: Option<Quota>,
    /// How long the pace stays halved after a cool-down.
    pub slow: Duration,
    /// How long a probe may be out before another one is let through.
    pub probe: Duration,
}

/// A cool-down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Nothing is sent for so long; then one probe.
    Blocked(Duration),
    /// A probe is out for so long, and whose.
    Probing(Duration, u64),
    /// A probe came back so long ago.
    Cleared(Duration),
}

/// The pace of one wallet at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    common: Duration,
    reserve: Duration,
    rest: Option<Rest>,
}

/// Why a request must not go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are too many; there is room in so long.
    Wait(Duration),
    /// The wallet cools down for so long.
    Rests(Duration),
    /// The wallet may have cooled down; somebody is finding out.
    Probed(Duration),
}

/// What a request that may go out is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    /// One of many.
    Usual,
    /// The one that finds out whether a cool-down is over.
    Probe,
}

/// How long somebody waits for another one's probe before looking again.
const PROBE_WAIT: Duration = Duration::from_secs(1);

impl Pace {
    /// After some time.
    #[must_use]
    pub fn aged(self, by: Duration, terms: &Terms) -> Self {
        let rest = self.rest.and_then(|rest| match rest {
            Rest::Blocked(left) => Some(Rest::Blocked(left.saturating_sub(by))),
            Rest::Probing(out, whose) => Some(Rest::Probing(out.saturating_add(by), whose)),
            Rest::Cleared(since) => {
                let since = since.saturating_add(by);
                (since < terms.slow).then_some(Rest::Cleared(since))
            }
        });
        Self {
            common: self.common.saturating_sub(by),
            reserve: self.reserve.saturating_sub(by),
            rest,
        }
    }

    /// With one request more, whose `id` tells its probe from others.
    ///
    /// # Errors
    /// When it must not go out.
    pub fn charged(
        mut self,
        terms: &Terms,
        settling: bool,
        id: u64,
    ) -> Result<(Self, Granted), Refused> {
        let (cost, granted) = match self.rest {
            None => (1, Granted::Usual),
            Some(Rest::Cleared(_)) => (SLOW_COST, Granted::Usual),
            Some(Rest::Blocked(left)) if !left.is_zero() => return Err(Refused::Rests(left)),
            Some(Rest::Probing(out, _)) if out < terms.probe => {
                return Err(Refused::Probed(PROBE_WAIT.min(terms.probe - out)));
            }
            Some(Rest::Blocked(_) | Rest::Probing(..)) => (SLOW_COST, Granted::Probe),
        };
        let reserve = terms.reserve.filter(|_| settling);
        if reserve.is_none_or(|reserve| reserve.take(&mut self.reserve, cost).is_err()) {
            terms.common.take(&mut self.common, cost).map_err(Refused::Wait)?;
        }
        if granted == Granted::Probe {
            self.rest = Some(Rest::Probing(Duration::ZERO, id));
        }
        Ok((self, granted))
    }

    /// QIWI refused: nothing more for at least so long.
    #[must_use]
    pub fn blocked(mut self, rest: Duration) -> Self {
        let before = match self.rest {
            Some(Rest::Blocked(left)) => left,
            _ => Duration::ZERO,
        };
        self.rest = Some(Rest::Blocked(before.max(rest)));
        self
    }

    /// A probe came back: the cool-down is over. `None` when another one is out, or none.
    #[must_use]
    pub fn cleared(self, id: u64) -> Option<Self> {
        let its = matches!(self.rest, Some(Rest::Probing(_, of)) if of == id);
        its.then_some(Self { rest: Some(Rest::Cleared(Duration::ZERO)), ..self })
    }

    /// A probe told nothing: another one may go. `None` when another one is out, or none.
    #[must_use]
    pub fn given_back(self, id: u64) -> Option<Self> {
        let its = matches!(self.rest, Some(Rest::Probing(_, of)) if of == id);
        its.then_some(Self { rest: Some(Rest::Blocked(Duration::ZERO)), ..self })
    }

    /// As it is in the minute after a cool-down.
    #[must_use]
    pub fn slowed(self) -> Self {
        Self { rest: Some(Rest::Cleared(Duration::ZERO)), ..self }
    }

    /// Without any cool-down.
    #[must_use]
    pub fn unslowed(self) -> Self {
        Self { rest: None, ..self }
    }

    /// Whether it says nothing any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }

    /// It as a value of this id, which no other value has.
    #[must_use]
    pub fn encode(&self, id: u64) -> Vec<u8> {
        let mut written = Written {
            id,
            common_ns: nanos(self.common),
            reserve_ns: nanos(self.reserve),
            ..Written::default()
        };
        match self.rest {
            None => {}
            Some(Rest::Blocked(left)) => written.blocked_ns = Some(nanos(left)),
            Some(Rest::Cleared(since)) => written.cleared_ns = Some(nanos(since)),
            Some(Rest::Probing(out, whose)) => {
                written.probing_ns = Some(nanos(out));
                written.probe = whose;
            }
        }
        sealed::seal(FORMAT, &written)
    }

    /// What was written as these bytes, and its id.
    ///
    /// # Errors
    /// When it is of another format.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u64), Unreadable> {
        let written: Written = sealed::open(FORMAT, bytes)?;
        let ns = Duration::from_nanos;
        let rest = match (written.blocked_ns, written.probing_ns, written.cleared_ns) {
            (Some(left), ..) => Some(Rest::Blocked(ns(left))),
            (None, Some(out), _) => Some(Rest::Probing(ns(out), written.probe)),
            (None, None, Some(since)) => Some(Rest::Cleared(ns(since))),
            (None, None, None) => None,
        };
        let (common, reserve) = (ns(written.common_ns), ns(written.reserve_ns));
        Ok((Self { common, reserve, rest }, written.id))
    }
}

fn nanos(of: Duration) -> u64 {
    u64::try_from(of.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(fixed64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    common_ns: u64,
    #[prost(uint64, tag = "3")]
    reserve_ns: u64,
    #[prost(uint64, optional, tag = "4")]
    blocked_ns: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    probing_ns: Option<u64>,
    #[prost(fixed64, tag = "6")]
    probe: u64,
    #[prost(uint64, optional, tag = "7")]
    cleared_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn terms() -> Terms {
        Terms {
            common: Quota { interval: S, burst: 3 },
            reserve: Some(Quota { interval: 10 * S, burst: 1 }),
            slow: 60 * S,
            probe: 10 * S,
        }
    }

    fn charged(pace: Pace, settling: bool) -> Result<(Pace, Granted), Refused> {
        pace.charged(&terms(), settling, 7)
    }

    #[test]
    fn a_burst_then_the_even_rate_and_the_reserve_beside_it() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace = charged(pace, false).unwrap().0;
        }
        assert_eq!(charged(pace, false), Err(Refused::Wait(S)));
        let pace = charged(pace, true).unwrap().0;
        assert_eq!(charged(pace, true), Err(Refused::Wait(S)), "the reserve is used up, too");
        assert!(charged(pace.aged(S, &terms()), false).is_ok());
        let ms = Duration::from_millis(1);
        assert_eq!(charged(pace.aged(S - ms, &terms()), false), Err(Refused::Wait(ms)));
    }

    #[test]
    fn a_cool_down_ends_with_one_probe_and_then_the_pace_is_halved() {
        let terms = terms();
        let pace = Pace::default().blocked(300 * S).blocked(S);
        assert_eq!(charged(pace, true), Err(Refused::Rests(300 * S)), "it is only extended");
        let pace = pace.aged(300 * S, &terms);
        let (probing, granted) = charged(pace, false).unwrap();
        assert_eq!(granted, Granted::Probe);
        assert_eq!(charged(probing, true), Err(Refused::Probed(S)));
        assert_eq!(probing.cleared(8), None, "somebody else's word");
        let late = probing.aged(10 * S, &terms);
        assert_eq!(charged(late, false).unwrap().1, Granted::Probe, "the first one was lost");
        let back = probing.given_back(7).unwrap();
        assert_eq!(charged(back.aged(S, &terms), false).unwrap().1, Granted::Probe);
        let cleared = probing.cleared(7).unwrap().aged(2 * S, &terms);
        let (slow, granted) = charged(cleared, false).unwrap();
        assert_eq!(granted, Granted::Usual);
        assert_eq!(charged(slow, false), Err(Refused::Wait(S)), "each counts double");
        assert!(cleared.aged(60 * S, &terms).is_idle());
        assert_eq!(charged(probing.blocked(5 * S), false), Err(Refused::Rests(5 * S)));
    }

    #[test]
    fn what_is_written_is_read() {
        let odd = Duration::from_nanos(1_500_001);
        for rest in
            [None, Some(Rest::Blocked(S)), Some(Rest::Probing(odd, 9)), Some(Rest::Cleared(S))]
        {
            let pace = Pace { common: odd, reserve: S, rest };
            assert_eq!(Pace::decode(&pace.encode(42)), Ok((pace, 42)));
        }
        assert!(Pace::decode(b"").is_err());
    }
}
