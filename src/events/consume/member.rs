//! What the runtime of a group knows of a member: how much it takes, what it has, how to reach it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use crate::error::Error;
use crate::events::group::Group;
use crate::events::wire;
use crate::pb::events::v1 as pb;

/// Responses that wait for a client to take them.
pub const WAITING_MAX: usize = 64;
/// Requests of a member whose results it was not sent yet.
pub const UNANSWERED_MAX: usize = 16;
/// While more responses than this wait, the member gets no deliveries.
const WAITING_FEW: usize = 24;
/// Most deliveries of a response.
const DELIVERIES_MAX: usize = 256;
/// Most bytes of events in a response, unless a single one is larger.
const RESPONSE_BYTES: usize = 256 << 10;
/// Most bytes of events that a member is given in a round.
pub const ROUND_BYTES: usize = 2 << 20;

/// How much a member takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries in hand.
    pub events: usize,
    /// Their bytes together; a single event may be larger.
    pub bytes: usize,
    /// Time to settle a delivery.
    pub ack_deadline: Duration,
}

/// A response on its way, encoded.
pub struct Output {
    /// The response.
    pub bytes: Bytes,
    /// The request it answers: another one may come once this one's results were taken.
    pub answers: Option<OwnedSemaphorePermit>,
}

/// How far a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Everything up to here is settled.
    pub floor: u64,
    /// The last event of the log.
    pub head: u64,
    /// When that was known: Unix milliseconds.
    pub head_ms: i64,
    /// When the oldest event that is not settled was logged: Unix milliseconds.
    pub oldest_ms: Option<i64>,
    /// Deliveries in somebody's hands.
    pub in_flight: usize,
    /// Whether nothing is delivered.
    pub paused: bool,
}

impl Progress {
    /// As clients are told.
    pub fn shown(&self) -> pb::GroupProgress {
        pb::GroupProgress {
            floor_sequence: shown(self.floor),
            head_sequence: shown(self.head),
            head_time: Some(wire::time(self.head_ms)),
            oldest_unsettled_time: self.oldest_ms.map(wire::time),
            in_flight_count: i32::try_from(self.in_flight).unwrap_or(i32::MAX),
        }
    }
}

/// A sequence as clients are told.
pub fn shown(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A delivery that was made.
pub struct Handed {
    /// Its place.
    pub place: u64,
    /// Which delivery of it.
    pub attempt: u32,
    /// What is sent.
    pub delivery: Delivery,
}

/// A [`pb::Delivery`] whose event is encoded already.
#[derive(Clone, PartialEq, Message)]
pub struct Delivery {
    /// The event.
    #[prost(bytes = "bytes", tag = "1")]
    pub event: Bytes,
    /// Its name.
    #[prost(bytes = "bytes", tag = "2")]
    pub delivery_token: Bytes,
    /// How often it was made.
    #[prost(int32, tag = "3")]
    pub attempt: i32,
    /// Until when.
    #[prost(message, optional, tag = "4")]
    pub deadline_time: Option<Timestamp>,
    /// Whether it was a dead letter.
    #[prost(bool, tag = "5")]
    pub redriven: bool,
}

/// The [`pb::ConsumeResponse`] of deliveries.
#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "2")]
    deliveries: Option<Deliveries>,
}

#[derive(Clone, PartialEq, Message)]
struct Deliveries {
    #[prost(message, repeated, tag = "1")]
    deliveries: Vec<Delivery>,
}

/// A member of this process.
pub struct Member {
    /// Its number.
    pub id: u64,
    /// How much it takes.
    pub limits: Limits,
    /// Where its responses go.
    pub out: mpsc::Sender<Output>,
    /// Set when the stream must end.
    pub end: watch::Sender<Option<Error>>,
    /// How many deliveries it has, for its heartbeats.
    pub in_hand: Arc<AtomicUsize>,
    /// Its deliveries and their sizes.
    pub hand: HashMap<(u64, u32), usize>,
    /// Whether it only waits for its results.
    pub leaving: bool,
}

impl Member {
    /// What it has by now, and the bytes of that.
    pub fn has(&self, group: &Group, now_ms: i64) -> (usize, usize) {
        self.hand
            .iter()
            .filter(|(of, _)| is_in_hand(group, **of, now_ms))
            .fold((0, 0), |(events, bytes), (_, size)| (events + 1, bytes + size))
    }

    /// Whether it is ready for deliveries at all.
    pub fn is_ready(&self) -> bool {
        let waiting = self.out.max_capacity() - self.out.capacity();
        !self.leaving && waiting < WAITING_FEW && !self.out.is_closed()
    }

    /// Forgets what it has no longer.
    pub fn prune(&mut self, group: &Group, now_ms: i64) {
        self.hand.retain(|of, _| is_in_hand(group, *of, now_ms));
        self.in_hand.store(self.hand.len(), Ordering::Relaxed);
    }

    /// Sends deliveries, in as many responses as it takes.
    pub fn hand(&mut self, handed: Vec<Handed>) {
        let (mut part, mut bytes) = (Vec::new(), 0);
        for Handed { place, attempt, delivery } in handed {
            let size = delivery.event.len();
            self.hand.insert((place, attempt), size);
            let is_full = part.len() == DELIVERIES_MAX || bytes + size > RESPONSE_BYTES;
            if is_full && !part.is_empty() {
                self.send_deliveries(std::mem::take(&mut part));
                bytes = 0;
            }
            bytes += size;
            part.push(delivery);
        }
        if !part.is_empty() {
            self.send_deliveries(part);
        }
        self.in_hand.store(self.hand.len(), Ordering::Relaxed);
    }

    fn send_deliveries(&self, deliveries: Vec<Delivery>) {
        let response = Response { deliveries: Some(Deliveries { deliveries }) };
        self.send(&response, None);
    }

    /// Sends a response. There is room for it, or nobody is there any more.
    pub fn send(&self, response: &impl Message, answers: Option<OwnedSemaphorePermit>) {
        let output = Output { bytes: response.encode_to_vec().into(), answers };
        if self.out.try_send(output).is_err() && !self.out.is_closed() {
            tracing::error!("a response to a member of a group found no room");
        }
    }
}

fn is_in_hand(group: &Group, (place, attempt): (u64, u32), now_ms: i64) -> bool {
    group.claim(place).is_some_and(|claim| claim.attempt == attempt && claim.is_in_hand(now_ms))
}
