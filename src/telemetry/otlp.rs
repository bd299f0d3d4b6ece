//! Export to an OpenTelemetry collector over gRPC.
//!
//! The exporters live on a runtime of their own with one worker: on a one-CPU
//! pod the gateway's only worker would otherwise wait for itself at shutdown and
//! lose the last spans. Endpoint, headers, compression, timeouts and resource
//! attributes follow the standard `OTEL_*` variables, which the crates read.
//! A collector that is down costs nothing but its data: it is said once, counted,
//! and said once more when it is back.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, OTEL_EXPORTER_OTLP_ENDPOINT, SpanExporter,
    WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{LogBatch, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanData};
use tokio::runtime::Runtime;

use super::metrics::Losses;
use super::sink::Sink;
use super::{TelemetryError, TelemetrySettings, clock, json, names, sampler};

const CERTIFICATE_FILE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const METRIC_INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// The exporting side of telemetry.
#[derive(Debug)]
pub struct Pipelines {
    /// None once shut down.
    runtime: Option<Runtime>,
    tracer: SdkTracerProvider,
    logger: SdkLoggerProvider,
}

/// Reads metrics periodically for the collector.
pub type MetricReader = PeriodicReader<Watched<MetricExporter>>;

impl Pipelines {
    /// Builds exporters for all three signals. Fails only on settings that can
    /// never work (an endpoint that is no URL), not on an absent collector.
    pub fn build(
        settings: &TelemetrySettings,
        resource: &Resource,
        sink: &Arc<Sink>,
        losses: &Arc<Losses>,
    ) -> Result<(Self, MetricReader), TelemetryError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            // Whatever the exporting connection logs must not be exported.
            .on_thread_start(|| std::mem::forget(Context::enter_telemetry_suppressed_scope()))
            .build()
            .map_err(TelemetryError::Thread)?;
        let _entered = runtime.enter();
        let outage = Arc::new(Outage {
            failing: AtomicU8::new(0),
            sink: Arc::clone(sink),
            losses: Arc::clone(losses),
        });
        let endpoint = settings.otlp_endpoint.as_deref();

        let spans = configured(SpanExporter::builder().with_tonic(), endpoint, "TRACES")?;
        let spans = Watched::new(spans.build()?, Signal::Traces, &outage);
        let logs = configured(LogExporter::builder().with_tonic(), endpoint, "LOGS")?;
        let logs = Watched::new(logs.build()?, Signal::Logs, &outage);
        let metrics = configured(MetricExporter::builder().with_tonic(), endpoint, "METRICS")?;
        let metrics = Watched::new(metrics.build()?, Signal::Metrics, &outage);

        let mut reader = PeriodicReader::builder(metrics);
        if env::var_os(METRIC_INTERVAL).is_none() {
            reader = reader.with_interval(settings.metric_interval);
        }
        let reader = reader.build();
        let tracer = SdkTracerProvider::builder()
            .with_sampler(sampler::sampler(settings.sample_read_percent))
            .with_resource(resource.clone())
            .with_batch_exporter(spans)
            .build();
        let logger = SdkLoggerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(logs)
            .build();
        drop(_entered);
        let pipelines = Self { runtime: Some(runtime), tracer, logger };
        Ok((pipelines, reader))
    }

    /// Makes the edge spans.
    pub fn tracer(&self, version: &str) -> SdkTracer {
        self.tracer.tracer_with_scope(
            InstrumentationScope::builder(names::SCOPE)
                .with_version(version.to_owned())
                .with_schema_url(names::SCHEMA_URL)
                .build(),
        )
    }

    /// Takes the log records.
    pub fn logger(&self) -> &SdkLoggerProvider {
        &self.logger
    }

    /// Exports spans and logs that are waiting. Blocks.
    #[cfg(test)]
    pub fn flush(&self) {
        let _ = self.tracer.force_flush();
        let _ = self.logger.force_flush();
    }

    /// Exports what is left, all signals at the same time, within `cap`. Blocks:
    /// call it on a thread that no runtime depends on.
    pub fn shutdown(mut self, meter: &SdkMeterProvider, cap: Duration) {
        let (done, wait) = std::sync::mpsc::channel();
        let (tracer, logger, meter) = (self.tracer.clone(), self.logger.clone(), meter.clone());
        let tasks: [Box<dyn FnOnce() -> OTelSdkResult + Send>; 3] = [
            Box::new(move || tracer.shutdown_with_timeout(cap)),
            Box::new(move || logger.shutdown_with_timeout(cap)),
            Box::new(move || meter.shutdown_with_timeout(cap)),
        ];
        let deadline = std::time::Instant::now() + cap;
        for task in tasks {
            let done = done.clone();
            // A failure was counted by the exporter; a thread that cannot start
            // drops its sender like one that has finished.
            let _ = std::thread::Builder::new().name("otlp-shutdown".to_owned()).spawn(move || {
                let _ = task();
                drop(done);
            });
        }
        drop(done);
        // Returns when all senders are gone or the time is up.
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let _: Result<(), _> = wait.recv_timeout(left);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        // Dropping a runtime the plain way panics inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Applies the endpoint of the settings, if any, and TLS where it is needed.
/// The exporter's own TLS default trusts no one, so roots are given here.
fn configured<B: WithExportConfig + WithTonicConfig>(
    mut builder: B,
    endpoint: Option<&str>,
    signal: &str,
) -> Result<B, TelemetryError> {
    let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let of_signal = |name: &str| variable(&name.replacen("OTLP_", &format!("OTLP_{signal}_"), 1));
    let effective = endpoint
        .map(str::to_owned)
        .or_else(|| of_signal(OTEL_EXPORTER_OTLP_ENDPOINT))
        .or_else(|| variable(OTEL_EXPORTER_OTLP_ENDPOINT));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    // Without a scheme the exporter assumes https; without an endpoint, a local
    // collector without TLS.
    let plain = effective
        .as_deref()
        .is_none_or(|url| url.starts_with("http://") || url.starts_with("unix:"));
    if plain {
        return Ok(builder);
    }
    let mut tls = ClientTlsConfig::new().with_enabled_roots();
    if let Some(file) = of_signal(CERTIFICATE_FILE).or_else(|| variable(CERTIFICATE_FILE)) {
        let pem =
            std::fs::read(&file).map_err(|error| TelemetryError::Certificate { file, error })?;
        tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    }
    Ok(builder.with_tls_config(tls))
}

impl From<ExporterBuildError> for TelemetryError {
    fn from(error: ExporterBuildError) -> Self {
        Self::Exporter(error.to_string())
    }
}

#[derive(Clone, Copy, Debug)]
enum Signal {
    Traces = 1,
    Metrics = 2,
    Logs = 4,
}

impl Signal {
    fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Which signals fail at present; the first to fail and the last to recover
/// are worth a line each.
#[derive(Debug)]
struct Outage {
    failing: AtomicU8,
    sink: Arc<Sink>,
    losses: Arc<Losses>,
}

impl Outage {
    fn note(&self, signal: Signal, items: u64, result: &OTelSdkResult) {
        let bit = signal as u8;
        match result {
            Ok(()) => {
                let before = self.failing.fetch_and(!bit, Ordering::Relaxed);
                if before == bit {
                    self.say("telemetry_export_recovered", "INFO", signal, None);
                }
            }
            Err(error) => {
                let lost: &AtomicU64 = match signal {
                    Signal::Traces => &self.losses.traces,
                    Signal::Metrics => &self.losses.metrics,
                    Signal::Logs => &self.losses.logs,
                };
                lost.fetch_add(items, Ordering::Relaxed);
                let before = self.failing.fetch_or(bit, Ordering::Relaxed);
                if before == 0 {
                    self.say("telemetry_export_failed", "WARN", signal, Some(&error));
                }
            }
        }
    }

    /// Written to the log output directly: an event would be exported too.
    fn say(&self, event: &str, level: &str, signal: Signal, error: Option<&dyn std::fmt::Display>) {
        let mut line = b"{\"event\":".to_vec();
        json::string(&mut line, event);
        line.extend_from_slice(b",\"signal\":");
        json::string(&mut line, signal.as_str());
        if let Some(error) = error {
            line.extend_from_slice(b",\"error\":");
            json::display(&mut line, format_args!("{error}"));
        }
        line.extend_from_slice(b",\"time\":\"");
        clock::now(&mut line);
        line.extend_from_slice(b"\",\"level\":");
        json::string(&mut line, level);
        line.extend_from_slice(b"}\n");
        self.sink.push(&line, true);
    }
}

/// An exporter whose failures are counted and said.
#[derive(Debug)]
pub struct Watched<E> {
    inner: E,
    signal: Signal,
    outage: Arc<Outage>,
}

impl<E> Watched<E> {
    fn new(inner: E, signal: Signal, outage: &Arc<Outage>) -> Self {
        Self { inner, signal, outage: Arc::clone(outage) }
    }

    fn note(&self, items: usize, result: OTelSdkResult) -> OTelSdkResult {
        self.outage.note(self.signal, items as u64, &result);
        result
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Watched<SpanExporter> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let items = batch.len();
        let result = self.inner.export(batch).await;
        self.note(items, result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl opentelemetry_sdk::logs::LogExporter for Watched<LogExporter> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let items = batch.iter().count();
        let result = self.inner.export(batch).await;
        self.note(items, result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl PushMetricExporter for Watched<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        self.note(1, result)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
