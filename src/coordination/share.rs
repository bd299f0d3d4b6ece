//! Which part of what QIWI permits is taken in turns by all replicas, and which each may use alone.
//!
//! Four fifths are shared. The last fifth is divided among the replicas, for the times when one
//! cannot reach the others. Both count by themselves and never give anything to each other, so that
//! their sum holds whoever can reach whom, and while that changes.

use std::time::Duration;

use super::pace::{Quota, Terms};
use crate::config;

/// Of so many parts all but one are shared.
const PARTS: u32 = 5;
/// How long the pace stays halved after a cool-down.
const SLOW: Duration = Duration::from_secs(60);
/// How long a probe may be out before another one is let through.
const PROBE: Duration = Duration::from_secs(10);

/// What a replica may do together with the others, and alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// In turns with all others.
    pub shared: Terms,
    /// Alone; nothing where there are more replicas than permits.
    pub own: Option<Terms>,
    /// After this long nothing counts any more.
    pub window: Duration,
}

/// So many requests in a window, of which `burst` may come at once.
fn quota(requests: u32, burst: u32, window: Duration) -> Quota {
    let burst = burst.clamp(1, requests.max(1));
    match requests.saturating_sub(burst) {
        // Not a second time within the window.
        0 => Quota { interval: window + Duration::from_millis(1), burst },
        rate => Quota { interval: window / rate, burst },
    }
}

/// A fifth less; at least one.
fn shared(of: u32) -> u32 {
    (of - of.div_ceil(PARTS)).max(1)
}

impl Shares {
    /// The parts of this limit. `late` is how long after its turn a request may reach QIWI: what is
    /// permitted in a minute is spread over as much more.
    #[must_use]
    pub fn new(limit: &config::Limit, late: Duration) -> Self {
        let window = limit.period + late;
        let terms = |common, reserve| Terms { common, reserve, slow: SLOW, probe: PROBE };
        let (rate, burst) = (shared(limit.history_per_minute), shared(limit.history_burst));
        let reserve = shared(limit.history_reserve);
        let all = limit.history_per_minute + limit.history_burst + limit.history_reserve;
        let own = all.saturating_sub(rate + burst + reserve) / limit.replicas.max(1);
        // Of one permit nothing is kept apart: it is for whoever comes first.
        let kept = if own < 2 { 0 } else { (own * limit.history_reserve / all).max(1) };
        let own = own.checked_sub(kept).filter(|common| *common > 0).map(|common| {
            let reserve = (kept > 0).then(|| quota(kept, kept / 3, window));
            terms(quota(common, common / 8, window), reserve)
        });
        Self {
            shared: terms(
                quota(rate + burst, burst, window),
                // Part of the reserve may come at once: the looks after one payment lie close
                // together.
                Some(quota(reserve, reserve / 3, window)),
            ),
            own,
            window,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;

    /// Most requests of any window.
    fn most(terms: &Terms, window: Duration) -> u128 {
        let of =
            |quota: &Quota| u128::from(quota.burst) + window.as_nanos() / quota.interval.as_nanos();
        of(&terms.common) + terms.reserve.as_ref().map_or(0, of)
    }

    #[test]
    fn the_parts_together_are_never_more_than_the_whole() {
        for replicas in 1..=60 {
            for (rate, burst, reserve) in
                [(80, 10, 10), (98, 1, 1), (1, 1, 2), (1, 97, 2), (40, 9, 50)]
            {
                let mut limit = Config::default().limit;
                (limit.history_per_minute, limit.history_burst) = (rate, burst);
                (limit.history_reserve, limit.replicas) = (reserve, replicas);
                let shares = Shares::new(&limit, Duration::from_millis(1300));
                let own = shares.own.map_or(0, |own| most(&own, shares.window));
                let all = most(&shares.shared, shares.window) + own * u128::from(replicas);
                let whole = u128::from((rate + burst + reserve).max(5));
                assert!(all <= whole, "{replicas} {rate} {burst} {reserve}: {all}");
            }
        }
    }

    #[test]
    fn the_usual_parts_leave_little_unused() {
        let mut limit = Config::default().limit;
        limit.replicas = 3;
        let shares = Shares::new(&limit, Duration::ZERO);
        let window = limit.period;
        assert_eq!((most(&shares.shared, window), shares.shared.common.burst), (80, 8));
        let own = shares.own.unwrap();
        assert_eq!((most(&own, window), own.reserve.is_some()), (6, true));
        limit.replicas = 20;
        let own = Shares::new(&limit, Duration::ZERO).own.unwrap();
        assert_eq!((most(&own, window), own.reserve), (1, None));
        limit.replicas = 21;
        assert_eq!(Shares::new(&limit, Duration::ZERO).own, None);
    }
}
