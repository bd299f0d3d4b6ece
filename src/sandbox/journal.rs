//! What was asked: counts by route and the latest requests. Tokens are never kept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::call::Shared;
use super::faults::CutConnection;
use super::moment;

/// The record of requests, bounded in its details and unbounded only in its counters.
#[derive(Debug)]
pub(super) struct Journal {
    kept: usize,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    total: u64,
    by_route: BTreeMap<String, u64>,
    latest: VecDeque<Value>,
}

impl Journal {
    pub(super) fn new(kept: usize) -> Self {
        Self { kept, pages: Mutex::default() }
    }

    fn write(&self, route: String, entry: Value) {
        let mut pages = self.pages.lock();
        pages.total += 1;
        *pages.by_route.entry(route).or_default() += 1;
        pages.latest.push_back(entry);
        while pages.latest.len() > self.kept {
            pages.latest.pop_front();
        }
    }

    /// Everything recorded, oldest request first.
    pub(super) fn to_json(&self) -> Value {
        let pages = self.pages.lock();
        json!({
            "total": pages.total,
            "by_route": pages.by_route,
            "latest": pages.latest,
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        *self.pages.lock() = Pages::default();
    }
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
    let query = request.uri().query().map(str::to_owned);
    let wallet = shared.tokens.wallet(request.headers());
    let route = match request.extensions().get::<MatchedPath>() {
        Some(matched) => format!("{method} {}", matched.as_str()),
        None => "unmatched".to_owned(),
    };
    let response = next.run(request).await;
    // A connection cut without an answer has no status.
    let status = match response.extensions().get::<CutConnection>() {
        Some(CutConnection) => None,
        None => Some(response.status().as_u16()),
    };
    let entry = json!({
        "time": time,
        "method": method,
        "path": path,
        "query": query,
        "wallet": wallet,
        "status": status,
    });
    shared.journal.write(route, entry);
    response
}
