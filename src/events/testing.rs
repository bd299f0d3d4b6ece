//! What unit tests about events share: everything about events, over a log in memory.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::sync::Arc;

use super::hub::{Hub, now_ms};
use super::id::EventId;
use super::record::{Event, Kind, Source, Trust};
use super::store::{Append, EventLog, Retention};
use super::wire::{self, Origin};
use crate::config::{self, Config};
use crate::credentials::Wallet;
use crate::ledger::LedgerKey;
use crate::pb::events::v1 as pb;
use crate::pb::p2p::v1::Bill;
use crate::state::MemoryLog;
use crate::telemetry::Metrics;

thread_local! {
    /// How far the system's clock was set, as this thread sees it.
    static STEP_MS: Cell<i64> = const { Cell::new(0) };
}

/// Sets the system's clock, as far as this thread is concerned.
pub fn set_clock(step_ms: i64) {
    STEP_MS.set(step_ms);
}

/// How far the system's clock was set.
pub fn step_ms() -> i64 {
    STEP_MS.get()
}

/// Everything about events, over a log in memory.
pub fn hub() -> Hub {
    hub_of(Arc::new(MemoryLog::new(Retention::DEFAULT)), Config::default().events)
}

/// Everything about events, over this log.
pub fn hub_of(log: Arc<dyn EventLog>, settings: config::Events) -> Hub {
    let meter = opentelemetry::global::meter("test");
    let metrics = Arc::new(Metrics::new(&meter, &[], "0", &Arc::default()));
    let key = Arc::new(LedgerKey::new(&[7; 32]));
    Hub::new(log, key, settings, Config::default().notifications, metrics).unwrap()
}

/// The event of a number: kinds take turns, and every number is a fact of its own.
pub fn event(hub: &Hub, number: u32) -> Append {
    let wallet = Wallet::parse("79990000001").unwrap();
    let owner = hub.owner(&wallet);
    let origin = Origin {
        owner,
        wallet: Some(&wallet),
        source: Source::Webhook,
        trust: Trust::SignatureOnly,
        received_ms: now_ms(),
    };
    let kind = if number % 3 == 2 { Kind::System } else { Kind::Bill };
    let id = EventId::bill(&owner, &number.to_string(), "PAID");
    let event = Event::new(id, kind, origin.source, origin.trust, owner);
    let payload = match kind {
        Kind::System => pb::event::Payload::System(pb::SystemEvent {
            description: "x".repeat(200),
            ..Default::default()
        }),
        _ => pb::event::Payload::Bill(Bill { bill_id: number.to_string(), ..Default::default() }),
    };
    Append::new(wire::sealed(&hub.cipher, event, origin, None, payload).unwrap())
}

/// Appends the event of a number.
pub async fn append(hub: &Hub, number: u32) {
    hub.append(event(hub, number)).await.unwrap();
}
