//! An OpenTelemetry collector in this process, on a runtime of its own. The whole-service tests use it
//! too, from here.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status};

/// What arrived.
#[derive(Debug, Default)]
pub struct Received {
    pub traces: Vec<ExportTraceServiceRequest>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    pub logs: Vec<ExportLogsServiceRequest>,
}

#[derive(Clone, Default)]
struct Sinks(Arc<Mutex<Received>>);

/// Listens until dropped.
pub struct Collector {
    pub address: SocketAddr,
    received: Sinks,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Collector {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = std::net::TcpListener::bind(any).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener).unwrap()
        };
        let address = listener.local_addr().unwrap();
        let received = Sinks::default();
        runtime.spawn(serve(listener, received.clone()));
        Self { address, received, runtime: Some(runtime) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn spans(&self) -> Vec<Span> {
        let received = self.received.0.lock();
        let resources = received.traces.iter().flat_map(|r| &r.resource_spans);
        resources.flat_map(|r| &r.scope_spans).flat_map(|s| s.spans.clone()).collect()
    }

    pub fn logs(&self) -> Vec<LogRecord> {
        let received = self.received.0.lock();
        let resources = received.logs.iter().flat_map(|r| &r.resource_logs);
        resources.flat_map(|r| &r.scope_logs).flat_map(|s| s.log_records.clone()).collect()
    }

    pub fn metric_names(&self) -> Vec<String> {
        let received = self.received.0.lock();
        let resources = received.metrics.iter().flat_map(|r| &r.resource_metrics);
        resources
            .flat_map(|r| &r.scope_metrics)
            .flat_map(|s| s.metrics.iter().map(|m| m.name.clone()))
            .collect()
    }

    /// Everything that arrived, for searching.
    pub fn everything(&self) -> String {
        format!("{:?}", self.received.0.lock())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, sinks: Sinks) {
    while let Ok((stream, _)) = listener.accept().await {
        let sinks = sinks.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<_>| {
            let sinks = sinks.clone();
            async move {
                let path = request.uri().path();
                if path.contains("TraceService") {
                    TraceServiceServer::new(sinks).call(request).await
                } else if path.contains("MetricsService") {
                    MetricsServiceServer::new(sinks).call(request).await
                } else {
                    LogsServiceServer::new(sinks).call(request).await
                }
            }
        });
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

#[tonic::async_trait]
impl TraceService for Sinks {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().traces.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Sinks {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.lock().metrics.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Sinks {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.0.lock().logs.push(request.into_inner());
        Ok(Response::new(Default::default()))
    }
}
