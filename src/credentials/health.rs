//! What QIWI has said about a credential.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is known about a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// QIWI has not been asked yet.
    Untried,
    /// QIWI accepts it.
    Accepted,
    /// QIWI answered 401: it is refused locally until its content changes.
    Rejected,
}

/// The answers QIWI gave to one token. Shared by everything that uses the same token.
#[derive(Debug, Default)]
pub struct Health {
    rejected: AtomicBool,
    /// Unix milliseconds, 0 for never.
    last_accepted: AtomicI64,
    last_rejected: AtomicI64,
}

impl Health {
    /// Notes an answer. The rejection stays: an acceptance that arrives later may belong to a
    /// request that left earlier, and QIWI never takes a blocked token back.
    pub fn note(&self, accepted: bool, now: SystemTime) {
        // Times are for people; nothing is decided by their order.
        if accepted {
            self.last_accepted.store(millis(now), Ordering::Relaxed);
        } else {
            self.last_rejected.store(millis(now), Ordering::Relaxed);
            self.rejected.store(true, Ordering::Release);
        }
    }

    /// Whether QIWI rejected it.
    pub fn is_rejected(&self) -> bool {
        self.rejected.load(Ordering::Acquire)
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
    fn a_rejection_outlives_a_late_acceptance() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let health = Health::default();
        assert_eq!(
            (health.status(), health.last_accepted()),
            (Status::Untried, None)
        );
        health.note(true, at(1));
        assert_eq!(
            (health.status(), health.last_accepted()),
            (Status::Accepted, Some(at(1)))
        );
        health.note(false, at(2));
        health.note(true, at(3));
        assert_eq!(health.status(), Status::Rejected);
        assert_eq!(
            (health.last_accepted(), health.last_rejected()),
            (Some(at(3)), Some(at(2)))
        );
    }
}
