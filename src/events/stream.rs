//! Streaming the log from a place on.
//!
//! One task for each stream. It decides what the next message is only when the client has taken
//! the one before, so that nothing queues up: a slow client is a place in the log that moves
//! slowly. A cursor that goes out says that everything selected up to there was sent; the task
//! moves its place and puts the message in one step, so that no event can slip between.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::encoding::{WireType, encode_key, encode_varint};
use tokio::sync::watch;
use tokio::time::Instant;

use super::cursor::{CursorError, Position};
use super::feed::{Batch, Heard, Take};
use super::filter::Filter;
use super::hub::{Hub, now_ms};
use super::outlet::{Inlet, Left};
use super::place;
use super::store::{LogError, ReadError};
use super::wire;
use crate::error::{Error, reason};
use crate::pb::events::v1 as pb;

/// Most events of a message.
pub const EVENTS_MAX: usize = 256;
/// Most bytes of events of a message; a single event may be larger.
pub const BYTES_MAX: usize = 256 << 10;
/// How long a stream that ends waits for the client to take its last message.
const LAST_WAIT: Duration = Duration::from_secs(1);
/// A pause while the log cannot be read.
const PAUSE: Duration = Duration::from_millis(200);
/// When a client that was too slow may come again.
const SLOW_RETRY: Duration = Duration::from_secs(1);

/// What a stream is to do.
pub struct Order {
    /// What is sent.
    pub filter: Filter,
    /// After which place it begins.
    pub start: Position,
    /// At which place it ends, where it does.
    pub until: Option<u64>,
    /// The pause after which a heartbeat comes.
    pub heartbeat: Duration,
}

/// How a stream ended.
pub enum End {
    /// The client went away.
    Left,
    /// Everything that was asked for was sent.
    Done,
    /// The gateway ended it.
    Failed(Error),
}

/// One stream under way.
pub struct Pump {
    hub: Arc<Hub>,
    order: Order,
    inlet: Inlet,
    heard: watch::Receiver<Heard>,
    /// The last event of the log, which the feed may not have yet.
    tail: watch::Receiver<u64>,
    accepted_ms: i64,
    /// Everything selected up to here was put into the outlet.
    position: Position,
    /// The cursor of the last message that was put there.
    sent: Bytes,
    /// Whether the client was told that it caught up.
    told: bool,
    beat_at: Instant,
    /// Since when an event waits for the client.
    waiting: Option<Instant>,
}

impl Pump {
    /// A stream whose client takes from the other end of `inlet`.
    pub fn new(hub: Arc<Hub>, order: Order, inlet: Inlet) -> Self {
        Self {
            heard: hub.feed.heard(),
            tail: hub.log.tail(),
            accepted_ms: now_ms(),
            position: order.start,
            sent: Bytes::new(),
            told: false,
            beat_at: Instant::now(),
            waiting: None,
            hub,
            order,
            inlet,
        }
    }

    /// Streams until something ends it: the client, its own end, or `ending`.
    pub async fn run(
        mut self,
        ending: impl Future<Output = Error>,
        status: impl FnOnce(&Error) -> tonic::Status,
    ) -> End {
        let end = tokio::select! {
            biased;
            error = ending => End::Failed(error),
            end = self.pump() => end,
        };
        match end {
            End::Left => End::Left,
            End::Done => {
                self.inlet.end(Ok(()));
                End::Done
            }
            End::Failed(error) if *error.reason() == reason::SLOW_CONSUMER => {
                // Nothing that it has not taken counts, and nothing is kept for it.
                let reached = self.inlet.take_back().unwrap_or_default();
                let error = error.cursor("lastCursor", reached);
                self.inlet.end(Err(status(&error)));
                End::Failed(error)
            }
            End::Failed(error) => {
                match tokio::time::timeout(LAST_WAIT, self.inlet.free()).await {
                    Ok(Ok(())) => self.heartbeat(),
                    Ok(Err(Left)) => return End::Left,
                    Err(_) => {}
                }
                let error = error.cursor("lastCursor", self.sent.clone());
                self.inlet.end(Err(status(&error)));
                End::Failed(error)
            }
        }
    }

    async fn pump(&mut self) -> End {
        self.heartbeat();
        match self.stream().await {
            Err(end) => end,
            // As for every end: one more message that tells how far it came.
            Ok(()) => match self.room().await {
                Ok(()) => {
                    self.heartbeat();
                    End::Done
                }
                Err(end) => end,
            },
        }
    }

    /// Sends what is there and what comes, up to the end if there is one.
    async fn stream(&mut self) -> Result<(), End> {
        let until = self.order.until.unwrap_or(u64::MAX);
        loop {
            self.room().await?;
            let heard = *self.heard.borrow_and_update();
            if heard.epoch.is_some_and(|epoch| epoch != self.position.epoch) {
                let error = place::refusal(&self.hub, CursorError::Foreign).await;
                return Err(End::Failed(error));
            }
            let mut batch = match self.read(until).await {
                Ok(batch) => batch,
                Err(ReadError::Log(_)) => {
                    // A stream outlives failures of the log.
                    self.beat_if_due();
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(End::Failed(place::unread(&self.hub, error).await)),
            };
            readable(&mut batch).map_err(|error| End::Failed(place::unavailable(&error)))?;
            if !batch.events.is_empty() {
                self.send(&batch, heard);
                continue;
            }
            let moved = batch.through != self.position;
            self.position = batch.through;
            let at_end = self.position.seq >= until;
            let caught_up = at_end || self.has_caught_up(heard);
            if caught_up && !self.told {
                self.heartbeat();
            } else if at_end {
                return Ok(());
            } else if !self.beat_if_due() {
                if moved {
                    tokio::task::yield_now().await;
                } else {
                    self.news().await?;
                }
            }
        }
    }

    /// Waits for something to do.
    async fn news(&mut self) -> Result<(), End> {
        tokio::select! {
            () = self.inlet.left() => Err(End::Left),
            () = tokio::time::sleep_until(self.beat_at) => Ok(()),
            // The sender lives in the hub that is held here.
            _ = self.heard.changed() => Ok(()),
        }
    }

    async fn read(&self, until: u64) -> Result<Batch, ReadError> {
        let take = Take { events: EVENTS_MAX, bytes: BYTES_MAX, until };
        self.hub.read_on(self.position, &self.order.filter, take).await
    }

    /// Waits until the client has taken the message before; a client that takes nothing while
    /// events wait is too slow.
    async fn room(&mut self) -> Result<(), End> {
        let stalled = self.hub.settings.stalled;
        let look = stalled / 4;
        loop {
            match tokio::time::timeout(look, self.inlet.free()).await {
                Ok(Ok(())) => {
                    self.waiting = None;
                    return Ok(());
                }
                Ok(Err(Left)) => return Err(End::Left),
                Err(_) => {}
            }
            let until = self.order.until.unwrap_or(u64::MAX);
            if self.waiting.is_none()
                && self.read(until).await.is_ok_and(|batch| !batch.events.is_empty())
            {
                self.waiting = Some(Instant::now());
            }
            if self.waiting.is_some_and(|since| since.elapsed() >= stalled) {
                let what = "A stream holds what its client has not taken for a limited time.";
                let error = Error::new(&reason::SLOW_CONSUMER)
                    .quota("gateway:stream", what)
                    .retry_after(SLOW_RETRY);
                return Err(End::Failed(error));
            }
        }
    }

    fn has_caught_up(&self, heard: Heard) -> bool {
        heard.epoch.is_some() && self.position.seq >= self.head(heard)
    }

    /// The newest event there is.
    fn head(&self, heard: Heard) -> u64 {
        heard.head.max(*self.tail.borrow())
    }

    fn beat_if_due(&mut self) -> bool {
        let due = Instant::now() >= self.beat_at;
        if due {
            self.heartbeat();
        }
        due
    }

    /// Puts a message without events; there must be room.
    fn heartbeat(&mut self) {
        let heard = *self.heard.borrow();
        self.put(&Batch::nothing(self.position), heard);
    }

    fn send(&mut self, batch: &Batch, heard: Heard) {
        let now = now_ms();
        // An event that was there before the stream is not late.
        let first = batch.events.first().map_or(now, |first| first.stored.logged_ms);
        if first >= self.accepted_ms {
            let millis = u32::try_from(now.saturating_sub(first)).unwrap_or(u32::MAX);
            self.hub.metrics.events.delay(f64::from(millis) / 1000.0);
        }
        self.put(batch, heard);
        self.waiting = Some(Instant::now());
    }

    /// Moves the place and says so, in one step.
    fn put(&mut self, batch: &Batch, heard: Heard) {
        self.position = batch.through;
        self.beat_at = Instant::now() + self.order.heartbeat;
        let is_end = self.order.until.is_some_and(|until| self.position.seq >= until);
        // Looked up once: what a message says of the head must agree with itself.
        let head = self.head(heard).max(self.position.seq);
        let caught_up = is_end || (heard.epoch.is_some() && self.position.seq >= head);
        self.told |= caught_up && batch.events.is_empty();
        let cursor = Bytes::from(self.hub.cursors.seal(&self.position));
        let place = pb::SubscribeResponse {
            events: Vec::new(),
            cursor: cursor.clone(),
            sequence: signed(self.position.seq),
            head_sequence: signed(head),
            head_time: Some(wire::time(heard.at_ms.max(self.accepted_ms))),
            caught_up,
        };
        let events = batch.events.iter().filter_map(|entry| entry.bytes.as_ref().ok());
        let message = with_events(1, events, &place);
        self.sent = cursor.clone();
        self.waiting = None;
        self.inlet.put(message, cursor);
    }
}

/// Leaves of a batch what comes before an event that cannot be opened.
///
/// # Errors
/// When that is nothing.
fn readable(batch: &mut Batch) -> Result<(), LogError> {
    let Some(at) = batch.events.iter().position(|entry| entry.bytes.is_err()) else {
        return Ok(());
    };
    let first_bad = batch.events.get(at).and_then(|bad| bad.bytes.clone().err());
    batch.events.truncate(at);
    match (batch.events.last(), first_bad) {
        (Some(last), _) => {
            batch.through = Position::behind(batch.through.epoch, &last.stored);
            Ok(())
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(()),
    }
}

/// A message whose field `tag` holds these encoded events, and the rest of its fields.
pub(super) fn with_events<'a>(
    tag: u32,
    events: impl Iterator<Item = &'a Bytes> + Clone,
    rest: &impl prost::Message,
) -> Bytes {
    // A key and a length are ten bytes at most for what fits a message.
    let size: usize = events.clone().map(|event| event.len() + 10).sum();
    let mut message = Vec::with_capacity(size + rest.encoded_len());
    for event in events {
        encode_key(tag, WireType::LengthDelimited, &mut message);
        encode_varint(event.len() as u64, &mut message);
        message.extend_from_slice(event);
    }
    message.extend_from_slice(&rest.encode_to_vec());
    message.into()
}

/// A sequence as the contract writes it.
pub(super) fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
