//! Dead letters: listing, delivering again, discarding.

use std::collections::BinaryHeap;
use std::sync::Arc;

use prost::Message as _;

use super::{change, unclear, within};
use crate::call::Inbound;
use crate::edge::Outbound;
use crate::error::{Error, reason};
use crate::events::cell::{CellKind, Kept as _, Versioned, list, load};
use crate::events::consume::member::shown;
use crate::events::consume::terms::remove_letter;
use crate::events::dead::{Cause, DeadLetter};
use crate::events::group::{Group, REDRIVEN_MAX};
use crate::events::hub::{Hub, now_ms};
use crate::events::id::{EventId, Owner};
use crate::events::place::unavailable;
use crate::events::wire;
use crate::gateway::Gateway;
use crate::pb::events::v1 as pb;
use crate::policy::{Class, Policy};

/// Reads.
pub static LIST: Policy = Policy {
    rpc: "qiwi.events.v1.EventGroupService/ListDeadLetters",
    operation: "ListDeadLetters",
    class: Class::Read,
    ..super::ROW
};
/// A letter on its way is passed over.
pub static REDRIVE: Policy = Policy {
    rpc: "qiwi.events.v1.EventGroupService/RedriveDeadLetters",
    operation: "RedriveDeadLetters",
    ..super::ROW
};
/// What is gone is passed over.
pub static DISCARD: Policy = Policy {
    rpc: "qiwi.events.v1.EventGroupService/DiscardDeadLetters",
    operation: "DiscardDeadLetters",
    ..super::ROW
};

/// Letters of a page: usual and most.
const PAGE: (usize, usize) = (50, 500);
/// Bytes of a page, about: clients take four megabytes at a time.
const PAGE_BYTES: usize = 1 << 20;
/// Letters that are read at once.
const READ: usize = 16;
/// Letters that are looked through at once.
const SCAN: usize = 64;
/// Letters that a request may select.
const SELECTED_MAX: usize = 1000;

/// What identifies a letter within its group.
type Name = (u64, EventId);

fn id(seq: u64, event: &EventId) -> String {
    format!("{seq:016x}{event}")
}

/// The letter that an id names; none when it cannot be one.
fn named(id: &str) -> Option<Name> {
    if id.len() != 48 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let (seq, event) = id.split_at_checked(16)?;
    let event = u128::from_str_radix(event, 16).ok()?;
    Some((u64::from_str_radix(seq, 16).ok()?, EventId::from_bytes(event.to_be_bytes())))
}

/// Removes the letters whose names begin so.
pub(super) async fn discard_all(hub: &Hub, prefix: &[u8]) -> Result<(), Error> {
    loop {
        let page = hub.log.cells(CellKind::DeadLetter, prefix, None, SCAN).await;
        let page = page.map_err(|error| unavailable(&error))?;
        if page.is_empty() {
            return Ok(());
        }
        for (key, _) in page {
            remove_letter(&*hub.log, &key.name).await.map_err(|error| unclear(&error))?;
        }
    }
}

/// Calls `each` with the letters of a group that are there.
async fn scan(hub: &Hub, group: &str, mut each: impl FnMut(DeadLetter)) -> Result<(), Error> {
    let (prefix, now_ms) = (DeadLetter::prefix(group), now_ms());
    let mut after = None::<Box<[u8]>>;
    loop {
        let page = list::<DeadLetter>(&*hub.log, &prefix, after.as_deref(), SCAN).await;
        let page = page.map_err(|error| unavailable(&error))?;
        let is_last = page.len() < SCAN;
        for (name, Versioned { kept, .. }) in page {
            after = Some(name);
            if kept.expires_ms > now_ms {
                each(kept);
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// A letter that was selected; the one buried first is the smallest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Selected {
    buried_ms: i64,
    seq: u64,
    event: EventId,
    owner: Owner,
}

/// The oldest letters buried before a time and not on their way, and whether there are more.
async fn before(
    hub: &Hub,
    name: &str,
    group: &Group,
    time_ms: i64,
) -> Result<(Vec<Selected>, bool), Error> {
    let (mut oldest, mut more) = (BinaryHeap::new(), false);
    scan(hub, name, |letter| {
        let (seq, event) = (letter.stored.seq, letter.stored.event.id);
        if letter.buried_ms < time_ms && !group.is_redriving(seq, &event) {
            let owner = letter.stored.event.owner;
            oldest.push(Selected { buried_ms: letter.buried_ms, seq, event, owner });
            if oldest.len() > SELECTED_MAX {
                oldest.pop();
                more = true;
            }
        }
    })
    .await?;
    Ok((oldest.into_vec(), more))
}

/// What a request selects by.
enum By {
    Ids(Vec<String>),
    Before(i64),
}

fn selection(ids: Vec<String>, before: Option<&prost_types::Timestamp>) -> Result<By, Error> {
    match (ids.is_empty(), before) {
        (true, Some(time)) => {
            let ms =
                time.seconds.checked_mul(1000).filter(|_| (0..1_000_000_000).contains(&time.nanos));
            let ms = ms.and_then(|ms| ms.checked_add(i64::from(time.nanos) / 1_000_000));
            ms.map(By::Before)
                .ok_or_else(|| Error::invalid("buried_before_time", "Give a valid time."))
        }
        (false, None) if ids.len() <= SELECTED_MAX => {
            let mut ids = ids;
            ids.sort_unstable();
            ids.dedup();
            Ok(By::Ids(ids))
        }
        (false, None) => Err(Error::invalid("dead_letter_ids", "Give at most 1000 ids.")),
        _ => {
            let what = "Give either `dead_letter_ids` or `buried_before_time`.";
            Err(Error::invalid("dead_letter_ids", what))
        }
    }
}

fn count(of: usize) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}

/// A letter as clients are told.
fn show(hub: &Hub, name: &str, group: &Group, letter: DeadLetter) -> pb::DeadLetter {
    let stored = &letter.stored;
    let encoded = wire::encoded(&hub.cipher, &hub.cursors, letter.epoch, stored).ok();
    let event = encoded.and_then(|bytes| pb::Event::decode(bytes).ok()).unwrap_or_else(|| {
        // Sealed under another key: its place and kind are all that can be told.
        pb::Event {
            event_id: stored.event.id.to_string(),
            sequence: shown(stored.seq),
            append_time: Some(wire::time(stored.logged_ms)),
            kind: wire::kind(&stored.event).into(),
            source: wire::source(stored.event.source).into(),
            ..Default::default()
        }
    });
    let reason = if letter.reason.is_empty() {
        String::new()
    } else {
        let opened = hub.cipher.open(&letter.reason, name.as_bytes());
        opened.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    };
    let cause = match letter.cause {
        Cause::Exhausted => pb::DeadLetterCause::AttemptsExhausted,
        Cause::Rejected => pb::DeadLetterCause::Rejected,
    };
    pb::DeadLetter {
        dead_letter_id: id(stored.seq, &stored.event.id),
        event: Some(event),
        cause: cause.into(),
        reason,
        attempt_count: i32::try_from(letter.attempts).unwrap_or(i32::MAX),
        bury_time: Some(wire::time(letter.buried_ms)),
        expire_time: Some(wire::time(letter.expires_ms)),
        redriving: group.is_redriving(stored.seq, &stored.event.id),
    }
}

impl Gateway {
    /// A page of dead letters.
    ///
    /// # Errors
    /// As the contract says; so for all below.
    pub async fn list_dead_letters(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::ListDeadLettersRequest>(call).await?;
        let (hub, name) = (self.hub(), &request.group_id);
        let size = match usize::try_from(request.page_size) {
            Ok(0) => PAGE.0,
            Ok(size) => size.min(PAGE.1),
            Err(_) => {
                let what = "Give 1 to 500, or 0 for the default of 50.";
                return Err(Error::invalid("page_size", what));
            }
        };
        let (group, _) = self.looked_after(&cx, name).await?;
        let of = format!("{}|{name}", LIST.rpc);
        let mut after = match request.page_token.as_str() {
            "" => None,
            token => {
                let opened = self.pages().open(token, &of)?;
                let last = opened.first().and_then(|last| named(last)).ok_or_else(|| {
                    let what = "Start again without a token.";
                    Error::new(&reason::PAGE_TOKEN_INVALID).field("page_token", what)
                })?;
                Some(DeadLetter::named(name, last.0, &last.1))
            }
        };
        let (prefix, now_ms) = (DeadLetter::prefix(name), now_ms());
        let (mut dead_letters, mut bytes, mut last, mut is_last) = (Vec::new(), 0, None, false);
        while dead_letters.len() < size && bytes < PAGE_BYTES && !is_last {
            let asked = READ.min(size - dead_letters.len());
            let page = list::<DeadLetter>(&*hub.log, &prefix, after.as_deref(), asked).await;
            let page = page.map_err(|error| unavailable(&error))?;
            is_last = page.len() < asked;
            for (_, Versioned { kept, .. }) in page {
                if bytes >= PAGE_BYTES {
                    is_last = false;
                    break;
                }
                after = Some(kept.name(name));
                last = Some(id(kept.stored.seq, &kept.stored.event.id));
                if kept.expires_ms > now_ms {
                    bytes += kept.stored.event.payload.len();
                    dead_letters.push(show(hub, name, &group.kept, kept));
                }
            }
        }
        let next_page_token = match last {
            Some(last) if !is_last => {
                let sealed = self.pages().seal(&[&last], &of);
                sealed.map_err(|_| Error::new(&reason::GATEWAY_PANIC).log("no randomness"))?
            }
            _ => String::new(),
        };
        let answer = pb::ListDeadLettersResponse { dead_letters, next_page_token };
        Ok(self.framed(&headers, &answer))
    }

    /// Has dead letters delivered again.
    ///
    /// # Errors
    /// See above.
    pub async fn redrive_dead_letters(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::RedriveDeadLettersRequest>(call).await?;
        let (hub, name) = (self.hub(), &request.group_id);
        let by = selection(request.dead_letter_ids, request.buried_before_time.as_ref())?;
        let (group, _) = self.looked_after(&cx, name).await?;
        let (mut skipped, mut more) = (0, false);
        let letters: Vec<(Name, Owner)> = match by {
            By::Before(time_ms) => {
                let (selected, there_are_more) = before(hub, name, &group.kept, time_ms).await?;
                more = there_are_more;
                selected.into_iter().map(|of| ((of.seq, of.event), of.owner)).collect()
            }
            By::Ids(ids) => {
                let mut letters = Vec::new();
                for id in ids {
                    match self.letter(name, &id).await? {
                        Some(letter) => {
                            let event = &letter.stored.event;
                            letters.push(((letter.stored.seq, event.id), event.owner));
                        }
                        None => skipped += 1,
                    }
                }
                letters
            }
        };
        let apply = |group: &mut Group| {
            let (mut redriven, mut skipped, mut full) = (0, 0, false);
            for ((seq, event), owner) in &letters {
                if group.redrive(*seq, *event, *owner) {
                    redriven += 1;
                } else if group.redriven.len() >= REDRIVEN_MAX && !group.is_redriving(*seq, event) {
                    full = true;
                } else {
                    skipped += 1;
                }
            }
            (redriven, skipped, full)
        };
        let group = self.reread(name).await?;
        let (_, (redriven, on_their_way, full)) =
            within(&cx, change(hub, name, group, apply)).await?;
        let answer = pb::RedriveDeadLettersResponse {
            redriven_count: count(redriven),
            skipped_count: count(skipped + on_their_way),
            more: more || full,
        };
        Ok(self.framed(&headers, &answer))
    }

    /// Removes dead letters.
    ///
    /// # Errors
    /// See above.
    pub async fn discard_dead_letters(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::DiscardDeadLettersRequest>(call).await?;
        let (hub, name) = (self.hub(), &request.group_id);
        let by = selection(request.dead_letter_ids, request.buried_before_time.as_ref())?;
        let (group, _) = self.looked_after(&cx, name).await?;
        let (names, asked, more) = match by {
            By::Before(time_ms) => {
                let (selected, more) = before(hub, name, &group.kept, time_ms).await?;
                let names: Vec<Name> = selected.into_iter().map(|of| (of.seq, of.event)).collect();
                let asked = names.len();
                (names, asked, more)
            }
            By::Ids(ids) => {
                let asked = ids.len();
                (ids.iter().filter_map(|id| named(id)).collect(), asked, false)
            }
        };
        let discarded = within(&cx, async {
            let mut discarded = 0;
            for (seq, event) in names {
                let letter = DeadLetter::named(name, seq, &event);
                let gone = remove_letter(&*hub.log, &letter).await.map_err(|e| unclear(&e))?;
                discarded += usize::from(gone);
            }
            Ok(discarded)
        })
        .await?;
        // One that was on its way is forgotten at its next turn.
        hub.groups.changed(name);
        let answer = pb::DiscardDeadLettersResponse {
            discarded_count: count(discarded),
            skipped_count: count(asked - discarded),
            more,
        };
        Ok(self.framed(&headers, &answer))
    }

    /// The letter of an id, if there is one.
    async fn letter(&self, group: &str, id: &str) -> Result<Option<DeadLetter>, Error> {
        let Some((seq, event)) = named(id) else { return Ok(None) };
        let name = DeadLetter::named(group, seq, &event);
        let found = load::<DeadLetter>(&*self.hub().log, &name).await;
        let found = found.map_err(|error| unavailable(&error))?.map(|of| of.kept);
        Ok(found.filter(|letter| letter.expires_ms().is_none_or(|ends_ms| ends_ms > now_ms())))
    }
}
