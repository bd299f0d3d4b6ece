//! Kept answers of reads, and one question at a time for each of them.
//!
//! An entry is the reply as it goes on the wire, encoded once. Its lifetime comes from the method's
//! row; a caller narrows it with `max_staleness`. An entry beyond its lifetime stays until the hard
//! lifetime ends, for callers who prefer an old answer to an error. A miss starts one task that asks QIWI for everybody; callers wait for
//! it each with their own deadline, so a caller that goes away cancels nothing for the others.
//!
//! `max_staleness = 0` means "ask now": such a call never joins a question that began before it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::call::CacheOutcome;
use crate::config;
use crate::error::reason::Decision;
use crate::error::{Error, reason};
use crate::operation::Freshness;

/// What an answer belongs to: credential, method and the exact question.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The credential's fingerprint; zero where none takes part.
    pub credential: u128,
    /// The operation's id in the catalogue.
    pub operation: &'static str,
    /// Path and query, and whatever else the answer depends on.
    pub question: Box<str>,
}

/// The newest encoded reply and its age.
///
/// Replaced in place: entering something into moka costs as much as the rest of the cache
/// together, and callers who always ask afresh would pay it every time.
#[derive(Debug)]
struct Entry {
    newest: ArcSwap<Kept>,
}

#[derive(Debug)]
struct Kept {
    frame: Bytes,
    fetched: Instant,
}

type Outcome = Result<Loaded, Error>;

/// What a question brought.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The encoded reply.
    pub frame: Bytes,
    /// Upstream attempts it took.
    pub attempts: u32,
    /// Whether it may be kept.
    pub keep: bool,
}

/// When something was forgotten, and its number.
type Change = (Instant, u64);

/// Kept answers.
pub struct AnswerCache {
    entries: moka::future::Cache<Key, Arc<Entry>>,
    flights: Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>,
    hard: Duration,
    enabled: bool,
    /// Whether something may have become old unheard, so that what is kept is not used.
    bypassed: AtomicBool,
    patience: Duration,
    /// When answers of a credential and operation were forgotten last, and after how many others.
    forgotten: Mutex<HashMap<(u128, &'static str), Change>>,
    /// How often anything was forgotten.
    changes: AtomicU64,
    /// After how many of these everything was.
    all_forgotten: AtomicU64,
}

/// Questions do not last as long, so what was forgotten longer ago concerns none of them.
const QUESTION_MAX: Duration = Duration::from_secs(600);

impl AnswerCache {
    /// An empty cache whose questions have `patience` to be answered, at least.
    pub fn new(settings: &config::Cache, patience: Duration) -> Self {
        let entries = moka::future::Cache::builder()
            .max_capacity(settings.capacity.get())
            .weigher(|key: &Key, entry: &Arc<Entry>| {
                // 200 bytes for what the maps keep beside key and frame.
                u32::try_from(entry.newest.load().frame.len() + key.question.len() + 200)
                    .unwrap_or(u32::MAX)
            })
            .time_to_live(settings.hard_ttl)
            .build();
        Self {
            entries,
            flights: Mutex::default(),
            hard: settings.hard_ttl,
            enabled: settings.enabled,
            bypassed: AtomicBool::new(false),
            patience,
            forgotten: Mutex::default(),
            changes: AtomicU64::new(0),
            all_forgotten: AtomicU64::new(0),
        }
    }

    /// Answers from the cache, or asks by `load`.
    ///
    /// The caller waits until `deadline`. `load` is told its own deadline: the same where it runs for
    /// this caller alone, a later one where others may join, since the one who asked first may be
    /// the most impatient.
    ///
    /// # Errors
    /// The error of the question, or `DEADLINE_EXCEEDED` when the wait is over before it.
    pub async fn read<F>(
        self: &Arc<Self>,
        key: Key,
        lifetime: Duration,
        freshness: Freshness,
        deadline: Instant,
        load: impl FnOnce(Instant) -> F,
    ) -> Result<(Loaded, CacheOutcome), Error>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let accepted = if self.enabled {
            freshness.max_staleness.map_or(lifetime, |asked| asked.min(lifetime))
        } else {
            Duration::ZERO
        };
        let kept = if accepted.is_zero() && !freshness.stale_on_error {
            None
        } else {
            self.entries.get(&key).await.map(|entry| entry.newest.load_full())
        };
        if let Some(entry) = &kept
            && !accepted.is_zero()
            && entry.fetched.elapsed() <= accepted
            && !self.bypassed.load(Ordering::Acquire)
        {
            return Ok((
                Loaded { frame: entry.frame.clone(), attempts: 0, keep: true },
                CacheOutcome::Hit,
            ));
        }
        let outcome = if accepted.is_zero() {
            Box::pin(self.load(key, load(deadline))).await
        } else {
            let until = deadline.max(Instant::now() + self.patience);
            let flight = self.flight(key, || load(until));
            match tokio::time::timeout_at(deadline, landed(flight)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    Err(Error::new(&reason::DEADLINE_EXCEEDED).sent(crate::error::Sent::Unknown))
                }
            }
        };
        match (outcome, kept) {
            (Ok(loaded), _) => Ok((loaded, CacheOutcome::Miss)),
            (Err(error), Some(entry))
                if freshness.stale_on_error
                    && error.reason().decision == Decision::Later
                    && entry.fetched.elapsed() <= self.hard =>
            {
                Ok((
                    Loaded { frame: entry.frame.clone(), attempts: 0, keep: true },
                    CacheOutcome::Stale,
                ))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Forgets every answer of a credential to these operations. When it returns no call gets
    /// one of them any more, nor the answer to a question that began before.
    pub async fn forget(&self, credential: u128, operations: &[&'static str]) {
        let doomed =
            |key: &Key| key.credential == credential && operations.contains(&key.operation);
        let now = Instant::now();
        {
            let mut forgotten = self.forgotten.lock();
            let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
            forgotten.retain(|_, (at, _)| now.duration_since(*at) < QUESTION_MAX);
            forgotten.extend(operations.iter().map(|of| ((credential, *of), (now, change))));
        }
        self.flights.lock().retain(|key, _| !doomed(key));
        let kept: Vec<_> =
            self.entries.iter().map(|(key, _)| key).filter(|key| doomed(key)).collect();
        for key in kept {
            self.entries.invalidate(key.as_ref()).await;
        }
    }

    /// Forgets every answer, and those to questions that began before.
    pub fn forget_all(&self) {
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        self.all_forgotten.fetch_max(change, Ordering::SeqCst);
        self.flights.lock().clear();
        self.entries.invalidate_all();
    }

    /// Asks afresh whatever is kept, one question at a time for each, or no longer so.
    pub fn bypass(&self, bypass: bool) {
        self.bypassed.store(bypass, Ordering::Release);
    }

    /// Whether answers like this one were forgotten since its question began.
    fn is_outdated(&self, key: &Key, begun: u64) -> bool {
        if self.all_forgotten.load(Ordering::SeqCst) > begun {
            return true;
        }
        let forgotten = self.forgotten.lock();
        forgotten.get(&(key.credential, key.operation)).is_some_and(|(_, change)| *change > begun)
    }

    async fn load(&self, key: Key, load: impl Future<Output = Outcome>) -> Outcome {
        // The answer is as old as the question: QIWI may have read its books at any time since.
        let fetched = Instant::now();
        let begun = self.changes.load(Ordering::SeqCst);
        let loaded = load.await?;
        if self.enabled && loaded.keep {
            let kept = Arc::new(Kept { frame: loaded.frame.clone(), fetched });
            match self.entries.get(&key).await {
                Some(entry) => entry.newest.store(kept),
                None => {
                    let entry = Arc::new(Entry { newest: ArcSwap::new(kept) });
                    self.entries.insert(key.clone(), entry).await;
                }
            }
            // Looked at last: a write that ends from now on finds the entry itself.
            if self.is_outdated(&key, begun) {
                self.entries.invalidate(&key).await;
            }
        }
        Ok(loaded)
    }

    /// The question under way for a key, or a new one.
    fn flight<F>(
        self: &Arc<Self>,
        key: Key,
        load: impl FnOnce() -> F,
    ) -> watch::Receiver<Option<Outcome>>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        let (land, flight) = watch::channel(None);
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let cache = Arc::clone(self);
        let own = flight.clone();
        let load = load();
        tokio::spawn(async move {
            // Removed whatever happens inside, a panic included: the key must stay usable.
            let _clear = Clear { cache: Arc::clone(&cache), key: key.clone(), flight: own };
            let outcome = cache.load(key, load).await;
            let _ = land.send(Some(outcome));
        });
        flight
    }
}

async fn landed(mut flight: watch::Receiver<Option<Outcome>>) -> Outcome {
    match flight.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(lost())),
        Err(_) => Err(lost()),
    }
}

fn lost() -> Error {
    Error::new(&reason::GATEWAY_PANIC).log("the task that asked QIWI ended without an outcome")
}

struct Clear {
    cache: Arc<AnswerCache>,
    key: Key,
    flight: watch::Receiver<Option<Outcome>>,
}

impl Drop for Clear {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.lock();
        // Another question may have taken the place of one that was forgotten.
        if flights.get(&self.key).is_some_and(|flight| flight.same_channel(&self.flight)) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::AtomicU32;

    const LIFETIME: Duration = Duration::from_secs(3);
    const OPERATION: &str = "W-BAL-1";

    struct Fake {
        cache: Arc<AnswerCache>,
        asked: Arc<AtomicU32>,
    }

    impl Fake {
        fn new() -> Self {
            let cache = Arc::new(AnswerCache::new(
                &crate::config::Config::default().cache,
                Duration::from_secs(10),
            ));
            Self { cache, asked: Arc::default() }
        }

        async fn read(
            &self,
            freshness: Freshness,
            result: Result<(), &'static reason::Reason>,
        ) -> Result<(Loaded, CacheOutcome), Error> {
            let asked = Arc::clone(&self.asked);
            let key = Key { credential: 1, operation: OPERATION, question: "/x".into() };
            let deadline = Instant::now() + Duration::from_secs(5);
            self.cache
                .read(key, LIFETIME, freshness, deadline, |_| async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    result.map_err(Error::new)?;
                    Ok(Loaded { frame: Bytes::from_static(b"reply"), attempts: 1, keep: true })
                })
                .await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_callers_ask_once() {
        let fake = Arc::new(Fake::new());
        let calls = (0..500).map(|_| {
            let fake = Arc::clone(&fake);
            tokio::spawn(async move { fake.read(Freshness::DEFAULT, Ok(())).await.map(|_| ()) })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        assert_eq!(fake.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_goes_away_cancels_nothing() {
        let fake = Arc::new(Fake::new());
        let first = {
            let fake = Arc::clone(&fake);
            tokio::spawn(async move { fake.read(Freshness::DEFAULT, Ok(())).await.map(|_| ()) })
        };
        tokio::task::yield_now().await;
        first.abort();
        fake.read(Freshness::DEFAULT, Ok(())).await.unwrap();
        assert_eq!(fake.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifetime_is_narrowed_by_the_caller_and_never_widened() {
        let fake = Fake::new();
        let within = |seconds| Freshness {
            max_staleness: Some(Duration::from_secs(seconds)),
            stale_on_error: false,
        };
        assert_eq!(fake.read(Freshness::DEFAULT, Ok(())).await.unwrap().1, CacheOutcome::Miss);
        assert_eq!(fake.read(Freshness::DEFAULT, Ok(())).await.unwrap().1, CacheOutcome::Hit);
        assert_eq!(fake.read(within(0), Ok(())).await.unwrap().1, CacheOutcome::Miss);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(fake.read(within(1), Ok(())).await.unwrap().1, CacheOutcome::Miss);
        assert_eq!(fake.read(within(1), Ok(())).await.unwrap().1, CacheOutcome::Hit);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(fake.read(within(60), Ok(())).await.unwrap().1, CacheOutcome::Miss);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_answer_replaces_an_error_only_by_consent_and_only_for_outages() {
        let fake = Fake::new();
        let consent = Freshness { max_staleness: None, stale_on_error: true };
        fake.read(Freshness::DEFAULT, Ok(())).await.unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        let outage = Err(&reason::UPSTREAM_ERROR);
        let refusal = Err(&reason::TOKEN_REJECTED);
        assert_eq!(fake.read(consent, outage).await.unwrap().1, CacheOutcome::Stale);
        assert!(fake.read(Freshness::DEFAULT, outage).await.is_err());
        assert!(fake.read(consent, refusal).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn errors_reach_every_waiter_and_are_not_kept() {
        let fake = Arc::new(Fake::new());
        let calls = (0..10).map(|_| {
            let fake = Arc::clone(&fake);
            tokio::spawn(async move {
                fake.read(Freshness::DEFAULT, Err(&reason::UPSTREAM_ERROR)).await.is_err()
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert!(call.await.unwrap());
        }
        assert_eq!(fake.asked.load(Ordering::SeqCst), 1);
        assert!(fake.read(Freshness::DEFAULT, Ok(())).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_forgotten_is_asked_again_and_other_answers_stay() {
        let fake = Fake::new();
        fake.read(Freshness::DEFAULT, Ok(())).await.unwrap();
        fake.cache.forget(2, &[OPERATION]).await;
        fake.cache.forget(1, &["W-BAL-3"]).await;
        assert_eq!(fake.read(Freshness::DEFAULT, Ok(())).await.unwrap().1, CacheOutcome::Hit);
        fake.cache.forget(1, &[OPERATION]).await;
        assert_eq!(fake.read(Freshness::DEFAULT, Ok(())).await.unwrap().1, CacheOutcome::Miss);
        assert_eq!(fake.read(Freshness::DEFAULT, Ok(())).await.unwrap().1, CacheOutcome::Hit);
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_from_before_a_write_answers_nobody_after_it() {
        let fake = Arc::new(Fake::new());
        let before = {
            let fake = Arc::clone(&fake);
            tokio::spawn(async move { fake.read(Freshness::DEFAULT, Ok(())).await.map(|_| ()) })
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        fake.cache.forget(1, &[OPERATION]).await;
        fake.read(Freshness::DEFAULT, Ok(())).await.unwrap();
        before.await.unwrap().unwrap();
        assert_eq!(fake.asked.load(Ordering::SeqCst), 2, "the second call did not join the first");
        // What the first one brought was not kept in place of the second.
        assert_eq!(fake.read(Freshness::DEFAULT, Ok(())).await.unwrap().1, CacheOutcome::Hit);
    }
}
