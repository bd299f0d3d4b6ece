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

use super::{Fault, Place, SlowBody};
use crate::sandbox::call::Shared;

/// Marks an answer in whose place the server closes the connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct CutConnection;

/// Marks an answer whose connection ends with a reset.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct ResetConnection;

/// Tells the balance list what to print in place of a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum BalanceFault {
    Null,
    EmptyObject,
}

/// How long a cut waits so that what goes before it has left the process.
const FLUSH: Duration = Duration::from_millis(20);

/// The largest body a request may have.
const BODY_MAX: usize = 1 << 20;

/// The layer.
///
/// Whoever goes away before the answer changes nothing about what was asked: once a request is
/// whole it is carried out, as behind a real server, where the client's absence is noticed late.
pub(in crate::sandbox) async fn apply(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // A body that ends early is a client that has gone: nobody is there to be answered.
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return cut();
    };
    let fault = match shared.faults.take(&parts, &body) {
        Ok(fault) => fault,
        Err(reason) => {
            let text = format!("this {} cannot be read: {reason}\n", super::HEADER);
            return (StatusCode::BAD_REQUEST, text).into_response();
        }
    };
    if fault == Fault::default() {
        return next.run(Request::from_parts(parts, Body::from(body))).await;
    }
    if fault.null_balance {
        parts.extensions.insert(BalanceFault::Null);
    } else if fault.empty_balance {
        parts.extensions.insert(BalanceFault::EmptyObject);
    }
    parts.extensions.insert(fault.for_payment());
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = answer(&fault, request, next).await;
    if fault.reset {
        response.extensions_mut().insert(ResetConnection);
    }
    response
}

async fn answer(fault: &Fault, request: Request, next: Next) -> Response {
    if fault.cut == Some(Place::BeforeProcessing) || fault.hang == Some(Place::BeforeProcessing) {
        pause(fault.latency_ms).await;
        return end_before_headers(fault).await;
    }
    // A replaced answer loses its body too, whether or not the request was carried out.
    let replaced = fault.status.is_some() || fault.redirect.is_some();
    let mut response = StatusCode::OK.into_response();
    if replaced && !fault.process {
        pause(fault.latency_ms).await;
    } else {
        let latency = fault.latency_ms;
        let carried_out = tokio::spawn(async move {
            pause(latency).await;
            next.run(request).await
        });
        match carried_out.await {
            Ok(carried_out) if !replaced => response = carried_out,
            Ok(_lost) => {}
            // The handler panicked, which a server shows by closing the connection.
            Err(_) => return cut(),
        }
    }
    pause(fault.answer_latency_ms).await;
    if fault.cut == Some(Place::BeforeHeaders) || fault.hang == Some(Place::BeforeHeaders) {
        return end_before_headers(fault).await;
    }
    disfigure(fault, response).await
}

/// Silence if that is asked for, a closed connection otherwise.
async fn end_before_headers(fault: &Fault) -> Response {
    if fault.hang.is_some() {
        std::future::pending::<()>().await;
    }
    cut()
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
    let pace = fault.slow_body.unwrap_or(whole);
    let mut plan = Plan { pace, left: body, end: End::Done };
    let place = fault.cut.or(fault.hang);
    if matches!(place, Some(Place::AfterHeaders | Place::MidBody)) {
        length = length.max(1);
        let kept = if place == Some(Place::MidBody) { plan.left.len() / 2 } else { 0 };
        plan.left.truncate(kept);
        plan.end = if fault.cut.is_some() { End::Cut } else { End::Silence };
    }
    if let Some(difference) = fault.wrong_length {
        let difference = isize::try_from(difference).unwrap_or(isize::MAX);
        length = length.saturating_add_signed(difference);
    }
    if fault.slow_body.is_none() && fault.wrong_length.is_none() && plan.end == End::Done {
        return Body::from(plan.left);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Body::from_stream(stream::unfold(plan, Plan::next))
}

struct Plan {
    pace: SlowBody,
    left: Bytes,
    end: End,
}

/// What follows the last piece of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Cut,
    Silence,
}

impl Plan {
    async fn next(mut self) -> Option<(Result<Bytes, io::Error>, Self)> {
        if self.left.is_empty() {
            match self.end {
                End::Done => return None,
                End::Cut => {}
                End::Silence => std::future::pending::<()>().await,
            }
            self.end = End::Done;
            tokio::time::sleep(FLUSH).await;
            return Some((Err(io::ErrorKind::ConnectionAborted.into()), self));
        }
        pause(Some(self.pace.interval_ms)).await;
        let piece = self.left.split_to(self.pace.bytes.min(self.left.len()));
        Some((Ok(piece), self))
    }
}
