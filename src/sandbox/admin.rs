//! The sandbox's own interface under `/__sandbox`: faults, the journal, what was paid, reset.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::answer;
use super::call::Shared;
use super::faults::Rule;

/// The routes; no fault strikes them and no journal records them.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/__sandbox/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/__sandbox/requests", get(requests))
        .route("/__sandbox/payments", get(payments))
        .route("/__sandbox/outbox", get(outbox))
        .route("/__sandbox/reset", post(reset))
}

async fn list_faults(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &json!(shared.faults.list()))
}

async fn add_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let rules = serde_json::from_slice::<Vec<Rule>>(&body);
    match rules.map_err(|error| error.to_string()).and_then(|rules| shared.faults.add(rules)) {
        Ok(()) => answer::json(StatusCode::OK, &json!(shared.faults.list())),
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.faults.clear();
    StatusCode::NO_CONTENT
}

async fn requests(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &shared.journal.to_json())
}

async fn payments(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &json!(shared.world().committed))
}

async fn outbox(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &json!(shared.world().outbox))
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}
