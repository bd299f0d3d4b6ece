//! Asking QIWI about transactions that only a signature vouches for, which does not cover everything.
//!
//! Only events of the log are asked about, so that posts without a right signature cost QIWI
//! nothing, and each once: what was found out is an event under an id of its own. How QIWI is asked
//! and what its answer means is in `wallet` and `acquiring`.

mod acquiring;
mod wallet;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use prost_types::Timestamp;
use tokio::time::Instant;

use super::LOG_PAUSE;
use super::ask::Asker;
use super::progress::Progress;
use super::tail;
use crate::config::Confirm;
use crate::error::Error;
use crate::events::cell::{self, Saved};
use crate::events::hub::now_ms;
use crate::events::wire::{self, Origin};
use crate::events::{Append, Event, EventId, Kind, LogError, Owner, Source, Stored, Trust};
use crate::pb::events::v1 as pb;
use crate::pb::r#type::v1::OffsetTime;

/// The cell of what was followed.
const CELL: &[u8] = b"confirmation";
/// Events that wait for QIWI; more wait in the log.
const OPEN_MAX: usize = 10_000;
/// Of them, how many are looked at before what is new is taken in.
const STEP: usize = 64;
/// Questions at once.
const AT_ONCE: usize = 8;
/// The first pause after a question that brought nothing; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// The pause before it is looked again whether another replica has asked.
const NOT_MINE: Duration = Duration::from_secs(1);
/// How often the list is gone through.
const TICK: Duration = Duration::from_millis(100);
/// The least time between two writings.
const SAVE_PAUSE: Duration = Duration::from_millis(500);
/// After this many events without a question it is written down how far the log was followed.
const SAVE_EVERY: u64 = 1000;

#[derive(Debug, Clone, Copy)]
struct Open {
    due: Instant,
    tries: u32,
    /// Unknown after a restart.
    owner: Option<Owner>,
}

/// What became of one look.
enum Looked {
    /// It is over.
    Done,
    /// Again, no sooner than after this.
    Later(Option<Duration>),
}

/// Confirms until dropped.
pub(super) async fn run(asker: &Asker) {
    if asker.hub().settings.confirm == Confirm::Off {
        return;
    }
    let mut follower = loop {
        match Follower::load(asker).await {
            Ok(follower) => break follower,
            Err(_) => tokio::time::sleep(LOG_PAUSE).await,
        }
    };
    let mut tail = asker.hub().log.tail();
    loop {
        tail.mark_unchanged();
        if let Err(error) = follower.step(asker).await {
            tracing::debug!(error = %error, "the log could not be followed; again later");
            tokio::time::sleep(LOG_PAUSE).await;
        }
        // A closed tail must not make this spin.
        let _ = tokio::time::timeout(TICK, tail.changed()).await;
        if tail.has_changed().is_err() {
            tokio::time::sleep(TICK).await;
        }
    }
}

struct Follower {
    progress: Progress,
    version: u64,
    open: BTreeMap<u64, Open>,
    saved: Instant,
    saved_through: u64,
    dirty: bool,
}

impl Follower {
    async fn load(asker: &Asker) -> Result<Self, LogError> {
        let log = &*asker.hub().log;
        let epoch = log.info().await?.epoch;
        let within = i64::try_from(asker.hub().settings.confirm_within.as_millis());
        let begin = log.seek(now_ms().saturating_sub(within.unwrap_or(i64::MAX))).await?;
        let there = cell::load::<Progress>(log, CELL).await?;
        let version = there.as_ref().map_or(0, |of| of.version);
        let progress = match there {
            Some(there) if there.kept.epoch == epoch => there.kept,
            // Another log: what it holds was not looked at. What is too old will not be.
            _ => Progress { epoch, through: begin, ..Progress::default() },
        };
        let now = Instant::now();
        let open = progress
            .open
            .iter()
            .map(|seq| (*seq, Open { due: now, tries: 0, owner: None }))
            .collect();
        let saved_through = progress.through;
        Ok(Self { progress, version, open, saved: now, saved_through, dirty: false })
    }

    async fn step(&mut self, asker: &Asker) -> Result<(), LogError> {
        self.follow(asker).await?;
        let now = Instant::now();
        let due = self.open.iter().filter(|(_, open)| {
            open.due <= now && open.owner.is_none_or(|owner| !asker.budgets.is_used_up(&owner))
        });
        let due: Vec<u64> = due.map(|(seq, _)| *seq).take(STEP).collect();
        let mut looks = futures_util::stream::iter(due)
            .map(|seq| async move { (seq, look(asker, seq).await) })
            .buffer_unordered(AT_ONCE);
        let mut failed = None;
        while let Some((seq, looked)) = looks.next().await {
            match looked {
                Ok(Looked::Done) => {
                    self.open.remove(&seq);
                    self.dirty = true;
                }
                Ok(Looked::Later(wait)) => {
                    if let Some(open) = self.open.get_mut(&seq) {
                        let pause = PAUSE.saturating_mul(1 << open.tries.min(10)).min(PAUSE_MAX);
                        // Waiting for a turn is no failure.
                        open.tries += u32::from(wait.is_none());
                        open.due = Instant::now() + wait.unwrap_or(pause);
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        drop(looks);
        self.save(asker).await?;
        failed.map_or(Ok(()), Err)
    }

    /// Takes in what is new.
    async fn follow(&mut self, asker: &Asker) -> Result<(), LogError> {
        let hub = asker.hub();
        while self.open.len() < OPEN_MAX {
            let events = tail::after(&*hub.log, &mut self.progress.through).await?;
            if events.is_empty() {
                return Ok(());
            }
            let now = Instant::now();
            for stored in events.iter().filter(|stored| is_subject(&stored.event)) {
                let owner = Some(stored.event.owner);
                self.open.insert(stored.seq, Open { due: now, tries: 0, owner });
                self.dirty = true;
            }
        }
        Ok(())
    }

    async fn save(&mut self, asker: &Asker) -> Result<(), LogError> {
        let far = self.progress.through.saturating_sub(self.saved_through) >= SAVE_EVERY;
        if !(self.dirty || far) || self.saved.elapsed() < SAVE_PAUSE {
            return Ok(());
        }
        self.progress.open = self.open.keys().copied().collect();
        match cell::save(&*asker.hub().log, CELL, self.version, &self.progress).await? {
            Saved::Done(version) => self.version = version,
            // Another replica follows too; whoever writes last is never too far.
            Saved::Changed(there) => self.version = there.map_or(0, |of| of.version),
        }
        self.saved = Instant::now();
        self.saved_through = self.progress.through;
        self.dirty = false;
        Ok(())
    }
}

/// Whether QIWI is asked about an event.
fn is_subject(event: &Event) -> bool {
    let decided = match event.kind {
        Kind::Transaction => matches!(event.status.as_str(), "SUCCESS" | "ERROR"),
        // At 0 nothing is decided; what is will be another event.
        Kind::Payment => event.status != "0",
        _ => false,
    };
    decided && event.trust == Trust::SignatureOnly
}

/// Looks at one event; an error is the log's.
async fn look(asker: &Asker, seq: u64) -> Result<Looked, LogError> {
    let hub = asker.hub();
    let Some(stored) = tail::at(&*hub.log, seq).await? else { return Ok(Looked::Done) };
    let subject = &stored.event;
    for outcome in [SAME, DIFFERS] {
        if hub.log.get(EventId::confirmation(&subject.id, outcome)).await?.is_some() {
            return Ok(Looked::Done);
        }
    }
    // Whoever it is for asks; should it be gone, this replica takes over.
    if !asker.is_mine(&subject.owner) {
        return Ok(Looked::Later(Some(NOT_MINE)));
    }
    let age = age(&stored);
    if age > hub.settings.confirm_within {
        asker.metrics().events.alarm("unconfirmed");
        tracing::error!(event = %subject.id, "QIWI could not be asked about an event in time");
        return Ok(Looked::Done);
    }
    let patient = age < hub.settings.confirm_absent;
    match wire::opened(&hub.cipher, &stored)?.payload {
        Some(pb::event::Payload::Transaction(told)) => {
            wallet::look(asker, &stored, &told, patient).await
        }
        Some(pb::event::Payload::Acquiring(told)) => {
            acquiring::look(asker, &stored, &told, patient).await
        }
        _ => Ok(Looked::Done),
    }
}

/// What becomes of an event that QIWI could not be asked about.
fn unanswered(stored: &Stored, error: &Error) -> Looked {
    tracing::debug!(
        event = %stored.event.id,
        reason = error.reason().name,
        "QIWI could not be asked about an event; again later"
    );
    Looked::Later(error.delay())
}

const SAME: &str = "CONFIRMED";
const DIFFERS: &str = "CONTRADICTED";

/// Appends what was found out about an event: that QIWI says the same, or what differs.
async fn conclude(
    asker: &Asker,
    stored: &Stored,
    origin: Origin<'_>,
    time: Option<OffsetTime>,
    found: pb::ConfirmationEvent,
) -> Result<(), LogError> {
    let hub = asker.hub();
    let subject = &stored.event;
    let (outcome, trust) = match *found.causes {
        [] => (SAME, Trust::ApiConfirmed),
        _ => (DIFFERS, Trust::Contradicted),
    };
    let causes: Vec<_> = found.causes().collect();
    let origin = Origin { trust, ..origin };
    let id = EventId::confirmation(&subject.id, outcome);
    let mut event = Event::new(id, Kind::Confirmation, origin.source, trust, origin.owner);
    // What filters ask for is the subject's.
    event.r#type.clone_from(&subject.r#type);
    event.transaction.clone_from(&subject.transaction);
    event.status.clone_from(&subject.status);
    event.provider.clone_from(&subject.provider);
    event.about = Some(subject.id);
    let payload = pb::event::Payload::Confirmation(pb::ConfirmationEvent {
        subject_event_id: subject.id.to_string(),
        transaction_id: subject.transaction.clone(),
        subject_type_raw: subject.r#type.clone(),
        subject_status_raw: subject.status.clone(),
        ..found
    });
    let event = wire::sealed(&hub.cipher, event, origin, time, payload)?;
    hub.append(Append::new(event)).await?;
    if !causes.is_empty() {
        asker.metrics().events.alarm("contradicted");
        tracing::error!(
            event = %subject.id,
            causes = ?causes,
            "QIWI contradicts a notification whose signature is right; a person must look"
        );
    }
    Ok(())
}

/// Where what QIWI says comes from.
const fn asked(owner: Owner, received_ms: i64) -> Origin<'static> {
    let (source, trust) = (Source::Reconciled, Trust::ApiConfirmed);
    Origin { owner, wallet: None, source, trust, received_ms }
}

/// How long an event is in the log.
fn age(stored: &Stored) -> Duration {
    let ms = now_ms().saturating_sub(stored.logged_ms);
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

/// Unix milliseconds of a time.
pub(super) fn millis(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000)
}
