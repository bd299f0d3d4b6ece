//! Taking turns: one permit at a time, directly before it is used, from a register that all replicas
//! change in turn.
//!
//! A replica that cannot reach the registers uses a part that is its own and counted apart
//! ([`super::share`]). Permits are never kept for later: one that is used long after its turn
//! would fall into another minute.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::pace::{Granted, Pace, Refused, Terms};
use super::share::Shares;
use super::{Away, Coordination, Name, Swap};

/// For how long lost races are run again: so many times the patience for one answer.
const RACES_MAX: u32 = 4;
/// The wait of whoever lost all of them.
const RACES_LOST: Duration = Duration::from_millis(50);
/// For how long nobody asks again after something was not answered.
const AWAY: Duration = Duration::from_secs(1);
/// How long somebody waits who has no part of his own.
const NO_PART: Duration = Duration::from_secs(1);
/// Values of others that are remembered for each name.
const TRIED_MAX: usize = 16;
/// Names that are remembered.
const NAMES_MAX: usize = 100_000;
/// How long a register is kept for certain, and what is known of one for that reason, too.
const KEPT: Duration = Duration::from_secs(600);

/// A register as this replica saw it.
#[derive(Debug, Clone, Copy)]
struct View {
    version: u64,
    pace: Pace,
    /// When it saw that.
    since: Instant,
}

#[derive(Default)]
struct Known {
    view: Option<View>,
    /// Values that others have tried, and when that was heard.
    tried: VecDeque<(u64, Instant)>,
    /// One change of a name at a time: replicas race, calls of one do not.
    queue: Arc<tokio::sync::Mutex<()>>,
    touched: Option<Instant>,
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The pace says so.
    Refused(Refused),
    /// The registers cannot be reached.
    Away,
}

impl From<Away> for Denied {
    fn from(_: Away) -> Self {
        Self::Away
    }
}

/// The pace of all wallets, as this replica takes part in it.
pub struct Turns {
    coordination: Arc<dyn Coordination>,
    shares: Shares,
    /// How long an answer may take.
    patience: Duration,
    known: Mutex<HashMap<Name, Known>>,
    own: Mutex<HashMap<Name, (Pace, Instant)>>,
    away_until: Mutex<Option<Instant>>,
}

impl Turns {
    /// Nobody has had a turn yet.
    pub fn new(coordination: Arc<dyn Coordination>, shares: Shares, patience: Duration) -> Self {
        Self {
            coordination,
            shares,
            patience,
            known: Mutex::default(),
            own: Mutex::default(),
            away_until: Mutex::default(),
        }
    }

    fn terms(&self) -> &Terms {
        &self.shares.shared
    }

    /// Takes a turn; `id` tells its probe from others.
    ///
    /// # Errors
    /// When there is none, or nobody to ask.
    pub async fn take(&self, name: Name, settling: bool) -> Result<(u64, Granted), Denied> {
        let queue = self.with(name, |known| Arc::clone(&known.queue));
        let _queued = queue.lock().await;
        let (begun, mut looked) = (Instant::now(), false);
        while begun.elapsed() < self.patience * RACES_MAX {
            if self.is_away() {
                return Err(Denied::Away);
            }
            // That there is none is looked for each time.
            let fresh = |view: &View| looked || view.version != 0;
            let Some(view) = self.with(name, |known| known.view).filter(fresh) else {
                self.look(name).await?;
                looked = true;
                continue;
            };
            let (now, id) = (Instant::now(), rand::random());
            match view.pace.aged(now - view.since, self.terms()).charged(self.terms(), settling, id)
            {
                // That may be over: only the register knows.
                Err(Refused::Probed(_)) if !looked => self.with(name, |known| known.view = None),
                Err(refused) => return Err(Denied::Refused(refused)),
                Ok((next, granted)) => {
                    if self.swap(name, view.version, next, id, now).await? {
                        return Ok((id, granted));
                    }
                    looked = true;
                }
            }
        }
        Err(Denied::Refused(Refused::Wait(RACES_LOST)))
    }

    /// Takes a turn from this replica's own part, which it may use without asking anybody.
    ///
    /// # Errors
    /// When there is none before so long.
    pub fn take_own(
        &self,
        names: &[Name],
        half_speed: bool,
        settling: bool,
    ) -> Result<(), Duration> {
        let Some(terms) = &self.shares.own else { return Err(NO_PART) };
        let now = Instant::now();
        let mut own = self.own.lock();
        let mut wait = Duration::ZERO;
        for name in names {
            let (pace, since) = own.entry(*name).or_insert((Pace::default(), now));
            let aged = pace.aged(now - *since, terms);
            let paced = if half_speed { aged.slowed() } else { aged };
            match paced.charged(terms, settling, 0) {
                Ok((next, _)) => (*pace, *since) = (next.unslowed(), now),
                Err(Refused::Wait(more) | Refused::Rests(more) | Refused::Probed(more)) => {
                    wait = wait.max(more);
                }
            }
        }
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Changes a pace, unless `change` finds nothing to do.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn change(
        &self,
        name: Name,
        change: impl Fn(Pace) -> Option<Pace> + Send,
    ) -> Result<(), Away> {
        let queue = self.with(name, |known| Arc::clone(&known.queue));
        let _queued = queue.lock().await;
        loop {
            let Some(view) = self.with(name, |known| known.view) else {
                self.look(name).await?;
                continue;
            };
            let now = Instant::now();
            let Some(next) = change(view.pace.aged(now - view.since, self.terms())) else {
                return Ok(());
            };
            if self.swap(name, view.version, next, rand::random(), now).await? {
                return Ok(());
            }
        }
    }

    /// Notes that somebody changes a register to this value, or tries to: however it ends, the value
    /// is at least as old as this.
    pub fn tried(&self, name: Name, value: &[u8]) {
        let Ok((_, id)) = Pace::decode(value) else { return };
        self.with(name, |known| {
            if known.tried.len() >= TRIED_MAX {
                known.tried.pop_front();
            }
            known.tried.push_back((id, Instant::now()));
        });
    }

    /// Forgets what says nothing any more.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.known.lock().retain(|_, known| {
            let used = Arc::strong_count(&known.queue) > 1;
            used || known.touched.is_some_and(|at| now - at < KEPT)
        });
        let Some(terms) = &self.shares.own else { return };
        self.own.lock().retain(|_, (pace, since)| !pace.aged(now - *since, terms).is_idle());
    }

    /// Whether nobody answered lately.
    pub fn is_away(&self) -> bool {
        self.away_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Looks at a register.
    async fn look(&self, name: Name) -> Result<(), Away> {
        let register = self.within(self.coordination.get(name)).await?;
        let now = Instant::now();
        let Some(register) = register else {
            let lost = self.with(name, |known| {
                let none = View { version: 0, pace: Pace::default(), since: now };
                let seen = known.view.replace(none);
                seen.is_some_and(|view| view.version != 0 && now - view.since < KEPT)
            });
            return if lost { Err(self.lost(name)) } else { Ok(()) };
        };
        let (pace, id) = Pace::decode(&register.value)
            .map_err(|error| Away(format!("the pace of a wallet: {error}")))?;
        self.with(name, |known| {
            let heard = known.tried.iter().find(|(of, _)| *of == id).map(|(_, at)| *at);
            let since = heard.unwrap_or(now);
            known.view = Some(View { version: register.version, pace, since });
        });
        Ok(())
    }

    /// A register that should be there is not: what everybody has taken lately is unknown. Until it
    /// no longer counts, each replica keeps to its own part.
    fn lost(&self, name: Name) -> Away {
        self.with(name, |known| {
            *known = Known { queue: Arc::clone(&known.queue), ..Known::default() }
        });
        *self.away_until.lock() = Some(Instant::now() + self.shares.window);
        tracing::warn!("the shared pace was lost; this replica keeps to its own part for a while");
        Away("the shared pace was lost".to_owned())
    }

    /// Changes a register; whether it still was what this replica thought.
    async fn swap(
        &self,
        name: Name,
        version: u64,
        next: Pace,
        id: u64,
        now: Instant,
    ) -> Result<bool, Away> {
        // Whatever becomes of it, even nothing: what was seen before is not to be used again.
        let seen = self.with(name, |known| known.view.take());
        let swapped =
            self.within(self.coordination.swap(name, version, next.encode(id).into())).await?;
        match swapped {
            Swap::Done(version) => {
                let view = View { version, pace: next, since: now };
                self.with(name, |known| known.view = Some(view));
                Ok(true)
            }
            Swap::Changed => {
                self.raced(name, seen).await?;
                Ok(false)
            }
        }
    }

    /// Looks again after a lost race, and knows by what was seen before that something was lost.
    async fn raced(&self, name: Name, seen: Option<View>) -> Result<(), Away> {
        self.with(name, |known| known.view = seen);
        self.look(name).await
    }

    async fn within<T>(&self, asked: impl Future<Output = Result<T, Away>>) -> Result<T, Away> {
        let answer = match timeout(self.patience, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(Away("no answer in time".to_owned())),
        };
        if let Err(error) = &answer {
            tracing::debug!(error = %error, "the shared pace could not be asked");
            let until = Instant::now() + AWAY;
            let mut away_until = self.away_until.lock();
            *away_until = Some(away_until.map_or(until, |of| of.max(until)));
        }
        answer
    }

    fn with<T>(&self, name: Name, f: impl FnOnce(&mut Known) -> T) -> T {
        let mut all = self.known.lock();
        if all.len() >= NAMES_MAX && !all.contains_key(&name) {
            // Whoever is forgotten is looked at again.
            all.retain(|_, known| Arc::strong_count(&known.queue) > 1);
        }
        let known = all.entry(name).or_default();
        known.touched = Some(Instant::now());
        f(known)
    }
}

#[cfg(test)]
mod tests;
