//! How often the gateway asks QIWI about a wallet by itself: at most a fifth of what QIWI permits,
//! so that callers and payments in doubt never wait for it.
//!
//! Pacing, cool-downs and breakers of [`crate::upstream`] hold for these calls too; this comes
//! before them. What QIWI refuses one reader makes all readers of that wallet rest. QIWI PAY documents
//! no limit; its merchants have a pace of their own (`limit.merchant_per_minute`).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::config;
use crate::error::{Error, reason};
use crate::events::Owner;

/// History requests a period QIWI permits for one wallet.
const PERMITTED: u32 = 100;
/// The part of them that is used here: one in so many.
const PART: u32 = 5;
/// How many may come at once; rate and burst together are the part.
const BURST: u32 = 5;
/// The rest after a refusal that names no time.
const REST: Duration = Duration::from_secs(5);
/// The rest after a credential was refused.
const MENDED: Duration = Duration::from_secs(60);
/// The longest rest; what QIWI documents is five minutes.
const REST_MAX: Duration = Duration::from_secs(900);

/// How often, and how many at once.
#[derive(Debug, Clone, Copy)]
struct Pace {
    interval: Duration,
    burst: u32,
}

impl Pace {
    /// What may be ahead of time.
    fn free(self) -> Duration {
        self.interval * (self.burst - 1)
    }
}

#[derive(Debug, Clone, Copy)]
struct Paced {
    pace: Pace,
    /// When what was asked so far would be paid for at the even rate.
    paid: Instant,
    rests_until: Instant,
}

/// The budgets of all wallets.
pub(super) struct Budgets {
    of_wallets: Pace,
    of_merchants: Pace,
    paced: Mutex<HashMap<Owner, Paced>>,
}

impl Budgets {
    /// `one_asks` says that of all replicas one asks about a wallet; otherwise each has its part.
    pub(super) fn new(limit: &config::Limit, one_asks: bool) -> Self {
        let replicas = if one_asks { 1 } else { limit.replicas.max(1) };
        let whole = PERMITTED.min(
            limit
                .history_per_minute
                .saturating_add(limit.history_burst)
                .saturating_add(limit.history_reserve),
        );
        let part = (whole / PART / replicas).max(2);
        let burst = BURST.min(part / 2).max(1);
        let interval = limit.period / part.saturating_sub(burst).max(1);
        let of_wallets = Pace { interval, burst };
        let each = (limit.merchant_per_minute / replicas).max(1);
        // A second's worth may come at once.
        let of_merchants = Pace { interval: limit.period / each, burst: (each / 60).max(1) };
        Self { of_wallets, of_merchants, paced: Mutex::default() }
    }

    /// Takes a turn of a wallet, or tells when there is one.
    pub(super) fn try_turn(&self, owner: &Owner) -> Result<(), Duration> {
        self.take(owner, self.of_wallets)
    }

    /// The same for a merchant's site.
    pub(super) fn try_turn_of_merchant(&self, owner: &Owner) -> Result<(), Duration> {
        self.take(owner, self.of_merchants)
    }

    fn take(&self, owner: &Owner, pace: Pace) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.paced.lock();
        let paced = all.entry(*owner).or_insert(Paced { pace, paid: now, rests_until: now });
        // Whoever failed before the first turn was entered without knowing its sort.
        paced.pace = pace;
        if paced.rests_until > now {
            return Err(paced.rests_until - now);
        }
        let ahead = paced.paid.saturating_duration_since(now);
        if ahead > pace.free() {
            return Err(ahead - pace.free());
        }
        paced.paid = paced.paid.max(now) + pace.interval;
        Ok(())
    }

    /// Whether there is no turn now.
    pub(super) fn is_used_up(&self, owner: &Owner) -> bool {
        let now = Instant::now();
        let all = self.paced.lock();
        all.get(owner).is_some_and(|paced| {
            let ahead = paced.paid.saturating_duration_since(now);
            paced.rests_until > now || ahead > paced.pace.free()
        })
    }

    /// Waits for a turn.
    pub(super) async fn turn(&self, owner: &Owner) {
        while let Err(wait) = self.try_turn(owner) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Notes what a call failed with: what concerns the whole wallet makes it rest.
    pub(super) fn failed(&self, owner: &Owner, error: &Error) {
        let soon = [
            &reason::RATE_LIMITED_UPSTREAM,
            &reason::RATE_LIMITED_LOCAL,
            &reason::UPSTREAM_CIRCUIT_OPEN,
        ];
        // Until somebody mends them.
        let mended = [
            &reason::TOKEN_REJECTED,
            &reason::TOKEN_SCOPE_INSUFFICIENT,
            &reason::CERTIFICATE_REJECTED,
            &reason::SIGNATURE_REJECTED,
            &reason::MERCHANT_DISABLED,
            &reason::MERCHANT_SITE_NOT_FOUND,
            &reason::OPERATION_FORBIDDEN,
            &reason::ACCESS_DENIED,
        ];
        let is_one_of = |reasons: &[&reason::Reason]| reasons.contains(&error.reason());
        let rest = match error.delay() {
            Some(delay) if is_one_of(&soon) || is_one_of(&mended) => delay.min(REST_MAX),
            None if is_one_of(&soon) => REST,
            None if is_one_of(&mended) => MENDED,
            _ => return,
        };
        let until = Instant::now() + rest;
        let mut all = self.paced.lock();
        let fresh = Paced { pace: self.of_wallets, paid: Instant::now(), rests_until: until };
        let paced = all.entry(*owner).or_insert(fresh);
        paced.rests_until = paced.rests_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_than_a_fifth() {
        let budgets = Budgets::new(&Config::default().limit, false);
        let (one, other) = (Owner::from_bytes([1; 16]), Owner::from_bytes([2; 16]));
        let mut taken = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(300) {
            budgets.turn(&one).await;
            taken.push(Instant::now());
            let minute = taken.iter().filter(|at| at.elapsed() < Duration::from_secs(60)).count();
            assert!(minute <= 20, "{minute}");
        }
        assert!(taken.len() >= 70, "{}", taken.len());
        assert_eq!(budgets.try_turn(&other), Ok(()), "each wallet has its own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_merchant_has_a_pace_of_its_own() {
        let budgets = Budgets::new(&Config::default().limit, false);
        let site = Owner::from_bytes([3; 16]);
        let begun = Instant::now();
        for _ in 0..60 {
            while let Err(wait) = budgets.try_turn_of_merchant(&site) {
                assert!(budgets.is_used_up(&site));
                tokio::time::sleep(wait).await;
            }
        }
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(4) && took <= Duration::from_secs(6), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_makes_the_whole_wallet_rest() {
        let budgets = Budgets::new(&Config::default().limit, false);
        let owner = Owner::from_bytes([1; 16]);
        let error = Error::new(&reason::RATE_LIMITED_UPSTREAM);
        budgets.failed(&owner, &error.retry_after(Duration::from_secs(300)));
        budgets.failed(&owner, &Error::new(&reason::UPSTREAM_TIMEOUT));
        let begun = Instant::now();
        budgets.turn(&owner).await;
        assert!(begun.elapsed() >= Duration::from_secs(300));
    }
}
