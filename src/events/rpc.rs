//! The methods of `EventService` that read the log.

use std::sync::Arc;
use std::time::Duration;

use super::filter::Filter;
use super::hub::Hub;
use super::id::{EventId, Owner};
use super::outlet;
use super::seats::Seat;
use super::store::{Durability, Info, Limit};
use super::stream::{End, Order, Pump, signed, with_events};
use super::visible::{Rest, Sight, Visible};
use super::{cell, list, place, wire};
use crate::call::{Context, Inbound};
use crate::config::Engine;
use crate::credentials::{self, Wallet};
use crate::edge::{Outbound, deadline, frame, record};
use crate::error::{Error, Sent, reason};
use crate::events::Watermark;
use crate::gateway::Gateway;
use crate::pb::events::v1 as pb;
use crate::policy::{Access, Class, Policy, Shape};

const BASE: Policy = Policy { class: Class::Read, access: Access::Events, ..Policy::BASE };

/// Answered from the log, for as long as the client likes.
pub static SUBSCRIBE: Policy = Policy {
    rpc: "qiwi.events.v1.EventService/Subscribe",
    operation: "Subscribe",
    shape: Shape::ServerStream,
    lasting: true,
    ..BASE
};

/// Answered from the log.
pub static LIST: Policy =
    Policy { rpc: "qiwi.events.v1.EventService/ListEvents", operation: "ListEvents", ..BASE };

/// Answered from the log.
pub static GET: Policy =
    Policy { rpc: "qiwi.events.v1.EventService/GetEvent", operation: "GetEvent", ..BASE };

/// Answered by the log about itself.
pub static INFO: Policy =
    Policy { rpc: "qiwi.events.v1.EventService/GetLogInfo", operation: "GetLogInfo", ..BASE };

/// The pauses between heartbeats that a caller may ask for, in seconds.
const HEARTBEAT: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60);

impl Gateway {
    /// Streams events.
    ///
    /// # Errors
    /// As the error table says; what goes wrong later ends the stream with a status.
    pub async fn subscribe(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let ends = deadline::ends(&call.parts.headers, call.arrival, &self.config().deadline);
        let (headers, mut cx, request) = self.read::<pb::SubscribeRequest>(call).await?;
        let hub = Arc::clone(self.hub());
        let seat = self.seat(&cx)?;
        let heartbeat = heartbeat(request.heartbeat_interval.as_ref(), hub.settings.heartbeat)?;
        let sight = self.sight(&cx).await?;
        let filter =
            Filter::compile(request.filter.as_ref(), sight.visible.clone(), &hub, "filter")?;
        let start = place::find(&hub, request.start.as_ref(), "start").await?;
        let until = match &request.until {
            None => None,
            until => Some(place::find(&hub, until.as_ref(), "until").await?.seq),
        };
        if until.is_some_and(|until| until < start.seq) {
            return Err(Error::invalid("until", "Give a place that is not before `start`."));
        }
        // A stream has a place of its own, and takes none from the calls.
        cx.share = None;
        let wanted = hub.interest.hold(self.balances(&filter));
        let (inlet, outlet) = outlet::pair();
        let pump = Pump::new(Arc::clone(&hub), Order { filter, start, until, heartbeat }, inlet);
        let compression = self.compression(&headers);
        tokio::spawn(async move {
            let open = Open::new(seat, Arc::clone(&hub), cx.method.name());
            let ending = self.ending(&cx, &sight, ends);
            let status = |error: &Error| record::stream_status(cx.method, &cx.journal, error);
            match pump.run(ending, status).await {
                End::Left => {}
                End::Done => hub.metrics.events.ended("DONE"),
                End::Failed(error) => hub.metrics.events.ended(error.reason().name),
            }
            drop((open, wanted));
        });
        Ok(frame::stream(compression, outlet))
    }

    /// A place for a stream.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS`, and `GATEWAY_DRAINING` while streams are being ended.
    pub(crate) fn seat(&self, cx: &Context) -> Result<Seat, Error> {
        let hub = self.hub();
        if hub.draining.is_cancelled() {
            return Err(Error::new(&reason::GATEWAY_DRAINING).sent(Sent::No));
        }
        let each = self.config().admission.caller_share_percent.of(hub.seats.max());
        hub.seats.take(cx.caller.as_deref(), each)
    }

    /// Resolves with the reason why the gateway ends a stream: the process stops, the stream is old,
    /// the caller's deadline is there, or a right is withdrawn.
    pub(crate) async fn ending(
        &self,
        cx: &Context,
        sight: &Sight,
        ends: Option<tokio::time::Instant>,
    ) -> Error {
        let hub = self.hub();
        let age = hub.settings.stream_age.mul_f64(1.0 + crate::upstream::jitter());
        let deadline = async {
            match ends {
                Some(ends) => tokio::time::sleep_until(ends).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hub.draining.cancelled() => Error::new(&reason::GATEWAY_DRAINING),
            () = tokio::time::sleep(age) => Error::new(&reason::STREAM_MAX_AGE),
            () = deadline => Error::new(&reason::DEADLINE_EXCEEDED),
            error = self.withdrawn(cx, sight) => error,
        }
    }

    /// Whose balances a filter names.
    pub(crate) fn balances(&self, filter: &Filter) -> Vec<Owner> {
        filter.balances_of().unwrap_or_else(|| {
            let wallets = self.known_wallets();
            wallets.into_iter().map(|wallet| self.hub().owner(&wallet)).collect()
        })
    }

    /// The wallets of the gateway's own credentials, as far as they are known.
    fn known_wallets(&self) -> Vec<Wallet> {
        let credentials = self.credentials().list().into_iter();
        let mut wallets: Vec<_> = credentials
            .filter(|of| {
                let of_none = [credentials::Kind::P2p, credentials::Kind::Merchant];
                of.kind.is_none_or(|kind| !of_none.contains(&kind))
            })
            .filter_map(|of| of.wallet.clone().or_else(|| self.wallets().get(&of.fingerprint)))
            .collect();
        wallets.sort();
        wallets.dedup();
        wallets
    }

    /// One page of events.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn list_events(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::ListEventsRequest>(call).await?;
        let hub = self.hub();
        let visible = self.visible(&cx).await?;
        let filter = Filter::compile(request.filter.as_ref(), visible, hub, "filter")?;
        let page = list::page(hub, self.pages(), &request, &filter).await?;
        Ok(frame::reply(self.compression(&headers), frame::framed(&page)))
    }

    /// One event.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn get_event(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::GetEventRequest>(call).await?;
        let hub = self.hub();
        let id = list::unhex(&request.event_id);
        let id =
            id.and_then(|bytes| EventId::try_from(bytes.as_slice()).ok()).ok_or_else(|| {
                Error::invalid("event_id", "Give the id of an event: 32 hexadecimal characters.")
            })?;
        let visible = self.visible(&cx).await?;
        let found = hub.log.get(id).await.map_err(|error| place::unavailable(&error))?;
        let Some(stored) = found.filter(|stored| visible.shows(&stored.event)) else {
            let error = Error::new(&reason::EVENT_NOT_FOUND);
            return Err(error.resource("event", id.to_string()));
        };
        let epoch = place::info(hub).await?.epoch;
        let event = wire::encoded(&hub.cipher, &hub.cursors, epoch, &stored).map_err(|error| {
            hub.metrics.events.alarm("event_unreadable");
            place::unavailable(&error)
        })?;
        let answer = with_events(1, std::iter::once(&event), &());
        Ok(frame::reply(self.compression(&headers), frame::framed(&answer)))
    }

    /// How the log is.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn get_log_info(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, _) = self.read::<pb::GetLogInfoRequest>(call).await?;
        let hub = self.hub();
        let sight = self.sight(&cx).await?;
        let log_info = Some(log_info(hub, self.config().state.engine).await?);
        let mut reconciliations = Vec::new();
        for wallet in self.wallets_of(&sight) {
            let owner = hub.owner(&wallet);
            let kept = cell::load::<Watermark>(&*hub.log, owner.as_bytes()).await;
            let kept = kept.map_err(|error| place::unavailable(&error))?.map(|of| of.kept);
            let time = |ms: i64| (ms > 0).then(|| wire::time(ms));
            reconciliations.push(pb::WalletReconciliation {
                wallet: wallet.digits().to_owned(),
                complete_time: kept.as_ref().and_then(|of| time(of.through_ms)),
                reconcile_time: kept.as_ref().and_then(|of| time(of.reconciled_ms)),
            });
        }
        let frame = frame::encode(&pb::GetLogInfoResponse { log_info, reconciliations });
        Ok(frame::reply(self.compression(&headers), frame))
    }

    /// The wallets whose transactions may be seen, in order.
    fn wallets_of(&self, sight: &Sight) -> Vec<Wallet> {
        let Visible::Of(_) = &sight.visible else { return self.known_wallets() };
        let may = |rest: &Rest| {
            sight.visible.rights(&rest.owner).is_some_and(|rights| rights.transactions)
        };
        let mut wallets: Vec<_> = sight
            .rests_on
            .iter()
            .filter(|rest| may(rest))
            .filter_map(|rest| rest.wallet.clone())
            .collect();
        wallets.sort();
        wallets.dedup();
        wallets
    }
}

/// A stream that is open: it holds a place and is counted.
pub(super) struct Open {
    _seat: Seat,
    hub: Arc<Hub>,
    method: &'static str,
}

impl Open {
    pub(super) fn new(seat: Seat, hub: Arc<Hub>, method: &'static str) -> Self {
        hub.metrics.events.stream(method, 1);
        Self { _seat: seat, hub, method }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.metrics.events.stream(self.method, -1);
    }
}

/// The pause between heartbeats.
fn heartbeat(asked: Option<&prost_types::Duration>, default: Duration) -> Result<Duration, Error> {
    let Some(asked) = asked else { return Ok(default) };
    Duration::try_from(*asked)
        .ok()
        .filter(|asked| HEARTBEAT.contains(asked))
        .ok_or_else(|| Error::invalid("heartbeat_interval", "Give 1 to 60 seconds, or nothing."))
}

async fn log_info(hub: &Hub, engine: Engine) -> Result<pb::LogInfo, Error> {
    let info = place::info(hub).await?;
    let latest = place::latest(hub).await?;
    let earliest = place::earliest(hub).await?;
    let logged = |seq: u64| async move {
        if seq < info.first || seq > info.last {
            return None;
        }
        let events = hub.log.read(seq.saturating_sub(1), Limit::events(1)).await.ok()?;
        events.first().map(|event| wire::time(event.logged_ms))
    };
    let Info { epoch, first, last, bytes, durability, retention } = info;
    Ok(pb::LogInfo {
        epoch: epoch.to_string(),
        floor_sequence: signed(first),
        head_sequence: signed(last),
        earliest_cursor: hub.cursors.seal(&earliest).into(),
        latest_cursor: hub.cursors.seal(&latest).into(),
        floor_append_time: logged(first).await,
        head_append_time: logged(last).await,
        size_bytes: signed(bytes),
        engine: match engine {
            Engine::Memory => pb::LogEngine::Memory,
            Engine::Embedded => pb::LogEngine::Embedded,
            Engine::Nats => pb::LogEngine::Nats,
        }
        .into(),
        durability: match durability {
            Durability::Process => pb::LogDurability::Process,
            Durability::Disk => pb::LogDurability::Disk,
            Durability::Quorum => pb::LogDurability::Quorum,
        }
        .into(),
        retention: Some(pb::LogRetention {
            max_age: Some(span(retention.age_ms)),
            max_size_bytes: signed(retention.bytes),
            min_age: Some(span(retention.keep_ms)),
        }),
        accepting: hub.log.health().is_ok(),
    })
}

fn span(ms: i64) -> prost_types::Duration {
    let nanos = i32::try_from(ms % 1000 * 1_000_000).unwrap_or(0);
    prost_types::Duration { seconds: ms / 1000, nanos }
}
