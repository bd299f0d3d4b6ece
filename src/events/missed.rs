//! Whose notifications could not be stored for a time.
//!
//! QIWI is asked to come again then, and does after ten minutes. The history tells sooner: it is
//! compared as soon as the log works again.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Credentials noted at once; their names come from addresses, which anybody can make up.
const NOTED_MAX: usize = 1000;

/// From when to when notifications of a credential were not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first one: Unix milliseconds.
    pub since_ms: i64,
    /// The last one so far.
    pub until_ms: i64,
}

/// Whose notifications could not be stored.
#[derive(Debug, Default)]
pub struct Missed(Mutex<HashMap<Arc<str>, Gap>>);

impl Missed {
    /// Notes one that was not stored.
    pub fn note(&self, credential: &str, now_ms: i64) {
        let mut gaps = self.0.lock();
        if let Some(gap) = gaps.get_mut(credential) {
            gap.until_ms = gap.until_ms.max(now_ms);
        } else if gaps.len() < NOTED_MAX {
            gaps.insert(credential.into(), Gap { since_ms: now_ms, until_ms: now_ms });
        }
    }

    /// Whether nothing is missing for anybody.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// What was not stored for a credential.
    pub fn of(&self, credential: &str) -> Option<Gap> {
        self.0.lock().get(credential).copied()
    }

    /// The history was compared; what was noted since is kept.
    pub fn settled(&self, credential: &str, gap: Gap) {
        let mut gaps = self.0.lock();
        match gaps.get_mut(credential) {
            Some(now) if *now == gap => {
                gaps.remove(credential);
            }
            Some(now) => now.since_ms = gap.until_ms,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_while_the_history_is_compared_stays() {
        let missed = Missed::default();
        missed.note("main", 5);
        missed.note("main", 7);
        let gap = Gap { since_ms: 5, until_ms: 7 };
        assert_eq!(missed.of("main"), Some(gap));
        missed.note("main", 9);
        missed.settled("main", gap);
        let rest = Gap { since_ms: 7, until_ms: 9 };
        assert_eq!(missed.of("main"), Some(rest));
        missed.settled("main", rest);
        assert_eq!(missed.of("main"), None);
        assert!(missed.is_empty());
    }

    #[test]
    fn names_are_bounded() {
        let missed = Missed::default();
        for name in 0..2 * NOTED_MAX {
            missed.note(&name.to_string(), 1);
        }
        assert_eq!(missed.0.lock().len(), NOTED_MAX);
    }
}
