//! The one task that runs a group for its members in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::member::{Member, Progress};
use super::shelf::Shelf;
use crate::error::Error;
use crate::events::cell::Versioned;
use crate::events::filter::Filter;
use crate::events::group::Group;
use crate::events::hub::{self, Hub};
use crate::events::store::LogError;

/// How often the cell and the log are looked at when nothing happens.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long the state may be ahead of its cell with what costs nothing to find out again.
pub(super) const SAVE_EVERY: Duration = Duration::from_secs(5);
/// How often it is noted that members are there.
pub(super) const USE_MS: i64 = 60_000;
/// The pauses between rounds that fail.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// A member that did not take its responses is looked at again after this time.
const UNREADY: Duration = Duration::from_millis(20);
/// Commands that wait for the runtime.
const COMMANDS_MAX: usize = 64;

/// What a member says of deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// They were handled.
    Ack,
    /// They are given back, for so long.
    Nack(Option<Duration>),
    /// They take so much longer.
    Extend(Duration),
    /// They are given up; why, sealed.
    Reject(Bytes),
}

/// Word of deliveries.
pub struct Word {
    /// Whose.
    pub member: u64,
    /// What is said.
    pub action: Action,
    /// Of which.
    pub tokens: Vec<Bytes>,
    /// Held until the results were taken.
    pub answers: OwnedSemaphorePermit,
}

/// What the runtime tells a new member.
pub struct Joined {
    /// The group as it is.
    pub group: Group,
    /// How far it is, now and later.
    pub progress: watch::Receiver<Progress>,
}

/// What a runtime is told.
pub enum Command {
    /// There is another member.
    Join {
        /// The member.
        member: Box<Member>,
        /// What the group selects, as this member may see it.
        filter: Arc<Filter>,
        /// Told once the group was found.
        joined: oneshot::Sender<Result<Joined, Error>>,
    },
    /// A member says something.
    Word(Word),
    /// A member says nothing any more.
    Leave(u64),
    /// Somebody in this process changed the cell.
    Look,
}

/// Why a round was not done.
pub(super) enum Trouble {
    /// The log does not work now.
    Log(LogError),
    /// All members must go.
    Over(Error),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// A clock that goes on evenly whatever happens to the system's; the same for a whole runtime. It
/// is never behind the log: deadlines another runtime gave before the system's clock was set back
/// would last for longer than they were meant to.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    since: Instant,
    since_ms: i64,
}

impl Clock {
    fn start() -> Self {
        Self { since: Instant::now(), since_ms: hub::now_ms() }
    }

    /// Sets it forward to a moment, if it is behind.
    pub(super) fn reach(&mut self, ms: i64) {
        let behind_ms = ms.saturating_sub(self.now_ms()).max(0);
        self.since_ms = self.since_ms.saturating_add(behind_ms);
    }

    /// Unix milliseconds.
    pub(super) fn now_ms(self) -> i64 {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.since_ms.saturating_add(passed)
    }

    /// The moment of Unix milliseconds.
    fn at(self, ms: i64) -> Instant {
        let passed = u64::try_from(ms.saturating_sub(self.since_ms)).unwrap_or(0);
        // Moments beyond this are not waited for.
        self.since + Duration::from_millis(passed.min(u64::from(u32::MAX)))
    }
}

/// Runs a group.
pub(super) struct Runtime {
    pub(super) hub: Arc<Hub>,
    pub(super) name: Arc<str>,
    /// What members of this process may see of what the group selects.
    pub(super) filter: Arc<Filter>,
    /// The state, at or ahead of its cell.
    pub(super) kept: Option<Versioned<Group>>,
    /// Since when it is ahead.
    pub(super) unsaved: Option<Instant>,
    pub(super) members: HashMap<u64, Member>,
    /// The member that is asked first next time.
    pub(super) turn: usize,
    /// What was said and not yet done.
    pub(super) words: Vec<Word>,
    joining: Vec<oneshot::Sender<Result<Joined, Error>>>,
    pub(super) shelf: Shelf,
    pub(super) clock: Clock,
    pub(super) tail: watch::Receiver<u64>,
    /// The first event of the log, as far as is known.
    pub(super) first: u64,
    pub(super) progress: watch::Sender<Progress>,
    /// The oldest claim, and when its event was logged.
    pub(super) oldest: Option<(u64, i64)>,
    pub(super) looked: Option<Instant>,
    /// Whether another round has something to do.
    pub(super) more: bool,
    /// Whether somebody could take more than there is.
    pub(super) hungry: bool,
    /// Whether somebody would take more but for responses it did not take.
    pub(super) unready: bool,
    failures: u32,
}

impl Runtime {
    /// Starts the runtime of a group.
    pub(super) fn start(
        hub: Arc<Hub>,
        name: Arc<str>,
        filter: Arc<Filter>,
    ) -> mpsc::Sender<Command> {
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let runtime = Self {
            tail: hub.log.tail(),
            hub,
            name,
            filter,
            kept: None,
            unsaved: None,
            members: HashMap::new(),
            turn: 0,
            words: Vec::new(),
            joining: Vec::new(),
            shelf: Shelf::default(),
            clock: Clock::start(),
            first: 0,
            progress: watch::Sender::new(Progress::default()),
            oldest: None,
            looked: None,
            more: false,
            hungry: false,
            unready: false,
            failures: 0,
        };
        tokio::spawn(runtime.run(commands));
        sender
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let wake = self.wake();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.take(command),
                    // Nobody knows the runtime any more; its members hear so.
                    None => break,
                },
                changed = self.tail.changed(), if self.hungry => {
                    if changed.is_err() {
                        // The log closed; the next round says what that means.
                        self.hungry = false;
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
            while let Ok(command) = commands.try_recv() {
                self.take(command);
            }
            match Box::pin(self.round()).await {
                Ok(()) => {
                    self.failures = 0;
                    self.welcome();
                }
                Err(Trouble::Log(error)) => {
                    self.failures = self.failures.saturating_add(1);
                    self.looked = None;
                    if self.failures == 1 {
                        tracing::warn!(error = %error, "a consumer group waits for the event log");
                    }
                    for joined in self.joining.drain(..) {
                        let _ = joined.send(Err(super::rpc::unavailable(&error)));
                    }
                    self.members.retain(|_, member| !member.out.is_closed());
                }
                Err(Trouble::Over(error)) => return self.end(&error),
            }
            self.leave();
            if self.members.is_empty() && (self.words.is_empty() || self.failures > 0) {
                commands.close();
                // Who comes in this moment hears nothing, and asks for another runtime.
                while commands.try_recv().is_ok() {}
                self.finish().await;
                return;
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Join { member, filter, joined } => {
                self.filter = filter;
                self.members.insert(member.id, *member);
                self.joining.push(joined);
                self.looked = None;
            }
            Command::Word(word) => self.words.push(word),
            Command::Leave(id) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.leaving = true;
                }
            }
            Command::Look => self.looked = None,
        }
    }

    /// Tells new members what they joined.
    fn welcome(&mut self) {
        let Some(kept) = &self.kept else { return };
        for joined in self.joining.drain(..) {
            let progress = self.progress.subscribe();
            let _ = joined.send(Ok(Joined { group: kept.kept.clone(), progress }));
        }
    }

    /// Lets those go who wait for nothing, and those whose stream is gone.
    fn leave(&mut self) {
        let words = &self.words;
        self.members.retain(|id, member| {
            let waits = words.iter().any(|word| word.member == *id);
            !member.out.is_closed() && (!member.leaving || waits)
        });
    }

    /// When to look again though nothing is said.
    fn wake(&self) -> Instant {
        let now = Instant::now();
        if self.failures > 0 {
            let pause = RETRY.0.saturating_mul(1 << self.failures.min(6));
            return now + pause.min(RETRY.1);
        }
        if self.more || self.looked.is_none() {
            return now;
        }
        let mut wake = now + LOOK_EVERY;
        if self.unready {
            wake = wake.min(now + UNREADY);
        }
        let due_ms = self.kept.as_ref().and_then(|of| of.kept.next_due(self.clock.now_ms()));
        due_ms.map_or(wake, |due_ms| wake.min(self.clock.at(due_ms)))
    }

    /// Ends the streams of all members.
    fn end(self, error: &Error) {
        for joined in self.joining {
            let _ = joined.send(Err(error.clone()));
        }
        for member in self.members.values() {
            member.end.send_replace(Some(error.clone()));
        }
    }

    /// Whether the group's cell should be looked at before anything is decided.
    pub(super) fn must_look(&self) -> bool {
        self.kept.is_none() || self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY)
    }
}
