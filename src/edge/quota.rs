//! How many calls a caller may make: one that runs wild must not take the others' time.
//!
//! Each caller that has a limit has one bucket (GCRA), which lives for as long as the limit stays the
//! same, whatever else of the policy changes. The limit is this process's; replicas do not share it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use crate::credentials::{Caller, Rate};
use crate::error::{Error, reason};
use crate::upstream::clock::TokioClock;

type Bucket = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>;

/// The buckets of all callers.
#[derive(Default)]
pub struct Quotas {
    clock: TokioClock,
    callers: Mutex<HashMap<Arc<str>, Limited>>,
}

/// A caller's limit and what is left of it.
struct Limited {
    rate: Rate,
    bucket: Arc<Bucket>,
}

impl Quotas {
    /// All buckets full.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one call of a caller.
    ///
    /// # Errors
    /// `RATE_LIMITED_LOCAL` with the time until the next one.
    pub fn charge(&self, caller: &Caller) -> Result<(), Error> {
        let Some(rate) = caller.rate else { return Ok(()) };
        self.bucket(&caller.name, rate).check().map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            Error::new(&reason::RATE_LIMITED_LOCAL)
                .retry_after(wait.max(WAIT_MIN))
                .quota("gateway:caller_rate", "The caller may make so many calls a second.")
        })
    }

    fn bucket(&self, name: &Arc<str>, rate: Rate) -> Arc<Bucket> {
        let mut callers = self.callers.lock();
        if let Some(known) = callers.get(name).filter(|known| known.rate == rate) {
            return Arc::clone(&known.bucket);
        }
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let bucket = Arc::new(RateLimiter::direct_with_clock(quota, self.clock));
        callers.insert(Arc::clone(name), Limited { rate, bucket: Arc::clone(&bucket) });
        bucket
    }
}

/// A shorter wait could not be told in whole milliseconds.
const WAIT_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::CallerConfig;

    fn caller(per_second: u32, burst: u32) -> Caller {
        let config = CallerConfig {
            calls_per_second: per_second,
            calls_burst: burst,
            ..CallerConfig::default()
        };
        Caller::new("shop", &config)
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_gets_its_burst_and_then_its_rate_whatever_else_changes() {
        let quotas = Quotas::new();
        let taken = |of: &Caller| (0..100).take_while(|_| quotas.charge(of).is_ok()).count();
        assert_eq!(taken(&caller(0, 0)), 100, "no limit");
        assert_eq!(taken(&caller(10, 3)), 3);
        // A policy that is read again, with the same limit, is the same bucket.
        assert_eq!(taken(&caller(10, 3)), 0);
        tokio::time::advance(Duration::from_millis(201)).await;
        assert_eq!(taken(&caller(10, 3)), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(taken(&caller(10, 3)), 3, "never more than the burst");
        assert_eq!(taken(&caller(10, 5)), 5, "a new limit begins anew");
        let error = quotas.charge(&caller(10, 5)).unwrap_err();
        assert_eq!(error.reason().name, "RATE_LIMITED_LOCAL");
    }
}
