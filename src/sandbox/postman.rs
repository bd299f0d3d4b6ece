//! Sending notifications: the one part of the sandbox that calls others.
//!
//! It has its own small HTTP client, a connection for each attempt, and it is what lets things
//! happen in time that nobody looks at, for a payment that settles is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::call::Shared;
use super::letter::{Attempt, Parcel};
use super::moment::{self, MOSCOW};

/// How many attempts are under way at once.
const AT_ONCE: usize = 64;

/// The most of an answer that is read.
const ANSWER_MAX: usize = 64 * 1024;

/// The most of an answer that is kept, in characters.
const ANSWER_KEPT: usize = 1_024;

type Sender = Client<HttpConnector, Full<Bytes>>;

/// Delivers until told to stop; attempts under way are given up then.
pub(super) async fn deliver(shared: Arc<Shared>, stop: CancellationToken) {
    let sender: Sender =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let bell = shared.world().outbox.bell();
    let mut under_way = JoinSet::new();
    loop {
        let now = Instant::now();
        let room = AT_ONCE - under_way.len();
        let (parcels, next) = {
            let mut world = shared.world();
            let parcels = world.outbox.take_due(now, room);
            // Without room nothing is due until an attempt ends.
            let letter = world.outbox.next_due().filter(|_| parcels.len() < room);
            let acquiring = world.acquiring.next_due();
            let next = letter.into_iter().chain(world.agenda.next_due()).chain(acquiring).min();
            (parcels, next)
        };
        for (id, parcel) in parcels {
            let (shared, sender) = (Arc::clone(&shared), sender.clone());
            under_way.spawn(async move {
                let attempt = attempt(&sender, parcel, shared.config.notification_timeout).await;
                shared.world().outbox.enter(id, attempt);
            });
        }
        let until = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = under_way.join_next() => {}
            () = bell.notified() => {}
            () = until => {}
        }
    }
    under_way.shutdown().await;
}

async fn attempt(sender: &Sender, parcel: Parcel, patience: Duration) -> Attempt {
    let time = moment::with_milliseconds(jiff::Timestamp::now(), MOSCOW);
    let started = Instant::now();
    let answer = tokio::time::timeout(patience, exchange(sender, parcel)).await;
    let answer = answer.unwrap_or_else(|_| Err("no answer in time".to_owned()));
    Attempt { time, took: started.elapsed(), answer }
}

async fn exchange(sender: &Sender, parcel: Parcel) -> Result<(u16, String), String> {
    let mut request = Request::post(parcel.url)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(signature) = parcel.signature {
        request = request.header("X-Api-Signature-SHA256", signature);
    }
    let request = request.body(Full::from(parcel.body)).map_err(|error| error.to_string())?;
    let response = sender.request(request).await.map_err(|error| whole(&error))?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).chars().take(ANSWER_KEPT).collect()))
}

/// An error with what is behind it.
fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", whole(source)),
        None => error.to_string(),
    }
}
