//! Pacing of the payment history, so that QIWI never has a reason to block a wallet.
//!
//! QIWI allows 100 history requests a minute for one wallet number and answers everything for five
//! minutes with 423 beyond that (wallet documents, "Payment history"). The limiter is a GCRA whose
//! burst plus rate stays at or below 100, because a burst on top of the rate counts in the same
//! sliding minute. It is charged directly before each attempt goes on the wire, retries included,
//! and never refunded.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{InsufficientCapacity, NotUntil, Quota, RateLimiter};

use super::clock::TokioClock;
use super::subject::{Subject, Subjects};
use crate::config;

type Keyed = RateLimiter<Subject, DashMapStateStore<Subject>, TokioClock, NoOpMiddleware<Nanos>>;

/// The limiter of the history area.
pub struct HistoryLimiter {
    keyed: Keyed,
    reserve: Keyed,
    clock: TokioClock,
    shadow: bool,
}

impl HistoryLimiter {
    /// Builds the limiter for this replica's share of the quota.
    pub fn new(limit: &config::Limit) -> Self {
        // Each replica gets its part of the quota, less a tenth for clocks and restarts.
        let share = |whole: u32| match limit.replicas {
            0 | 1 => whole,
            n => (whole / n * 9 / 10).max(1),
        };
        let quota = |rate: u32, burst: u32| {
            let rate = NonZeroU32::new(share(rate)).unwrap_or(NonZeroU32::MIN);
            let burst = NonZeroU32::new(share(burst)).unwrap_or(NonZeroU32::MIN);
            let period = (limit.period / rate.get()).max(Duration::from_nanos(1));
            Quota::with_period(period).unwrap_or_else(|| Quota::per_minute(rate)).allow_burst(burst)
        };
        // Part of the reserve may come at once: the looks after one payment lie close together.
        let burst = (limit.history_reserve / 3).max(1);
        let reserve = quota(limit.history_reserve.saturating_sub(burst), burst);
        let quota = quota(limit.history_per_minute, limit.history_burst);
        let clock = TokioClock::new();
        Self {
            keyed: RateLimiter::new(quota, DashMapStateStore::default(), clock),
            reserve: RateLimiter::new(reserve, DashMapStateStore::default(), clock),
            clock,
            shadow: limit.shadow,
        }
    }

    /// Charges one request, or tells how long to wait before asking again.
    ///
    /// `half_speed` makes a request cost double: the minute after a cool-down goes slower.
    /// `settling` requests, which find out what became of a payment, have a part of their own and
    /// take from the common one when that is used up.
    pub fn charge(
        &self,
        subjects: Subjects,
        half_speed: bool,
        settling: bool,
    ) -> Result<(), Duration> {
        if settling && Self::charge_in(&self.reserve, self.clock, subjects, half_speed).is_ok() {
            return Ok(());
        }
        Self::charge_in(&self.keyed, self.clock, subjects, half_speed)
    }

    fn charge_in(
        keyed: &Keyed,
        clock: TokioClock,
        subjects: Subjects,
        half_speed: bool,
    ) -> Result<(), Duration> {
        let cost = if half_speed { NonZeroU32::MIN.saturating_add(1) } else { NonZeroU32::MIN };
        let mut wait = Duration::ZERO;
        for subject in subjects.iter() {
            if let Err(refused) = charge_one(keyed, &subject, cost) {
                wait = wait.max(refused.wait_time_from(clock.now()));
            }
        }
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Whether refusals are only counted.
    pub fn is_shadow(&self) -> bool {
        self.shadow
    }

    /// Forgets subjects whose quota is whole again.
    pub fn tidy(&self) {
        for keyed in [&self.keyed, &self.reserve] {
            keyed.retain_recent();
            keyed.shrink_to_fit();
        }
    }
}

fn charge_one(keyed: &Keyed, subject: &Subject, cost: NonZeroU32) -> Result<(), NotUntil<Nanos>> {
    match keyed.check_key_n(subject, cost) {
        Ok(result) => result,
        // A burst of one cannot hold a double cost; then a single one has to do.
        Err(InsufficientCapacity(_)) => keyed.check_key(subject),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::config::Config;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use tokio::time::Instant;

    fn wallet(number: &str) -> Subjects {
        let wallet = crate::credentials::Wallet::parse(number).unwrap();
        Subject::of(None, Some(&wallet))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_sliding_minute_holds_more_than_a_hundred(gaps in prop::collection::vec(0u64..3000, 1..600)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let limiter = HistoryLimiter::new(&Config::default().limit);
                let subject = wallet("79990000001");
                let mut sent: VecDeque<Instant> = VecDeque::new();
                for gap in gaps {
                    tokio::time::advance(Duration::from_millis(gap)).await;
                    for _ in 0..8 {
                        for settling in [false, true] {
                            if limiter.charge(subject, false, settling).is_ok() {
                                sent.push_back(Instant::now());
                            }
                        }
                    }
                    while sent.front().is_some_and(|at| at.elapsed() >= Duration::from_secs(60)) {
                        sent.pop_front();
                    }
                    assert!(sent.len() <= 100, "{} in one minute", sent.len());
                }
            });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_cannot_use_up_the_reserve() {
        let limiter = HistoryLimiter::new(&Config::default().limit);
        let subject = wallet("79990000001");
        while limiter.charge(subject, false, false).is_ok() {}
        assert!(limiter.charge(subject, false, true).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn another_wallet_is_not_affected() {
        let limiter = HistoryLimiter::new(&Config::default().limit);
        while limiter.charge(wallet("79990000001"), false, false).is_ok() {}
        assert!(limiter.charge(wallet("79990000002"), false, false).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_stated_wait_is_enough_and_not_more_than_a_second() {
        let limiter = HistoryLimiter::new(&Config::default().limit);
        let subject = wallet("79990000001");
        let wait = loop {
            if let Err(wait) = limiter.charge(subject, false, false) {
                break wait;
            }
        };
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        tokio::time::advance(wait).await;
        assert!(limiter.charge(subject, false, false).is_ok());
    }
}
