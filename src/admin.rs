//! The admin listener: probes and metrics.
//!
//! It has a thread and a runtime of its own, so that a busy or stuck main
//! runtime still answers the kubelet, and answers truthfully:
//!
//! * `/startupz`: configuration valid, listeners bound;
//! * `/livez`: the main runtime ran its heartbeat recently, nothing else;
//! * `/readyz`: started, not draining, every component ready. The upstream's
//!   health is not among them: all replicas would leave at once;
//! * `/readyz/notifications`: the same, and notifications can be stored. Whoever
//!   routes notifications asks here; calls go on without the event log;
//! * `/metrics`: Prometheus text format 0.0.4.
//!
//! The state is set by others; this module only reports it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::edge::http1;
use crate::edge::tls::Tls;

/// How often the main runtime shows that it is alive.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// How long open requests may go on after a shutdown.
const LAST_REQUESTS: Duration = Duration::from_millis(250);
const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the probes report.
pub struct AdminState {
    render: Arc<dyn Fn() -> String + Send + Sync>,
    heartbeat_max: Duration,
    /// What the heartbeat counts from.
    origin: Instant,
    beat_ms: AtomicU64,
    started: AtomicBool,
    draining: AtomicBool,
    components: Mutex<BTreeMap<&'static str, Result<(), String>>>,
    /// Whether notifications can be stored.
    intake: Mutex<Result<(), String>>,
}

impl AdminState {
    /// Not started, no components. `render` produces the metrics page;
    /// `heartbeat_max` is the age at which the main runtime counts as stuck.
    pub fn new(render: Arc<dyn Fn() -> String + Send + Sync>, heartbeat_max: Duration) -> Self {
        Self {
            render,
            heartbeat_max,
            origin: Instant::now(),
            beat_ms: AtomicU64::new(0),
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            components: Mutex::default(),
            intake: Mutex::new(Ok(())),
        }
    }

    /// Start-up is complete: every listener is bound.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Adds a component or changes its state. Add those that start unready
    /// before [`AdminState::set_started`], or there is a moment without them.
    pub fn set_ready(&self, component: &'static str, ready: bool) {
        let state = if ready { Ok(()) } else { Err("not ready".to_owned()) };
        self.components.lock().insert(component, state);
    }

    /// Marks a component unready and says why to whoever reads `/readyz`.
    pub fn set_unready(&self, component: &'static str, reason: impl Into<String>) {
        self.components.lock().insert(component, Err(reason.into()));
    }

    /// Says whether notifications can be stored, and why not. Calls go on without that, so only
    /// `/readyz/notifications` tells.
    pub fn set_intake(&self, intake: Result<(), String>) {
        *self.intake.lock() = intake;
    }

    /// The process is leaving: unready for good.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether `/readyz` answers 200.
    pub fn is_ready(&self) -> bool {
        self.readiness().status == "ready"
    }

    fn beat(&self) {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_ms.store(elapsed, Ordering::Relaxed);
    }

    fn since_beat(&self) -> Duration {
        let beat = Duration::from_millis(self.beat_ms.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(beat)
    }

    fn readiness(&self) -> Readiness {
        let components: BTreeMap<_, _> = self
            .components
            .lock()
            .iter()
            .map(|(name, state)| match state {
                Ok(()) => (*name, "ready".to_owned()),
                Err(reason) => (*name, reason.clone()),
            })
            .collect();
        let all_ready = self.components.lock().values().all(Result::is_ok);
        let status = if self.draining.load(Ordering::Acquire) {
            "draining"
        } else if !self.started.load(Ordering::Acquire) {
            "starting"
        } else if all_ready {
            "ready"
        } else {
            "unready"
        };
        Readiness { status, components }
    }

    /// The same for whoever sends notifications here.
    fn intake_readiness(&self) -> Readiness {
        let mut readiness = self.readiness();
        let intake = match &*self.intake.lock() {
            Ok(()) => "ready".to_owned(),
            Err(reason) => {
                if readiness.status == "ready" {
                    readiness.status = "unready";
                }
                reason.clone()
            }
        };
        readiness.components.insert("notifications", intake);
        readiness
    }
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("readiness", &self.readiness()).finish_non_exhaustive()
    }
}

#[derive(Debug, Serialize)]
struct Readiness {
    status: &'static str,
    components: BTreeMap<&'static str, String>,
}

/// Shows every second that the runtime it is spawned on still runs tasks.
pub async fn heartbeat(state: Arc<AdminState>) {
    let every = HEARTBEAT_EVERY.min(state.heartbeat_max / 4);
    loop {
        state.beat();
        tokio::time::sleep(every).await;
    }
}

/// A running admin listener. Dropping it stops the listener.
#[derive(Debug)]
pub struct AdminHandle {
    /// The bound address.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    stopped: oneshot::Receiver<()>,
}

impl AdminHandle {
    /// Stops listening, gives open requests a moment and ends the thread.
    pub async fn shutdown(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        // The sender is dropped when the thread has ended, however it ended.
        let _ = (&mut self.stopped).await;
    }
}

/// Binds the listener and serves it on a thread of its own.
pub fn start(
    settings: &config::Admin,
    tls: Option<Arc<Tls>>,
    state: Arc<AdminState>,
) -> io::Result<AdminHandle> {
    let listener = std::net::TcpListener::bind(settings.listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let limits = http1::Limits {
        head_timeout: settings.read_timeout,
        connections_max: settings.connections_max,
    };
    let (stop, asked_to_stop) = oneshot::channel();
    let (ended, stopped) = oneshot::channel();
    std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        runtime.block_on(serve(listener, tls, limits, state, asked_to_stop));
        drop(runtime);
        let _ = ended.send(());
    })?;
    Ok(AdminHandle { address, stop: Some(stop), stopped })
}

async fn serve(
    listener: tokio::net::TcpListener,
    tls: Option<Arc<Tls>>,
    limits: http1::Limits,
    state: Arc<AdminState>,
    asked_to_stop: oneshot::Receiver<()>,
) {
    let stop = CancellationToken::new();
    let router = router(state);
    let service = move |_| TowerToHyperService::new(router.clone());
    let server = http1::serve(listener, tls, limits, stop.clone(), service);
    let mut server = std::pin::pin!(server);
    tokio::select! {
        () = &mut server => return,
        _ = asked_to_stop => {}
    }
    stop.cancel();
    let _ = tokio::time::timeout(LAST_REQUESTS, server).await;
}

fn router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/readyz/notifications", get(readyz_notifications))
        .route("/startupz", get(startupz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn livez(State(state): State<Arc<AdminState>>) -> Response {
    let age = state.since_beat();
    let alive = age <= state.heartbeat_max;
    let body = serde_json::json!({
        "status": if alive { "alive" } else { "stuck" },
        "heartbeat_age_ms": u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
    });
    (code(alive), Json(body)).into_response()
}

async fn readyz(State(state): State<Arc<AdminState>>) -> Response {
    let readiness = state.readiness();
    (code(readiness.status == "ready"), Json(readiness)).into_response()
}

async fn readyz_notifications(State(state): State<Arc<AdminState>>) -> Response {
    let readiness = state.intake_readiness();
    (code(readiness.status == "ready"), Json(readiness)).into_response()
}

async fn startupz(State(state): State<Arc<AdminState>>) -> Response {
    let started = state.started.load(Ordering::Acquire);
    let status = if started { "started" } else { "starting" };
    (code(started), Json(serde_json::json!({ "status": status }))).into_response()
}

async fn metrics(State(state): State<Arc<AdminState>>) -> Response {
    ([(header::CONTENT_TYPE, TEXT_0_0_4)], (state.render)()).into_response()
}

fn code(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn started(heartbeat_max: Duration) -> (Arc<AdminState>, AdminHandle) {
        let render = Arc::new(|| "qiwi_up 1\n".to_owned());
        let state = Arc::new(AdminState::new(render, heartbeat_max));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = config::Admin { listen: any, ..config::Admin::default() };
        let handle = start(&settings, None, Arc::clone(&state)).expect("bound");
        (state, handle)
    }

    /// Status, headers and body of one request.
    fn fetch(address: SocketAddr, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("supported");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("answered");
        let (head, body) = reply.split_once("\r\n\r\n").expect("a response");
        let status = head.split(' ').nth(1).expect("status").parse().expect("number");
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    fn readyz(address: SocketAddr) -> (u16, serde_json::Value) {
        let (status, _, body) = fetch(address, "/readyz");
        (status, serde_json::from_str(&body).expect("JSON"))
    }

    #[test]
    fn readiness_follows_start_components_and_draining() {
        let (state, handle) = started(Duration::from_secs(10));
        let at = handle.address;
        assert_eq!(fetch(at, "/startupz").0, 503);
        assert_eq!(readyz(at).0, 503);
        assert_eq!(readyz(at).1["status"], "starting");

        state.set_ready("ledger", false);
        state.set_ready("credentials", true);
        state.set_started();
        assert_eq!(fetch(at, "/startupz").0, 200);
        let (status, body) = readyz(at);
        assert_eq!(status, 503);
        assert_eq!(body["status"], "unready");
        assert_eq!(body["components"]["ledger"], "not ready");
        assert_eq!(body["components"]["credentials"], "ready");

        state.set_ready("ledger", true);
        assert_eq!(readyz(at).0, 200);
        assert!(state.is_ready());
        state.set_unready("ledger", "store is read-only");
        assert_eq!(readyz(at).1["components"]["ledger"], "store is read-only");
        state.set_ready("ledger", true);
        state.set_draining();
        assert_eq!(readyz(at).0, 503);
        assert_eq!(readyz(at).1["status"], "draining");
        assert_eq!(fetch(at, "/startupz").0, 200);
    }

    #[test]
    fn a_stuck_main_runtime_fails_liveness_and_a_beating_one_restores_it() {
        let (state, handle) = started(Duration::from_millis(200));
        let at = handle.address;
        assert_eq!(fetch(at, "/livez").0, 200);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(fetch(at, "/livez").0, 503);
        let main = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        main.spawn(heartbeat(state));
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(fetch(at, "/livez").0, 200);
    }

    #[test]
    fn metrics_are_in_the_text_format() {
        let (_state, handle) = started(Duration::from_secs(10));
        let (status, head, body) = fetch(handle.address, "/metrics");
        assert_eq!((status, body.as_str()), (200, "qiwi_up 1\n"));
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert_eq!(fetch(handle.address, "/else").0, 404);
    }

    #[tokio::test]
    async fn shutdown_frees_the_port_even_with_an_idle_client() {
        let (_state, handle) = started(Duration::from_secs(10));
        let address = handle.address;
        let idle = TcpStream::connect(address).expect("connected");
        let begun = Instant::now();
        handle.shutdown().await;
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert!(TcpStream::connect(address).is_err());
        drop(idle);
    }
}
