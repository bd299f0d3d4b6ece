//! What QIWI has said about a credential.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// So many 401 in a row and the token is held back: one may be a hiccup of QIWI, a storm of them
/// helps nobody and may cost the wallet.
const HELD_BACK_AFTER: u32 = 3;
/// How long it is held back before one more request may ask.
const HELD_BACK_FOR: Duration = Duration::from_secs(30);

/// What is known about a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// QIWI has not been asked yet.
    Untried,
    /// QIWI accepts it.
    Accepted,
    /// QIWI's last answer to it was 401.
    Rejected,
}

/// The answers QIWI gave to one token. Shared by everything that uses the same token.
#[derive(Debug, Default)]
pub struct Health {
    rejected_in_a_row: AtomicU32,
    /// Unix milliseconds, 0 for never.
    last_accepted: AtomicI64,
    last_rejected: AtomicI64,
}

impl Health {
    /// Notes an answer.
    pub fn note(&self, accepted: bool, now: SystemTime) {
        if accepted {
            self.last_accepted.store(millis(now), Ordering::Relaxed);
            self.rejected_in_a_row.store(0, Ordering::Release);
        } else {
            self.last_rejected.store(millis(now), Ordering::Relaxed);
            self.rejected_in_a_row.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether QIWI's last answer was a rejection.
    pub fn is_rejected(&self) -> bool {
        self.rejected_in_a_row.load(Ordering::Acquire) > 0
    }

    /// Whether nothing should be sent with this token for now.
    pub fn is_held_back(&self, now: SystemTime) -> bool {
        self.rejected_in_a_row.load(Ordering::Acquire) >= HELD_BACK_AFTER
            && self
                .last_rejected()
                .is_some_and(|at| now.duration_since(at).unwrap_or(Duration::ZERO) < HELD_BACK_FOR)
    }

    /// What is known.
    pub fn status(&self) -> Status {
        if self.is_rejected() {
            Status::Rejected
        } else if self.last_accepted().is_some() {
            Status::Accepted
        } else {
            Status::Untried
        }
    }

    /// When QIWI last accepted it.
    pub fn last_accepted(&self) -> Option<SystemTime> {
        time(self.last_accepted.load(Ordering::Relaxed))
    }

    /// When QIWI last rejected it.
    pub fn last_rejected(&self) -> Option<SystemTime> {
        time(self.last_rejected.load(Ordering::Relaxed))
    }
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // At least 1: 0 means never. A clock before 1970 is as good as one at 1970.
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn time(millis: i64) -> Option<SystemTime> {
    let millis = u64::try_from(millis).ok().filter(|millis| *millis > 0)?;
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_held_back_after_three_rejections_and_may_ask_again_later() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let health = Health::default();
        assert_eq!((health.status(), health.last_accepted()), (Status::Untried, None));
        health.note(true, at(1));
        assert_eq!((health.status(), health.last_accepted()), (Status::Accepted, Some(at(1))));
        for second in 2..5 {
            assert!(!health.is_held_back(at(second)));
            health.note(false, at(second));
            assert_eq!(health.status(), Status::Rejected);
        }
        assert!(health.is_held_back(at(5)));
        assert!(!health.is_held_back(at(34)));
        health.note(true, at(34));
        assert_eq!(health.status(), Status::Accepted);
        assert!(!health.is_held_back(at(35)));
    }
}
