//! The sandbox's own interface under `/__sandbox`: faults, the journal, what was paid and sent,
//! money from outside, merchant sites, reset.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;

use super::answer;
use super::call::Shared;
use super::faults::Rule;
use super::{Incoming, MerchantSite};

/// The routes; no fault strikes them and no journal records them.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/__sandbox/faults", get(list_faults).post(add_faults).delete(clear_faults))
        .route("/__sandbox/requests", get(requests))
        .route("/__sandbox/payments", get(payments))
        .route("/__sandbox/transactions", get(transactions))
        .route("/__sandbox/sites", post(put_site))
        .route("/__sandbox/outbox", get(outbox))
        .route("/__sandbox/incoming", post(incoming))
        .route("/__sandbox/wallets/{wallet}/bills/{bill}/pay", post(pay_bill))
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

async fn transactions(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &json!(shared.world().acquiring.committed()))
}

async fn put_site(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice::<MerchantSite>(&body) {
        Ok(site) => {
            shared.world().acquiring.put_site(site);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}

async fn outbox(State(shared): State<Arc<Shared>>) -> Response {
    answer::json(StatusCode::OK, &shared.world().outbox.to_json())
}

async fn incoming(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let incoming = serde_json::from_slice::<Incoming>(&body).map_err(|error| error.to_string());
    match incoming.and_then(|incoming| shared.world().top_up(incoming)) {
        Ok(txn_id) => answer::json(StatusCode::CREATED, &json!({ "txnId": txn_id })),
        Err(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
    }
}

async fn pay_bill(
    State(shared): State<Arc<Shared>>,
    Path((wallet, bill)): Path<(String, String)>,
) -> Response {
    match shared.world().pay_bill(&wallet, &bill) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(reason) => (StatusCode::NOT_FOUND, format!("{reason}\n")).into_response(),
    }
}

async fn reset(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}
