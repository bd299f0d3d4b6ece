//! The replicas as one of them sees them: whom it can hear, and what they tell each other.
//!
//! A replica tells the others what became old, as a hint: it may be lost. Therefore each beats once
//! in a while and listens for its own beat. Who does not hear it for two beats and a half is cut
//! off: kept answers are then not used, since something may have become old unheard, and dropped
//! when the link is back. Who misses a single word of another one sees it by the numbers and drops
//! them, too.

mod link;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::pace::{Granted, Refused};
use super::share::Shares;
use super::turns::{Denied, Turns};
use super::word::{Forget, Resting, Said, Word, bytes, name};
use super::{Coordination, Heard, Name, Names};
use crate::config::Config;
use crate::credentials::Credential;
use crate::ledger::LedgerKey;
use crate::policy::Area;
use crate::telemetry::Metrics;
use link::{Link, News};

/// Cool-downs of others that are remembered.
const RESTS_MAX: usize = 100_000;
/// Operations of one hint.
const OPERATIONS_MAX: usize = 256;
/// The pause after listening ended by itself.
const DEAF_PAUSE: Duration = Duration::from_millis(100);
/// How long a change that was not answered is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Who does what the others' words ask for.
pub trait Audience: Send + Sync + 'static {
    /// Kept answers of a token to these operations became old.
    fn forget(&self, token: Name, operations: Vec<String>) -> BoxFuture<'_, ()>;

    /// Anything that is kept may have become old.
    fn forget_all(&self);

    /// Whether kept answers must not be used.
    fn bypass(&self, bypass: bool);

    /// The webhooks of a credential became others.
    fn hook(&self, credential: Name);

    /// Files with secrets have new content.
    fn reload(&self);
}

/// The replicas, as one of them sees them.
pub struct Team {
    coordination: Arc<dyn Coordination>,
    names: Names,
    turns: Turns,
    metrics: Arc<Metrics>,
    beat: Duration,
    patience: Duration,
    /// Which replica this is.
    teller: u64,
    /// Words told so far; held while one is told, so that they go out in order.
    told: Mutex<u64>,
    beats: AtomicU64,
    link: Mutex<Link>,
    is_cut: AtomicBool,
    /// Replicas the configuration knows of.
    replicas: usize,
    crowded: AtomicBool,
    /// Cool-downs the others told of.
    rests: Mutex<HashMap<(Name, Area), Instant>>,
}

/// A turn; when it turns out to have been a probe's, its end is told to the others.
pub struct Turn {
    team: Arc<Team>,
    probes: Vec<(Name, u64)>,
}

impl Turn {
    /// QIWI took the request.
    pub fn accepted(mut self) {
        self.end(true);
    }

    fn end(&mut self, accepted: bool) {
        let probes = std::mem::take(&mut self.probes);
        if probes.is_empty() {
            return;
        }
        let team = Arc::clone(&self.team);
        tokio::spawn(async move {
            for (name, id) in probes {
                let change = |pace: super::pace::Pace| {
                    if accepted { pace.cleared(id) } else { pace.given_back(id) }
                };
                // Should this be lost, another probe goes out a little later.
                let _ = team.turns.change(name, change).await;
            }
        });
    }
}

impl Drop for Turn {
    /// Nothing was learnt: somebody else may find out.
    fn drop(&mut self) {
        self.end(false);
    }
}

impl Team {
    /// The replicas of an installation; `None` where this process is alone.
    #[must_use]
    pub fn new(
        coordination: Arc<dyn Coordination>,
        key: &LedgerKey,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Option<Arc<Self>> {
        if !coordination.is_shared() {
            return None;
        }
        let (beat, patience) = (config.state.nats_beat, config.state.nats_turn_timeout);
        let late = patience + config.admission.wait_max + config.upstream.connect_timeout;
        let shares = Shares::new(&config.limit, late);
        metrics.coordination.link(false);
        coordination.counts_over(config.limit.period);
        Some(Arc::new(Self {
            turns: Turns::new(Arc::clone(&coordination), shares, patience),
            coordination,
            names: Names::new(key),
            metrics,
            beat,
            patience,
            teller: rand::random(),
            told: Mutex::new(0),
            beats: AtomicU64::new(0),
            link: Mutex::new(Link::new(beat)),
            is_cut: AtomicBool::new(true),
            replicas: usize::try_from(config.limit.replicas).unwrap_or(usize::MAX),
            crowded: AtomicBool::new(false),
            rests: Mutex::default(),
        }))
    }

    /// What the others call a token or secret.
    #[must_use]
    pub fn name_of(&self, credential: &Credential) -> Name {
        self.names.secret(credential)
    }

    /// What the others call a named credential.
    #[must_use]
    pub fn name_of_credential(&self, credential: &str) -> Name {
        self.names.credential(credential)
    }

    /// What the others call whom a request counts for.
    #[must_use]
    pub fn names_of(&self, credential: Option<&Credential>, wallet: Option<u64>) -> Vec<Name> {
        let token = credential.map(|credential| self.names.secret(credential));
        token.into_iter().chain(wallet.map(|number| self.names.wallet(number))).collect()
    }

    /// Takes a turn at a wallet's history, from the part of all replicas or, where the others cannot
    /// be reached, from this one's own.
    ///
    /// # Errors
    /// When there is none.
    pub async fn turn(
        self: &Arc<Self>,
        names: &[Name],
        half_speed: bool,
        settling: bool,
    ) -> Result<Turn, Refused> {
        let taken = join_all(names.iter().map(|name| self.turns.take(*name, settling))).await;
        let mut turn = Turn { team: Arc::clone(self), probes: Vec::new() };
        let mut denied = None;
        for (name, taken) in names.iter().zip(taken) {
            match taken {
                Ok((id, Granted::Probe)) => turn.probes.push((*name, id)),
                Ok((_, Granted::Usual)) => {}
                // What the pace says counts more than that something else could not be asked.
                Err(refused @ Denied::Refused(_)) => denied = Some(longer(denied, refused)),
                Err(Denied::Away) => denied = denied.or(Some(Denied::Away)),
            }
        }
        match denied {
            None => {
                self.metrics.coordination.turn("shared");
                Ok(turn)
            }
            Some(Denied::Refused(refused)) => Err(refused),
            Some(Denied::Away) => {
                drop(turn);
                if self.crowded.load(Ordering::Relaxed) {
                    // The parts would be more than the whole.
                    return Err(Refused::Wait(self.beat));
                }
                self.turns.take_own(names, half_speed, settling).map_err(Refused::Wait)?;
                self.metrics.coordination.turn("own");
                Ok(Turn { team: Arc::clone(self), probes: Vec::new() })
            }
        }
    }

    /// A turn that nobody counted: where refusals are only counted, too.
    #[must_use]
    pub fn free_turn(self: &Arc<Self>) -> Turn {
        Turn { team: Arc::clone(self), probes: Vec::new() }
    }

    /// QIWI said that these ask too often: nobody sends anything for them for so long. Waits a
    /// little for the others to know.
    pub async fn rest(self: &Arc<Self>, names: Vec<Name>, area: Area, rest: Duration) {
        self.say(Said::Rest(Resting {
            names: names.iter().map(|name| bytes(*name)).collect(),
            area: area.as_str().to_owned(),
            rest_ms: u64::try_from(rest.as_millis()).unwrap_or(u64::MAX),
        }));
        if area != Area::History {
            return;
        }
        let (team, until) = (Arc::clone(self), Instant::now() + rest);
        let told = tokio::spawn(async move {
            for name in names {
                let left = || until.saturating_duration_since(Instant::now());
                let blocked = |pace: super::pace::Pace| Some(pace.blocked(left()));
                while team.turns.change(name, blocked).await.is_err() && !left().is_zero() {
                    tokio::time::sleep(TRY_AGAIN.min(left())).await;
                }
            }
        });
        let _ = timeout(self.patience, told).await;
    }

    /// Until when the others say that nothing may be sent.
    #[must_use]
    pub fn rests(
        &self,
        credential: Option<&Credential>,
        wallet: Option<u64>,
        area: Area,
    ) -> Option<Instant> {
        let rests = self.rests.lock();
        if rests.is_empty() {
            return None;
        }
        let names = self.names_of(credential, wallet);
        let until = names.iter().filter_map(|name| rests.get(&(*name, area)).copied()).max();
        until.filter(|until| *until > Instant::now())
    }

    /// Tells that kept answers became old.
    pub fn forget(&self, token: Name, operations: &[&'static str]) {
        let operations = operations.iter().map(|of| (*of).to_owned()).collect();
        self.say(Said::Forget(Forget { token: bytes(token), operations }));
    }

    /// Tells that the webhooks of a credential became others.
    pub fn hook(&self, credential: &str) {
        self.say(Said::Hook(bytes(self.names.credential(credential))));
    }

    /// Tells that files with secrets have new content.
    pub fn reload(&self) {
        self.say(Said::Reload(true));
    }

    /// Whether the others cannot be heard.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Acquire)
    }

    /// Forgets what says nothing any more.
    pub fn tidy(&self) {
        self.turns.tidy();
        let now = Instant::now();
        self.rests.lock().retain(|_, until| *until > now);
    }

    fn say(&self, said: Said) {
        self.metrics.coordination.word("sent", said.label());
        let mut told = self.told.lock();
        *told += 1;
        let word = Word { teller: self.teller, number: *told, said: Some(said) };
        self.coordination.tell(word.written().into());
    }

    /// Beats and listens until dropped.
    pub async fn run(&self, audience: &dyn Audience) {
        audience.bypass(true);
        tokio::join!(self.beat(), self.listen(audience));
    }

    async fn beat(&self) {
        let mut beats = interval(self.beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let number = self.beats.fetch_add(1, Ordering::Relaxed) + 1;
            self.link.lock().sent(number, Instant::now());
            let told = *self.told.lock();
            let said = Some(Said::Beat(number));
            let word = Word { teller: self.teller, number: told, said };
            let taken = timeout(self.beat, self.coordination.beat(word.written().into())).await;
            if matches!(taken, Ok(Ok(()))) {
                self.link.lock().taken(number);
            }
        }
    }

    async fn listen(&self, audience: &dyn Audience) {
        let mut heard = self.coordination.hear();
        let mut looks = interval(self.beat / 4);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                word = heard.next() => match word {
                    Some(Heard::Tried(name, value)) => {
                        self.turns.tried(name, &value);
                        continue;
                    }
                    Some(Heard::Word(word)) => self.heard(&word, audience).await,
                    None => {
                        tokio::time::sleep(DEAF_PAUSE).await;
                        heard = self.coordination.hear();
                    }
                },
            }
            self.look(audience);
        }
    }

    /// Looks whether the link is whole.
    fn look(&self, audience: &dyn Audience) {
        let (now, before) = (Instant::now(), self.is_cut());
        let (cut, others) = {
            let mut link = self.link.lock();
            (link.is_cut(now), link.others(now))
        };
        let crowded = others + 1 > self.replicas;
        if !cut && crowded && !self.crowded.load(Ordering::Relaxed) {
            tracing::warn!(
                replicas = others + 1,
                "more replicas than limit.replicas says; while they cannot reach each other no \
                 history is read"
            );
        }
        // Whoever hears nobody knows nothing of how many there are.
        if !cut {
            self.crowded.store(crowded, Ordering::Relaxed);
        }
        self.metrics.coordination.replicas(others as u64 + 1);
        if cut == before {
            return;
        }
        self.metrics.coordination.link(!cut);
        if cut {
            audience.bypass(true);
            self.is_cut.store(true, Ordering::Release);
            tracing::warn!("the other replicas cannot be heard; kept answers are not used");
        } else {
            audience.forget_all();
            self.metrics.coordination.dropped("link");
            self.is_cut.store(false, Ordering::Release);
            audience.bypass(false);
            tracing::info!("the other replicas can be heard");
        }
    }

    async fn heard(&self, word: &[u8], audience: &dyn Audience) {
        let Ok(Word { teller, number, said: Some(said) }) = Word::read(word) else {
            // Of a newer version perhaps: whatever it says may concern what is kept.
            audience.forget_all();
            self.metrics.coordination.dropped("unreadable");
            return;
        };
        let beat = matches!(said, Said::Beat(_));
        if teller == self.teller {
            if let Said::Beat(number) = said {
                self.link.lock().heard(number);
            }
            return;
        }
        let news = self.link.lock().word(teller, number, beat, Instant::now());
        if news == News::Missed {
            audience.forget_all();
            self.metrics.coordination.dropped("missed");
        }
        if news == News::Old {
            return;
        }
        self.metrics.coordination.word("received", said.label());
        match said {
            Said::Beat(_) => {}
            Said::Forget(Forget { token, operations }) => {
                if let Some(token) = name(&token)
                    && operations.len() <= OPERATIONS_MAX
                {
                    audience.forget(token, operations).await;
                }
            }
            Said::Rest(rest) => self.note_rest(&rest),
            Said::Hook(credential) => {
                if let Some(credential) = name(&credential) {
                    audience.hook(credential);
                }
            }
            Said::Reload(_) => audience.reload(),
        }
    }

    fn note_rest(&self, rest: &Resting) {
        let Some(area) = Area::ALL.into_iter().find(|area| area.as_str() == rest.area) else {
            return;
        };
        // Nobody rests for longer, whatever somebody tells.
        let rest_for = Duration::from_millis(rest.rest_ms).min(Duration::from_secs(2 * 3600));
        let until = Instant::now() + rest_for;
        let mut rests = self.rests.lock();
        for name in rest.names.iter().filter_map(|of| name(of)).take(2) {
            if rests.len() < RESTS_MAX {
                let known = rests.entry((name, area)).or_insert(until);
                *known = until.max(*known);
            }
        }
    }
}

/// Of two refusals the one that lasts longer.
fn longer(before: Option<Denied>, refused: Denied) -> Denied {
    let wait = |denied: &Denied| match denied {
        Denied::Refused(Refused::Rests(of)) => (true, *of),
        Denied::Refused(Refused::Wait(of) | Refused::Probed(of)) => (false, *of),
        Denied::Away => (false, Duration::ZERO),
    };
    before.filter(|before| wait(before) >= wait(&refused)).unwrap_or(refused)
}

#[cfg(test)]
mod tests;
