//! Asking QIWI about transactions that only a signature vouches for, which does not cover status.
//!
//! Only events of the log are asked about, so that posts without a right signature cost QIWI
//! nothing, and each once: what was found out is an event under an id of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use prost_types::Timestamp;
use tokio::time::Instant;

use super::LOG_PAUSE;
use super::ask::{Asker, Found, Trouble};
use super::judge::{Verdict, judge};
use super::progress::Progress;
use super::tail;
use super::targets::{Need, Target};
use crate::config::Confirm;
use crate::events::cell::{self, Saved};
use crate::events::hub::now_ms;
use crate::events::wire::{self, Origin};
use crate::events::{Event, EventId, Kind, LogError, Owner, Source, Stored, Trust};
use crate::pb::events::v1 as pb;
use crate::pb::wallet::v1 as types;

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
    event.kind == Kind::Transaction
        && event.trust == Trust::SignatureOnly
        && matches!(event.status.as_str(), "SUCCESS" | "ERROR")
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
    let age = age(&stored);
    if age > hub.settings.confirm_within {
        asker.metrics().events.alarm("unconfirmed");
        tracing::error!(event = %subject.id, "QIWI could not be asked about an event in time");
        return Ok(Looked::Done);
    }
    let target = match asker.who(&subject.owner, Need::Transaction).await {
        Found::Target(target) => target,
        Found::Perhaps => return Ok(Looked::Later(None)),
        Found::Nobody => return Ok(Looked::Done),
    };
    let told = match wire::opened(&hub.cipher, &stored)?.payload {
        Some(pb::event::Payload::Transaction(told)) => told,
        _ => return Ok(Looked::Done),
    };
    let patient = age < hub.settings.confirm_absent;
    let mut found = None;
    for kind in kinds(&told, patient) {
        if let Err(wait) = asker.budgets.try_turn(&subject.owner) {
            return Ok(Looked::Later(Some(wait)));
        }
        match asker.transaction(&target, &told.transaction_id, kind).await {
            Ok(None) => {}
            Ok(Some(transaction)) => {
                found = Some(transaction);
                break;
            }
            Err(Trouble::Log(error)) => return Err(error),
            Err(Trouble::Qiwi(error)) => {
                tracing::debug!(
                    event = %subject.id,
                    reason = error.reason().name,
                    "QIWI could not be asked about an event; again later"
                );
                return Ok(Looked::Later(error.delay()));
            }
        }
    }
    let causes = match judge(&told, &target.wallet, found.as_ref(), patient) {
        Verdict::Behind => return Ok(Looked::Later(None)),
        Verdict::Same => Vec::new(),
        Verdict::Differs(causes) => causes,
    };
    tell(asker, &target, &stored, &told, found, causes).await?;
    Ok(Looked::Done)
}

/// The types to ask with: webhooks report card payments as outgoing ones. In the end any will do,
/// so that another type is told as such.
fn kinds(told: &types::Transaction, patient: bool) -> Vec<types::TransactionType> {
    let mut kinds = vec![told.r#type()];
    if told.r#type() == types::TransactionType::Out {
        kinds.push(types::TransactionType::QiwiCard);
    }
    if !patient && told.r#type() != types::TransactionType::Unspecified {
        kinds.push(types::TransactionType::Unspecified);
    }
    kinds
}

const SAME: &str = "CONFIRMED";
const DIFFERS: &str = "CONTRADICTED";

/// Appends what was found out, and before it what QIWI says itself where that is something else.
async fn tell(
    asker: &Asker,
    target: &Target,
    stored: &Stored,
    told: &types::Transaction,
    found: Option<types::Transaction>,
    causes: Vec<pb::ContradictionCause>,
) -> Result<(), LogError> {
    let hub = asker.hub();
    let subject = &stored.event;
    let same = causes.is_empty();
    let origin = Origin {
        owner: target.owner,
        wallet: Some(&target.wallet),
        source: Source::Reconciled,
        trust: if same { Trust::ApiConfirmed } else { Trust::Contradicted },
        received_ms: now_ms(),
    };
    let of_another = causes.contains(&pb::ContradictionCause::Wallet);
    if let Some(found) = found.clone()
        && !same
        && !of_another
    {
        let origin = Origin { trust: Trust::ApiConfirmed, ..origin };
        hub.append(wire::transaction(&hub.cipher, origin, found)?).await?;
    }
    let found = found.filter(|_| !of_another);
    let outcome = if same { SAME } else { DIFFERS };
    let id = EventId::confirmation(&subject.id, outcome);
    let mut event = Event::new(id, Kind::Confirmation, origin.source, origin.trust, origin.owner);
    // What filters ask for is the subject's.
    event.r#type.clone_from(&subject.r#type);
    event.transaction.clone_from(&subject.transaction);
    event.status.clone_from(&subject.status);
    event.provider.clone_from(&subject.provider);
    event.about = Some(subject.id);
    let payload = pb::event::Payload::Confirmation(pb::ConfirmationEvent {
        subject_event_id: subject.id.to_string(),
        transaction_id: subject.transaction.clone(),
        subject_type: told.r#type,
        subject_type_raw: told.type_raw.clone(),
        subject_status: told.status,
        subject_status_raw: told.status_raw.clone(),
        status: found.as_ref().map_or(0, |of| of.status),
        status_raw: found.as_ref().map(|of| of.status_raw.clone()).unwrap_or_default(),
        error: found.as_ref().and_then(|of| of.error.clone()),
        client_transaction_id: found.as_ref().and_then(|of| of.client_transaction_id.clone()),
        causes: causes.iter().map(|cause| (*cause).into()).collect(),
        acquiring: None,
    });
    let time = found.and_then(|of| of.transaction_time);
    let event = wire::sealed(&hub.cipher, event, origin, time, payload)?;
    hub.append(crate::events::Append::new(event)).await?;
    if !same {
        asker.metrics().events.alarm("contradicted");
        tracing::error!(
            event = %subject.id,
            causes = ?causes,
            "QIWI contradicts a notification whose signature is right; a person must look"
        );
    }
    Ok(())
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
