//! Cool-downs: after QIWI said "too many requests" nothing more is sent for a while.
//!
//! QIWI answers 423 (not 429) to too many requests; the payment history then stays blocked for five
//! minutes, and asking during the block helps nobody. A cool-down belongs to a token (or wallet) and
//! an API area, is only ever extended, and ends with one probe: the first request started after the
//! end goes alone, and its success clears the level. For one period afterwards the pace is halved.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::subject::{Subject, Subjects};
use crate::config;
use crate::policy::Area;

/// How long the pace stays halved after a cool-down.
const SLOW_PERIOD: Duration = Duration::from_secs(60);
/// How long a probe may be out before another one is let through.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// Steps of doubling for areas without a documented block.
const LEVEL_MAX: u32 = 6;

#[derive(Debug, Clone, Copy)]
struct Cooling {
    until: Instant,
    /// How many blocks in a row; each doubles the next one where no length is documented.
    level: u32,
    /// When the probe went out, while none has come back.
    probing: Option<Instant>,
    /// Set when a probe succeeded.
    cleared: Option<Instant>,
}

/// Whether a request may go out now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Yes.
    Free,
    /// Yes, but the last block is less than a minute ago.
    Slow,
    /// Not before this much time has passed.
    Wait(Duration),
}

/// All cool-downs of this process.
pub struct Cooldowns {
    settings: config::Cooldown,
    cooling: Mutex<HashMap<(Subject, Area), Cooling>>,
}

impl Cooldowns {
    /// No one is cooling down yet.
    pub fn new(settings: config::Cooldown) -> Self {
        Self { settings, cooling: Mutex::new(HashMap::new()) }
    }

    /// Asks before a request; may hand out the probe.
    pub fn ask(&self, subjects: Subjects, area: Area) -> Pace {
        let mut cooling = self.cooling.lock();
        if cooling.is_empty() {
            return Pace::Free;
        }
        let now = Instant::now();
        let mut pace = Pace::Free;
        for subject in subjects.iter() {
            let Some(state) = cooling.get(&(subject, area)) else { continue };
            if now < state.until {
                let left = state.until - now;
                if !matches!(pace, Pace::Wait(longer) if longer >= left) {
                    pace = Pace::Wait(left);
                }
            } else if state.cleared.is_none()
                && state.probing.is_some_and(|out| now < out + PROBE_MAX)
            {
                if !matches!(pace, Pace::Wait(_)) {
                    pace = Pace::Wait(Duration::from_secs(1));
                }
            } else if pace == Pace::Free {
                pace = Pace::Slow;
            }
        }
        if pace == Pace::Slow {
            for subject in subjects.iter() {
                if let Some(state) = cooling.get_mut(&(subject, area))
                    && state.cleared.is_none()
                {
                    state.probing = Some(now);
                }
            }
        }
        pace
    }

    /// QIWI refused with "too many requests"; returns how long nothing will be sent.
    pub fn block(
        &self,
        subjects: Subjects,
        area: Area,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Duration {
        let now = Instant::now();
        let mut cooling = self.cooling.lock();
        let mut longest = Duration::ZERO;
        for subject in subjects.iter() {
            let previous = cooling.get(&(subject, area)).copied();
            let level = match previous {
                // Requests already on the wire when the block began say nothing new.
                Some(state) if now < state.until => state.level,
                Some(state) if state.cleared.is_none() => (state.level + 1).min(LEVEL_MAX),
                _ => 0,
            };
            let base = match (retry_after, area) {
                (Some(delay), _) => delay.clamp(Duration::from_secs(1), self.settings.max),
                (None, Area::History) => self.settings.history,
                (None, _) => (self.settings.other * 2u32.pow(level)).min(self.settings.max),
            };
            let share = self.settings.jitter_percent.fraction() * jitter.clamp(0.0, 1.0);
            let mut until = now + base.mul_f64(1.0 + share);
            if let Some(state) = previous {
                until = until.max(state.until);
            }
            longest = longest.max(until - now);
            cooling.insert((subject, area), Cooling { until, level, probing: None, cleared: None });
        }
        longest
    }

    /// Somebody else was refused: nothing is sent before a moment.
    pub fn extend(&self, subjects: Subjects, area: Area, until: Instant) {
        let mut cooling = self.cooling.lock();
        for subject in subjects.iter() {
            let state = cooling.get(&(subject, area)).copied();
            if state.is_none_or(|state| state.until < until) {
                let level = state.map_or(0, |state| state.level);
                let state = Cooling { until, level, probing: None, cleared: None };
                cooling.insert((subject, area), state);
            }
        }
    }

    /// A request started at `started` succeeded.
    pub fn succeeded(&self, subjects: Subjects, area: Area, started: Instant) {
        let mut cooling = self.cooling.lock();
        if cooling.is_empty() {
            return;
        }
        let now = Instant::now();
        for subject in subjects.iter() {
            let key = (subject, area);
            let Some(state) = cooling.get_mut(&key) else { continue };
            match state.cleared {
                Some(cleared) if now >= cleared + SLOW_PERIOD => {
                    cooling.remove(&key);
                }
                Some(_) => {}
                // Only a request that began after the block ended proves that it ended.
                None if started >= state.until => {
                    state.cleared = Some(now);
                    state.probing = None;
                }
                None => {}
            }
        }
    }

    /// A request ended without telling whether the block is over; gives the probe back.
    pub fn inconclusive(&self, subjects: Subjects, area: Area) {
        let mut cooling = self.cooling.lock();
        if cooling.is_empty() {
            return;
        }
        for subject in subjects.iter() {
            if let Some(state) = cooling.get_mut(&(subject, area)) {
                state.probing = None;
            }
        }
    }

    /// How many subjects cool down in an area now.
    pub fn active(&self, area: Area) -> usize {
        let now = Instant::now();
        let cooling = self.cooling.lock();
        cooling.iter().filter(|((_, of), state)| *of == area && now < state.until).count()
    }

    /// Forgets what ended long ago.
    pub fn tidy(&self) {
        let now = Instant::now();
        let keep = self.settings.max + SLOW_PERIOD;
        self.cooling.lock().retain(|_, state| now < state.until + keep);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;
    use crate::credentials::Wallet;

    fn subject() -> Subjects {
        Subject::of(None, Some(&Wallet::parse("79990000001").unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn history_rests_five_minutes_then_probes_once_then_goes_slowly() {
        let cooldowns = Cooldowns::new(Config::default().cooldown);
        let rest = cooldowns.block(subject(), Area::History, None, 0.0);
        assert_eq!(rest, Duration::from_secs(300));
        assert_eq!(cooldowns.ask(subject(), Area::History), Pace::Wait(rest));
        assert_eq!(cooldowns.ask(subject(), Area::Balance), Pace::Free);
        tokio::time::advance(rest).await;
        let started = Instant::now();
        assert_eq!(cooldowns.ask(subject(), Area::History), Pace::Slow);
        assert!(matches!(cooldowns.ask(subject(), Area::History), Pace::Wait(_)), "one probe only");
        cooldowns.succeeded(subject(), Area::History, started);
        assert_eq!(cooldowns.ask(subject(), Area::History), Pace::Slow);
        assert_eq!(cooldowns.ask(subject(), Area::History), Pace::Slow);
        tokio::time::advance(SLOW_PERIOD).await;
        cooldowns.succeeded(subject(), Area::History, Instant::now());
        assert_eq!(cooldowns.ask(subject(), Area::History), Pace::Free);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cool_down_is_only_extended() {
        let cooldowns = Cooldowns::new(Config::default().cooldown);
        cooldowns.block(subject(), Area::History, None, 1.0);
        let rest = cooldowns.block(subject(), Area::History, Some(Duration::from_secs(1)), 0.0);
        assert!(rest >= Duration::from_secs(300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_from_before_the_block_does_not_clear_it() {
        let cooldowns = Cooldowns::new(Config::default().cooldown);
        let started = Instant::now();
        let rest = cooldowns.block(subject(), Area::Balance, None, 0.0);
        cooldowns.succeeded(subject(), Area::Balance, started);
        assert_eq!(cooldowns.ask(subject(), Area::Balance), Pace::Wait(rest));
    }

    #[tokio::test(start_paused = true)]
    async fn blocks_in_a_row_double_where_no_length_is_documented() {
        let cooldowns = Cooldowns::new(Config::default().cooldown);
        let mut rests = Vec::new();
        for _ in 0..4 {
            let rest = cooldowns.block(subject(), Area::Balance, None, 0.0);
            rests.push(rest.as_secs());
            tokio::time::advance(rest).await;
            assert_eq!(cooldowns.ask(subject(), Area::Balance), Pace::Slow);
        }
        assert_eq!(rests, [5, 10, 20, 40]);
    }
}
