//! `EventService.Consume` as a call: joining a group, and what ends a stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::body::{Body, Taken};
use super::member::{Member, Output, Progress, WAITING_MAX};
use super::runtime::{Command, Joined};
use super::talk::{self, Opening};
use super::terms::{self, Terms};
use crate::call::{Context, Inbound};
use crate::edge::frame::{self, Requests};
use crate::edge::{Outbound, deadline, record};
use crate::error::{Error, reason};
use crate::events::filter::Filter;
use crate::events::group::Group;
use crate::events::hub::Hub;
pub(super) use crate::events::place::unavailable;
use crate::events::rpc::Open;
use crate::events::visible::Sight;
use crate::events::wire;
use crate::gateway::Gateway;
use crate::pb::events::v1 as pb;
use crate::policy::{Access, Class, Policy, Shape};

/// Each stream changes what is settled.
pub static CONSUME: Policy = Policy {
    rpc: "qiwi.events.v1.EventService/Consume",
    operation: "Consume",
    shape: Shape::Bidi,
    class: Class::Once,
    access: Access::Events,
    lasting: true,
    ..Policy::BASE
};

/// A group that a member may join.
struct Entry {
    terms: Terms,
    filter: Arc<Filter>,
    created: bool,
}

impl Gateway {
    /// Joins a group and streams its events.
    ///
    /// # Errors
    /// As the contract says; what goes wrong later ends the stream with a status.
    pub async fn consume(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let ends_at = deadline::ends(&call.parts.headers, call.arrival, &self.config().deadline);
        let (headers, mut cx, mut requests) = self.read_all::<pb::ConsumeRequest>(call)?;
        let hub = Arc::clone(self.hub());
        let seat = self.seat(&cx)?;
        let open = match requests.next().await? {
            Some(pb::ConsumeRequest {
                request: Some(pb::consume_request::Request::Open(open)),
            }) => open,
            _ => return Err(Error::invalid("open", "Send it as the first request.")),
        };
        let Opening { limits, heartbeat } = talk::opening(&open, &hub)?;
        let sight = self.sight(&cx).await?;
        let entry = self.enter(&cx, &hub, &open, &sight).await?;

        let id = hub.groups.number();
        let in_hand = Arc::new(AtomicUsize::new(0));
        let ends = parking_lot::Mutex::new(None);
        let member = || {
            let (out, outputs) = mpsc::channel(WAITING_MAX);
            let (end, ended) = watch::channel(None);
            *ends.lock() = Some((outputs, out.clone().downgrade(), end.clone(), ended));
            Member {
                id,
                limits,
                out,
                end,
                in_hand: Arc::clone(&in_hand),
                hand: HashMap::new(),
                leaving: false,
            }
        };
        let joining = hub.groups.join(&hub, &open.group_id, &entry.filter, member);
        let (Joined { group, progress }, commands) = joining.await?;
        let Some((outputs, waiting, end, ended)) = ends.into_inner() else {
            return Err(
                Error::new(&reason::GATEWAY_PANIC).log("a member joined without being made")
            );
        };
        let opened = pb::ConsumeOpened {
            group: Some(shown(&open.group_id, &group, &entry.terms, *progress.borrow())),
            created: entry.created,
            max_in_flight: i32::try_from(limits.events).unwrap_or(i32::MAX),
            max_in_flight_bytes: i32::try_from(limits.bytes).unwrap_or(i32::MAX),
            ack_deadline: prost_types::Duration::try_from(limits.ack_deadline).ok(),
            heartbeat_interval: prost_types::Duration::try_from(heartbeat).ok(),
        };
        let opened = pb::consume_response::Response::Opened(opened);
        let opened = pb::ConsumeResponse { response: Some(opened) };

        let left = CancellationToken::new();
        let taken = Taken::now();
        let (method, journal) = (cx.method, Arc::clone(&cx.journal));
        let body = Body {
            opened: Some(opened.encode_to_vec().into()),
            out: outputs,
            end: ended,
            progress,
            in_hand,
            heartbeat,
            taken: taken.clone(),
            status: Box::new(move |error| record::stream_status(method, &journal, error)),
            left: left.clone().drop_guard(),
        };
        let compression = self.compression(&headers);
        // Balances are polled while the filter of some stream names them.
        let interest = hub.interest.hold(self.balances(&entry.filter));
        // A stream has a place of its own, and takes none from the calls.
        cx.share = None;
        tokio::spawn(async move {
            let held = (interest, Open::new(seat, Arc::clone(&hub), cx.method.name()));
            let talking = talk::talk(&hub, &open.group_id, id, limits, &mut requests, &commands);
            let error = tokio::select! {
                biased;
                () = left.cancelled() => None,
                error = self.ending(&cx, &sight, ends_at) => Some(error),
                error = stalled(&hub, &taken, &waiting) => Some(error),
                said = talking => said.err(),
            };
            if let Some(error) = error {
                hub.metrics.events.ended(error.reason().name);
                end.send_replace(Some(error));
            }
            drop(end);
            // A runtime that is gone knows no members.
            let _ = commands.send(Command::Leave(id)).await;
            drop(held);
            drain(requests, &left).await;
        });
        Ok(frame::stream(compression, body.stream()))
    }

    /// Finds or makes the group, and makes sure that this call may be a member.
    async fn enter(
        &self,
        cx: &Context,
        hub: &Hub,
        open: &pb::ConsumeOpen,
        sight: &Sight,
    ) -> Result<Entry, Error> {
        terms::check_id(&open.group_id, "open.group_id")?;
        let agreed = open.terms.as_ref().map(|of| terms::normal(of, "open.terms")).transpose()?;
        if agreed.is_some() != open.start.is_some() {
            let what = "Give `start` exactly when you give `terms`.";
            return Err(Error::invalid("open.start", what));
        }
        let compile = |filter: Option<&pb::EventFilter>| {
            let visible = sight.visible.clone();
            Filter::compile(filter, visible, hub, "open.terms.filter").map(Arc::new)
        };
        // A wrong filter is told whether there is such a group or not.
        if let Some(agreed) = &agreed {
            compile(agreed.filter.as_ref())?;
        }
        let wanted = Terms {
            caller: cx.caller.as_ref().map(|caller| caller.name.to_string()),
            credential: cx.credential.as_ref().and_then(|of| of.name.as_deref().map(str::to_owned)),
            wallet: match &cx.credential {
                Some(credential) if credential.name.is_none() => {
                    Some(self.own_wallet(cx).await?.digits().to_owned())
                }
                _ => None,
            },
            agreed: agreed.clone().unwrap_or_default(),
        };
        let there = match (terms::find(hub, &open.group_id).await?, &agreed) {
            (Some((_, terms)), _) => terms,
            (None, None) => return Err(terms::not_found(&open.group_id)),
            (None, Some(_)) => {
                let (name, start) = (&open.group_id, open.start.as_ref());
                match terms::create(hub, name, &wanted, start, "open.start").await? {
                    Ok(_) => {
                        let filter = compile(wanted.agreed.filter.as_ref())?;
                        return Ok(Entry { terms: wanted, filter, created: true });
                    }
                    Err(there) => Terms::of(hub, name, &there.kept)?,
                }
            }
        };
        if there.caller != wanted.caller {
            let error = Error::new(&reason::CALLER_NOT_ALLOWED);
            return Err(error.log("the group belongs to another caller"));
        }
        if !there.same_members(&wanted) {
            let what = "Members bring the credential the group was created with.";
            return Err(Error::new(&reason::GROUP_MISMATCH).precondition(what));
        }
        if agreed.is_some_and(|agreed| agreed != there.agreed) {
            let what = "Give the terms the group was created with, or none.";
            return Err(Error::new(&reason::GROUP_MISMATCH).precondition(what));
        }
        let filter = compile(there.agreed.filter.as_ref())?;
        Ok(Entry { terms: there, filter, created: false })
    }
}

/// Reads what a client sends to a stream that has ended, so that its connection is not held up.
async fn drain(mut requests: Requests<pb::ConsumeRequest>, left: &CancellationToken) {
    let reading = async { while let Ok(Some(_)) = requests.next().await {} };
    tokio::select! {
        biased;
        () = left.cancelled() => {}
        () = reading => {}
    }
}

/// Resolves when the client has taken nothing for too long although something waits.
async fn stalled(hub: &Hub, taken: &Taken, waiting: &mpsc::WeakSender<Output>) -> Error {
    let stalled = hub.settings.stalled;
    let mut seen = (taken.last(), Instant::now());
    loop {
        tokio::time::sleep((stalled / 4).max(Duration::from_millis(10))).await;
        let Some(out) = waiting.upgrade() else { return std::future::pending().await };
        let is_waiting = out.capacity() < out.max_capacity();
        drop(out);
        let last = taken.last();
        if !is_waiting || last != seen.0 {
            seen = (last, Instant::now());
        } else if seen.1.elapsed() >= stalled {
            let what = "Take what the stream sends.";
            return Error::new(&reason::SLOW_CONSUMER).quota("gateway:stream", what);
        }
    }
}

/// A group as clients are told.
pub fn shown(name: &str, group: &Group, terms: &Terms, progress: Progress) -> pb::Group {
    pb::Group {
        group_id: name.to_owned(),
        caller: terms.caller.clone(),
        credential: terms.credential.clone(),
        wallet: terms.wallet.clone(),
        terms: Some(terms.agreed.clone()),
        paused: group.paused,
        progress: Some(progress.shown()),
        epoch: group.epoch.to_string(),
        create_time: Some(wire::time(group.created_ms)),
        use_time: (group.used_ms > 0).then(|| wire::time(group.used_ms)),
        dead_letter_count: None,
    }
}
