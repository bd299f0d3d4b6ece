//! Reading a wallet's history once: what the log does not have becomes events, oldest first.
//!
//! The watermark is the newest moment QIWI has dated anything with, so that clocks may differ. A
//! reading goes back until a page holds nothing new and lies behind the watermark by a quarter of an
//! hour, because the history shows some transactions late. What is new is told by the log alone.

use std::collections::HashSet;

use uuid::Uuid;

use super::ask::{Asker, Trouble};
use super::confirm::millis;
use super::note::{Note, Open, Seeded};
use super::targets::Target;
use crate::config;
use crate::events::cell::{self, Saved};
use crate::events::hub::now_ms;
use crate::events::wire::{self, Origin};
use crate::events::{EventId, Outcome, Source, Trust, Watermark};
use crate::pb::wallet::v1 as pb;

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3600 * SECOND_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
/// How late the history may show a transaction.
const LATE_MS: i64 = 15 * 60 * SECOND_MS;
/// How much further back the list begins, should it show one later still.
const LOOKBACK_MS: i64 = DAY_MS;
/// QIWI permits 90 days.
const WINDOW_MS: i64 = 88 * DAY_MS;
/// How far behind now the list ends: clocks differ.
const AHEAD_MS: i64 = HOUR_MS;
/// Rows of a page; QIWI permits no more.
const ROWS: i32 = 50;
/// Pages of one reading.
const PAGES_MAX: usize = 200;
/// Pages of the first reading, from which nothing becomes an event.
const SEED_PAGES: usize = 4;
/// How long a transaction without a final status is asked about.
const OPEN_MS: i64 = 2 * DAY_MS;
/// The shortest pause between two questions about one.
const OPEN_PAUSE_MS: i64 = 2 * SECOND_MS;
/// Events known to be in the log, so that it need not be asked.
const KNOWN_MAX: usize = 8192;
/// How old the writing of the last reading may become while nothing changes.
const WRITE_MS: i64 = 60 * SECOND_MS;

/// What a reading brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Passed {
    /// Events that are new.
    pub(super) new: usize,
    /// Transactions without a final status.
    pub(super) open: usize,
    /// Whether it stopped before now, and the next one goes on.
    pub(super) more: bool,
}

/// Reads the history of one wallet.
pub(super) struct Reader {
    target: Target,
    epoch: Option<Uuid>,
    known: HashSet<EventId>,
    /// When to ask about each open transaction next.
    due: std::collections::HashMap<(String, i32), i64>,
}

/// Pages that were read.
struct Read {
    items: Vec<pb::Transaction>,
    /// Whether nothing is missing between the beginning and the end.
    complete: bool,
}

impl Reader {
    pub(super) fn new(target: Target) -> Self {
        Self { target, epoch: None, known: HashSet::new(), due: Default::default() }
    }

    /// Reads once. Where nothing was read before, the first reading goes back as configured, or to
    /// `missed`, since when notifications are known to be missing.
    pub(super) async fn pass(
        &mut self,
        asker: &Asker,
        source: Source,
        missed: Option<i64>,
    ) -> Result<Passed, Trouble> {
        let log = &*asker.hub().log;
        let epoch = log.info().await?.epoch;
        if self.epoch.replace(epoch) != Some(epoch) {
            self.known.clear();
        }
        let now = now_ms();
        let name = *self.target.owner.as_bytes();
        let there = cell::load::<Watermark>(log, &name).await?;
        let version = there.as_ref().map_or(0, |of| of.version);
        let (mut mark, mut note) = match there {
            Some(there) => {
                let note = Note::decode(&there.kept.note)?;
                (there.kept, note)
            }
            None => match self.beginning(asker, missed, now).await? {
                (mark, Some(note)) => {
                    let open = note.open.len();
                    let mark = Watermark { note: note.encode(), reconciled_ms: now, ..mark };
                    self.write(asker, version, mark, &note).await?;
                    return Ok(Passed { open, ..Passed::default() });
                }
                (mark, None) => {
                    let floor_ms = mark.through_ms;
                    (mark, Note { floor_ms, ..Note::default() })
                }
            },
        };
        let before = (mark.clone(), note.clone());
        if mark.reconciled_ms != 0 && now.saturating_sub(mark.reconciled_ms) > WINDOW_MS {
            asker.metrics().events.alarm("history_out_of_reach");
            tracing::error!(
                "a wallet's history was not read for so long that QIWI does not show all of it"
            );
        }
        let earliest = now.saturating_sub(WINDOW_MS);
        let since = mark.through_ms.saturating_sub(LATE_MS).max(note.floor_ms).max(earliest);
        let back = since.saturating_sub(lookback(&asker.hub().settings));
        let mut start = back.max(note.floor_ms).max(earliest);
        let mut end = now.saturating_add(AHEAD_MS);
        let read = loop {
            let read = self.read(asker, start, end, since, &note).await?;
            let span = end.saturating_sub(start);
            if read.complete || span <= 2 * SECOND_MS {
                if !read.complete {
                    asker.metrics().events.alarm("history_too_long");
                    tracing::error!("more transactions within a second than can be read");
                }
                break read;
            }
            // Too much for one reading: the older half first, and nothing from before.
            start = since;
            end = start.saturating_add(end.saturating_sub(start) / 2);
        };
        let more = end <= now;
        let mut passed = Passed { more, ..Passed::default() };
        let mut seen = HashSet::new();
        for item in read.items {
            if let Some(at) = date(&item) {
                mark.through_ms = mark.through_ms.max(at.min(now.saturating_add(AHEAD_MS)));
            }
            seen.insert((item.transaction_id.clone(), item.r#type));
            passed.new += usize::from(self.emit(asker, item, source, &mut note).await?);
        }
        if more {
            mark.through_ms = mark.through_ms.max(end);
        }
        passed.new += self.reread(asker, source, &mut note, &seen).await?;
        let behind = mark.through_ms.saturating_sub(LATE_MS + lookback(&asker.hub().settings));
        note.seeded.retain(|of| of.date_ms >= behind);
        passed.open = note.open.len();
        let fresh = now.saturating_sub(before.0.reconciled_ms) < WRITE_MS;
        if !fresh || (before.0.through_ms, &before.1) != (mark.through_ms, &note) {
            mark = Watermark { note: note.encode(), reconciled_ms: now, ..mark };
            self.write(asker, version, mark, &note).await?;
        }
        Ok(passed)
    }

    /// Where the first reading begins: with a note when what is there now is seeded silently.
    async fn beginning(
        &self,
        asker: &Asker,
        missed: Option<i64>,
        now: i64,
    ) -> Result<(Watermark, Option<Note>), Trouble> {
        let back = i64::try_from(asker.hub().settings.poll_from.as_millis()).unwrap_or(WINDOW_MS);
        let configured = (back > 0).then(|| now.saturating_sub(back));
        let missed = missed.map(|since| since.saturating_sub(LATE_MS));
        if let Some(from) = configured.into_iter().chain(missed).min() {
            return Ok((Watermark { through_ms: from, ..Watermark::default() }, None));
        }
        let day = now.saturating_sub(DAY_MS);
        let mut request = request(day, now.saturating_add(AHEAD_MS));
        let mut items: Vec<pb::Transaction> = Vec::new();
        let mut whole = false;
        for page in 0..SEED_PAGES {
            let answer = self.page(asker, &mut request, page == 0, now).await?;
            items.extend(answer.transactions);
            let dates = || items.iter().filter_map(date);
            let enough = dates().max().zip(dates().min());
            whole = answer.next_page_token.is_empty()
                || enough.is_some_and(|(newest, oldest)| newest - oldest > LATE_MS);
            if whole {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let newest = items.iter().filter_map(date).max();
        let oldest = items.iter().filter_map(date).min();
        let floor_ms = match (newest, oldest) {
            (Some(newest), _) if whole => newest.saturating_sub(LATE_MS).max(day),
            // Of the oldest second something may have been on the next page.
            (_, Some(oldest)) => oldest.saturating_add(SECOND_MS),
            // Nothing was there: whatever comes is new.
            _ => day,
        };
        let mut note = Note { floor_ms, ..Note::default() };
        for item in &items {
            let date_ms = date(item).unwrap_or(now);
            if date_ms >= floor_ms {
                let id = wire::transaction_id(&self.target.owner, item).as_bytes().to_vec();
                note.seeded.push(Seeded { id, date_ms });
            }
            note.follow(open(item, now), waits(item));
        }
        let through_ms = newest.unwrap_or(floor_ms);
        Ok((Watermark { through_ms, ..Watermark::default() }, Some(note)))
    }

    /// Reads pages, newest first, until nothing new can follow; oldest first in what is returned.
    async fn read(
        &mut self,
        asker: &Asker,
        start: i64,
        end: i64,
        since: i64,
        note: &Note,
    ) -> Result<Read, Trouble> {
        let now = now_ms();
        let mut request = request(start, end);
        let mut items: Vec<pb::Transaction> = Vec::new();
        let mut complete = false;
        for page in 0..PAGES_MAX {
            let answer = self.page(asker, &mut request, page == 0 && end > now, now).await?;
            let mut new = false;
            let mut oldest = i64::MAX;
            for item in answer.transactions {
                let at = date(&item);
                oldest = oldest.min(at.unwrap_or(i64::MAX));
                // An event without a date is looked up like any other.
                if at.is_none_or(|at| at >= note.floor_ms) {
                    new |= !self.is_known(asker, &item, note).await?;
                    items.push(item);
                }
            }
            complete = answer.next_page_token.is_empty() || (!new && oldest < since);
            if complete {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        items.sort_by_key(|item| (date(item), item.transaction_id.parse::<u64>().ok()));
        Ok(Read { items, complete })
    }

    /// One page; QIWI may not take a time that is yet to come.
    async fn page(
        &self,
        asker: &Asker,
        request: &mut pb::ListTransactionsRequest,
        may_cut: bool,
        now: i64,
    ) -> Result<pb::ListTransactionsResponse, Trouble> {
        asker.budgets.turn(&self.target.owner).await;
        match asker.page(&self.target, request).await {
            Err(Trouble::Qiwi(error))
                if may_cut && *error.reason() == crate::error::reason::UPSTREAM_INVALID_REQUEST =>
            {
                request.end_time = Some(wire::time(now));
                asker.budgets.turn(&self.target.owner).await;
                asker.page(&self.target, request).await
            }
            answer => answer,
        }
    }

    async fn is_known(
        &mut self,
        asker: &Asker,
        item: &pb::Transaction,
        note: &Note,
    ) -> Result<bool, Trouble> {
        let id = wire::transaction_id(&self.target.owner, item);
        if self.known.contains(&id) {
            return Ok(true);
        }
        let known = note.is_seeded(&id) || asker.hub().log.get(id).await?.is_some();
        if known {
            self.remember(id);
        }
        Ok(known)
    }

    fn remember(&mut self, id: EventId) {
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(id);
    }

    /// Makes an event of what the log does not have; whether it did.
    async fn emit(
        &mut self,
        asker: &Asker,
        item: pb::Transaction,
        source: Source,
        note: &mut Note,
    ) -> Result<bool, Trouble> {
        let hub = asker.hub();
        let (waits, open) = (waits(&item), open(&item, now_ms()));
        let mut new = false;
        if !self.is_known(asker, &item, note).await? {
            let id = wire::transaction_id(&self.target.owner, &item);
            let origin = Origin {
                owner: self.target.owner,
                wallet: Some(&self.target.wallet),
                source,
                trust: Trust::ApiConfirmed,
                received_ms: now_ms(),
            };
            let outcome = hub.append(wire::transaction(&hub.cipher, origin, item)?).await?;
            new = matches!(outcome, Outcome::Appended { .. });
            self.remember(id);
        }
        note.follow(open, waits);
        Ok(new)
    }

    /// Asks about transactions without a final status that the list did not show.
    async fn reread(
        &mut self,
        asker: &Asker,
        source: Source,
        note: &mut Note,
        seen: &HashSet<(String, i32)>,
    ) -> Result<usize, Trouble> {
        let now = now_ms();
        note.open.retain(|of| now.saturating_sub(of.since_ms) <= OPEN_MS);
        self.due.retain(|key, _| note.open.iter().any(|of| (&of.id, of.kind) == (&key.0, key.1)));
        let mut new = 0;
        for open in note.open.clone() {
            let key = (open.id.clone(), open.kind);
            let due = self.due.get(&key).copied().unwrap_or(now);
            if seen.contains(&key) || due > now {
                continue;
            }
            // What may come later than its list would not be worth the turn of that list.
            if asker.budgets.try_turn(&self.target.owner).is_err() {
                break;
            }
            let age = now.saturating_sub(open.since_ms);
            self.due.insert(key, now.saturating_add((age / 4).clamp(OPEN_PAUSE_MS, LATE_MS)));
            if let Some(item) = self.one(asker, &open).await? {
                new += usize::from(self.emit(asker, item, source, note).await?);
            }
        }
        Ok(new)
    }

    /// One transaction; information tokens find it in the list.
    async fn one(&self, asker: &Asker, open: &Open) -> Result<Option<pb::Transaction>, Trouble> {
        if super::targets::Need::Transaction.met_by(&self.target.credential) {
            let kind = pb::TransactionType::try_from(open.kind).unwrap_or_default();
            return asker.transaction(&self.target, &open.id, kind).await;
        }
        let around = |by: i64| open.date_ms.saturating_add(by);
        let answer = asker.page(&self.target, &request(around(0), around(SECOND_MS))).await?;
        let same = |item: &pb::Transaction| item.transaction_id == open.id;
        Ok(answer.transactions.into_iter().find(|item| same(item) && item.r#type == open.kind))
    }

    /// Writes down how far the history was read. Another replica may have read it, too: then the
    /// further of both counts.
    async fn write(
        &self,
        asker: &Asker,
        mut version: u64,
        mut mark: Watermark,
        note: &Note,
    ) -> Result<(), Trouble> {
        let name = self.target.owner.as_bytes();
        loop {
            match cell::save(&*asker.hub().log, name, version, &mark).await? {
                Saved::Done(_) => return Ok(()),
                Saved::Changed(None) => version = 0,
                Saved::Changed(Some(there)) => {
                    version = there.version;
                    let mut both = Note::decode(&there.kept.note)?;
                    for open in &note.open {
                        both.follow(open.clone(), true);
                    }
                    mark.through_ms = mark.through_ms.max(there.kept.through_ms);
                    mark.reconciled_ms = mark.reconciled_ms.max(there.kept.reconciled_ms);
                    mark.note = both.encode();
                }
            }
        }
    }
}

/// How much further back a list begins: never to what the log may have let go of.
fn lookback(settings: &config::Events) -> i64 {
    let keep = i64::try_from(settings.keep.as_millis()).unwrap_or(i64::MAX);
    LOOKBACK_MS.min(keep / 2)
}

fn request(start: i64, end: i64) -> pb::ListTransactionsRequest {
    pb::ListTransactionsRequest {
        page_size: ROWS,
        start_time: Some(wire::time(start)),
        end_time: Some(wire::time(end)),
        ..Default::default()
    }
}

fn date(item: &pb::Transaction) -> Option<i64> {
    item.transaction_time.as_ref()?.instant.as_ref().map(millis)
}

fn waits(item: &pb::Transaction) -> bool {
    item.status() == pb::TransactionStatus::Waiting
}

fn open(item: &pb::Transaction, now: i64) -> Open {
    Open {
        id: item.transaction_id.clone(),
        kind: item.r#type,
        date_ms: date(item).unwrap_or(now),
        since_ms: now,
    }
}
