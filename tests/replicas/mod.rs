//! Three gateways over three brokers, each a process, and QIWI's sandbox behind them.

/// Readers at a gateway that hears nothing of the brokers.
mod behind;
/// Brokers that fail, and what callers of the gateways see of it.
mod broken;
/// Real brokers on loopback.
#[path = "../../src/state/nats/tests/cluster.rs"]
#[allow(dead_code)] // the tests of the engine do more with them
pub mod cluster;
/// Groups whose members are at several gateways, and retention that overtakes readers.
mod groups;
/// Notifications, payments and readers all at once, and the sum at the end.
mod load;
/// The same notification, the same payment, everywhere at once.
mod raced;
/// Gateways that read a wallet's history for everybody.
mod readers;
/// Gateways replaced one after the other under load.
mod rolling;
/// Gateways and brokers killed at random under load.
mod storm;
/// Brokers replaced by those of the next version under load.
mod upgrade;
/// What is between a gateway and a broker.
#[path = "../../src/state/nats/tests/wire.rs"]
#[allow(dead_code)] // the tests of the engine do more with it
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prost::Message as _;
use qiwi_gateway::config::{self, Config};
use qiwi_gateway::events::{EventLog, Kind, Limit, Retention, Stored};
use qiwi_gateway::pb::events::v1 as pb;
use qiwi_gateway::sandbox::{Sandbox, SandboxConfig, demo};
use qiwi_gateway::state::open::{self, Opened};
use tonic::transport::{Channel, Endpoint};

use crate::events::letter::{HOOK, KEY};
use crate::support::process::{Process, folder};
use crate::support::*;
use cluster::{Cluster, Setup as Brokers};

/// How many gateways.
const GATEWAYS: usize = 3;
/// Nothing takes longer, on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(90);

/// How gateways are set up, apart from what they have in common.
#[derive(Default)]
pub struct Setup {
    /// Where QIWI is of each gateway; the sandbox where there is none.
    pub qiwi: Vec<String>,
    /// How long a lease is held without being renewed; as configured by default where it is empty.
    pub lease: &'static str,
    /// What stands for the minute in which QIWI permits so many requests. In the first one of new
    /// brokers each gateway keeps to its own part.
    pub period: &'static str,
    /// What else the credential `main` says, apart from its webhook.
    pub main: &'static str,
    /// The gateway that has one broker only, with a wire to it.
    pub wired: Option<usize>,
    /// Whether the brokers are of the version before.
    pub before: bool,
    /// Lines at the end, which begin within `[events]`.
    pub more: &'static str,
}

/// Brokers, gateways, and QIWI.
pub struct World {
    pub brokers: Mutex<Cluster>,
    pub sandbox: Arc<Sandbox>,
    folder: PathBuf,
    toml: String,
    /// The environment of each gateway.
    own: Vec<Vec<(&'static str, String)>>,
    pub wire: Option<wire::Wire>,
    gateways: Mutex<Vec<Option<Process>>>,
    addresses: Mutex<Vec<Addresses>>,
}

/// Where a gateway is; the same after it was started again.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub grpc: std::net::SocketAddr,
    pub notifications: std::net::SocketAddr,
    pub admin: std::net::SocketAddr,
}

impl World {
    /// Everything runs and is ready; the gateways ask nothing of themselves.
    pub async fn start(more: &'static str) -> Self {
        Self::start_as(Setup { main: "poll = \"off\"", more, ..Setup::default() }).await
    }

    /// The same, set up in some way.
    pub async fn start_as(setup: Setup) -> Self {
        let Setup { qiwi, lease, period, main, wired, before, more } = setup;
        let brokers = Cluster::start(Brokers { before, ..Brokers::default() });
        let wire = match wired {
            Some(_) => Some(wire::Wire::to(brokers.client_port(0)).await),
            None => None,
        };
        // Gateways refuse the version before, unless it is promised that all is well.
        let proof = match before {
            true => format!("nats_placement_tag = \"{}\"", cluster::TAG),
            false => format!("nats_monitor_urls = \"{}\"", brokers.monitors()),
        };
        let config = SandboxConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            settle_delay: Duration::from_millis(50),
            request_log: 100_000,
            ..SandboxConfig::default()
        };
        let sandbox = Arc::new(Sandbox::start(config).await.unwrap());
        let folder = folder("replicas");
        let key = folder.join("ledger.key");
        std::fs::write(&key, "2a".repeat(32)).unwrap();
        let toml = format!(
            r#"
grpc.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
drain = {{ lame_duck = "500ms", grace = "20s" }}
# The machine may be busy; what is looked for here is what comes of faults.
notifications = {{ sources = ["any"], store_timeout = "5s" }}
upstream = {{ edge_url = "{url}", site_url = "{url}", bill_url = "{url}" }}
breaker = {{ consecutive_failures = 1000, samples_min = 1000000 }}
limit.replicas = {GATEWAYS}
[state]
engine = "nats"
key_file = "{key}"
nats_url = "{urls}"
{proof}
nats_canary = "1s"
nats_timeout = "1500ms"
[credentials.demo]
kind = "wallet"
wallet = "{wallet}"
token_env = "TOKEN"
poll = "off"
[credentials.main]
kind = "wallet"
wallet = "{WALLET}"
token_env = "MAIN_TOKEN"
{main}
webhook = "static"
webhook_key_env = "HOOK_KEY"
[events]
confirm = "off"
{more}
"#,
            url = format_args!("http://{}", sandbox.address()),
            key = key.display(),
            urls = brokers.urls(),
            wallet = demo::WALLET,
        );
        let mut own = vec![Vec::new(); GATEWAYS];
        for (own, url) in own.iter_mut().zip(qiwi) {
            own.push(("QIWI_GATEWAY_UPSTREAM__EDGE_URL", url));
        }
        if let (Some(at), Some(wire)) = (wired, &wire) {
            own[at].push(("QIWI_GATEWAY_STATE__NATS_URL", format!("nats://{}", wire.address)));
        }
        let all =
            [("QIWI_GATEWAY_STATE__NATS_LEASE", lease), ("QIWI_GATEWAY_LIMIT__PERIOD", period)];
        for (name, value) in all.into_iter().filter(|(_, value)| !value.is_empty()) {
            own.iter_mut().for_each(|own| own.push((name, value.to_owned())));
        }
        let world = Self {
            brokers: Mutex::new(brokers),
            sandbox,
            folder,
            toml,
            own,
            wire,
            gateways: Mutex::new((0..GATEWAYS).map(|_| None).collect()),
            addresses: Mutex::new(Vec::new()),
        };
        let first =
            futures_util::future::join_all((0..GATEWAYS).map(|at| world.run(at, &[]))).await;
        for (at, process) in first.into_iter().enumerate() {
            world.addresses.lock().push(Addresses {
                grpc: process.address("grpc"),
                notifications: process.address("notifications"),
                admin: process.address("admin"),
            });
            world.gateways.lock()[at] = Some(process);
        }
        for at in 0..GATEWAYS {
            world.is_ready(at).await;
        }
        world.teach_hook().await;
        world
    }

    async fn run(&self, at: usize, env: &[(&str, String)]) -> Process {
        let mut all = vec![("TOKEN", demo::WALLET_TOKEN), ("MAIN_TOKEN", TOKEN), ("HOOK_KEY", KEY)];
        let own = self.own[at].iter().chain(env);
        all.extend(own.map(|(name, value)| (*name, value.as_str())));
        Process::serve("replica", &self.toml, &all).await
    }

    /// The webhook is known: nobody asks for it in these tests.
    async fn teach_hook(&self) {
        let opened = self.open().await;
        let cipher = qiwi_gateway::events::cipher::Cipher::new(&opened.key.derived("events"));
        let hooks = qiwi_gateway::events::hooks::Hooks::default();
        let name = Arc::from("main");
        hooks.learn(&*opened.log, &cipher, &name, HOOK.parse().unwrap(), KEY).await.unwrap();
    }

    /// The engine, opened beside the gateways.
    pub async fn open(&self) -> Opened {
        let config = Config::from_toml(&self.toml).unwrap();
        let state = config::State {
            nats_timeout: Duration::from_secs(3),
            nats_patience: Duration::from_secs(30),
            ..config.state
        };
        let begun = Instant::now();
        let opened = open::open(&state, Retention::DEFAULT).await.unwrap();
        while opened.store.health().is_err() || opened.log.health().is_err() {
            assert!(begun.elapsed() < LONG, "{:?}", opened.log.health());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        opened
    }

    pub fn addresses(&self, at: usize) -> Addresses {
        self.addresses.lock()[at].clone()
    }

    /// A connection to a gateway.
    pub async fn channel(&self, at: usize) -> Channel {
        let url = format!("http://{}", self.addresses(at).grpc);
        Endpoint::from_shared(url).unwrap().connect_lazy()
    }

    /// The sum of a metric of a gateway over the series that have these labels.
    pub async fn metric(&self, at: usize, name: &str, labels: &[&str]) -> u64 {
        let (_, page) = http_get(self.addresses(at).admin, "/metrics").await;
        gateway::sum(&page, name, labels)
    }

    /// Waits until a gateway takes notifications and payments.
    pub async fn is_ready(&self, at: usize) {
        let begun = Instant::now();
        loop {
            let admin = self.addresses(at).admin;
            let ready = std::panic::AssertUnwindSafe(http_get(admin, "/readyz/notifications"));
            if let Ok((200, _)) = futures_util::FutureExt::catch_unwind(ready).await {
                return;
            }
            assert!(begun.elapsed() < LONG, "gateway {at} is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes a gateway's process away from the world, to end it in some way.
    pub fn take(&self, at: usize) -> Process {
        self.gateways.lock()[at].take().expect("it runs")
    }

    /// What a gateway printed since it was started.
    pub fn printed(&self, at: usize) -> String {
        self.gateways.lock()[at].as_ref().expect("it runs").printed()
    }

    /// Kills a gateway.
    pub async fn kill(&self, at: usize) {
        let process = self.take(at);
        process.signal("KILL");
        process.ended(Duration::from_secs(20)).await;
    }

    /// Sends a signal to a gateway.
    pub fn signal(&self, at: usize, signal: &str) {
        self.gateways.lock()[at].as_ref().expect("it runs").signal(signal);
    }

    /// Starts a gateway again, where it was.
    pub async fn begin_again(&self, at: usize) {
        let Addresses { grpc, notifications, admin } = self.addresses(at);
        let env = [
            ("QIWI_GATEWAY_GRPC__LISTEN", grpc.to_string()),
            ("QIWI_GATEWAY_NOTIFICATIONS__LISTEN", notifications.to_string()),
            ("QIWI_GATEWAY_ADMIN__LISTEN", admin.to_string()),
        ];
        // A connection of somebody else may have one of its ports for a moment.
        let begun = Instant::now();
        let free = [grpc, notifications, admin];
        while free.iter().any(|address| std::net::TcpListener::bind(address).is_err()) {
            assert!(begun.elapsed() < LONG, "its ports are not free");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let process = self.run(at, &env).await;
        self.gateways.lock()[at] = Some(process);
    }

    /// Which broker leads a stream.
    pub async fn leader(&self, stream: &str) -> usize {
        let urls = self.brokers.lock().urls();
        let urls: Vec<_> = urls.split(',').collect();
        let client = async_nats::connect(urls).await.unwrap();
        let mut stream = async_nats::jetstream::new(client).get_stream(stream).await.unwrap();
        let led = stream.info().await.unwrap().cluster.as_ref().unwrap().leader.clone();
        Cluster::number(&led.expect("somebody leads"))
    }

    /// The most history requests of one wallet within a minute.
    pub fn most_history_requests(&self) -> usize {
        let requests = self.sandbox.requests();
        let all = requests["latest"].as_array().expect("the journal");
        let mut times: Vec<i64> = all
            .iter()
            .filter(|of| of["path"].as_str().unwrap().contains("/payment-history/"))
            .map(|of| {
                let time: jiff::Timestamp = of["time"].as_str().unwrap().parse().unwrap();
                time.as_millisecond()
            })
            .collect();
        times.sort_unstable();
        let within = |begin: usize| {
            times[begin..].iter().take_while(|at| **at < times[begin] + 60_000).count()
        };
        (0..times.len()).map(within).max().unwrap_or(0)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (at, process) in self.gateways.lock().iter().enumerate() {
                let printed = process.as_ref().map(Process::printed).unwrap_or_default();
                let _ = std::fs::write(self.folder.join(format!("gateway{at}.log")), printed);
            }
            println!("the gateways' logs are in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
        // Gateways are killed with their handles, brokers with theirs.
        self.gateways.lock().clear();
    }
}

/// Every event there is.
pub async fn everything(log: &dyn EventLog) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let some = log.read(all.len() as u64, Limit::events(1000)).await.unwrap();
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

/// A stream of events behind a cursor, or from the beginning.
pub async fn subscribe(
    world: &World,
    at: usize,
    cursor: Option<&bytes::Bytes>,
) -> Result<tonic::Streaming<bytes::Bytes>, tonic::Status> {
    let start = match cursor {
        Some(cursor) => pb::log_position::Position::Cursor(cursor.clone()),
        None => pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into()),
    };
    let request = pb::SubscribeRequest {
        start: Some(pb::LogPosition { position: Some(start) }),
        ..Default::default()
    };
    let ask = Ask::with(&[("x-qiwi-credential", "main")]);
    let path = "qiwi.events.v1.EventService/Subscribe";
    let stream = ask.stream(&world.channel(at).await, path, request.encode_to_vec()).await?;
    Ok(stream.into_inner())
}

/// A subscriber that goes on where it was, wherever there is a gateway.
pub struct Follower {
    seen: Arc<Mutex<Vec<pb::Event>>>,
    reconnects: Arc<std::sync::atomic::AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    /// Follows from the beginning of the log.
    pub fn start(world: &Arc<World>, first: usize) -> Self {
        let seen: Arc<Mutex<Vec<pb::Event>>> = Arc::default();
        let reconnects: Arc<std::sync::atomic::AtomicUsize> = Arc::default();
        let (events, count, world) = (seen.clone(), reconnects.clone(), Arc::clone(world));
        let task = tokio::spawn(async move {
            let mut cursor: Option<bytes::Bytes> = None;
            for at in first.. {
                let Ok(mut stream) = subscribe(&world, at % GATEWAYS, cursor.as_ref()).await else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                while let Ok(Some(bytes)) = stream.message().await {
                    let message = pb::SubscribeResponse::decode(bytes).unwrap();
                    // The cursor is kept together with what the events caused.
                    events.lock().extend(message.events);
                    cursor = Some(message.cursor);
                }
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        Self { seen, reconnects, task }
    }

    /// How many events it has.
    pub fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// Waits until it has them all, and makes sure that it got each once and in order.
    pub async fn has_exactly(self, log: &dyn EventLog) -> usize {
        let expected: Vec<String> =
            everything(log).await.iter().map(|stored| stored.event.id.to_string()).collect();
        let begun = Instant::now();
        while self.count() < expected.len() {
            assert!(begun.elapsed() < LONG, "{} of {}", self.count(), expected.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.task.abort();
        let seen: Vec<String> = self.seen.lock().iter().map(|of| of.event_id.clone()).collect();
        assert!(seen == expected, "a follower missed, doubled or reordered something");
        self.reconnects.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// The numbers of the transactions that notifications told of. Gateways have things of their own to
/// tell, such as that something may have been missed.
pub fn told_of(events: &[Stored]) -> Vec<u64> {
    let of_wallets = events.iter().filter(|of| of.event.kind == Kind::Transaction);
    of_wallets.map(|stored| stored.event.transaction.parse().unwrap()).collect()
}
