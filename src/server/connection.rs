//! One HTTP/2 connection: its limits, its age, and its end.
//!
//! hyper serves the protocol. What it and tonic leave out is here: a deadline for the preface (a
//! silent TCP client would hold up a shutdown for ever), an age with jitter that ends in a real
//! GOAWAY, an idle limit, and an end in bounded time.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tower::Service;

use super::Stack;
use super::cork::Cork;
use crate::call::{Inbound, Journal};
use crate::config::Config;
use crate::credentials::Peer;
use crate::edge::http1::FIRST_REQUEST;
use crate::edge::metadata;
use crate::edge::record::{self, RecordedBody};
use crate::edge::tls::{Stream, Tls};
use crate::operations;
use crate::policy::Class;
use crate::telemetry::{Metrics, Tracing};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How often idle connections are noticed, and the longest a preface check sleeps.
const LOOK: Duration = Duration::from_millis(20);
/// After GOAWAY of an old connection, calls in flight get the longest deadline and this much.
const AGE_SLACK: Duration = Duration::from_secs(5);

/// Where the process stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Accepting and answering.
    Serving,
    /// GOAWAY is out; calls in flight finish.
    Draining,
    /// Over: whatever is left is dropped.
    Cut,
}

/// What it answers with.
pub type TonicFuture =
    Pin<Box<dyn Future<Output = Result<Response<tonic::body::Body>, Infallible>> + Send>>;
/// One of tonic's own services.
pub type TonicCall = Arc<dyn Fn(Request<Incoming>) -> TonicFuture + Send + Sync>;

/// Reflection in both versions clients ask for.
#[derive(Clone)]
pub struct Reflection {
    v1: TonicCall,
    v1alpha: TonicCall,
}

impl Reflection {
    /// From tonic's two services.
    pub fn new<A, B>(v1: A, v1alpha: B) -> Self
    where
        A: TonicService,
        B: TonicService,
    {
        Self { v1: erase(v1), v1alpha: erase(v1alpha) }
    }
}

/// What tonic's generated services are.
pub trait TonicService:
    Service<
        Request<Incoming>,
        Response = Response<tonic::body::Body>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> TonicService for S where
    S: Service<
            Request<Incoming>,
            Response = Response<tonic::body::Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// A service of tonic's without its type.
pub fn erase<S: TonicService>(service: S) -> TonicCall {
    Arc::new(move |request| {
        let mut service = service.clone();
        Box::pin(async move { service.call(request).await })
    })
}

/// What every connection serves with.
#[derive(Clone)]
pub struct Inner {
    /// The stack of layers around the methods.
    pub stack: Stack,
    /// `grpc.health.v1`.
    pub health: TonicCall,
    /// Reflection, where it is on.
    pub reflection: Option<Reflection>,
    /// TLS, where it is on.
    pub tls: Option<Arc<Tls>>,
    /// Makes server spans.
    pub tracing: Tracing,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
    /// The life of the process.
    pub phases: watch::Receiver<Phase>,
}

/// Serves one connection until it ends, for whatever reason.
pub async fn serve(stream: TcpStream, inner: Inner, config: Arc<Config>) {
    inner.metrics.connections(1);
    let metrics = Arc::clone(&inner.metrics);
    let reason = run(stream, inner, &config).await;
    metrics.connections(-1);
    metrics.connection_closed(reason);
}

async fn run(stream: TcpStream, inner: Inner, config: &Config) -> &'static str {
    let mut phases = inner.phases.clone();
    let mut cut = inner.phases.clone();
    let open = open(stream, inner.tls.as_deref());
    let open = timeout(config.grpc.preface_timeout, open);
    let (stream, peer) = tokio::select! {
        // Its first words may be on their way: then they are heard, and answered with GOAWAY.
        () = late(&mut phases) => return "drained",
        opened = open => match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(reason)) => return reason,
            Err(_) => return "preface_timeout",
        },
    };
    let in_flight = Arc::new(AtomicUsize::new(0));
    let lasting = Arc::new(AtomicUsize::new(0));
    let service = ConnectionService {
        shared: Arc::new(ServiceShared {
            stack: Mutex::new(inner.stack),
            health: inner.health,
            reflection: inner.reflection,
            tracing: inner.tracing,
            phases: phases.clone(),
            peer,
        }),
        in_flight: Arc::clone(&in_flight),
        lasting: Arc::clone(&lasting),
    };
    let grpc = &config.grpc;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(grpc.streams_max)
        .initial_stream_window_size(grpc.stream_window.as_u32())
        .initial_connection_window_size(grpc.connection_window.as_u32())
        .max_frame_size(grpc.frame_max.as_u32())
        .max_header_list_size(grpc.header_list_max.as_u32())
        .max_pending_accept_reset_streams(grpc.pending_accept_reset_streams)
        .max_local_error_reset_streams(grpc.local_error_reset_streams)
        .keep_alive_interval(grpc.ping_interval)
        .keep_alive_timeout(grpc.ping_timeout);
    let connection = builder.serve_connection(TokioIo::new(Cork::new(stream)), service);
    let mut connection = std::pin::pin!(connection);

    let start = Instant::now();
    let share =
        grpc.connection_age_jitter_percent.fraction() * (crate::upstream::jitter() * 2.0 - 1.0);
    let old_at = start + grpc.connection_age.mul_f64(1.0 + share);
    let mut cut_at = old_at + config.deadline.read_max.max(config.deadline.money_max) + AGE_SLACK;
    // Streams of events have an age of their own, at which they end with a last heartbeat.
    let cut_streams_at = old_at + config.events.stream_age * 2 + AGE_SLACK;
    let look = (grpc.connection_idle / 4).max(LOOK);
    let mut idle_since = start;
    let mut ending: Option<&'static str> = None;
    let mut look_at = start + look;
    // A client that has no call and does not answer GOAWAY is not waited for as if it had one.
    let quiet = grpc.ping_timeout;
    let mut quiet_since = start;
    loop {
        let wake = match ending {
            None => look_at.min(old_at),
            Some(_) => cut_at.min(look_at),
        };
        tokio::select! {
            ended = connection.as_mut() => {
                return ending.unwrap_or(if ended.is_ok() { "closed" } else { "error" });
            }
            _ = cut.wait_for(|phase| *phase == Phase::Cut) => return "cut",
            _ = phases.wait_for(|phase| *phase == Phase::Draining), if ending != Some("drained") => {
                ending = Some("drained");
                quiet_since = Instant::now();
                look_at = quiet_since + quiet / 4;
                connection.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(wake) => {
                let now = Instant::now();
                if let Some(reason) = ending {
                    if in_flight.load(Ordering::Relaxed) > 0 {
                        quiet_since = now;
                    } else if now.duration_since(quiet_since) >= quiet {
                        return reason;
                    }
                    if now >= cut_at {
                        if lasting.load(Ordering::Relaxed) == 0 || now >= cut_streams_at {
                            return "overdue";
                        }
                        cut_at = now + look;
                    }
                    look_at = now + quiet / 4;
                    continue;
                }
                if in_flight.load(Ordering::Relaxed) > 0 {
                    idle_since = now;
                }
                if now >= old_at {
                    ending = Some("age");
                } else if now.duration_since(idle_since) >= grpc.connection_idle {
                    ending = Some("idle");
                }
                if ending.is_some() {
                    connection.as_mut().graceful_shutdown();
                    quiet_since = now;
                    look_at = now + quiet / 4;
                } else {
                    look_at = now + look;
                }
            }
        }
    }
}

/// Waits for the end, and then for as long as a client's first words may still be on their way.
async fn late(phases: &mut watch::Receiver<Phase>) {
    let _ = phases.wait_for(|phase| *phase != Phase::Serving).await;
    let _ = timeout(FIRST_REQUEST, phases.wait_for(|phase| *phase == Phase::Cut)).await;
}

/// Shakes hands where there is TLS, and waits for the client's preface.
async fn open(
    stream: TcpStream,
    tls: Option<&Tls>,
) -> Result<(Stream, Option<Arc<Peer>>), &'static str> {
    let Some(tls) = tls else {
        return if preface(&stream).await {
            Ok((Stream::Plain(stream), None))
        } else {
            Err("not_http2")
        };
    };
    let (mut stream, peer) = tls.accept(stream).await.map_err(|_| "tls")?;
    let (mut seen, mut length) = ([0; PREFACE.len()], 0);
    while length < PREFACE.len() {
        let read = stream.read(seen.get_mut(length..).unwrap_or_default()).await;
        match read {
            Ok(0) | Err(_) => return Err("not_http2"),
            Ok(count) => length += count,
        }
        if seen.get(..length) != PREFACE.get(..length) {
            return Err("not_http2");
        }
    }
    // Behind TLS nothing can be looked at without taking it.
    Ok((Stream::tls(stream, Bytes::from_static(PREFACE)), peer))
}

/// Waits for the client's preface without consuming it.
async fn preface(stream: &TcpStream) -> bool {
    let mut seen = [0; PREFACE.len()];
    loop {
        if stream.readable().await.is_err() {
            return false;
        }
        match stream.peek(&mut seen).await {
            Ok(0) | Err(_) => return false,
            Ok(length) => {
                let (Some(got), Some(expected)) = (seen.get(..length), PREFACE.get(..length))
                else {
                    return false;
                };
                if got != expected {
                    return false;
                }
                if length == PREFACE.len() {
                    return true;
                }
                // Peeked bytes keep the socket readable; look again in a moment.
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

struct ServiceShared {
    /// Locked only while a future is made, on the connection's own task: never contended.
    stack: Mutex<Stack>,
    health: TonicCall,
    reflection: Option<Reflection>,
    tracing: Tracing,
    phases: watch::Receiver<Phase>,
    /// The client's certificate, verified.
    peer: Option<Arc<Peer>>,
}

#[derive(Clone)]
struct ConnectionService {
    shared: Arc<ServiceShared>,
    in_flight: Arc<AtomicUsize>,
    /// Those that last for as long as the client likes.
    lasting: Arc<AtomicUsize>,
}

pin_project_lite::pin_project! {
    /// A call of either kind, counted while it runs.
    #[project = CallState]
    enum CallFuture {
        Method {
            #[pin]
            inner: <Stack as Service<Inbound>>::Future,
            counted: Option<(Counted, Option<Counted>)>,
        },
        Tonic {
            inner: TonicFuture,
            phases: watch::Receiver<Phase>,
            counted: Option<Counted>,
        },
        Done {
            response: Option<Response<RecordedBody>>,
        },
    }
}

/// Counts a call of this connection.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(calls: &Arc<AtomicUsize>) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(calls))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Future for CallFuture {
    type Output = Result<Response<RecordedBody>, Infallible>;

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        match self.project() {
            CallState::Method { inner, counted } => inner.poll(cx).map_ok(|mut response| {
                // A stream is under way until its last message.
                response.body_mut().hold(counted.take());
                response
            }),
            CallState::Tonic { inner, phases, counted } => {
                inner.as_mut().poll(cx).map_ok(|response| {
                    let mut phases = phases.clone();
                    let mut response = record::unrecorded(response, async move {
                        let _ = phases.wait_for(|phase| *phase != Phase::Serving).await;
                    });
                    // A health watch is a call for as long as it is open.
                    response.body_mut().hold(counted.take());
                    response
                })
            }
            CallState::Done { response } => match response.take() {
                Some(response) => std::task::Poll::Ready(Ok(response)),
                None => std::task::Poll::Pending,
            },
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for ConnectionService {
    type Response = Response<RecordedBody>;
    type Error = Infallible;
    type Future = CallFuture;

    fn call(&self, request: Request<Incoming>) -> CallFuture {
        let counted = Counted::new(&self.in_flight);
        let shared = &self.shared;
        let Some(method) = operations::find(request.uri().path()) else {
            return self.other(request, counted);
        };
        let (parts, body) = request.into_parts();
        let money = method.policy.class == Class::Money;
        let span = shared.tracing.server_span(method.policy.rpc, &parts.headers, money);
        let journal = Arc::new(Journal::new(metadata::request_id(&parts.headers), span));
        let arrival = Instant::now();
        let call = Inbound {
            // A client that repeats by itself and a gateway that repeats too would multiply.
            single_attempt: parts.headers.contains_key("grpc-previous-rpc-attempts"),
            parts,
            body,
            method,
            arrival,
            deadline: arrival,
            peer: shared.peer.clone(),
            caller: None,
            proof: None,
            credential: None,
            share: None,
            journal,
        };
        let lasting = method.policy.lasting.then(|| Counted::new(&self.lasting));
        let inner = shared.stack.lock().call(call);
        CallFuture::Method { inner, counted: Some((counted, lasting)) }
    }
}

impl ConnectionService {
    fn other(&self, request: Request<Incoming>, counted: Counted) -> CallFuture {
        let shared = &self.shared;
        let path = request.uri().path();
        let inner = if path.starts_with("/grpc.health.v1.Health/") {
            Some((shared.health)(request))
        } else {
            let reflection = shared.reflection.as_ref();
            if path.starts_with("/grpc.reflection.v1.") {
                reflection.map(|reflection| (reflection.v1)(request))
            } else if path.starts_with("/grpc.reflection.v1alpha.") {
                reflection.map(|reflection| (reflection.v1alpha)(request))
            } else {
                return CallFuture::Done {
                    response: Some(record::unknown_method(request.headers())),
                };
            }
        };
        match inner {
            Some(inner) => {
                CallFuture::Tonic { inner, phases: shared.phases.clone(), counted: Some(counted) }
            }
            None => {
                CallFuture::Done { response: Some(record::unknown_method(&http::HeaderMap::new())) }
            }
        }
    }
}
