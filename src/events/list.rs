//! Paging through a part of the log, in either order.
//!
//! The ends of the part are found for the first page and travel in the page token, with the place
//! the page before has reached. Each page is limited in events, bytes and in how much is looked at.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::cursor::Position;
use super::feed::{Entry, Take};
use super::filter::Filter;
use super::hub::Hub;
use super::place;
use super::stream::{signed, with_events};
use crate::error::{Error, reason};
use crate::page::PageTokens;
use crate::pb::events::v1 as pb;

/// What a page holds when the request leaves it open.
const SIZE_DEFAULT: usize = 100;
/// The longest page.
const SIZE_MAX: usize = 1000;
/// Most bytes of events of a page; a single event may be larger. Clients take 4 MiB.
const BYTES_MAX: usize = 2 << 20;
/// Events looked at for one page.
const SCAN_MAX: u64 = 20_000;
/// Events looked at backwards at once.
const BACK: u64 = 256;
/// Everything of a stretch at once.
const ALL: Take = Take { events: usize::MAX, bytes: usize::MAX, until: u64::MAX };

/// Where a list stands.
struct Part {
    /// Before its oldest event.
    low: Position,
    /// Behind its newest event.
    high: Position,
    /// Where the next page begins.
    at: Position,
}

/// One page.
struct Page {
    events: Vec<Arc<Entry>>,
    bytes: usize,
    size: usize,
}

impl Page {
    fn has_room_for(&self, entry: &Entry) -> bool {
        let size = entry.bytes.as_ref().map_or(0, Bytes::len);
        self.events.is_empty() || (self.events.len() < self.size && self.bytes + size <= BYTES_MAX)
    }

    /// Takes an event.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn push(&mut self, entry: Arc<Entry>) -> Result<(), Error> {
        self.bytes += entry.bytes.as_ref().map_err(place::unavailable)?.len();
        self.events.push(entry);
        Ok(())
    }
}

/// How many events a page may hold.
fn size(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(SIZE_DEFAULT),
        Ok(asked) => Ok(asked.min(SIZE_MAX)),
        Err(_) => Err(Error::invalid("page_size", "Give 1 to 1000, or 0 for the default of 100.")),
    }
}

/// One page of a list, encoded as `ListEventsResponse`.
///
/// # Errors
/// As the contract of `EventService.ListEvents` says.
pub(super) async fn page(
    hub: &Hub,
    tokens: &PageTokens,
    request: &pb::ListEventsRequest,
    filter: &Filter,
) -> Result<Bytes, Error> {
    let size = size(request.page_size)?;
    let newest_first = match pb::EventOrder::try_from(request.order) {
        Ok(pb::EventOrder::NewestFirst) => true,
        Ok(pb::EventOrder::Unspecified | pb::EventOrder::OldestFirst) => false,
        Err(_) => return Err(Error::invalid("order", "Give a named order, or none.")),
    };
    let list = name(request, filter, newest_first);
    let mut part = match request.page_token.as_str() {
        "" => begin(hub, request, newest_first).await?,
        token => open(hub, tokens, token, &list).await?,
    };
    let mut page = Page { events: Vec::new(), bytes: 0, size };
    let more = if newest_first {
        back(hub, filter, &mut part, &mut page).await?
    } else {
        on(hub, filter, &mut part, &mut page).await?
    };
    let info = place::info(hub).await?;
    let seal = |position: &Position| hub.cursors.seal(position);
    let next_page_token = if more {
        let places = [&part.low, &part.high, &part.at].map(|position| hex(&seal(position)));
        let sealed = tokens.seal(&places.each_ref().map(String::as_str), &list);
        sealed.map_err(|_| Error::new(&reason::GATEWAY_PANIC).log("no randomness"))?
    } else {
        String::new()
    };
    let rest = pb::ListEventsResponse {
        events: Vec::new(),
        next_page_token,
        cursor: seal(if newest_first { &part.high } else { &part.at }).into(),
        floor_sequence: signed(info.first),
        head_sequence: signed(info.last),
    };
    let events = page.events.iter().filter_map(|entry| entry.bytes.as_ref().ok());
    Ok(with_events(1, events, &rest))
}

/// Finds the ends of a part.
async fn begin(
    hub: &Hub,
    request: &pb::ListEventsRequest,
    newest_first: bool,
) -> Result<Part, Error> {
    let low = match &request.start {
        None => place::earliest(hub).await?,
        start => place::find(hub, start.as_ref(), "start").await?,
    };
    let high = match &request.until {
        None => place::latest(hub).await?,
        until => place::find(hub, until.as_ref(), "until").await?,
    };
    if high.seq < low.seq {
        return Err(Error::invalid("until", "Give a place that is not before `start`."));
    }
    Ok(Part { low, high, at: if newest_first { high } else { low } })
}

/// The part of a token, still to be found in the log.
async fn open(hub: &Hub, tokens: &PageTokens, token: &str, list: &str) -> Result<Part, Error> {
    let opened = tokens.open(token, list)?;
    let place = |text: &String| hub.cursors.open(&unhex(text)?).ok();
    let part = match opened.as_slice() {
        [low, high, at] => place(low).zip(place(high)).zip(place(at)),
        _ => None,
    };
    let part = part.map(|((low, high), at)| Part { low, high, at }).ok_or_else(|| {
        Error::new(&reason::PAGE_TOKEN_INVALID).field("page_token", "Start again without a token.")
    })?;
    place::resumed(hub, &part.at).await?;
    Ok(part)
}

/// What a token is bound to.
fn name(request: &pb::ListEventsRequest, filter: &Filter, newest_first: bool) -> String {
    let place = |of: &Option<pb::LogPosition>| of.as_ref().map(|of| hex(&of.encode_to_vec()));
    let (start, until) = (place(&request.start), place(&request.until));
    format!("ListEvents|{newest_first}|{start:?}|{until:?}|{}", filter.text())
}

/// Reads oldest first; whether more follows.
async fn on(hub: &Hub, filter: &Filter, part: &mut Part, page: &mut Page) -> Result<bool, Error> {
    let begun = part.at.seq;
    while part.at.seq < part.high.seq && part.at.seq - begun < SCAN_MAX {
        let (events, bytes) = (page.size - page.events.len(), BYTES_MAX.saturating_sub(page.bytes));
        let take = Take { events, bytes, until: part.high.seq };
        let batch = match hub.read_on(part.at, filter, take).await {
            Ok(batch) => batch,
            Err(error) => return Err(place::unread(hub, error).await),
        };
        // The first of a batch may be larger than the room that is left.
        let fits = batch.events.iter().take_while(|entry| page.has_room_for(entry)).count();
        if fits < batch.events.len() {
            break;
        }
        let moved = batch.through != part.at;
        for entry in batch.events {
            page.push(entry)?;
        }
        part.at = batch.through;
        if page.events.len() >= page.size {
            break;
        }
        if !moved {
            // The log has said that there is more.
            tokio::task::yield_now().await;
        }
    }
    Ok(part.at.seq < part.high.seq)
}

/// Reads newest first; whether more follows.
async fn back(hub: &Hub, filter: &Filter, part: &mut Part, page: &mut Page) -> Result<bool, Error> {
    let begun = part.at.seq;
    while part.at.seq > part.low.seq && begun - part.at.seq < SCAN_MAX {
        let after = part.at.seq.saturating_sub(BACK).max(part.low.seq);
        let (begin, mut selected) = stretch(hub, filter, part, after).await?;
        while let Some(entry) = selected.pop() {
            if page.events.len() >= page.size || !page.has_room_for(&entry) {
                part.at = Position::behind(part.at.epoch, &entry.stored);
                return Ok(true);
            }
            page.push(entry)?;
        }
        part.at = begin;
    }
    Ok(part.at.seq > part.low.seq)
}

/// What is selected between a place and where the list stands, and that place.
async fn stretch(
    hub: &Hub,
    filter: &Filter,
    part: &Part,
    after: u64,
) -> Result<(Position, Vec<Arc<Entry>>), Error> {
    let begin = if after == part.low.seq {
        part.low
    } else {
        match super::cursor::behind(&*hub.log, after).await {
            Ok(begin) => begin,
            Err(error) => return Err(place::refusal(hub, error).await),
        }
    };
    let (mut at, mut selected) = (begin, Vec::new());
    while at.seq < part.at.seq {
        let take = Take { until: part.at.seq, ..ALL };
        match hub.read_on(at, filter, take).await {
            Ok(batch) => {
                at = batch.through;
                selected.extend(batch.events);
            }
            Err(error) => return Err(place::unread(hub, error).await),
        }
    }
    Ok((begin, selected))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |of: u8| char::from(of).to_digit(16).and_then(|of| u8::try_from(of).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
