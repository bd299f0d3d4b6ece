//! What unit tests about events share: everything about events, over a log in memory.
#![allow(clippy::unwrap_used)]

use std::cell::Cell as Mutable;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::cell::{Cell, CellKey, CellKind, Cells, Put, Value};
use super::hub::{Hub, now_ms};
use super::id::{Chain, EventId};
use super::record::{Event, Kind, Source, Stored, Trust};
use super::store::{
    Append, Durability, EventLog, Info, Limit, LogError, Outcome, ReadError, Retention, Tidied,
};
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
    static STEP_MS: Mutable<i64> = const { Mutable::new(0) };
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
    let Config { notifications, state, .. } = Config::default();
    Hub::new(log, key, settings, notifications, state.nats_lease, metrics).unwrap()
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

/// A log that takes its time: a pause before and after each read, and whatever durability.
pub struct Slow {
    /// The log itself.
    pub log: Arc<dyn EventLog>,
    /// The pause, made anew each time.
    pub pause: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
    /// What it says of its durability, if something else than the log.
    pub durability: Option<Durability>,
}

impl Slow {
    /// A log that does not pause.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, pause: Box::new(|| std::future::ready(()).boxed()), durability: None }
    }
}

impl Cells for Slow {
    fn cell<'a>(&'a self, key: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>> {
        self.log.cell(key)
    }

    fn put(
        &self,
        key: CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> BoxFuture<'_, Result<Put, LogError>> {
        self.log.put(key, expected, value)
    }

    fn cells<'a>(
        &'a self,
        kind: CellKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(CellKey, Cell)>, LogError>> {
        self.log.cells(kind, prefix, after, limit)
    }
}

impl EventLog for Slow {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, LogError>> {
        self.log.append(append)
    }

    fn read(&self, after: u64, limit: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>> {
        async move {
            (self.pause)().await;
            let read = self.log.read(after, limit).await;
            (self.pause)().await;
            read
        }
        .boxed()
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        self.log.get(id)
    }

    fn last_of(&self, chain: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        self.log.last_of(chain)
    }

    fn seek(&self, time_ms: i64) -> BoxFuture<'_, Result<u64, LogError>> {
        self.log.seek(time_ms)
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>> {
        async move {
            let info = self.log.info().await?;
            Ok(Info { durability: self.durability.unwrap_or(info.durability), ..info })
        }
        .boxed()
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.log.tail()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, LogError>> {
        self.log.tidy(now_ms)
    }

    fn health(&self) -> Result<(), LogError> {
        self.log.health()
    }
}
