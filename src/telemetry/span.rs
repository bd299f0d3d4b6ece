//! The two edge spans: one per call served, one per attempt sent.
//!
//! They are made with the OpenTelemetry API itself, not through
//! `tracing-opentelemetry`. The maintainers of OpenTelemetry for Rust recommend
//! that for edge spans; it also lets the parent be set before the span starts
//! (the bridge refuses that once a span was entered), keeps span storage out of
//! calls that are not traced, and costs nothing when tracing is off. Events
//! inside a call stay `tracing` events; [`SpanHandle::in_scope`] ties those to
//! their trace where they are exported.

use std::fmt;

use http::HeaderMap;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, TraceId, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::context::{self, Remote, TraceText};
use super::names;

/// Makes server spans. Cheap to clone; does next to nothing when off.
#[derive(Clone, Default)]
pub struct Tracing {
    tracer: Option<SdkTracer>,
}

impl Tracing {
    /// Records no spans; trace ids of callers are still read.
    pub fn off() -> Self {
        Self::default()
    }

    pub(super) fn on(tracer: SdkTracer) -> Self {
        Self { tracer: Some(tracer) }
    }

    /// Whether spans are recorded at all.
    pub fn enabled(&self) -> bool {
        self.tracer.is_some()
    }

    /// Starts the span of one served call, as a child of the caller's span if
    /// the headers name one. `method` is `package.Service/Method`; `money`
    /// makes the sampler keep it.
    pub fn server_span(
        &self,
        method: &'static str,
        headers: &HeaderMap,
        money: bool,
    ) -> SpanHandle {
        let remote = Remote::read(headers);
        let Some(tracer) = &self.tracer else {
            return SpanHandle { trace: remote.map(|remote| remote.trace_id), live: None };
        };
        let parent = match remote {
            Some(remote) => Context::new().with_remote_span_context(remote.span_context(headers)),
            None => Context::new(),
        };
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server).with_attributes([
            KeyValue::new(names::RPC_SYSTEM_NAME, names::GRPC),
            KeyValue::new(names::RPC_METHOD, method),
            KeyValue::new(names::QIWI_MONEY, money),
        ]);
        SpanHandle::start(tracer, builder, &parent, Edge::Server)
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing").field("enabled", &self.enabled()).finish()
    }
}

/// How one attempt against an upstream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome<'a> {
    /// An HTTP response arrived.
    Status(u16),
    /// None arrived; the text is one of a small closed set (`timeout`,
    /// `connect`, …) and never the error's own message.
    Error(&'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Server,
    Attempt,
}

/// One edge span, or the mere trace id of the caller when tracing is off.
///
/// Dropping it unfinished records a cancelled call or attempt: the future that
/// owned it was dropped, which is how cancellation looks from inside.
#[must_use = "a span ends as cancelled when it is dropped unfinished"]
pub struct SpanHandle {
    trace: Option<TraceId>,
    live: Option<Box<Live>>,
}

struct Live {
    tracer: SdkTracer,
    span: Span,
    edge: Edge,
    finished: bool,
}

impl SpanHandle {
    /// No span at all.
    pub const fn none() -> Self {
        Self { trace: None, live: None }
    }

    fn start(tracer: &SdkTracer, builder: SpanBuilder, parent: &Context, edge: Edge) -> Self {
        let span = tracer.build_with_context(builder, parent);
        Self {
            trace: Some(span.span_context().trace_id()),
            live: Some(Box::new(Live { tracer: tracer.clone(), span, edge, finished: false })),
        }
    }

    /// The trace this call belongs to, for the log line. None when tracing is
    /// off and the caller sent no valid `traceparent`.
    pub fn trace_id(&self) -> Option<TraceText> {
        self.trace.map(TraceText::new)
    }

    /// Whether the span will be exported; lets a caller skip costly preparation.
    pub fn is_recording(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.span.is_recording())
    }

    /// Starts the CLIENT child of one HTTP attempt. `url_template` has
    /// placeholders instead of ids; `resend_count` is 0 for the first attempt.
    pub fn attempt(
        &self,
        verb: &'static str,
        url_template: &'static str,
        server_address: &str,
        server_port: u16,
        resend_count: u32,
    ) -> SpanHandle {
        let Some(live) = &self.live else {
            return SpanHandle { trace: self.trace, live: None };
        };
        let parent = Context::new().with_remote_span_context(live.span.span_context().clone());
        let mut builder = SpanBuilder::from_name("attempt").with_kind(SpanKind::Client);
        if live.span.is_recording() {
            let mut attributes = vec![
                KeyValue::new(names::HTTP_REQUEST_METHOD, verb),
                KeyValue::new(names::URL_TEMPLATE, url_template),
                KeyValue::new(names::SERVER_ADDRESS, server_address.to_owned()),
                KeyValue::new(names::SERVER_PORT, i64::from(server_port)),
            ];
            if resend_count > 0 {
                attributes
                    .push(KeyValue::new(names::HTTP_REQUEST_RESEND_COUNT, i64::from(resend_count)));
            }
            builder.name = format!("{verb} {url_template}").into();
            builder.attributes = Some(attributes);
        }
        SpanHandle::start(&live.tracer, builder, &parent, Edge::Attempt)
    }

    /// Writes this span's `traceparent` into an outgoing request. Nothing is
    /// written when tracing is off: the gateway does not pass foreign context
    /// on to an upstream it has no part in tracing.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(live) = &self.live {
            context::write(live.span.span_context(), headers);
        }
    }

    /// Runs `f` so that log records exported over OTLP carry this span's ids.
    pub fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
        let Some(live) = &self.live else { return f() };
        let context = live.span.span_context().clone();
        let _attached = Context::new().with_remote_span_context(context).attach();
        f()
    }

    /// Ends a server span with the status the caller gets and, on failure, the
    /// reason of its `ErrorInfo`.
    pub fn finish_server(mut self, code: &'static str, error_reason: Option<&'static str>) {
        if let Some(live) = &mut self.live {
            live.finish_server(code, error_reason);
        }
    }

    /// Ends an attempt.
    pub fn finish_attempt(mut self, outcome: AttemptOutcome<'_>) {
        if let Some(live) = &mut self.live {
            live.finish_attempt(outcome);
        }
    }
}

impl Live {
    fn finish_server(&mut self, code: &'static str, error_reason: Option<&'static str>) {
        self.finished = true;
        if !self.span.is_recording() {
            return;
        }
        self.span.set_attribute(KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, code));
        if code != "OK" {
            self.span.set_attribute(KeyValue::new(names::ERROR_TYPE, code));
        }
        if let Some(reason) = error_reason {
            self.span.set_attribute(KeyValue::new(names::QIWI_REASON, reason));
        }
        if names::is_server_error(code) {
            self.span.set_status(Status::error(error_reason.unwrap_or(code)));
        }
        self.span.end();
    }

    fn finish_attempt(&mut self, outcome: AttemptOutcome<'_>) {
        self.finished = true;
        if !self.span.is_recording() {
            return;
        }
        match outcome {
            AttemptOutcome::Status(status) => {
                self.span.set_attribute(KeyValue::new(
                    names::HTTP_RESPONSE_STATUS_CODE,
                    i64::from(status),
                ));
                if status >= 400 {
                    self.span.set_attribute(KeyValue::new(names::ERROR_TYPE, status.to_string()));
                    self.span.set_status(Status::error(""));
                }
            }
            AttemptOutcome::Error(kind) => {
                self.span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind.to_owned()));
                self.span.set_status(Status::error(kind.to_owned()));
            }
        }
        self.span.end();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        match self.edge {
            Edge::Server => self.finish_server("CANCELLED", None),
            Edge::Attempt => self.finish_attempt(AttemptOutcome::Error(names::CANCELLED)),
        }
    }
}

impl fmt::Debug for SpanHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanHandle")
            .field("trace", &self.trace)
            .field("live", &self.live.is_some())
            .finish()
    }
}
