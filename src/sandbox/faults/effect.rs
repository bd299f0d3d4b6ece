//! Carrying a fault out: a layer around every route of the upstream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_body_util::BodyExt;
use serde_json::Value;

use super::{Cut, Fault, SlowBody};
use crate::sandbox::call::Shared;

/// Marks an answer in whose place the server closes the connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct CutConnection;

/// Tells the balance list what to print in place of a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum BalanceFault {
    Null,
    EmptyObject,
}

/// How long a cut waits so that what goes before it has left the process.
const FLUSH: Duration = Duration::from_millis(20);

/// The layer.
pub(in crate::sandbox) async fn apply(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let fault = match shared.faults.take(&request) {
        Ok(fault) => fault,
        Err(reason) => {
            let text = format!("this {} cannot be read: {reason}\n", super::HEADER);
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    if fault == Fault::default() {
        return next.run(request).await;
    }
    pause(fault.latency_ms).await;
    if fault.cut == Some(Cut::BeforeProcessing) {
        return cut();
    }
    if fault.null_balance {
        request.extensions_mut().insert(BalanceFault::Null);
    } else if fault.empty_balance {
        request.extensions_mut().insert(BalanceFault::EmptyObject);
    }
    // A replaced answer loses its body too, whether or not the request was carried out.
    let replaced = fault.status.is_some() || fault.redirect.is_some();
    let mut response = StatusCode::OK.into_response();
    if !replaced {
        response = next.run(request).await;
    } else if fault.process {
        let _lost = next.run(request).await;
    }
    pause(fault.answer_latency_ms).await;
    if fault.cut == Some(Cut::BeforeHeaders) {
        return cut();
    }
    disfigure(&fault, response).await
}

async fn pause(milliseconds: Option<u64>) {
    if let Some(milliseconds) = milliseconds {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CutConnection);
    response
}

async fn disfigure(fault: &Fault, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(status) = fault.status.and_then(|code| StatusCode::from_u16(code).ok()) {
        parts.status = status;
    }
    if let Some(location) = &fault.redirect {
        parts.status = StatusCode::FOUND;
        if let Ok(location) = HeaderValue::from_str(location) {
            parts.headers.insert(header::LOCATION, location);
        }
    }
    if let Some(seconds) = fault.retry_after {
        let value = HeaderValue::from(seconds);
        parts.headers.insert(header::RETRY_AFTER, value);
    }
    // Answers of the sandbox are made in memory, so reading one back cannot fail or wait.
    let original = body.collect().await.map(|body| body.to_bytes());
    let body = replace_body(fault, &mut parts.headers, original.unwrap_or_default());
    if fault.garbage {
        parts.status = StatusCode::OK;
    }
    let body = transmit(fault, &mut parts.headers, body);
    Response::from_parts(parts, body)
}

fn replace_body(fault: &Fault, headers: &mut HeaderMap, original: Bytes) -> Bytes {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    if fault.empty {
        return Bytes::new();
    }
    if fault.garbage {
        headers.insert(header::CONTENT_TYPE, JSON);
        return Bytes::from_static(b"{\"data\":[{\"txnId\":,}");
    }
    match &fault.body {
        Some(Value::String(text)) => Bytes::from(text.clone()),
        Some(value) => {
            headers.insert(header::CONTENT_TYPE, JSON);
            Bytes::from(value.to_string())
        }
        None => original,
    }
}

/// The body as it goes out, with a length that matches unless the fault says otherwise.
fn transmit(fault: &Fault, headers: &mut HeaderMap, body: Bytes) -> Body {
    headers.remove(header::CONTENT_LENGTH);
    let mut length = body.len();
    let whole = SlowBody { bytes: body.len().max(1), interval_ms: 0 };
    let mut plan = Plan { pace: fault.slow_body.unwrap_or(whole), left: body, cut: false };
    match fault.cut {
        Some(Cut::AfterHeaders) => {
            length = length.max(1);
            plan.left = Bytes::new();
            plan.cut = true;
        }
        Some(Cut::MidBody) => {
            length = length.max(1);
            plan.left.truncate(plan.left.len() / 2);
            plan.cut = true;
        }
        Some(Cut::BeforeProcessing | Cut::BeforeHeaders) | None => {}
    }
    if let Some(difference) = fault.wrong_length {
        let difference = isize::try_from(difference).unwrap_or(isize::MAX);
        length = length.saturating_add_signed(difference);
    }
    if fault.slow_body.is_none() && fault.wrong_length.is_none() && !plan.cut {
        return Body::from(plan.left);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Body::from_stream(stream::unfold(plan, Plan::next))
}

struct Plan {
    pace: SlowBody,
    left: Bytes,
    cut: bool,
}

impl Plan {
    async fn next(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        if self.left.is_empty() {
            if !self.cut {
                return None;
            }
            self.cut = false;
            tokio::time::sleep(FLUSH).await;
            return Some((Err(io::ErrorKind::ConnectionAborted.into()), self));
        }
        pause(Some(self.pace.interval_ms)).await;
        let piece = self.left.split_to(self.pace.bytes.min(self.left.len()));
        Some((Ok(piece), self))
    }
}
