//! One gRPC call on its way through the gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use http::HeaderValue;
use http::request::Parts;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::credentials::{Caller, Credential, Peer, Proof};
use crate::method::Method;
use crate::telemetry::{SpanHandle, TraceText};

/// A call as the layers of the inbound edge pass it on, each filling in what it is there for.
pub struct Inbound {
    /// Method, path and metadata as they came.
    pub parts: Parts,
    /// The body, not yet read.
    pub body: Incoming,
    /// Which method it calls.
    pub method: &'static Method,
    /// When the last byte of the request head was read.
    pub arrival: Instant,
    /// When the gateway gives up by itself; set by the deadline layer.
    pub deadline: Instant,
    /// The caller itself repeats this call, so the gateway tries once.
    pub single_attempt: bool,
    /// The certificate of the connection, where it has one that is verified.
    pub peer: Option<Arc<Peer>>,
    /// Who calls; set by the identity layer.
    pub caller: Option<Arc<Caller>>,
    /// By what the caller is known; set by the identity layer.
    pub proof: Option<Arc<Proof>>,
    /// With whose rights; set by the identity layer.
    pub credential: Option<Arc<Credential>>,
    /// The caller's place among its own calls; set by the identity layer.
    pub share: Option<OwnedSemaphorePermit>,
    /// What happened so far, for the summary line.
    pub journal: Arc<Journal>,
}

/// What a call needs to know about itself once its body is read.
pub struct Context {
    /// Which method it calls.
    pub method: &'static Method,
    /// When the gateway gives up by itself.
    pub deadline: Instant,
    /// One attempt only.
    pub single_attempt: bool,
    /// Whether it finds out what became of a payment, see [`crate::upstream::Ask::settling`].
    pub settling: bool,
    /// Who calls.
    pub caller: Option<Arc<Caller>>,
    /// By what the caller is known, for streams that outlast a right.
    pub proof: Option<Arc<Proof>>,
    /// With whose rights.
    pub credential: Option<Arc<Credential>>,
    /// Held until the call is over.
    pub share: Option<OwnedSemaphorePermit>,
    /// What happened so far.
    pub journal: Arc<Journal>,
}

impl Context {
    /// A call of the gateway's own, which finds out what nobody waits for.
    pub fn own(
        method: &'static Method,
        credential: Option<Arc<Credential>>,
        deadline: Instant,
    ) -> Self {
        let journal = Journal::new(HeaderValue::from_static("own"), SpanHandle::none());
        Self {
            method,
            deadline,
            single_attempt: false,
            settling: true,
            caller: None,
            proof: None,
            credential,
            share: None,
            journal: Arc::new(journal),
        }
    }

    /// The same call with the rights of a credential.
    pub fn with(&self, credential: Arc<Credential>) -> Self {
        Self {
            method: self.method,
            deadline: self.deadline,
            single_attempt: self.single_attempt,
            settling: self.settling,
            caller: self.caller.clone(),
            proof: self.proof.clone(),
            credential: Some(credential),
            share: None,
            journal: Arc::clone(&self.journal),
        }
    }

    /// The same call as it would be if another caller made it with a credential.
    pub fn as_caller(
        &self,
        caller: Option<Arc<Caller>>,
        credential: Option<Arc<Credential>>,
    ) -> Self {
        Self {
            method: self.method,
            deadline: self.deadline,
            single_attempt: self.single_attempt,
            settling: self.settling,
            caller,
            proof: None,
            credential,
            share: None,
            journal: Arc::clone(&self.journal),
        }
    }

    /// For finding out what became of a payment: on its own time, for as long as that lasts.
    pub fn settling(&self, credential: Option<Arc<Credential>>, deadline: Instant) -> Self {
        Self {
            method: self.method,
            deadline,
            single_attempt: false,
            settling: true,
            caller: None,
            proof: None,
            credential,
            share: None,
            journal: Arc::clone(&self.journal),
        }
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CacheOutcome {
    /// The method keeps nothing.
    None = 0,
    /// Kept answer within its lifetime.
    Hit = 1,
    /// Asked QIWI.
    Miss = 2,
    /// Kept answer beyond its lifetime, because QIWI failed and the caller allowed it.
    Stale = 3,
}

impl CacheOutcome {
    /// The value of `x-qiwi-cache`; `None` for methods without a cache.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Hit => Some("hit"),
            Self::Miss => Some("miss"),
            Self::Stale => Some("stale"),
        }
    }
}

/// What the summary line tells about a call; written by the layers as they learn it.
pub struct Journal {
    /// The id the caller sent or was given.
    pub request_id: HeaderValue,
    /// The trace the call belongs to, as text.
    pub trace_id: Option<TraceText>,
    span: Mutex<Option<SpanHandle>>,
    /// Upstream attempts.
    pub attempts: AtomicU32,
    cache: AtomicU8,
    replayed: AtomicBool,
    reason: Mutex<Failure>,
    caller: Mutex<Option<Arc<Caller>>>,
    credential: Mutex<Option<Arc<Credential>>>,
}

/// How a call failed, for the summary line.
#[derive(Debug, Clone, Default)]
pub struct Failure {
    /// The reason's name.
    pub reason: Option<&'static str>,
    /// What happened, for the log only.
    pub detail: Option<String>,
    /// QIWI's HTTP status.
    pub http_status: Option<u16>,
    /// QIWI's code.
    pub upstream_code: Option<String>,
}

impl Journal {
    /// A fresh journal.
    pub fn new(request_id: HeaderValue, span: SpanHandle) -> Self {
        Self {
            request_id,
            trace_id: span.trace_id(),
            span: Mutex::new(Some(span)),
            attempts: AtomicU32::new(0),
            cache: AtomicU8::new(CacheOutcome::None as u8),
            replayed: AtomicBool::new(false),
            reason: Mutex::default(),
            caller: Mutex::default(),
            credential: Mutex::default(),
        }
    }

    /// The request id as text.
    pub fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// The trace id as text.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_ref().map(TraceText::as_str)
    }

    /// The span of one attempt, below the call's own while that is open.
    pub fn attempt_span(
        &self,
        verb: &'static str,
        template: &'static str,
        host: &str,
        port: u16,
        resend: u32,
    ) -> SpanHandle {
        match &*self.span.lock() {
            Some(span) => span.attempt(verb, template, host, port, resend),
            // A question that outlived the call that asked it first.
            None => SpanHandle::none(),
        }
    }

    /// Runs `f` with the call's span as the current one, so that exported log lines carry its ids.
    pub fn in_span<T>(&self, f: impl FnOnce() -> T) -> T {
        match &*self.span.lock() {
            Some(span) => span.in_scope(f),
            None => f(),
        }
    }

    /// Ends the call's span.
    pub fn finish_span(&self, code: &'static str, reason: Option<&'static str>) {
        let span = self.span.lock().take();
        if let Some(span) = span {
            span.finish_server(code, reason);
        }
    }

    /// Notes where the answer came from.
    pub fn set_cache(&self, outcome: CacheOutcome) {
        self.cache.store(outcome as u8, Ordering::Relaxed);
    }

    /// Where the answer came from.
    pub fn cache(&self) -> CacheOutcome {
        match self.cache.load(Ordering::Relaxed) {
            1 => CacheOutcome::Hit,
            2 => CacheOutcome::Miss,
            3 => CacheOutcome::Stale,
            _ => CacheOutcome::None,
        }
    }

    /// Notes that the answer is that of an earlier call with the same id.
    pub fn set_replayed(&self) {
        self.replayed.store(true, Ordering::Relaxed);
    }

    /// Whether the answer is that of an earlier call with the same id.
    pub fn is_replayed(&self) -> bool {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Notes why the call failed.
    pub fn set_failure(&self, error: &crate::error::Error) {
        *self.reason.lock() = Failure {
            reason: Some(error.reason().name),
            detail: error.log_detail().map(str::to_owned),
            http_status: error.upstream_status(),
            upstream_code: error.code_of_upstream().map(str::to_owned),
        };
    }

    /// Why the call failed.
    pub fn failure(&self) -> Failure {
        self.reason.lock().clone()
    }

    /// Notes who called and with whose rights.
    pub fn set_identity(&self, caller: Option<&Arc<Caller>>, credential: Option<&Arc<Credential>>) {
        if let Some(caller) = caller {
            *self.caller.lock() = Some(Arc::clone(caller));
        }
        if let Some(credential) = credential {
            *self.credential.lock() = Some(Arc::clone(credential));
        }
    }

    /// Who called.
    pub fn caller(&self) -> Option<Arc<Caller>> {
        self.caller.lock().clone()
    }

    /// With whose rights.
    pub fn credential(&self) -> Option<Arc<Credential>> {
        self.credential.lock().clone()
    }
}
