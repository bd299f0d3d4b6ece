//! What is shown of the webhooks the gateway looks after; in memory only, for it is looked at anew
//! after a start.

use std::time::SystemTime;

/// How a webhook was when the gateway looked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The gateway's own, and its key is known.
    Registered,
    /// Somebody else's, which is left alone.
    Foreign,
    /// It could not be looked at, registered or its key learnt, for this reason.
    Failing(&'static str),
}

/// A state and since when it is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The state.
    pub state: State,
    /// When it began.
    pub since: SystemTime,
    /// When the gateway looked last.
    pub checked: SystemTime,
}

impl State {
    /// Whether two are the same but for the reason.
    const fn is_like(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Registered, Self::Registered)
                | (Self::Foreign, Self::Foreign)
                | (Self::Failing(_), Self::Failing(_))
        )
    }
}

impl Shown {
    /// After another look.
    pub fn next(before: Option<Self>, state: State, now: SystemTime) -> Self {
        let since = match before {
            Some(before) if before.state.is_like(state) => before.since,
            _ => now,
        };
        Self { state, since, checked: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_state_lasts_while_looks_find_the_same() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let first = Shown::next(None, State::Failing("A"), at(1));
        let second = Shown::next(Some(first), State::Failing("B"), at(2));
        assert_eq!(
            second,
            Shown { state: State::Failing("B"), since: at(1), checked: at(2) },
            "another reason is no other state"
        );
        let third = Shown::next(Some(second), State::Registered, at(3));
        assert_eq!((third.since, third.checked), (at(3), at(3)));
        assert_eq!(Shown::next(Some(third), State::Registered, at(4)).since, at(3));
    }
}
