//! One round of a group: what was said, what is new, who gets what, in one write.
//!
//! A round works on a copy of the state. When another process was faster, the copy is thrown away
//! and the round begins anew with what is there; so nothing is told before it is durable. Dead
//! letters are written before the state that forgets their events.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::member::{self, Delivery, Handed, Progress, ROUND_BYTES};
use super::runtime::{Action, Runtime, SAVE_EVERY, Trouble, USE_MS};
use super::shelf::Found;
use crate::error::{Error, reason};
use crate::events::cell::{Saved, Versioned, load, save};
use crate::events::dead::{Cause, DeadLetter};
use crate::events::group::{Gap, Group, Settled, Token, pause_ms};
use crate::events::store::{Limit, LogError, ReadError};
use crate::events::{hub, wire};
use crate::pb::events::v1 as pb;

/// How much of the log is read at once.
const READ: Limit = Limit { events: 256, bytes: 4 << 20 };
/// How often the log is read in a round.
const READS_MAX: usize = 16;

/// A round that is not yet true.
struct Draft {
    group: Group,
    now_ms: i64,
    gaps: Vec<Gap>,
    /// For each word, what became of its tokens.
    results: Vec<Vec<pb::DeliveryResult>>,
    handed: BTreeMap<u64, Vec<Handed>>,
}

impl Draft {
    /// The log begins there.
    fn begins(&mut self, first: u64) {
        self.gaps.extend(self.group.begins(first));
    }
}

impl Runtime {
    /// Does what there is to do.
    pub(super) async fn round(&mut self) -> Result<(), Trouble> {
        if self.must_look() {
            self.look_up().await?;
        }
        loop {
            let Some(kept) = &self.kept else { return Ok(()) };
            let mut draft = Draft {
                group: kept.kept.clone(),
                now_ms: self.clock.now_ms(),
                gaps: Vec::new(),
                results: Vec::new(),
                handed: BTreeMap::new(),
            };
            (self.more, self.hungry, self.unready) = (false, false, false);
            draft.begins(self.first);
            self.heed(&mut draft).await?;
            self.bury_spent(&mut draft).await?;
            self.read_on(&mut draft).await?;
            self.assign(&mut draft).await?;
            if !self.members.is_empty() && draft.now_ms - draft.group.used_ms >= USE_MS {
                draft.group.used_ms = draft.now_ms;
            }
            if self.saved(&mut draft).await? {
                self.tell(draft).await;
                return Ok(());
            }
        }
    }

    /// Looks at the cell and at the log.
    async fn look_up(&mut self) -> Result<(), Trouble> {
        let log = &*self.hub.log;
        let info = log.info().await?;
        let there = load::<Group>(log, self.name.as_bytes()).await?;
        let Some(there) = there else {
            let error = Error::new(&reason::GROUP_NOT_FOUND);
            return Err(Trouble::Over(error.resource("group", self.name.to_string())));
        };
        if there.kept.epoch != info.epoch {
            let what = "Put the group into the log there is with `SeekGroup`.";
            let error = Error::new(&reason::LOG_REWOUND).field("open.group_id", what);
            return Err(Trouble::Over(error));
        }
        self.first = info.first;
        if self.kept.is_none() {
            let last = log.read(info.last.saturating_sub(1), Limit::events(1)).await;
            // A log without events has no deadlines of them either.
            if let Some(last) = last.ok().and_then(|last| last.first().map(|of| of.logged_ms)) {
                self.clock.reach(last);
            }
        }
        self.progress.send_modify(|progress| progress.head_ms = hub::now_ms());
        self.looked = Some(Instant::now());
        // What is only in memory is newer than the same version of the cell.
        if self.kept.as_ref().is_none_or(|kept| kept.version != there.version) {
            self.adopt(there);
        }
        Ok(())
    }

    /// Goes on with what another one wrote.
    fn adopt(&mut self, there: Versioned<Group>) {
        let moved =
            self.kept.as_ref().is_some_and(|of| of.kept.generation != there.kept.generation);
        if moved {
            self.shelf.clear();
            self.oldest = None;
            for member in self.members.values_mut() {
                member.hand.clear();
            }
        }
        self.unsaved = None;
        self.kept = Some(there);
    }

    /// Does what members said.
    async fn heed(&mut self, draft: &mut Draft) -> Result<(), Trouble> {
        // Words go back even when a round fails: they are done in the next one.
        let words = std::mem::take(&mut self.words);
        let mut done = Ok(());
        for word in &words {
            let mut results = Vec::with_capacity(word.tokens.len());
            for name in &word.tokens {
                match self.heed_one(draft, &word.action, name).await {
                    Ok(result) => results.push(result),
                    Err(error) => done = Err(error),
                }
                if done.is_err() {
                    break;
                }
            }
            draft.results.push(results);
            if done.is_err() {
                break;
            }
        }
        self.words = words;
        done
    }

    async fn heed_one(
        &mut self,
        draft: &mut Draft,
        action: &Action,
        name: &Bytes,
    ) -> Result<pb::DeliveryResult, Trouble> {
        let token = draft.group.open(name);
        let mut deadline_time = None;
        let (shown, settled) = match (action, token) {
            (Action::Ack, Some(token)) => {
                (pb::DeliveryAction::Ack, self.acknowledge(draft, token).await?)
            }
            (Action::Reject(reason), Some(token)) => {
                let settled = draft.group.settling(token);
                if settled == Settled::Done {
                    self.bury(draft, token.seq, Cause::Rejected, reason.clone()).await?;
                }
                (pb::DeliveryAction::Reject, settled)
            }
            (Action::Nack(delay), Some(token)) => {
                let pause = delay.map_or_else(|| pause_ms(token.attempt), milliseconds);
                let due_ms = draft.now_ms.saturating_add(pause);
                (pb::DeliveryAction::Nack, draft.group.give_back(token, due_ms))
            }
            (Action::Extend(by), Some(token)) => {
                let until_ms = draft.now_ms.saturating_add(milliseconds(*by));
                let settled = draft.group.extend(token, until_ms);
                let claim = draft.group.claim(token.seq).filter(|_| settled == Settled::Done);
                deadline_time = claim.map(|claim| wire::time(claim.due_ms));
                (pb::DeliveryAction::Extend, settled)
            }
            (action, None) => (action.shown(), Settled::Unknown),
        };
        let outcome = match settled {
            Settled::Done => pb::DeliveryOutcome::Ok,
            Settled::AlreadyDone => pb::DeliveryOutcome::AlreadyDone,
            Settled::Unknown => pb::DeliveryOutcome::UnknownToken,
        };
        Ok(pb::DeliveryResult {
            delivery_token: name.clone(),
            action: shown.into(),
            outcome: outcome.into(),
            deadline_time,
        })
    }

    /// An event was handled. A dead letter goes before it is forgotten that it was on its way.
    async fn acknowledge(&mut self, draft: &mut Draft, token: Token) -> Result<Settled, LogError> {
        let settled = draft.group.settling(token);
        if let (Settled::Done, Some(of)) = (settled, draft.group.redriven.get(&token.seq)) {
            let name = DeadLetter::named(&self.name, of.seq, &of.id);
            super::terms::remove_letter(&*self.hub.log, &name).await?;
        }
        Ok(draft.group.settle(token))
    }

    /// Buries what was tried too often.
    async fn bury_spent(&mut self, draft: &mut Draft) -> Result<(), LogError> {
        for token in draft.group.spent(draft.now_ms) {
            self.bury(draft, token.seq, Cause::Exhausted, Bytes::new()).await?;
        }
        Ok(())
    }

    /// Puts a copy of an event with the dead letters, and then is done with it.
    async fn bury(
        &mut self,
        draft: &mut Draft,
        place: u64,
        cause: Cause,
        reason: Bytes,
    ) -> Result<(), LogError> {
        let log = &*self.hub.log;
        let attempts = draft.group.claim(place).map_or(0, |claim| claim.attempt);
        match self.shelf.find(log, &self.name, &draft.group, place).await? {
            Found::Event(stored, epoch) => {
                let buried_ms = hub::now_ms();
                let expires_ms =
                    buried_ms.saturating_add(milliseconds(self.hub.settings.dead_letters_keep));
                let letter = DeadLetter {
                    stored: *stored,
                    epoch,
                    cause,
                    attempts,
                    reason,
                    buried_ms,
                    expires_ms,
                };
                let name = letter.name(&self.name);
                let mut expected = 0;
                while let Saved::Changed(there) = save(log, &name, expected, &letter).await? {
                    expected = there.map_or(0, |of| of.version);
                }
                self.hub.metrics.events.buried(match cause {
                    Cause::Exhausted => "attempts_exhausted",
                    Cause::Rejected => "rejected",
                });
                draft.group.forget(place);
            }
            Found::NoLetter => draft.group.forget(place),
            Found::Expired(first) => draft.begins(first),
        }
        Ok(())
    }

    /// How many more deliveries the members take.
    fn room(&mut self, draft: &Draft) -> usize {
        let mut room = 0;
        for member in self.members.values() {
            let (events, bytes) = member.has(&draft.group, draft.now_ms);
            if events < member.limits.events && (bytes < member.limits.bytes || events == 0) {
                if member.is_ready() {
                    room += member.limits.events - events;
                } else if !member.leaving {
                    self.unready = true;
                }
            }
        }
        room
    }

    /// Reads the log until there is enough for everybody.
    async fn read_on(&mut self, draft: &mut Draft) -> Result<(), LogError> {
        let head = *self.tail.borrow_and_update();
        let room = self.room(draft);
        if room == 0 || draft.group.paused {
            return Ok(());
        }
        for _ in 0..READS_MAX {
            if !draft.group.has_room() || draft.group.due(draft.now_ms, room).len() >= room {
                return Ok(());
            }
            if draft.group.read >= head {
                self.hungry = true;
                return Ok(());
            }
            match self.hub.log.read(draft.group.read, READ).await {
                Ok(events) => {
                    for stored in events {
                        let wanted = self.filter.matches(&stored);
                        let owner = wanted.then_some(stored.event.owner);
                        if !draft.group.look(stored.seq, owner) {
                            return Ok(());
                        }
                        if wanted {
                            self.shelf.put(stored);
                        }
                    }
                }
                Err(ReadError::Expired { first }) => {
                    self.first = first;
                    draft.begins(first);
                }
                // The log went back, or this engine is behind: the next look tells.
                Err(ReadError::Ahead { .. }) => {
                    self.hungry = true;
                    return Ok(());
                }
                Err(ReadError::Log(error)) => return Err(error),
            }
        }
        self.more = true;
        Ok(())
    }

    /// Decides who gets what.
    async fn assign(&mut self, draft: &mut Draft) -> Result<(), LogError> {
        let room = self.room(draft);
        if room == 0 {
            return Ok(());
        }
        // The members, what each has, and what it was given in this round.
        let mut takers = Vec::new();
        for member in self.members.values().filter(|member| member.is_ready()) {
            takers.push((member.id, member.limits, member.has(&draft.group, draft.now_ms), 0));
        }
        takers.sort_unstable_by_key(|(id, ..)| *id);
        for place in draft.group.due(draft.now_ms, room) {
            let found = self.shelf.find(&*self.hub.log, &self.name, &draft.group, place).await?;
            let (stored, epoch) = match found {
                Found::Event(stored, epoch) => (stored, epoch),
                Found::NoLetter => {
                    draft.group.forget(place);
                    continue;
                }
                Found::Expired(first) => {
                    self.first = first;
                    draft.begins(first);
                    continue;
                }
            };
            let event = wire::encoded(&self.hub.cipher, &self.hub.cursors, epoch, &stored);
            let Ok(event) = event else {
                // Nobody can be given what cannot be opened; in the end it is a dead letter.
                self.hub.metrics.events.alarm("event_unreadable");
                tracing::error!(seq = stored.seq, "an event of a group cannot be opened");
                if let Some(token) = draft.group.take(place, draft.now_ms) {
                    let due_ms = draft.now_ms.saturating_add(pause_ms(token.attempt));
                    draft.group.give_back(token, due_ms);
                }
                continue;
            };
            let size = event.len();
            let count = takers.len();
            let taker = (0..count).map(|step| (self.turn + step) % count.max(1)).find(|at| {
                takers.get(*at).is_some_and(|(_, limits, (events, bytes), given)| {
                    *events < limits.events
                        && (*events == 0 || bytes + size <= limits.bytes)
                        && (*given == 0 || given + size <= ROUND_BYTES)
                })
            });
            let Some((at, (id, limits, has, given))) =
                taker.and_then(|at| takers.get_mut(at).map(|taker| (at, taker)))
            else {
                self.more = takers.iter().any(|(.., given)| given + size > ROUND_BYTES);
                return Ok(());
            };
            self.turn = (at + 1) % count;
            let until_ms = draft.now_ms.saturating_add(milliseconds(limits.ack_deadline));
            let Some(token) = draft.group.take(place, until_ms) else { continue };
            *has = (has.0 + 1, has.1 + size);
            *given += size;
            let delivery = Delivery {
                event,
                delivery_token: draft.group.seal(token).into(),
                attempt: i32::try_from(token.attempt).unwrap_or(i32::MAX),
                deadline_time: Some(wire::time(until_ms)),
                redriven: draft.group.redriven.contains_key(&place),
            };
            let handed = Handed { place, attempt: token.attempt, delivery };
            draft.handed.entry(*id).or_default().push(handed);
        }
        Ok(())
    }

    /// Makes a draft true; says no when another one was faster.
    async fn saved(&mut self, draft: &mut Draft) -> Result<bool, Trouble> {
        let Some(kept) = &mut self.kept else { return Ok(false) };
        if draft.group == kept.kept && self.unsaved.is_none() {
            return Ok(true);
        }
        let waits = self.unsaved.is_none_or(|since| since.elapsed() < SAVE_EVERY);
        if waits && !draft.group.differs(&kept.kept) {
            // How far the log was looked at in vain is found out again at little cost.
            kept.kept = draft.group.clone();
            self.unsaved.get_or_insert_with(Instant::now);
            return Ok(true);
        }
        let saving = save(&*self.hub.log, self.name.as_bytes(), kept.version, &draft.group).await?;
        match saving {
            Saved::Done(version) => {
                *kept = Versioned { version, kept: draft.group.clone() };
                self.unsaved = None;
                Ok(true)
            }
            Saved::Changed(Some(there)) => {
                self.adopt(there);
                // It may be of another log by now.
                self.look_up().await?;
                Ok(false)
            }
            Saved::Changed(None) => {
                let error = Error::new(&reason::GROUP_NOT_FOUND);
                Err(Trouble::Over(error.resource("group", self.name.to_string())))
            }
        }
    }

    /// Tells members what is true now.
    async fn tell(&mut self, draft: Draft) {
        let Draft { group, now_ms, gaps, results, handed } = draft;
        for (word, results) in self.words.drain(..).zip(results) {
            if let Some(member) = self.members.get(&word.member) {
                let results = pb::DeliveryResults { results };
                let response = pb::consume_response::Response::Results(results);
                let response = pb::ConsumeResponse { response: Some(response) };
                member.send(&response, Some(word.answers));
            }
        }
        for gap in gaps {
            self.hub.metrics.events.alarm("group_gap");
            tracing::error!(
                group = &*self.name,
                from = gap.from,
                to = gap.to,
                "retention took events that a group had not settled"
            );
            let shown = pb::ConsumeGap {
                first_sequence: member::shown(gap.from),
                last_sequence: member::shown(gap.to),
            };
            let response = pb::consume_response::Response::Gap(shown);
            let response = pb::ConsumeResponse { response: Some(response) };
            for member in self.members.values() {
                member.send(&response, None);
            }
        }
        let mut handed: HashMap<_, _> = handed.into_iter().collect();
        for member in self.members.values_mut() {
            member.prune(&group, now_ms);
            if let Some(handed) = handed.remove(&member.id) {
                member.hand(handed);
            }
        }
        self.shelf.prune(&group);
        let oldest_ms = self.oldest_ms(&group).await;
        let head = *self.tail.borrow();
        self.progress.send_modify(|progress| {
            *progress = Progress {
                floor: group.floor(),
                head: head.max(group.read),
                head_ms: progress.head_ms,
                oldest_ms,
                in_flight: group.held(now_ms),
                paused: group.paused,
            };
        });
    }

    /// When the oldest event that is not settled was logged.
    async fn oldest_ms(&mut self, group: &Group) -> Option<i64> {
        let first = *group.claims.keys().next()?;
        match self.oldest {
            Some((seq, logged_ms)) if seq == first => Some(logged_ms),
            _ => {
                let found = self.shelf.find(&*self.hub.log, &self.name, group, first).await;
                let Ok(Found::Event(stored, _)) = found else { return None };
                self.oldest = Some((first, stored.logged_ms));
                Some(stored.logged_ms)
            }
        }
    }

    /// Saves what is only in memory, and that members were here until now.
    pub(super) async fn finish(mut self) {
        for member in self.members.values() {
            member.in_hand.store(0, Ordering::Relaxed);
        }
        let Some(kept) = &mut self.kept else { return };
        kept.kept.used_ms = self.clock.now_ms();
        let name = self.name.as_bytes();
        // Whoever changed it meanwhile has used it, too; and what fails is found out again.
        let _ = save(&*self.hub.log, name, kept.version, &kept.kept).await;
    }
}

impl Action {
    const fn shown(&self) -> pb::DeliveryAction {
        match self {
            Self::Ack => pb::DeliveryAction::Ack,
            Self::Nack(_) => pb::DeliveryAction::Nack,
            Self::Extend(_) => pb::DeliveryAction::Extend,
            Self::Reject(_) => pb::DeliveryAction::Reject,
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
