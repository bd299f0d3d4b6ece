//! The outermost layer: request id, server span, metrics, one summary line, and the only
//! translation of errors into statuses.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::Outbound;
use super::frame::{self, ReplyBody};
use crate::call::{Inbound, Journal};
use crate::error::{About, Error, reason};
use crate::method::Method;
use crate::policy::{Class, Shape};
use crate::telemetry::{Metrics, names};

/// Makes [`Record`].
#[derive(Clone)]
pub struct RecordLayer {
    /// Where durations and codes are counted.
    pub metrics: Arc<Metrics>,
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Record { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Record<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Service<Inbound> for Record<S>
where
    S: Service<Inbound, Response = Outbound, Error = Error>,
{
    type Response = http::Response<RecordedBody>;
    type Error = std::convert::Infallible;
    type Future = RecordFuture<S::Future>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The layers inside are always ready: admission happens in `call`.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Inbound) -> Self::Future {
        let summary = Summary {
            method: call.method,
            arrival: call.arrival,
            journal: Arc::clone(&call.journal),
            metrics: Arc::clone(&self.metrics),
            done: false,
        };
        RecordFuture { inner: self.inner.call(call), summary: Some(summary) }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Record`].
    pub struct RecordFuture<F> {
        #[pin]
        inner: F,
        summary: Option<Summary>,
    }
}

impl<F: Future<Output = Result<Outbound, Error>>> Future for RecordFuture<F> {
    type Output = Result<http::Response<RecordedBody>, std::convert::Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = std::task::ready!(this.inner.poll(cx));
        let Some(mut summary) = this.summary.take() else { return Poll::Pending };
        let mut response = match result {
            Ok(response) if summary.method.policy.shape != Shape::Unary => {
                let (parts, body) = response.into_parts();
                let body = RecordedBody { body, summary: Some(Box::new(summary)), held: None };
                let mut response = http::Response::from_parts(parts, body);
                let id = response.body().summary.as_ref().map(|s| s.journal.request_id.clone());
                if let Some(id) = id {
                    response.headers_mut().insert("x-request-id", id);
                }
                return Poll::Ready(Ok(response));
            }
            Ok(response) => {
                summary.finish(Code::Ok);
                response
            }
            Err(error) => {
                summary.journal.set_failure(&error);
                let status = summary.status(&error);
                summary.finish(error.reason().code);
                frame::status(status)
            }
        };
        let headers = response.headers_mut();
        headers.insert("x-request-id", summary.journal.request_id.clone());
        if let Some(cache) = summary.journal.cache().as_str() {
            headers.insert("x-qiwi-cache", http::HeaderValue::from_static(cache));
        }
        if summary.journal.is_replayed() {
            headers.insert("x-idempotent-replayed", http::HeaderValue::from_static("1"));
        }
        Poll::Ready(Ok(response.map(|body| RecordedBody { body, summary: None, held: None })))
    }
}

/// What is known about a call until its line is written; dropped early means cancelled.
struct Summary {
    method: &'static Method,
    arrival: Instant,
    journal: Arc<Journal>,
    metrics: Arc<Metrics>,
    done: bool,
}

impl Summary {
    fn status(&self, error: &Error) -> Status {
        error.to_status(&About {
            api: Some(self.method.api()),
            operation: Some(self.method.name()),
            request_id: self.journal.request_id(),
            money: self.method.policy.class == Class::Money,
            trace_id: self.journal.trace_id(),
        })
    }

    fn finish(&mut self, code: Code) {
        self.done = true;
        let elapsed = self.arrival.elapsed();
        self.metrics.call(self.method.index(), code as u8, elapsed.as_secs_f64());
        if tracing::enabled!(target: "qiwi_gateway::call", tracing::Level::INFO) {
            self.journal.in_span(|| self.log(code, elapsed));
        }
        let failure = (code != Code::Ok).then(|| self.journal.failure().reason).flatten();
        self.journal.finish_span(names::status_code(code as u8), failure);
    }

    fn log(&self, code: Code, elapsed: std::time::Duration) {
        let journal = &self.journal;
        let caller = journal.caller();
        let credential = journal.credential();
        let failure = if code == Code::Ok { None } else { Some(journal.failure()) };
        let failure = failure.unwrap_or_default();
        tracing::info!(
            target: "qiwi_gateway::call",
            method = self.method.policy.rpc,
            code = names::status_code(code as u8),
            reason = failure.reason,
            duration_us = elapsed.as_micros() as u64,
            attempts = journal.attempts.load(std::sync::atomic::Ordering::Relaxed),
            cache = journal.cache().as_str(),
            caller = caller.as_ref().map(|caller| &*caller.name),
            credential = credential.as_ref().and_then(|credential| credential.name.as_deref()),
            http_status = failure.http_status,
            upstream_code = failure.upstream_code.as_deref(),
            detail = failure.detail.as_deref(),
            request_id = journal.request_id(),
            trace_id = journal.trace_id(),
            "call"
        );
    }
}

impl Drop for Summary {
    fn drop(&mut self) {
        if !self.done {
            // The caller went away, or reset the stream.
            self.finish(Code::Cancelled);
        }
    }
}

/// The body of a response; for streams it writes the summary at the end.
pub struct RecordedBody {
    body: ReplyBody,
    summary: Option<Box<Summary>>,
    held: Option<Box<dyn Send>>,
}

impl RecordedBody {
    /// Holds something until the response is over.
    pub fn hold(&mut self, held: impl Send + 'static) {
        self.held = Some(Box::new(held));
    }
}

impl Body for RecordedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let polled = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(summary) = &mut this.summary {
            let ended = match &polled {
                None => Some(Code::Ok),
                Some(Err(status)) => Some(status.code()),
                Some(Ok(frame)) => frame.trailers_ref().map(status_of),
            };
            if let Some(code) = ended.filter(|_| !summary.done) {
                summary.finish(code);
            }
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.summary.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn status_of(trailers: &HeaderMap) -> Code {
    trailers.get("grpc-status").map_or(Code::Unknown, |status| Code::from_bytes(status.as_bytes()))
}

/// A stream that fails after it began: the same details as for a call that fails at once.
pub fn stream_status(method: &'static Method, journal: &Journal, error: &Error) -> Status {
    journal.set_failure(error);
    error.to_status(&About {
        api: Some(method.api()),
        operation: Some(method.name()),
        request_id: journal.request_id(),
        money: method.policy.class == Class::Money,
        trace_id: journal.trace_id(),
    })
}

/// A call to a method the gateway does not have.
pub fn unknown_method(headers: &HeaderMap) -> http::Response<RecordedBody> {
    let id = super::metadata::request_id(headers);
    let about = About { request_id: id.to_str().unwrap_or_default(), ..About::default() };
    let status = Error::new(&reason::METHOD_UNKNOWN).to_status(&about);
    let mut response = frame::status(status);
    response.headers_mut().insert("x-request-id", id);
    response.map(|body| RecordedBody { body, summary: None, held: None })
}

/// A response of one of tonic's own services, which ends with `ended`: a health watch would
/// otherwise stay open for ever and hold up the end of the process.
pub fn unrecorded(
    response: http::Response<tonic::body::Body>,
    ended: impl Future<Output = ()> + Send + 'static,
) -> http::Response<RecordedBody> {
    let ended = Box::pin(async move {
        ended.await;
        // Health and reflection have no request id of ours; the details say why all the same.
        let about = About::default();
        let mut trailers = HeaderMap::new();
        let status = Error::new(&reason::GATEWAY_DRAINING).to_status(&about);
        // Fails only for a message that is no header value, and this one is constant.
        let _ = status.add_header(&mut trailers);
        trailers
    });
    response.map(|body| RecordedBody {
        body: ReplyBody::Until { body, ended: Some(ended) },
        summary: None,
        held: None,
    })
}
