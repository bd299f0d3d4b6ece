//! A circuit breaker for one host and area.
//!
//! Two signals trip it: five hard failures in a row (a dead host is noticed at once, also under low
//! load), or fewer than half of at least twenty requests in ten seconds succeeding (a host that
//! fails often but not always). Hard failures are connection and TLS errors, timeouts and 5xx.
//! Answers about one token (401, 403, 423, 429) say nothing about the host, unless three different
//! tokens meet them within ten seconds.
//!
//! Open lasts one second at first and doubles to thirty, with jitter; then exactly one read goes as
//! a probe. When it succeeds the host gets a quarter, half and then all of its places over ten
//! seconds. A probe that is dropped gives its place back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::subject::Subject;
use crate::config;
use crate::policy::Class;
pub use crate::telemetry::BreakerState as Position;

const BUCKETS: usize = 10;
const DISTINCT_TOKENS: usize = 3;

/// What an attempt says about the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The host answered as it should.
    Good,
    /// Connection or TLS failure, timeout, 5xx.
    Bad,
    /// An answer about one token.
    Token(Option<Subject>),
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    second: u64,
    good: u32,
    bad: u32,
}

#[derive(Debug)]
struct State {
    position: Position,
    in_a_row: u32,
    ring: [Bucket; BUCKETS],
    open_until: Instant,
    open_for: Duration,
    probe_out: bool,
    ramp_start: Instant,
    in_flight: usize,
    tokens: Vec<(Subject, Instant)>,
}

/// The breaker; cheap to clone.
#[derive(Clone)]
pub struct Breaker {
    shared: Arc<Shared>,
}

struct Shared {
    settings: config::Breaker,
    places: usize,
    start: Instant,
    state: Mutex<State>,
    /// Called with every change of position, outside the lock.
    changed: Box<dyn Fn(Position) + Send + Sync>,
}

/// Permission for one attempt; report a verdict with it, or drop it.
pub struct Permit {
    breaker: Breaker,
    probe: bool,
    reported: bool,
}

impl Breaker {
    /// A closed breaker for a host with `places` concurrent requests.
    pub fn new(
        settings: config::Breaker,
        places: usize,
        changed: impl Fn(Position) + Send + Sync + 'static,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared: Arc::new(Shared {
                places,
                start: now,
                state: Mutex::new(State {
                    position: Position::Closed,
                    in_a_row: 0,
                    ring: [Bucket::default(); BUCKETS],
                    open_until: now,
                    open_for: settings.open_min,
                    probe_out: false,
                    ramp_start: now,
                    in_flight: 0,
                    tokens: Vec::new(),
                }),
                settings,
                changed: Box::new(changed),
            }),
        }
    }

    /// Asks to send; `Err` tells how long the breaker stays open.
    ///
    /// Only reads probe: nobody wants to learn from a payment whether a host is back.
    pub fn admit(&self, class: Class) -> Result<Permit, Duration> {
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        let mut moved = None;
        let probe = match state.position {
            Position::Closed => false,
            Position::Ramp => {
                let since = now.duration_since(state.ramp_start);
                if since >= self.shared.settings.ramp {
                    state.position = Position::Closed;
                    state.open_for = self.shared.settings.open_min;
                    moved = Some(Position::Closed);
                } else {
                    let share = if since < self.shared.settings.ramp / 3 { 4 } else { 2 };
                    if state.in_flight >= (self.shared.places / share).max(1) {
                        return Err(Duration::from_millis(100));
                    }
                }
                false
            }
            Position::Open if now < state.open_until => return Err(state.open_until - now),
            Position::Open | Position::HalfOpen => {
                if state.probe_out || class != Class::Read {
                    return Err(self.shared.settings.open_min);
                }
                state.probe_out = true;
                if state.position != Position::HalfOpen {
                    state.position = Position::HalfOpen;
                    moved = Some(Position::HalfOpen);
                }
                true
            }
        };
        state.in_flight += 1;
        drop(state);
        if let Some(position) = moved {
            (self.shared.changed)(position);
        }
        Ok(Permit { breaker: self.clone(), probe, reported: false })
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.shared.state.lock().position
    }

    fn report(&self, probe: bool, verdict: Option<Verdict>) {
        let now = Instant::now();
        let settings = &self.shared.settings;
        let mut state = self.shared.state.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        if probe {
            state.probe_out = false;
        }
        let verdict = match verdict {
            None => None,
            Some(Verdict::Token(token)) => {
                state.tokens.retain(|(_, at)| now.duration_since(*at) < settings.window);
                if let Some(token) = token
                    && !state.tokens.iter().any(|(seen, _)| *seen == token)
                {
                    state.tokens.push((token, now));
                }
                // A rate-limit answer fails the probe; elsewhere one token's trouble is its own.
                (probe || state.tokens.len() >= DISTINCT_TOKENS).then_some(false)
            }
            Some(Verdict::Good) => Some(true),
            Some(Verdict::Bad) => Some(false),
        };
        let before = state.position;
        match (verdict, state.position) {
            (None, _) | (Some(_), Position::Open) => {}
            (Some(true), Position::HalfOpen) if probe => {
                state.position = Position::Ramp;
                state.ramp_start = now;
                state.in_a_row = 0;
                state.ring = [Bucket::default(); BUCKETS];
            }
            (Some(false), Position::HalfOpen) if probe => {
                let longer = (state.open_for * 2).min(settings.open_max);
                Self::open(&mut state, longer, settings, now);
            }
            (Some(_), Position::HalfOpen) => {}
            (Some(good), Position::Closed | Position::Ramp) => {
                let second = now.duration_since(self.shared.start).as_millis() as u64
                    / (settings.window.as_millis() as u64 / BUCKETS as u64).max(1);
                let index = (second % BUCKETS as u64) as usize;
                if let Some(bucket) = state.ring.get_mut(index) {
                    if bucket.second != second {
                        *bucket = Bucket { second, ..Bucket::default() };
                    }
                    if good {
                        bucket.good += 1;
                    } else {
                        bucket.bad += 1;
                    }
                }
                if good {
                    state.in_a_row = 0;
                } else {
                    state.in_a_row += 1;
                    if state.in_a_row >= settings.consecutive_failures
                        || Self::too_many_failed(&state, settings, second)
                    {
                        let open_for = if before == Position::Ramp {
                            (state.open_for * 2).min(settings.open_max)
                        } else {
                            settings.open_min
                        };
                        Self::open(&mut state, open_for, settings, now);
                    }
                }
            }
        }
        let after = state.position;
        drop(state);
        if before != after {
            (self.shared.changed)(after);
        }
    }

    fn too_many_failed(state: &State, settings: &config::Breaker, second: u64) -> bool {
        let recent = state.ring.iter().filter(|bucket| bucket.second + BUCKETS as u64 > second);
        let (good, bad) = recent.fold((0u64, 0u64), |(good, bad), bucket| {
            (good + u64::from(bucket.good), bad + u64::from(bucket.bad))
        });
        let all = good + bad;
        all >= u64::from(settings.samples_min)
            && good * 100 < all * u64::from(settings.success_percent_min.get())
    }

    fn open(state: &mut State, open_for: Duration, settings: &config::Breaker, now: Instant) {
        let jitter = settings.open_jitter_percent.fraction() * super::jitter();
        state.position = Position::Open;
        state.open_for = open_for;
        state.open_until = now + open_for.mul_f64(1.0 + jitter);
        state.probe_out = false;
        state.in_a_row = 0;
        state.ring = [Bucket::default(); BUCKETS];
    }
}

impl Permit {
    /// Tells what the attempt said about the host.
    pub fn report(mut self, verdict: Verdict) {
        self.reported = true;
        self.breaker.report(self.probe, Some(verdict));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.reported {
            self.breaker.report(self.probe, None);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::Config;

    fn breaker() -> Breaker {
        Breaker::new(Config::default().breaker, 8, |_| {})
    }

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.admit(Class::Read).map(|permit| permit.report(Verdict::Bad)).ok();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_a_good_probe_closes_it_in_steps() {
        let breaker = breaker();
        fail(&breaker, 4);
        assert_eq!(breaker.position(), Position::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.position(), Position::Open);
        let wait = breaker.admit(Class::Read).err().unwrap();
        assert!(wait <= Duration::from_millis(1500), "{wait:?}");
        tokio::time::advance(wait).await;
        assert!(breaker.admit(Class::Money).is_err(), "payments never probe");
        let probe = breaker.admit(Class::Read).ok().unwrap();
        assert!(breaker.admit(Class::Read).is_err(), "one probe at a time");
        probe.report(Verdict::Good);
        assert_eq!(breaker.position(), Position::Ramp);
        let held: Vec<_> = (0..8).filter_map(|_| breaker.admit(Class::Read).ok()).collect();
        assert_eq!(held.len(), 2, "a quarter of eight places");
        drop(held);
        tokio::time::advance(Duration::from_secs(10)).await;
        drop(breaker.admit(Class::Read));
        assert_eq!(breaker.position(), Position::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_gives_its_place_back() {
        let breaker = breaker();
        fail(&breaker, 5);
        tokio::time::advance(Duration::from_secs(2)).await;
        drop(breaker.admit(Class::Read).ok().unwrap());
        assert!(breaker.admit(Class::Read).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_doubles_the_time() {
        let breaker = breaker();
        fail(&breaker, 5);
        let mut longest = Duration::ZERO;
        for _ in 0..8 {
            let wait = breaker.admit(Class::Read).err().unwrap();
            longest = longest.max(wait);
            tokio::time::advance(wait).await;
            breaker.admit(Class::Read).ok().unwrap().report(Verdict::Bad);
        }
        assert!(longest >= Duration::from_secs(30) && longest <= Duration::from_secs(45));
    }

    #[tokio::test(start_paused = true)]
    async fn half_failing_among_twenty_opens_it_without_a_row() {
        let breaker = breaker();
        for _ in 0..10 {
            breaker.admit(Class::Read).ok().unwrap().report(Verdict::Good);
            fail(&breaker, 1);
        }
        assert_eq!(breaker.position(), Position::Closed, "exactly half is enough");
        for _ in 0..3 {
            fail(&breaker, 2);
            breaker.admit(Class::Read).map(|permit| permit.report(Verdict::Good)).ok();
        }
        assert_eq!(breaker.position(), Position::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn one_tokens_trouble_is_its_own() {
        let breaker = breaker();
        for _ in 0..50 {
            let permit = breaker.admit(Class::Read).ok().unwrap();
            permit.report(Verdict::Token(None));
        }
        assert_eq!(breaker.position(), Position::Closed);
    }
}
