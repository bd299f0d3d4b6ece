//! The command line: `serve`, `sandbox`, `check-config`, `events tail`, `health`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use qiwi_gateway::config::{Config, CredentialConfig, Mistakes, Variable};
use qiwi_gateway::credentials::{Kind, Wallet};
use qiwi_gateway::health;
use qiwi_gateway::operations;
use qiwi_gateway::sandbox::{ClientFiles, MerchantSite, Sandbox, SandboxConfig, demo};
use qiwi_gateway::server::Server;
use qiwi_gateway::tail;
use qiwi_gateway::telemetry::{self, LogOutput, Telemetry, TelemetrySettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

// The system's allocator costs a quarter more instructions for each call: it consolidates and
// splits the short-lived buffers of h2 and prost again and again. mimalloc keeps size classes per
// thread. The libraries and tests use whatever their own program chooses.
// Without huge pages (`no_thp`): with them a gateway at rest held 16 MiB of which it used 4; under
// load the difference is smaller than that of two runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The environment variable that holds the sandbox's demo token.
const DEMO_TOKEN: &str = "QIWI_GATEWAY_DEMO_TOKEN";
/// The environment variable that holds the sandbox's information token.
const DEMO_INFORMATION_TOKEN: &str = "QIWI_GATEWAY_DEMO_INFORMATION_TOKEN";
/// The environment variable that holds the sandbox's secret key of P2P invoices.
const DEMO_P2P_KEY: &str = "QIWI_GATEWAY_DEMO_P2P_KEY";
/// The environment variable that holds the secret key of the sandbox's demo merchant.
const DEMO_PAY_KEY: &str = "QIWI_GATEWAY_DEMO_PAY_KEY";
/// The credential of that merchant.
const DEMO_PAY: &str = "demo-pay";

#[derive(Parser)]
#[command(name = "qiwi-gateway", version, about = "A gRPC gateway in front of QIWI.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the gateway until it is asked to stop.
    Serve(Serve),
    /// Serves the sandbox alone: a stateful fake of QIWI for tests.
    Sandbox(SandboxOnly),
    /// Checks the configuration and prints it, secrets left out.
    CheckConfig(Check),
    /// Reads the event log of a gateway that runs.
    #[command(subcommand)]
    Events(Events),
    /// Asks a gateway that runs whether it serves; exits 0 if it does.
    Health(health::Arguments),
}

#[derive(Subcommand)]
enum Events {
    /// Prints events as they happen, one JSON line each.
    Tail(Box<tail::Arguments>),
}

#[derive(Args)]
struct Serve {
    /// Configuration file (TOML); environment variables override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serves against an embedded sandbox with the credentials `demo`, `demo-info`, `demo-p2p` and
    /// `demo-pay`.
    #[arg(long)]
    sandbox: bool,
}

#[derive(Args)]
struct SandboxOnly {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Address to take card operations on over TLS, from clients with a certificate.
    #[arg(long, value_name = "ADDRESS", requires = "certificates")]
    acquiring_listen: Option<SocketAddr>,
    /// Folder to write the authority and a client certificate of that address into.
    #[arg(long, value_name = "FOLDER", requires = "acquiring_listen")]
    certificates: Option<PathBuf>,
}

#[derive(Args)]
struct Check {
    /// Configuration file (TOML); environment variables override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Treats warnings as mistakes.
    #[arg(long)]
    strict: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::CheckConfig(check) = arguments.command {
        return check_config(&check);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot start: {error}")),
    };
    let code = match arguments.command {
        Command::Serve(serve) => runtime.block_on(self::serve(serve)),
        Command::Sandbox(sandbox) => runtime.block_on(self::sandbox(&sandbox)),
        Command::Events(Events::Tail(arguments)) => runtime.block_on(events_tail(&arguments)),
        Command::Health(arguments) => match runtime.block_on(health::run(&arguments)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => fail(&problem),
        },
        Command::CheckConfig(_) => ExitCode::SUCCESS,
    };
    // Nothing may hold up the end of the process any more.
    runtime.shutdown_background();
    code
}

async fn serve(serve: Serve) -> ExitCode {
    let mut config = match load(serve.config.as_deref()) {
        Ok(config) => config,
        Err(mistakes) => return fail(&mistakes.to_string()),
    };
    let telemetry = match telemetry(&config) {
        Ok(telemetry) => telemetry,
        Err(problem) => return fail(&problem),
    };
    let (mut terminate, mut interrupt) =
        match (signals(SignalKind::terminate()), signals(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(problem), _) | (_, Err(problem)) => return fail(&problem),
        };
    let flush = config.drain.telemetry_flush;
    let sandbox = if serve.sandbox {
        match embedded(&mut config).await {
            Ok(sandbox) => Some(sandbox),
            Err(problem) => return fail(&problem),
        }
    } else {
        None
    };
    if sandbox.is_none() {
        let (_, warnings) = config.check();
        for warning in warnings {
            tracing::warn!("{warning}");
        }
    }
    let env = |name: &str| {
        let seeded = match name {
            DEMO_TOKEN => Some(demo::WALLET_TOKEN.to_owned()),
            DEMO_INFORMATION_TOKEN => Some(demo::INFORMATION_TOKEN.to_owned()),
            DEMO_P2P_KEY => Some(demo::P2P_SECRET_KEY.to_owned()),
            DEMO_PAY_KEY => Some(demo::MERCHANT_SECRET.to_owned()),
            _ => None,
        };
        seeded.filter(|_| std::env::var_os(name).is_none()).or_else(|| std::env::var(name).ok())
    };
    let server = match Server::start(config, &telemetry, env).await {
        Ok(server) => server,
        Err(error) => {
            telemetry.flush(flush);
            return fail(&error.to_string());
        }
    };
    if let Some((sandbox, _)) = &sandbox {
        notify_gateway(sandbox, server.notifications_address());
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server
        .shutdown(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    if let Some((sandbox, _files)) = sandbox {
        sandbox.shutdown().await;
    }
    telemetry.shutdown(flush).await;
    ExitCode::SUCCESS
}

/// Starts the sandbox inside this process and points the configuration at it.
async fn embedded(config: &mut Config) -> Result<(Sandbox, ClientFiles), String> {
    // What the sandbox adds stands in no file, and would be gone if the file were read again.
    config.file = None;
    let (listen, acquiring) = (config.sandbox.listen, config.sandbox.acquiring());
    let sandbox = start_sandbox(listen, Some(acquiring)).await?;
    let files = sandbox
        .client_files(DEMO_PAY, None)
        .map_err(|error| format!("the sandbox's certificates cannot be written: {error}"))?;
    tell_listeners(&sandbox);
    let url = format!("http://{}", sandbox.address());
    let own = |url: &str| {
        qiwi_gateway::config::BaseUrl::parse(url)
            .ok_or_else(|| format!("the sandbox's own address {url} is not a URL"))
    };
    let base = own(&url)?;
    let upstream = &mut config.upstream;
    upstream.edge_url = base.clone();
    upstream.site_url = base.clone();
    upstream.bill_url = base;
    upstream.paypage_url = own(&format!("{url}/paypage/initial"))?;
    if let Some(address) = sandbox.acquiring_address() {
        upstream.direct_url = own(&format!("https://{address}/merchant/direct"))?;
        upstream.ca_file = Some(files.authority());
    }
    config.credentials.entry("demo".to_owned()).or_insert_with(|| CredentialConfig {
        kind: Kind::Wallet,
        wallet: Wallet::parse(demo::WALLET),
        token_env: Some(Variable(DEMO_TOKEN.to_owned())),
        ..CredentialConfig::default()
    });
    config.credentials.entry("demo-info".to_owned()).or_insert_with(|| CredentialConfig {
        kind: Kind::Information,
        wallet: Wallet::parse(demo::WALLET),
        token_env: Some(Variable(DEMO_INFORMATION_TOKEN.to_owned())),
        ..CredentialConfig::default()
    });
    config.credentials.entry("demo-p2p".to_owned()).or_insert_with(|| CredentialConfig {
        kind: Kind::P2p,
        wallet: Wallet::parse(demo::WALLET),
        secret_env: Some(Variable(DEMO_P2P_KEY.to_owned())),
        ..CredentialConfig::default()
    });
    config.credentials.entry(DEMO_PAY.to_owned()).or_insert_with(|| CredentialConfig {
        kind: Kind::Merchant,
        merchant_site: Some(demo::MERCHANT_SITE.to_string()),
        secret_env: Some(Variable(DEMO_PAY_KEY.to_owned())),
        client_cert_file: Some(files.certificate()),
        client_key_file: Some(files.key()),
        ..CredentialConfig::default()
    });
    if config.notifications.sources.is_empty() {
        // The sandbox is no network of QIWI's.
        config.notifications.sources = vec![format!("{}/32", Ipv4Addr::LOCALHOST)];
    }
    Ok((sandbox, files))
}

/// Starts a sandbox.
async fn start_sandbox(
    listen: SocketAddr,
    acquiring: Option<SocketAddr>,
) -> Result<Sandbox, String> {
    let mut config = SandboxConfig { listen, ..SandboxConfig::default() };
    config.acquiring.listen = acquiring;
    Sandbox::start(config).await.map_err(|error| {
        let also = acquiring.map(|address| format!(" and {address}")).unwrap_or_default();
        format!("cannot listen on {listen}{also} for sandbox: {error}")
    })
}

/// Says where a sandbox listens. Whoever reads it finds its certificates written.
fn tell_listeners(sandbox: &Sandbox) {
    telemetry::listening("sandbox", sandbox.address());
    if let Some(address) = sandbox.acquiring_address() {
        telemetry::listening("acquiring", address);
    }
}

/// Lets the demo merchant's notifications come to the gateway in front of the sandbox.
fn notify_gateway(sandbox: &Sandbox, address: Option<SocketAddr>) {
    let callback_url =
        address.map(|address| format!("http://{address}/notifications/pay/{DEMO_PAY}"));
    let mut sites = demo::merchant_sites().into_iter();
    if let Some(site) = sites.find(|site| site.id == demo::MERCHANT_SITE) {
        sandbox.put_site(MerchantSite { callback_url, ..site });
    }
}

async fn sandbox(arguments: &SandboxOnly) -> ExitCode {
    let telemetry = match telemetry(&Config::default()) {
        Ok(telemetry) => telemetry,
        Err(problem) => return fail(&problem),
    };
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signals(SignalKind::terminate()), signals(SignalKind::interrupt()))
    else {
        return fail("signals cannot be received");
    };
    match start_sandbox(arguments.listen, arguments.acquiring_listen).await {
        Ok(sandbox) => {
            if let Some(folder) = &arguments.certificates
                && let Err(error) = sandbox.client_files("shop", Some(folder))
            {
                return fail(&format!(
                    "cannot write certificates to {}: {error}",
                    folder.display()
                ));
            }
            tell_listeners(&sandbox);
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sandbox.shutdown().await;
        }
        Err(problem) => return fail(&problem),
    }
    telemetry.shutdown(Config::default().drain.telemetry_flush).await;
    ExitCode::SUCCESS
}

async fn events_tail(arguments: &tail::Arguments) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signals(SignalKind::terminate()), signals(SignalKind::interrupt()))
    else {
        return fail("signals cannot be received");
    };
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked.cancel();
    });
    match tail::run(arguments, stop, complain).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem.to_string()),
    }
}

fn check_config(check: &Check) -> ExitCode {
    let config = match load(check.config.as_deref()) {
        Ok(config) => config,
        Err(mistakes) => return fail(&mistakes.to_string()),
    };
    let files = match qiwi_gateway::server::check(&config, |name| std::env::var(name).ok()) {
        Ok(files) => files,
        Err(error) => return fail(&error.to_string()),
    };
    let (_, mut warnings) = config.check();
    warnings.extend(files);
    print(&config.dump_redacted());
    for warning in &warnings {
        complain(&format!("warning: {warning}"));
    }
    if check.strict && !warnings.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn load(file: Option<&std::path::Path>) -> Result<Config, Mistakes> {
    Config::load(file, qiwi_gateway::config::environment())
}

fn telemetry(config: &Config) -> Result<Telemetry, String> {
    let settings = TelemetrySettings {
        log_filter: config.telemetry.log_filter.clone(),
        otlp: config.telemetry.otlp.enabled(|name| std::env::var_os(name).is_some()),
        sample_read_percent: config.telemetry.sample_read_percent.get() as u8,
        metric_interval: config.telemetry.metric_interval,
        service_name: config.telemetry.service_name.clone(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        methods: operations::all().iter().map(|row| row.policy.rpc).collect(),
        log_output: LogOutput::Stdout,
        ..TelemetrySettings::default()
    };
    let telemetry = telemetry::init(&settings).map_err(|error| error.to_string())?;
    telemetry.install().map_err(|error| error.to_string())?;
    Ok(telemetry)
}

fn signals(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("signals cannot be received: {error}"))
}

#[allow(clippy::print_stdout)]
fn print(text: &str) {
    print!("{text}");
}

#[allow(clippy::print_stderr)]
fn complain(text: &str) {
    eprintln!("{text}");
}

fn fail(problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}
