//! Composition: every listener, the inbound stack, and the life of the process.
//!
//! The stack, outside to inside, and why in this order:
//!
//! 1. [`record`](crate::edge::record): everything below is counted, timed and logged once, and every
//!    error below becomes a status here.
//! 2. [`panic`](crate::edge::panic): a panic below is an error like any other.
//! 3. [`deadline`](crate::edge::deadline): all waiting below spends the caller's time.
//! 4. [`admission`](crate::edge::admission): what does not fit is refused before any work for it.
//! 5. [`identity`](crate::edge::identity): who calls and with whose rights, refused without IO.
//! 6. The method's handler: reads the message, then the one generic call of [`crate::gateway`].
//!
//! Health and reflection are tonic's own services and bypass the stack: probes must answer when the
//! gateway is full.

mod connection;
mod cork;
mod gauges;
mod listener;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Layer, Service, ServiceBuilder};

use crate::admin::{self, AdminHandle, AdminState};
use crate::call::Inbound;
use crate::config::{Config, Warning};
use crate::coordination::Team;
use crate::credentials::{Callers, Credentials};
use crate::edge::Outbound;
use crate::edge::admission::{Admission, AdmissionLayer};
use crate::edge::deadline::DeadlineLayer;
use crate::edge::identity::{Identities, IdentityLayer, Shares};
use crate::edge::panic::CatchPanicLayer;
use crate::edge::quota::Quotas;
use crate::edge::record::RecordLayer;
use crate::edge::tls::{self, Tls};
use crate::error::Error;
use crate::events::hub::{Hub, Unusable};
use crate::events::{self, Retention, ingress};
use crate::gateway::Gateway;
use crate::operations;
use crate::page::PageTokens;
use crate::payments::{self, Payments};
use crate::state::{self, open::Opened};
use crate::telemetry::{self, Metrics, Telemetry};
use connection::{Inner, Phase};

/// How often limits, cool-downs and gauges are tidied.
const TIDY_EVERY: Duration = Duration::from_secs(15);

/// The gRPC listener.
struct Accepting {
    close: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// A gateway that is up: all listeners bound, all secrets read.
pub struct Server {
    /// Ends the listener for notifications.
    ingress: CancellationToken,
    ingress_tasks: TaskTracker,
    notifications: Option<SocketAddr>,
    grpc: SocketAddr,
    admin: AdminHandle,
    state: Arc<AdminState>,
    phase: watch::Sender<Phase>,
    accepting: Accepting,
    connections: TaskTracker,
    background: CancellationToken,
    health: tonic_health::server::HealthReporter,
    gateway: Arc<Gateway>,
    config: Arc<Config>,
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration or the secrets it names are unusable.
    #[error("{0}")]
    Config(#[from] crate::config::Mistakes),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {listener}: {source}")]
    Listen {
        /// Which listener.
        listener: &'static str,
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file named by the configuration cannot be read or used.
    #[error("{key}: {problem}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A value of the configuration cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The system has no random numbers.
    #[error("the system has no random numbers")]
    Randomness,
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] crate::upstream::client::ClientError),
}

impl Server {
    /// Reads secrets, binds every listener and starts serving.
    ///
    /// `env` gives the environment variables that credentials may name, now and when the
    /// configuration has changed.
    ///
    /// # Errors
    /// Everything an operator can mend is named.
    pub async fn start(
        config: Config,
        telemetry: &Telemetry,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let (state, retention) = (config.state.clone(), retention(&config));
        let opening = async move {
            let opened = state::open::open(&state, retention).await;
            opened.map_err(|_| StartError::Randomness)
        };
        Self::start_with(config, telemetry, env, opening).await
    }

    /// The same with what it remembers opened by somebody else: several gateways of one process
    /// then share a log.
    ///
    /// # Errors
    /// As [`Server::start`], and what `opening` fails with.
    pub async fn start_with(
        config: Config,
        telemetry: &Telemetry,
        env: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        opening: impl Future<Output = Result<Opened, StartError>>,
    ) -> Result<Self, StartError> {
        // One provider for every TLS user; it may have been installed by another server already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Arc::new(config);
        let metrics = telemetry.metrics();
        let credentials = Arc::new(Credentials::load(&config, &env)?);
        let callers = Arc::new(Callers::load(&config, &env)?);
        let tls = |keys, protocols| Tls::load(&keys, &config, protocols, &metrics);
        let grpc_tls = tls(config.grpc.tls(), tls::HTTP2)?;
        let admin_tls = tls(config.admin.tls(), tls::HTTP1)?;
        let notifications_tls = match config.notifications.enabled {
            true => tls(config.notifications.tls(), tls::HTTP1)?,
            false => None,
        };
        let pages = PageTokens::new(&page_keys(&config)?, config.pages.lifetime);
        let ca = ca(&config)?;
        let opened = opening.await?;
        let key = Arc::new(opened.key);
        let payments = Payments::new(
            opened.store,
            Arc::clone(&key),
            config.payments.clone(),
            Arc::clone(&metrics),
        );
        let hub = Hub::new(
            opened.log,
            Arc::clone(&key),
            config.events.clone(),
            config.notifications.clone(),
            config.state.nats_lease,
            Arc::clone(&metrics),
        )?;
        let team = Team::new(opened.coordination, &key, &config, Arc::clone(&metrics));
        let gateway = Arc::new(Gateway::new(
            Arc::clone(&config),
            Arc::clone(&credentials),
            Arc::clone(&callers),
            Arc::clone(&metrics),
            pages,
            payments,
            hub,
            team.clone(),
            ca,
        )?);
        let identities = Arc::new(Identities {
            credentials: Arc::clone(&credentials),
            callers: Arc::clone(&callers),
            renewing: parking_lot::RwLock::new(()),
            pass_through: config.security.pass_through,
            metadata_max: config.grpc.metadata_max.get(),
            shares: Shares::new(
                config.admission.caller_share_percent.of(config.admission.in_flight_max),
            ),
            quotas: Quotas::new(),
            metrics: Arc::clone(&metrics),
        });
        let admission = Admission::new(config.admission.clone(), Arc::clone(&metrics));
        let stack = ServiceBuilder::new()
            .layer(RecordLayer { metrics: Arc::clone(&metrics) })
            .layer(CatchPanicLayer { metrics: Arc::clone(&metrics) })
            .layer(DeadlineLayer {
                settings: Arc::new(config.deadline.clone()),
                metrics: Arc::clone(&metrics),
            })
            .layer(AdmissionLayer { admission })
            .layer(IdentityLayer { identities: Arc::clone(&identities) })
            .service(Dispatch { gateway: Arc::clone(&gateway) });

        let state = Arc::new(AdminState::new(telemetry.renderer(), config.admin.heartbeat_max));
        let admin = admin::start(&config.admin, admin_tls.clone(), Arc::clone(&state))
            .map_err(|source| listen_error("admin", config.admin.listen, source))?;
        let (listener, grpc) = bind("grpc", config.grpc.listen).await?;

        let notifications = match config.notifications.enabled {
            true => Some(bind("notifications", config.notifications.listen).await?),
            false => None,
        };

        let (health, health_service) = tonic_health::server::health_reporter();
        // Before anybody can ask: an unknown service is an error to those who probe.
        for service in services() {
            health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
        }
        let (phase, phases) = watch::channel(Phase::Serving);
        let inner = Inner {
            stack,
            health: connection::erase(health_service),
            reflection: reflection(config.grpc.reflection),
            tls: grpc_tls.clone(),
            tracing: telemetry.tracing(),
            metrics: Arc::clone(&metrics),
            phases,
        };
        let connections = TaskTracker::new();
        let close = CancellationToken::new();
        let accepting = listener::accept(
            listener,
            inner,
            Arc::clone(&config),
            connections.clone(),
            close.clone(),
        );
        let accepting = Accepting { close, task: tokio::spawn(accepting) };
        let background = CancellationToken::new();
        tokio::spawn(
            background.clone().run_until_cancelled_owned(admin::heartbeat(Arc::clone(&state))),
        );
        let certificates = [grpc_tls, notifications_tls.clone(), admin_tls].into_iter().flatten();
        let reload = reload::Reload::new(
            Arc::clone(&config),
            identities,
            certificates.collect(),
            Arc::new(env),
            Arc::clone(&metrics),
            team,
        );
        tokio::spawn(background.clone().run_until_cancelled_owned(reload.run()));
        tokio::spawn(
            background.clone().run_until_cancelled_owned(Arc::clone(&gateway).with_team()),
        );
        tokio::spawn(background.clone().run_until_cancelled_owned(tidy(Arc::clone(&gateway))));
        let gauges = gauges::run(Arc::clone(&credentials), Arc::clone(&metrics));
        tokio::spawn(background.clone().run_until_cancelled_owned(gauges));
        tokio::spawn(
            background
                .clone()
                .run_until_cancelled_owned(payments::watch::run(Arc::clone(&gateway))),
        );
        let ingress = CancellationToken::new();
        let ingress_tasks = TaskTracker::new();
        let mut notified = None;
        if let Some((listener, address)) = notifications {
            let limits = ingress::Limits {
                body_max: config.notifications.body_max.bytes(),
                head_timeout: config.notifications.head_timeout,
                read_timeout: config.notifications.read_timeout,
                connections_max: config.notifications.connections_max,
            };
            let receiver = Arc::new(Arc::clone(&gateway));
            let serving =
                ingress::serve(listener, notifications_tls, receiver, limits, ingress.clone());
            ingress_tasks.spawn(serving);
            telemetry::listening("notifications", address);
            notified = Some(address);
        }
        tokio::spawn(
            background
                .clone()
                .run_until_cancelled_owned(events::managed::run(Arc::clone(&gateway))),
        );
        tokio::spawn(
            background.clone().run_until_cancelled_owned(events::poll::run(Arc::clone(&gateway))),
        );
        let hub = gateway.hub();
        for work in [feed(Arc::clone(hub)), watch_log(Arc::clone(hub)), tidy_log(Arc::clone(hub))] {
            tokio::spawn(background.clone().run_until_cancelled_owned(work));
        }
        let groups = watch_groups(Arc::clone(hub));
        tokio::spawn(background.clone().run_until_cancelled_owned(groups));
        let watched = log_health(Arc::clone(hub), health.clone(), Arc::clone(&state));
        tokio::spawn(background.clone().run_until_cancelled_owned(watched));
        telemetry::listening("grpc", grpc);
        telemetry::listening("admin", admin.address);
        let guarded = ledger_health(Arc::clone(&gateway), health.clone(), Arc::clone(&metrics));
        tokio::spawn(background.clone().run_until_cancelled_owned(guarded));
        state.set_started();
        state.set_ready("grpc", true);
        Ok(Self {
            ingress,
            ingress_tasks,
            notifications: notified,
            grpc,
            admin,
            state,
            phase,
            accepting,
            connections,
            background,
            health,
            gateway,
            config,
        })
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc
    }

    /// Where notifications are taken, if they are.
    pub fn notifications_address(&self) -> Option<SocketAddr> {
        self.notifications
    }

    /// Where `/livez`, `/readyz`, `/startupz` and `/metrics` are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address
    }

    /// Everything about events.
    pub fn hub(&self) -> &Arc<Hub> {
        self.gateway.hub()
    }

    /// Ends in bounded time: says so, keeps accepting for a moment, sends GOAWAY, waits for calls in
    /// flight, and cuts what is left when the grace is over.
    ///
    /// `hurry` ends the waiting at once (a second signal).
    pub async fn shutdown(self, hurry: impl Future<Output = ()>) {
        let config = Arc::clone(&self.config);
        let Accepting { close, task: mut accepting } = self.accepting;
        let orderly = async {
            self.state.set_draining();
            for service in services() {
                self.health
                    .set_service_status(service, tonic_health::ServingStatus::NotServing)
                    .await;
            }
            tracing::info!(event = "draining", "no longer ready; still accepting for a moment");
            // Load balancers learn of it later than we do.
            tokio::time::sleep(config.drain.lame_duck).await;
            // Whoever hears GOAWAY connects anew at once, and must not find a listener that is about
            // to close: such connections are reset.
            close.cancel();
            let _ = tokio::time::timeout(LISTENER_GRACE, &mut accepting).await;
            // Streams of events would go on for ever: each ends with a last heartbeat.
            self.gateway.hub().draining.cancel();
            self.phase.send_replace(Phase::Draining);
            self.ingress.cancel();
            self.connections.close();
            let calm = tokio::time::timeout(config.drain.grace, self.connections.wait()).await;
            if calm.is_err() {
                tracing::warn!(
                    connections = self.connections.len(),
                    "the grace is over; cutting what is left"
                );
            }
            // No caller can end a payment, and neither can we: each has an end of its own.
            self.gateway.payments().finish().await;
            self.ingress_tasks.close();
            let _ = tokio::time::timeout(INGRESS_GRACE, self.ingress_tasks.wait()).await;
            // What is being stored has a limit of its own.
            self.gateway.hub().finish().await;
        };
        tokio::select! {
            () = orderly => {}
            () = hurry => tracing::warn!("asked again; cutting what is left"),
        }
        close.cancel();
        self.phase.send_replace(Phase::Cut);
        self.connections.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connections.wait()).await;
        self.background.cancel();
        self.admin.shutdown().await;
    }
}

/// The innermost service: the method's handler.
#[derive(Clone)]
struct Dispatch {
    gateway: Arc<Gateway>,
}

impl Service<Inbound> for Dispatch {
    type Response = Outbound;
    type Error = Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Outbound, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Inbound) -> Self::Future {
        operations::run(Arc::clone(&self.gateway), call)
    }
}

/// The whole stack's type, written once.
type Stack = <RecordLayer as Layer<
    <CatchPanicLayer as Layer<
        <DeadlineLayer as Layer<
            <AdmissionLayer as Layer<<IdentityLayer as Layer<Dispatch>>::Service>>::Service,
        >>::Service,
    >>::Service,
>>::Service;

/// Every service's name, and the empty one that stands for the whole server.
fn services() -> Vec<&'static str> {
    let mut names: Vec<_> = operations::all().iter().map(|row| row.service()).collect();
    names.dedup();
    names.push("");
    names
}

fn reflection(enabled: bool) -> Option<connection::Reflection> {
    if !enabled {
        return None;
    }
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(crate::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // The sets are compiled in, and a test builds both services from them.
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => Some(connection::Reflection::new(v1, v1alpha)),
        _ => None,
    }
}

/// Reads everything a start would read, and starts nothing. Returns what works now and will not for
/// long.
///
/// # Errors
/// As [`Server::start`].
pub fn check(
    config: &Config,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Vec<Warning>, StartError> {
    Credentials::load(config, &env)?;
    Callers::load(config, &env)?;
    page_keys(config)?;
    ca(config)?;
    Ok(tls::check(config)?)
}

/// How long the queue of the gRPC listener may take to be empty.
const LISTENER_GRACE: Duration = Duration::from_millis(200);
/// How long connections of the notification listener may take to end.
const INGRESS_GRACE: Duration = Duration::from_secs(2);

async fn bind(
    name: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| listen_error(name, address, source);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The service that stands for payments in health checks.
const PAYMENT_SERVICE: &str = "qiwi.wallet.v1.PaymentService";
/// How often the health of ledger and event log is looked at.
const HEALTH_EVERY: Duration = Duration::from_millis(500);

/// Keeps the health of the payment service true; the other services go on without the ledger.
async fn ledger_health(
    gateway: Arc<Gateway>,
    health: tonic_health::server::HealthReporter,
    metrics: Arc<Metrics>,
) {
    let mut before = true;
    loop {
        let now = gateway.payments().health();
        metrics.payments.ledger(now.is_ok());
        if now.is_ok() != before {
            before = now.is_ok();
            let status = match &now {
                Ok(()) => tonic_health::ServingStatus::Serving,
                Err(_) => tonic_health::ServingStatus::NotServing,
            };
            health.set_service_status(PAYMENT_SERVICE, status).await;
            match now {
                Ok(()) => tracing::info!("the ledger can be used again"),
                Err(error) => tracing::error!(error = %error, "payments are refused"),
            }
        }
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

/// The services that cannot do without the event log.
const EVENT_SERVICES: [&str; 2] =
    ["qiwi.events.v1.EventService", "qiwi.events.v1.EventGroupService"];

/// Keeps the health of the event services true, and whether notifications should come here; the
/// other services go on without the log, and so do streams that are open.
async fn log_health(
    hub: Arc<Hub>,
    health: tonic_health::server::HealthReporter,
    state: Arc<AdminState>,
) {
    let mut before = true;
    loop {
        let now = hub.log.health();
        state.set_intake(now.clone().map_err(|error| error.to_string()));
        if now.is_ok() != before {
            before = now.is_ok();
            let status = match &now {
                Ok(()) => tonic_health::ServingStatus::Serving,
                Err(_) => tonic_health::ServingStatus::NotServing,
            };
            for service in EVENT_SERVICES {
                health.set_service_status(service, status).await;
            }
            match now {
                Ok(()) => tracing::info!("the event log can be used again"),
                Err(error) => tracing::error!(error = %error, "notifications are refused"),
            }
        }
        tokio::time::sleep(HEALTH_EVERY).await;
    }
}

/// Keeps the newest events ready for those who read.
fn feed(hub: Arc<Hub>) -> futures_util::future::BoxFuture<'static, ()> {
    Box::pin(async move { hub.run_feed().await })
}

/// Looks after the event log.
fn watch_log(hub: Arc<Hub>) -> futures_util::future::BoxFuture<'static, ()> {
    Box::pin(async move { hub.watch_log().await })
}

/// Watches how far groups are behind.
fn watch_groups(hub: Arc<Hub>) -> futures_util::future::BoxFuture<'static, ()> {
    Box::pin(async move { hub.watch_groups().await })
}

/// Lets go of old events.
fn tidy_log(hub: Arc<Hub>) -> futures_util::future::BoxFuture<'static, ()> {
    Box::pin(async move { hub.keep_tidy().await })
}

async fn tidy(gateway: Arc<Gateway>) {
    loop {
        tokio::time::sleep(TIDY_EVERY).await;
        gateway.upstream().tidy();
    }
}

/// How long events are kept.
fn retention(config: &Config) -> Retention {
    let age_ms = i64::try_from(config.events.keep.as_millis()).unwrap_or(i64::MAX);
    // What is told apart by the log must be there for longer than QIWI repeats.
    let keep_ms = Retention::DEFAULT.keep_ms.min(age_ms);
    Retention { age_ms, bytes: config.events.bytes_max.get(), keep_ms }
}

fn ca(config: &Config) -> Result<Option<Vec<u8>>, StartError> {
    let Some(path) = &config.upstream.ca_file else { return Ok(None) };
    let pem = std::fs::read(path).map_err(|error| StartError::File {
        key: "upstream.ca_file",
        problem: format!("{}: {error}", path.display()),
    })?;
    Ok(Some(pem))
}

fn page_keys(config: &Config) -> Result<Vec<[u8; 32]>, StartError> {
    let Some(path) = &config.pages.key_file else { return Ok(Vec::new()) };
    let problem = |problem: String| StartError::File { key: "pages.key_file", problem };
    let text = std::fs::read_to_string(path)
        .map_err(|error| problem(format!("{}: {error}", path.display())))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let keys: Option<Vec<[u8; 32]>> = lines.map(crate::credentials::key_of).collect();
    match keys {
        Some(keys) if (1..=2).contains(&keys.len()) => Ok(keys),
        _ => Err(problem("expected one or two lines, each 32 bytes in hex or base64".to_owned())),
    }
}

fn listen_error(listener: &'static str, address: SocketAddr, source: std::io::Error) -> StartError {
    StartError::Listen { listener, address, source }
}
