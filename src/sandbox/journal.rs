//! What was asked: counts by route and the latest requests. Tokens are never kept, and of card
//! operations nothing that pays.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::acquiring;
use super::call::Shared;
use super::faults::CutConnection;
use super::moment;

/// The largest operation that is looked into.
const OPERATION_MAX: usize = 1 << 20;

/// The record of requests, bounded in its details and unbounded only in its counters.
#[derive(Debug)]
pub(super) struct Journal {
    kept: usize,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// Never starts again, so that a request that outlives a reset finds no other one's entry.
    arrivals: u64,
    total: u64,
    by_route: BTreeMap<String, u64>,
    latest: VecDeque<(u64, Value)>,
}

impl Journal {
    pub(super) fn new(kept: usize) -> Self {
        Self { kept, pages: Mutex::default() }
    }

    /// Enters a request on its arrival; its number.
    fn arrived(&self, route: String, entry: Value) -> u64 {
        let mut pages = self.pages.lock();
        pages.total += 1;
        pages.arrivals += 1;
        let number = pages.arrivals;
        *pages.by_route.entry(route).or_default() += 1;
        pages.latest.push_back((number, entry));
        while pages.latest.len() > self.kept {
            pages.latest.pop_front();
        }
        number
    }

    /// Adds the parameters of an operation, if the request is still among the kept ones.
    fn asked(&self, number: u64, operation: Value) {
        self.change(number, "operation", operation);
    }

    /// Adds the status of the answer, if the request is still among the kept ones.
    fn answered(&self, number: u64, status: u16) {
        self.change(number, "status", json!(status));
    }

    fn change(&self, number: u64, name: &str, value: Value) {
        let mut pages = self.pages.lock();
        let entry = pages.latest.iter_mut().find(|(kept, _)| *kept == number);
        if let Some(entry) = entry.and_then(|(_, entry)| entry.as_object_mut()) {
            entry.insert(name.to_owned(), value);
        }
    }

    /// Everything recorded, oldest request first.
    pub(super) fn to_json(&self) -> Value {
        let pages = self.pages.lock();
        let latest: Vec<&Value> = pages.latest.iter().map(|(_, entry)| entry).collect();
        json!({
            "total": pages.total,
            "by_route": pages.by_route,
            "latest": latest,
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut pages = self.pages.lock();
        *pages = Pages { arrivals: pages.arrivals, ..Pages::default() };
    }
}

/// Looks into an operation of QIWI PAY, of which a request's line says nothing.
async fn with_operation(shared: &Shared, number: u64, request: Request) -> Request {
    let (parts, body) = request.into_parts();
    // What cannot be read here cannot be read further in, which then deals with it.
    let body = axum::body::to_bytes(body, OPERATION_MAX).await.unwrap_or_default();
    if let Some(operation) = acquiring::shown(&body) {
        shared.journal.asked(number, operation);
    }
    Request::from_parts(parts, Body::from(body))
}

/// The layer that records; outside the faults, so that it sees what the client saw.
pub(super) async fn record(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let time = moment::with_milliseconds(jiff::Timestamp::now(), moment::MOSCOW);
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let is_operation = path == acquiring::DIRECT;
    let query = request.uri().query().map(str::to_owned);
    let wallet = shared.tokens.wallet(request.headers());
    let route = match request.extensions().get::<MatchedPath>() {
        Some(matched) => format!("{method} {}", matched.as_str()),
        None => "unmatched".to_owned(),
    };
    let entry = json!({
        "time": time,
        "method": method,
        "path": path,
        "query": query,
        "wallet": wallet,
        "status": null,
    });
    let number = shared.journal.arrived(route, entry);
    let request =
        if is_operation { with_operation(&shared, number, request).await } else { request };
    let response = next.run(request).await;
    // A request whose connection ended before the answer, by whichever side, has no status.
    if response.extensions().get::<CutConnection>().is_none() {
        shared.journal.answered(number, response.status().as_u16());
    }
    response
}
