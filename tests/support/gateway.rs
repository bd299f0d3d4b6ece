//! The real gateway inside a test, on free ports, with everything it logs kept.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use qiwi_gateway::config::{BaseUrl, Config, CredentialConfig, Poll, Variable};
use qiwi_gateway::coordination::{Alone, Coordination};
use qiwi_gateway::credentials::{Kind, Wallet};
use qiwi_gateway::events::EventLog;
use qiwi_gateway::ledger::LedgerKey;
use qiwi_gateway::operations;
use qiwi_gateway::server::{Server, StartError};
use qiwi_gateway::state::MemoryLedger;
use qiwi_gateway::state::open::Opened;
use qiwi_gateway::telemetry::{self, LogOutput, MemoryLog, Telemetry, TelemetrySettings};
use tonic::transport::{Channel, Endpoint};

use super::fake::Fake;

/// The wallet of the credential `main`.
pub const WALLET: &str = "79990000001";
/// The token of the credential `main`.
pub const TOKEN: &str = "token-of-main";
/// The metadata of a call with the credential `main`.
pub const MAIN: &[(&str, &str)] = &[("x-qiwi-credential", "main")];

/// The secret key of the credential `bills`.
pub const P2P_KEY: &str = "p2p-key-of-bills";
/// The metadata of a call with the credential `bills`.
pub const BILLS: &[(&str, &str)] = &[("x-qiwi-credential", "bills")];

/// The secret key of the credential `shop`: the one of QIWI's samples.
pub const MERCHANT_KEY: &str = "secret_key";
/// The metadata of a call with the credential `shop`.
pub const SHOP: &[(&str, &str)] = &[("x-qiwi-credential", "shop")];

/// The metadata of a call of this method with a credential of [`Setup::new`] that opens it.
pub fn opening(rpc: &str) -> &'static [(&'static str, &'static str)] {
    match rpc.split('.').nth(1) {
        Some("p2p") => BILLS,
        Some("pay") => SHOP,
        _ => MAIN,
    }
}

/// The key of gateways that share a log.
pub const SHARED_KEY: [u8; 32] = [42; 32];

/// QIWI PAY's one address behind this one.
fn direct(url: &str) -> BaseUrl {
    BaseUrl::parse(&format!("{url}/merchant/direct")).expect("a base URL")
}

/// A gateway about to be started.
pub struct Setup {
    pub config: Config,
    pub env: BTreeMap<String, String>,
    pub telemetry: TelemetrySettings,
}

/// A running gateway.
pub struct Gateway {
    server: Option<Server>,
    address: SocketAddr,
    admin: SocketAddr,
    telemetry: Option<Telemetry>,
    log: MemoryLog,
    _installed: tracing::dispatcher::DefaultGuard,
}

impl Setup {
    /// A gateway in front of `fake`, with the credentials `main`, a wallet's, `bills`, a P2P key, and
    /// `shop`, a merchant.
    ///
    /// Breakers stay closed and repeats are quick and unlimited, so that only the tests about
    /// those meet them.
    pub fn new(fake: &Fake) -> Self {
        Self::at(&fake.url()).both().credential("shop", Kind::Merchant, None, MERCHANT_KEY)
    }

    /// A gateway in front of this address, without credentials.
    pub fn at(url: &str) -> Self {
        let base = BaseUrl::parse(url).expect("a base URL");
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Config::default();
        config.grpc.listen = free;
        config.admin.listen = free;
        config.notifications.listen = free;
        config.upstream.edge_url = base.clone();
        config.upstream.site_url = base.clone();
        config.upstream.bill_url = base;
        config.upstream.direct_url = direct(url);
        // Off by default; what that means is tested beside the methods.
        config.upstream.legacy_operations = true;
        // Asks QIWI about every event; tests about that turn it on.
        config.events.confirm = qiwi_gateway::config::Confirm::Off;
        config.breaker.consecutive_failures = 1000;
        config.breaker.samples_min = 1_000_000;
        config.retry.budget_floor_per_second = 1000;
        config.retry.backoff_base = Duration::from_millis(1);
        config.retry.backoff_max = Duration::from_millis(2);
        config.drain.lame_duck = Duration::ZERO;
        config.drain.grace = Duration::from_secs(5);
        let telemetry = TelemetrySettings {
            methods: operations::all().iter().map(|row| row.policy.rpc).collect(),
            ..TelemetrySettings::default()
        };
        Self { config, env: BTreeMap::new(), telemetry }
    }

    /// Adds the credentials `main` and `bills`.
    pub fn both(self) -> Self {
        self.credential("main", Kind::Wallet, Some(WALLET), TOKEN).credential(
            "bills",
            Kind::P2p,
            None,
            P2P_KEY,
        )
    }

    /// Sends everything to this address instead.
    pub fn upstream(mut self, url: &str) -> Self {
        let base = BaseUrl::parse(url).expect("a base URL");
        self.config.upstream.edge_url = base.clone();
        self.config.upstream.site_url = base.clone();
        self.config.upstream.bill_url = base;
        self.config.upstream.direct_url = direct(url);
        self
    }

    /// Changes the configuration.
    pub fn set(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Adds a credential with this secret.
    pub fn credential(
        mut self,
        name: &str,
        kind: Kind,
        wallet: Option<&str>,
        secret: &str,
    ) -> Self {
        let variable = format!("SECRET_OF_{name}");
        self.env.insert(variable.clone(), secret.to_owned());
        let variable = Some(Variable(variable));
        let bearer = matches!(kind, Kind::Wallet | Kind::Information);
        let (token_env, secret_env) = if bearer { (variable, None) } else { (None, variable) };
        let credential = CredentialConfig {
            kind,
            wallet: wallet.and_then(Wallet::parse),
            merchant_site: (kind == Kind::Merchant).then(|| "99".to_owned()),
            token_env,
            secret_env,
            // Tests count what reaches the upstream.
            poll: Poll::Off,
            ..CredentialConfig::default()
        };
        self.config.credentials.insert(name.to_owned(), credential);
        self
    }

    /// Logs everything, libraries included.
    pub fn log_all(mut self) -> Self {
        let libraries = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "tonic", "tower"];
        let libraries = libraries.map(|library| format!("{library}=trace"));
        self.telemetry.log_filter = format!("trace,{}", libraries.join(","));
        self
    }

    /// Starts it, or says why not.
    pub async fn try_start(self) -> Result<Gateway, StartError> {
        self.run(None, Arc::new(Alone)).await
    }

    /// Starts it over this log, which others may share, with a ledger in memory.
    pub async fn start_over(self, log: Arc<dyn EventLog>) -> Gateway {
        self.run(Some(log), Arc::new(Alone)).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts it over this log, in turns with whoever shares this coordination.
    pub async fn start_beside(
        self,
        log: Arc<dyn EventLog>,
        coordination: Arc<dyn Coordination>,
    ) -> Gateway {
        self.run(Some(log), coordination).await.unwrap_or_else(|error| panic!("{error}"))
    }

    async fn run(
        self,
        log_of_events: Option<Arc<dyn EventLog>>,
        coordination: Arc<dyn Coordination>,
    ) -> Result<Gateway, StartError> {
        let Self { config, env, telemetry } = self;
        let log = MemoryLog::default();
        let settings =
            TelemetrySettings { log_output: LogOutput::Memory(log.clone()), ..telemetry };
        let telemetry = telemetry::init(&settings).expect("telemetry starts");
        // Of this thread only, so that every test under `cargo test` has its own; the tests run on
        // one thread each.
        let installed = telemetry.install_local();
        let env = move |name: &str| env.get(name).cloned();
        let server = match log_of_events {
            None => Server::start(config, &telemetry, env).await?,
            Some(log) => {
                // The same key for all who share it: what one seals the others open.
                let (store, key) = (Arc::new(MemoryLedger::new()), LedgerKey::new(&SHARED_KEY));
                let opening = async { Ok(Opened { store, key, log, coordination }) };
                Server::start_with(config, &telemetry, env, opening).await?
            }
        };
        Ok(Gateway {
            address: server.grpc_address(),
            admin: server.admin_address(),
            server: Some(server),
            telemetry: Some(telemetry),
            log,
            _installed: installed,
        })
    }

    /// Starts it.
    pub async fn start(self) -> Gateway {
        self.try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Gateway {
    /// Where gRPC is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where notifications are taken.
    pub fn notifications(&self) -> SocketAddr {
        self.server.as_ref().and_then(Server::notifications_address).expect("a listener")
    }

    /// Where probes are answered.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Everything about events, to put some into the log.
    pub fn hub(&self) -> &std::sync::Arc<qiwi_gateway::events::hub::Hub> {
        self.server.as_ref().expect("not stopped").hub()
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        if let Some(telemetry) = &self.telemetry {
            telemetry.flush(Duration::from_secs(2));
        }
        self.log.contents()
    }

    /// The summary lines of calls so far.
    pub fn summaries(&self) -> Vec<serde_json::Value> {
        self.lines().into_iter().filter(|line| line["target"] == "qiwi_gateway::call").collect()
    }

    /// The log lines so far; each is one JSON object.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let log = self.log();
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// All metrics in the text format, as an operator gets them.
    pub async fn metrics(&self) -> String {
        let (status, body) = self.admin("/metrics").await;
        assert_eq!(status, 200);
        body
    }

    /// The sum of a metric over the series whose labels contain all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        sum(&self.metrics().await, name, labels)
    }

    /// Status and body of a path of the admin listener.
    pub async fn admin(&self, path: &str) -> (u16, String) {
        super::http_get(self.admin, path).await
    }

    /// Stops it in the orderly way and waits for the end.
    pub async fn stop(mut self) -> Stopped {
        let server = self.server.take().expect("stopped once");
        server.shutdown(std::future::pending()).await;
        let telemetry = self.telemetry.take().expect("stopped once");
        telemetry.shutdown(Duration::from_secs(5)).await;
        Stopped { log: self.log.contents() }
    }
}

/// What is left of a gateway.
pub struct Stopped {
    pub log: String,
}

/// The sum of a metric over the series of a `/metrics` page whose labels contain all of `labels`.
pub fn sum(page: &str, name: &str, labels: &[&str]) -> u64 {
    let series = page.lines().filter(|line| {
        line.split(['{', ' ']).next() == Some(name)
            && labels.iter().all(|label| line.contains(label))
    });
    let values = series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    values.sum()
}
