//! Looks after the streams for as long as the engine lives.
//!
//! Each look makes sure that the streams are there and as they must be, that they are the same ones
//! as before and hold at least what they held, and that the brokers still store: a trial write goes
//! through ledger and cells, because a wedged stream looks well in everything it says about itself.
//!
//! What is found decides what is refused. The event log may begin anew: cursors of before are then
//! told so. The ledger may not: without its entries payments could be made twice, so a ledger that
//! is gone or holds less than before refuses until a person has looked.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::broker::{Expect, Failure, Message};
use super::ledger;
use super::preflight::{self, Shown};
use super::streams::{EPOCH, Of, Streams};
use super::table::{self, Write, Written};
use super::{Shared, Standing};
use crate::events::LogError;
use crate::ledger::{Record, StoreError};

/// How often it looks while something is wrong.
const WRONG_PAUSE: Duration = Duration::from_millis(300);
/// How often the brokers' settings are looked at again.
const SETTINGS_EVERY: Duration = Duration::from_secs(60);
/// How long a stream has to hold less than before until that is believed: after an election a
/// leader may be behind for a moment.
const REWOUND_FOR: Duration = Duration::from_secs(10);
/// A stream that is younger belongs to an installation that begins.
const NEW_SECONDS: i64 = 60;
/// Longest wait for the first look when the gateway starts.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Trial writes that fail in a row, with streams that say they are well, until a leader is asked to
/// hand over; and how often at most.
const STEP_DOWN_AFTER: u32 = 3;
const STEP_DOWN_EVERY: Duration = Duration::from_secs(60);
/// The value that remembers what the streams held.
const MARK: &str = "mark";
const CANARY: &str = "canary";

/// Why the streams cannot be relied on.
#[derive(Debug, Clone)]
enum Wrong {
    /// Something was not answered in time.
    Silent(String),
    /// They may be again.
    Now(String),
    /// The ledger cannot until a person has looked; the log goes on.
    Ledger(String),
}

impl From<Failure> for Wrong {
    fn from(error: Failure) -> Self {
        match error {
            Failure::Unavailable(text) => Self::Silent(text),
            other => Self::Now(other.to_string()),
        }
    }
}

/// What the streams held when somebody looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// When the ledger's stream was made, and the last message in it.
    ledger: (i64, u64),
    /// Which log there was, its last event and what that is known by.
    log: (String, u64, String),
}

/// Begins to look, and waits a moment for the first result.
pub(super) async fn start(shared: &Arc<Shared>) {
    let (first, looked) = tokio::sync::oneshot::channel();
    let shared = Arc::downgrade(shared);
    tokio::spawn(hear_tail(Weak::clone(&shared)));
    tokio::spawn(keep(shared, first));
    let _ = tokio::time::timeout(FIRST_LOOK, looked).await;
}

async fn keep(shared: Weak<Shared>, first: tokio::sync::oneshot::Sender<()>) {
    let mut first = Some(first);
    let mut keeper = Keeper::default();
    loop {
        let Some(alive) = shared.upgrade() else { return };
        let standing = keeper.look(&alive).await;
        let is_well = standing.ledger.is_ok() && standing.log.is_ok();
        *alive.standing.write() = standing;
        if is_well && let Some(first) = first.take() {
            let _ = first.send(());
        }
        let pause = if is_well { alive.settings.canary } else { WRONG_PAUSE };
        let look = Arc::clone(&alive.look);
        // Asleep it does not keep the engine alive.
        drop(alive);
        let end = Instant::now() + pause;
        // Asked to look, but not in a circle.
        tokio::time::sleep(WRONG_PAUSE.min(pause)).await;
        let _ = tokio::time::timeout_at(end, look.notified()).await;
    }
}

/// Takes hints of others about new events, and looks by itself where none came.
async fn hear_tail(shared: Weak<Shared>) {
    use futures_util::StreamExt as _;
    let Some(alive) = shared.upgrade() else { return };
    let subject = alive.streams.passing("tail");
    let client = alive.broker.client().clone();
    drop(alive);
    loop {
        let Ok(mut hints) = client.subscribe(subject.clone()).await else {
            tokio::time::sleep(WRONG_PAUSE).await;
            if shared.strong_count() == 0 {
                return;
            }
            continue;
        };
        loop {
            let hint = tokio::time::timeout(Duration::from_secs(1), hints.next()).await;
            let Some(alive) = shared.upgrade() else { return };
            match hint {
                Ok(None) => break,
                Ok(Some(hint)) => {
                    let text = std::str::from_utf8(&hint.payload).unwrap_or_default();
                    let hint = text.split_once(' ').and_then(|(epoch, seq)| {
                        Some((epoch.parse::<Uuid>().ok()?, seq.parse::<u64>().ok()?))
                    });
                    let epoch = alive.may_read_log().ok();
                    if let Some((of, seq)) = hint
                        && Some(of) == epoch
                    {
                        alive.advance(seq);
                    }
                }
                // Quiet: nothing happened, or nobody told.
                Err(_) => {
                    let name = alive.streams.name(Of::Events);
                    if alive.may_read_log().is_ok()
                        && let Ok(info) = alive.broker.info(name).await
                    {
                        alive.advance(info.state.last_sequence);
                    }
                }
            }
        }
    }
}

/// What it remembers between two looks.
#[derive(Default)]
struct Keeper {
    shown: Shown,
    settings_at: Option<Instant>,
    /// Whether the key was found to be the ledger's.
    is_key_right: bool,
    /// Since when a stream holds less than it did.
    rewound_since: [Option<Instant>; 2],
    /// Whether the last look was not answered.
    was_silent: bool,
    canaries_missed: u32,
    step_down_at: Option<Instant>,
    said: Option<String>,
}

/// The streams as they are.
struct Found {
    ledger: Info,
    events: Info,
    epoch: Uuid,
}

/// What was written down of what the streams held.
async fn remembered(shared: &Shared) -> Result<Option<Message>, Wrong> {
    let (broker, streams) = (&shared.broker, &shared.streams);
    match broker.last(streams.name(Of::Cells), &streams.subject(Of::Cells, MARK)).await {
        Err(Failure::NoStream(_)) => Ok(None),
        there => Ok(there?),
    }
}

impl Keeper {
    async fn look(&mut self, shared: &Shared) -> Standing {
        let before = shared.standing.read().clone();
        let found = before.found;
        let looked = self.check(shared).await;
        let is_silent = matches!(looked, Err((Wrong::Silent(_), _)));
        // One answer that is late says nothing yet; writes have an end of their own.
        if is_silent && !std::mem::replace(&mut self.was_silent, true) && before.log.is_ok() {
            shared.doubt();
            return before;
        }
        self.was_silent = is_silent;
        let problem = match &looked {
            Ok(_) => None,
            Err((Wrong::Silent(text) | Wrong::Now(text) | Wrong::Ledger(text), _)) => {
                Some(text.clone())
            }
        };
        if self.said != problem {
            match &problem {
                Some(text) => tracing::error!(problem = %text, "the brokers cannot be relied on"),
                None => tracing::info!("the brokers can be relied on"),
            }
            self.said.clone_from(&problem);
        }
        match looked {
            Ok(epoch) => Standing { ledger: Ok(()), log: Ok(epoch), found: Some(epoch) },
            Err((Wrong::Silent(text) | Wrong::Now(text), epoch)) => Standing {
                ledger: Err(StoreError::Unavailable(text.clone())),
                log: Err(LogError::Unavailable(text)),
                found: epoch.or(found),
            },
            Err((Wrong::Ledger(text), epoch)) => Standing {
                ledger: Err(StoreError::Damaged(text.clone())),
                log: epoch.ok_or(LogError::Unavailable(text)),
                found: epoch.or(found),
            },
        }
    }

    async fn check(&mut self, shared: &Shared) -> Result<Uuid, (Wrong, Option<Uuid>)> {
        let none = |wrong| (wrong, None);
        // First of all: another replica may remember more at any moment.
        let remembered = remembered(shared).await.map_err(none)?;
        let found = self.find(shared).await.map_err(none)?;
        self.preflight(shared, &found).await.map_err(none)?;
        let known = |wrong| (wrong, Some(found.epoch));
        self.key(shared).await.map_err(known)?;
        self.canary(shared).await.map_err(known)?;
        self.compare(shared, &found, remembered).await.map_err(known)
    }

    /// The streams; those that are not there yet are made.
    async fn find(&mut self, shared: &Shared) -> Result<Found, Wrong> {
        let (broker, streams) = (&shared.broker, &shared.streams);
        let (mut infos, mut missing) = (Vec::new(), Vec::new());
        for of in Of::ALL {
            match broker.info(streams.name(of)).await {
                Ok(info) => infos.push((of, info)),
                Err(Failure::NoStream(_)) => missing.push(of),
                Err(error) => return Err(error.into()),
            }
        }
        if missing.contains(&Of::Ledger) && missing.len() < Of::ALL.len() {
            return Err(Wrong::Ledger(format!(
                "the stream {} is gone, and others are there: without it payments could be made \
                 twice; bring it back, or begin all streams anew when no payment is in doubt",
                streams.name(Of::Ledger)
            )));
        }
        // Other replicas may be making them at the same moment.
        let now = jiff::Timestamp::now().as_second();
        let is_new = |info: &Info| now.saturating_sub(info.created.unix_timestamp()) < NEW_SECONDS;
        let begins = infos.iter().all(|(_, info)| is_new(info));
        for of in missing {
            broker.create(&streams.config(of)).await?;
            if begins {
                tracing::info!(stream = streams.name(of), "made a stream");
            } else {
                tracing::error!(stream = streams.name(of), "a stream was gone; it begins anew");
            }
            infos.push((of, broker.info(streams.name(of)).await?));
        }
        for (of, info) in &mut infos {
            if let Some(problem) = streams.complaint(*of, info) {
                return Err(Wrong::Now(problem));
            }
            if let Some(config) = streams.changed(*of, &info.config) {
                tracing::info!(stream = streams.name(*of), "its limits follow the configuration");
                *info = broker.update(&config).await?;
            }
        }
        let take = |of: Of, infos: &[(Of, Info)]| {
            infos.iter().find(|(is, _)| *is == of).map(|(_, info)| info.clone())
        };
        let (Some(ledger), Some(events)) = (take(Of::Ledger, &infos), take(Of::Events, &infos))
        else {
            return Err(Wrong::Now("a stream is missing".to_owned()));
        };
        let epoch = Streams::epoch(&events.config).ok_or_else(|| {
            let name = streams.name(Of::Events);
            Wrong::Now(format!("stream {name}: it has no {EPOCH}, so it is not the gateway's"))
        })?;
        Ok(Found { ledger, events, epoch })
    }

    /// Whether the brokers sync.
    async fn preflight(&mut self, shared: &Shared, found: &Found) -> Result<(), Wrong> {
        let monitors = &shared.settings.monitors;
        if monitors.is_empty() {
            // The placement tag is the operator's word.
            return Ok(());
        }
        let keepers: BTreeSet<String> =
            [&found.ledger, &found.events].into_iter().flat_map(preflight::keepers).collect();
        let is_old = self.settings_at.is_none_or(|at| at.elapsed() >= SETTINGS_EVERY);
        if is_old || !keepers.is_subset(&self.shown.good) || !self.shown.bad.is_empty() {
            let mut shown = preflight::look(monitors).await;
            // One that does not answer now has shown it before.
            let silent = self.shown.good.iter().filter(|name| !shown.bad.contains_key(*name));
            shown.good.extend(silent.cloned());
            self.shown = shown;
            self.settings_at = Some(Instant::now());
        }
        match preflight::complaint(&keepers, &self.shown) {
            Some(problem) => Err(Wrong::Now(problem)),
            None => Ok(()),
        }
    }

    /// Whether the key is the one the ledger was begun with.
    async fn key(&mut self, shared: &Shared) -> Result<(), Wrong> {
        if self.is_key_right {
            return Ok(());
        }
        let mut record = shared.check.clone();
        record.version = 1;
        let (name, payload) = (ledger::name(&record.key), record.encode());
        let there = match self.put(shared, Of::Ledger, &name, 0, &payload).await? {
            Written::Done(_) => None,
            Written::Changed(there) => there,
        };
        if let Some(message) = there {
            let there = Record::decode(&message.payload)
                .map_err(|error| Wrong::Ledger(format!("the check of its key: {error}")))?;
            if there.body_mac != record.body_mac {
                return Err(Wrong::Ledger(
                    "it was written with another key than the one in state.key_file; bring the \
                     old key back, because without it no payment is found again"
                        .to_owned(),
                ));
            }
        }
        self.is_key_right = true;
        Ok(())
    }

    async fn put(
        &self,
        shared: &Shared,
        of: Of,
        rest: &str,
        expected: u64,
        payload: &[u8],
    ) -> Result<Written, Failure> {
        let write = Write {
            subject: shared.streams.subject(of, rest),
            expected,
            headers: HeaderMap::new(),
            payload: payload.to_vec().into(),
        };
        table::write(&shared.broker, shared.streams.name(of), write, shared.settings.timeout).await
    }

    /// Whether the streams hold at least what they held. Answers which log there is now.
    async fn compare(
        &mut self,
        shared: &Shared,
        found: &Found,
        there: Option<Message>,
    ) -> Result<Uuid, Wrong> {
        let streams = &shared.streams;
        let subject = streams.subject(Of::Cells, MARK);
        let mark = there.as_ref().map(|message| serde_json::from_slice::<Mark>(&message.payload));
        let mark = mark.transpose().map_err(|error| {
            Wrong::Now(format!("{subject}, which tells what the streams held: {error}"))
        })?;
        let created = found.ledger.created.unix_timestamp_nanos() / 1_000_000;
        let created = i64::try_from(created).unwrap_or_default();
        let last = found.events.state.last_sequence;
        let mut epoch = found.epoch;
        if let Some(mark) = &mark {
            let is_less = found.ledger.state.last_sequence < mark.ledger.1;
            if mark.ledger.0 != created || self.persists(0, is_less) {
                return Err(Wrong::Ledger(format!(
                    "the stream {} is another one than before, or holds less: payments could be \
                     made twice; bring it back, or, when no payment is in doubt, take the \
                     message of {subject} out of {}",
                    streams.name(Of::Ledger),
                    streams.name(Of::Cells)
                )));
            }
            if is_less {
                return Err(Wrong::Now("the ledger's leader is behind".to_owned()));
            }
            if mark.log.0 == epoch.to_string() {
                let is_less = self.is_rewound(shared, found, &mark.log).await?;
                if self.persists(1, is_less) {
                    epoch = self.begin_anew(shared, &found.events).await?;
                } else if is_less {
                    return Err(Wrong::Now("the log's leader is behind".to_owned()));
                }
            }
        }
        let name = match last {
            0 => String::new(),
            _ => self.name_of_event(shared, last).await?.unwrap_or_default(),
        };
        let now = Mark {
            ledger: (created, found.ledger.state.last_sequence),
            log: (epoch.to_string(), last, name),
        };
        let grown = mark.as_ref().is_none_or(|mark| {
            mark.log.0 != now.log.0 || mark.log.1 < now.log.1 || mark.ledger.1 < now.ledger.1
        });
        if grown {
            let payload = serde_json::to_vec(&now).unwrap_or_default();
            let expected = there.map_or(0, |there: Message| there.seq);
            // Whoever was faster knows as much.
            self.put(shared, Of::Cells, MARK, expected, &payload).await?;
        }
        if shared.may_read_log().is_ok_and(|before| before != epoch) {
            shared.tail.send_replace(last);
        } else {
            shared.advance(last);
        }
        Ok(epoch)
    }

    /// Whether something is so for long enough to be believed.
    fn persists(&mut self, what: usize, is_so: bool) -> bool {
        let Some(since) = self.rewound_since.get_mut(what) else { return false };
        if !is_so {
            *since = None;
            return false;
        }
        since.get_or_insert_with(Instant::now).elapsed() >= REWOUND_FOR
    }

    async fn is_rewound(
        &self,
        shared: &Shared,
        found: &Found,
        (_, last, name): &(String, u64, String),
    ) -> Result<bool, Wrong> {
        let state = &found.events.state;
        if state.last_sequence < *last {
            return Ok(true);
        }
        if *last < state.first_sequence || state.messages == 0 {
            return Ok(false);
        }
        let there = self.name_of_event(shared, *last).await?;
        Ok(there.is_some_and(|there| there != *name))
    }

    /// By what the event of a place is known.
    async fn name_of_event(&self, shared: &Shared, seq: u64) -> Result<Option<String>, Wrong> {
        let stream = shared.streams.name(Of::Events);
        let message = shared.broker.next(stream, seq).await?;
        let message = message.filter(|message| message.seq == seq);
        Ok(message.and_then(|of| of.subject.rsplit('.').next().map(str::to_owned)))
    }

    /// Gives the log another epoch: it holds less than it once answered.
    async fn begin_anew(&self, shared: &Shared, events: &Info) -> Result<Uuid, Wrong> {
        let epoch = Uuid::new_v4();
        let mut config = events.config.clone();
        config.metadata.insert(EPOCH.to_owned(), epoch.to_string());
        shared.broker.update(&config).await?;
        tracing::error!("the event log holds less than before; cursors of before lead nowhere now");
        Ok(epoch)
    }

    /// Whether the brokers still store anything.
    async fn canary(&mut self, shared: &Shared) -> Result<(), Wrong> {
        let (broker, streams) = (&shared.broker, &shared.streams);
        let tried = futures_util::future::join_all([Of::Ledger, Of::Cells].map(|of| async move {
            let subject = streams.subject(of, CANARY);
            let expect: Option<Expect<'_>> = None;
            broker.publish(&subject, expect, HeaderMap::new(), Bytes::new()).await
        }));
        let failed = tried.await.into_iter().find_map(Result::err);
        let Some(error) = failed else {
            self.canaries_missed = 0;
            return Ok(());
        };
        self.canaries_missed += 1;
        let is_due = self.step_down_at.is_none_or(|at| at.elapsed() >= STEP_DOWN_EVERY);
        if self.canaries_missed >= STEP_DOWN_AFTER && is_due {
            self.step_down_at = Some(Instant::now());
            for of in [Of::Ledger, Of::Cells, Of::Events] {
                tracing::warn!(stream = streams.name(of), "its leader is asked to hand over");
                let _ = broker.step_down(streams.name(of)).await;
            }
        }
        let text = format!("a trial write failed: {error}");
        match error {
            Failure::Unavailable(_) => Err(Wrong::Silent(text)),
            _ => Err(Wrong::Now(text)),
        }
    }
}
