//! Logs, metrics and traces: set up here, used everywhere.
//!
//! Logs go to standard output as JSON lines (`layer`, `sink`); metrics are
//! read by Prometheus from the admin listener and, with OTLP on, pushed to a
//! collector (`metrics`, `otlp`); spans are made at the gateway's two edges
//! (`span`). No failure in here may fail or slow down a call.
//!
//! Nothing is global except what [`Telemetry::install`] installs, and only
//! `main` calls that: two gateways fit into one process.

mod clock;
mod context;
mod coordination;
mod events;
mod filter;
mod json;
mod layer;
mod metrics;
pub mod names;
mod otlp;
mod payments;
mod sampler;
mod secrets;
mod sink;
mod span;

use std::env;
use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use parking_lot::Mutex;
use prometheus::{Registry, TextEncoder};
use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;

pub use context::TraceText;
pub use events::EventMetrics;
pub use metrics::{BreakerState, Losses, Metrics};
pub use payments::PaymentMetrics;
pub use span::{AttemptOutcome, SpanHandle, Tracing};

use layer::JsonLines;
use otlp::Pipelines;
use sink::Sink;

/// How long a panic of the main thread or a dropped [`Telemetry`] waits for its
/// last lines to be written.
const LAST_LINES: Duration = Duration::from_millis(250);

/// What telemetry needs to know.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// `EnvFilter` directives, e.g. `info,qiwi_gateway::upstream=debug`.
    pub log_filter: String,
    /// Whether logs, metrics and traces are pushed to a collector.
    pub otlp: bool,
    /// Collector URL; None follows `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub otlp_endpoint: Option<String>,
    /// Share of traces of reads that are kept; money is always kept.
    pub sample_read_percent: u8,
    /// How often metrics are pushed; `OTEL_METRIC_EXPORT_INTERVAL` wins.
    pub metric_interval: Duration,
    /// Resource attribute `service.name`; `OTEL_SERVICE_NAME` wins.
    pub service_name: String,
    /// Resource attribute `service.version`.
    pub service_version: String,
    /// `package.Service/Method` of every RPC; see [`Metrics::call`].
    pub methods: Vec<&'static str>,
    /// Where log lines go.
    pub log_output: LogOutput,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log_filter: "info".to_owned(),
            otlp: false,
            otlp_endpoint: None,
            sample_read_percent: 5,
            metric_interval: Duration::from_secs(15),
            service_name: names::SCOPE.to_owned(),
            service_version: env!("CARGO_PKG_VERSION").to_owned(),
            methods: Vec::new(),
            log_output: LogOutput::Stdout,
        }
    }
}

/// Where log lines go.
#[derive(Clone, Debug, Default)]
pub enum LogOutput {
    /// Standard output.
    #[default]
    Stdout,
    /// Memory, for tests.
    Memory(MemoryLog),
}

/// Log lines kept in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Mutex<Vec<u8>>>);

impl MemoryLog {
    /// Everything written so far.
    pub fn contents(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(MemoryWriter(self.clone()))
    }
}

struct MemoryWriter(MemoryLog);

impl Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Settings that cannot work. A collector that is down is not among them.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    #[error("log filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// An exporter cannot be built, for instance from a malformed endpoint.
    #[error("OTLP exporter: {0}")]
    Exporter(String),
    /// The collector's CA certificate cannot be read.
    #[error("OTLP certificate {file}: {error}")]
    Certificate {
        /// The file named by the environment.
        file: String,
        /// Why it cannot be read.
        error: std::io::Error,
    },
    /// The Prometheus registry refused the exporter.
    #[error("Prometheus exporter: {0}")]
    Prometheus(String),
    /// A thread could not be started.
    #[error("telemetry thread: {0}")]
    Thread(std::io::Error),
    /// The process has a global subscriber already.
    #[error("a global log subscriber is already installed")]
    Installed,
}

/// The telemetry of one gateway. Keep it until the end and shut it down last.
pub struct Telemetry {
    sink: Arc<Sink>,
    dispatch: Dispatch,
    registry: Registry,
    meter: SdkMeterProvider,
    metrics: Arc<Metrics>,
    tracing: Tracing,
    pipelines: Option<Pipelines>,
}

/// Builds telemetry without installing anything: see [`Telemetry::install`] and
/// [`Telemetry::install_local`].
pub fn init(settings: &TelemetrySettings) -> Result<Telemetry, TelemetryError> {
    let losses = Arc::<Losses>::default();
    let output: Box<dyn Write + Send> = match &settings.log_output {
        LogOutput::Stdout => Box::new(std::io::stdout()),
        LogOutput::Memory(log) => log.writer(),
    };
    let lines = filter::lines(&settings.log_filter)?;
    let exported = filter::exported(&settings.log_filter)?;
    let sink = Sink::start(output, sink::BUFFER_BYTES_MAX, Arc::clone(&losses));
    let sink = Arc::new(sink.map_err(TelemetryError::Thread)?);
    let resource = resource(settings);

    let registry = Registry::new();
    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .map_err(|error| TelemetryError::Prometheus(error.to_string()))?;
    let methods = settings.methods.len();
    let mut meter = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_reader(prometheus)
        .with_view(move |instrument: &_| metrics::series_limit(instrument, methods));

    let mut pipelines = None;
    if settings.otlp {
        let (built, reader) = Pipelines::build(settings, &resource, &sink, &losses)?;
        meter = meter.with_reader(reader);
        pipelines = Some(built);
    }
    let meter = meter.build();
    let scope = InstrumentationScope::builder(names::SCOPE)
        .with_version(settings.service_version.clone())
        .with_schema_url(names::SCHEMA_URL)
        .build();
    let metrics = Metrics::new(
        &meter.meter_with_scope(scope),
        &settings.methods,
        &settings.service_version,
        &losses,
    );

    let json = JsonLines::new(Arc::clone(&sink));
    let dispatch = match &pipelines {
        // One filter for the whole stack is the cheapest arrangement.
        None => Dispatch::new(tracing_subscriber::registry().with(lines).with(json)),
        Some(pipelines) => Dispatch::new(
            tracing_subscriber::registry()
                .with(json.with_filter(lines))
                .with(OpenTelemetryTracingBridge::new(pipelines.logger()).with_filter(exported)),
        ),
    };
    let tracing = match &pipelines {
        None => Tracing::off(),
        Some(pipelines) => Tracing::on(pipelines.tracer(&settings.service_version)),
    };
    Ok(Telemetry {
        sink,
        dispatch,
        registry,
        meter,
        metrics: Arc::new(metrics),
        tracing,
        pipelines,
    })
}

/// The settings describe the service, `OTEL_RESOURCE_ATTRIBUTES` adds to them
/// and overrides them, and `OTEL_SERVICE_NAME` has the last word.
fn resource(settings: &TelemetrySettings) -> Resource {
    let builder = Resource::builder_empty()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new(names::SERVICE_VERSION, settings.service_version.clone()))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => builder.with_service_name(name).build(),
        _ => builder.build(),
    }
}

impl Telemetry {
    /// The instruments.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// The maker of spans.
    pub fn tracing(&self) -> Tracing {
        self.tracing.clone()
    }

    /// All metrics in the Prometheus text format 0.0.4.
    pub fn render_prometheus(&self) -> String {
        render(&self.registry)
    }

    /// [`Telemetry::render_prometheus`] as something the admin listener can keep.
    pub fn renderer(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        let registry = self.registry.clone();
        Arc::new(move || render(&registry))
    }

    /// The subscriber, for `with_subscriber` on a future or a thread's default.
    pub fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Makes this the subscriber of the present thread only, until the guard is
    /// dropped. For tests and for a second gateway in one process.
    #[must_use = "events go elsewhere again once the guard is dropped"]
    pub fn install_local(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.dispatch)
    }

    /// Makes this the subscriber of the process and logs panics: place and
    /// thread, never the message, which may quote data. Only `main` calls this.
    pub fn install(&self) -> Result<(), TelemetryError> {
        tracing::dispatcher::set_global_default(self.dispatch.clone())
            .map_err(|_| TelemetryError::Installed)?;
        let sink = Arc::clone(&self.sink);
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed");
            match panic.location() {
                Some(at) => tracing::error!(event = "panic", location = %at, thread),
                None => tracing::error!(event = "panic", thread),
            }
            // The process may be about to end; other threads' panics are caught.
            if thread == "main" {
                sink.flush(LAST_LINES);
            }
        }));
        Ok(())
    }

    /// Waits until the lines logged so far are written, at most `cap`. Blocks:
    /// for the moment before an immediate exit.
    pub fn flush(&self, cap: Duration) {
        self.sink.flush(cap);
    }

    /// Exports and writes what is left, within about `cap`. Safe to await on any
    /// runtime: the blocking part has a thread of its own, so that neither a
    /// single worker nor a stuck collector can hold it up.
    pub async fn shutdown(mut self, cap: Duration) {
        let (done, wait) = tokio::sync::oneshot::channel();
        let pipelines = self.pipelines.take();
        let meter = self.meter.clone();
        let sink = Arc::clone(&self.sink);
        let spawned =
            std::thread::Builder::new().name("telemetry-shutdown".to_owned()).spawn(move || {
                if let Some(pipelines) = pipelines {
                    pipelines.shutdown(&meter, cap);
                }
                sink.close(cap.min(Duration::from_secs(1)));
                let _ = done.send(());
            });
        if spawned.is_ok() {
            let _ = wait.await;
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.sink.flush(LAST_LINES);
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("tracing", &self.tracing).finish_non_exhaustive()
    }
}

/// Says where a listener is bound, in the form scripts and tests wait for, at
/// any log level.
pub fn listening(listener: &str, address: SocketAddr) {
    tracing::info!(target: filter::LISTENING, event = "listening", listener, address = %address);
}

fn render(registry: &Registry) -> String {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(error = %error, "metrics cannot be rendered");
            String::new()
        }
    }
}

#[cfg(test)]
mod tests;
