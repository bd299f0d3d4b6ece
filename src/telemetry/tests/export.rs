//! What reaches a collector, and what happens without one.

use std::time::Instant;

use http::HeaderMap;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CAP: Duration = Duration::from_secs(5);

fn exporting(endpoint: String, log: &MemoryLog) -> Telemetry {
    init(&TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some(endpoint),
        sample_read_percent: 0,
        metric_interval: Duration::from_secs(3600),
        service_name: "gateway-under-test".to_owned(),
        log_filter: "debug".to_owned(),
        ..settings(log)
    })
    .unwrap()
}

fn called_with(flags: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
    headers.insert("traceparent", parent.parse().unwrap());
    headers.insert("tracestate", "vendor=1".parse().unwrap());
    headers.insert("baggage", "secret=1".parse().unwrap());
    headers
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = attributes.iter().find(|kv| kv.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.to_owned()))
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// One worker, as on a pod with one CPU: where shutting down from async code
/// would wait for itself.
#[tokio::test]
async fn all_three_signals_arrive_at_shutdown() {
    let collector = Collector::start();
    let log = MemoryLog::default();
    let telemetry = exporting(collector.endpoint(), &log);
    let tracing = telemetry.tracing();
    assert!(tracing.enabled());
    exercise(&telemetry.metrics());

    let span = tracing.server_span(METHODS[1], &called_with("01"), false);
    assert_eq!(span.trace_id().unwrap().as_str(), TRACE);
    assert!(span.is_recording());
    let attempt = span.attempt("POST", "/pay/{wallet}", "edge.example", 443, 2);
    let mut sent = HeaderMap::new();
    attempt.inject(&mut sent);
    attempt.finish_attempt(AttemptOutcome::Status(503));
    {
        let _installed = telemetry.install_local();
        span.in_scope(|| tracing::info!(code = "UNAVAILABLE", "served"));
        tracing::warn!(target: "h2::client", "must not be exported");
    }
    span.finish_server("UNAVAILABLE", Some("UPSTREAM_CIRCUIT_OPEN"));

    let begun = Instant::now();
    telemetry.shutdown(CAP).await;
    assert!(begun.elapsed() < CAP, "{:?}", begun.elapsed());

    let spans = collector.spans();
    let server = named(&spans, METHODS[1])[0];
    assert_eq!(server.kind(), SpanKind::Server);
    assert_eq!(server.trace_state, "vendor=1");
    let of = |key| attribute(&server.attributes, key).cloned();
    assert_eq!(of("rpc.system.name"), text("grpc"));
    assert_eq!(of("rpc.method"), text(METHODS[1]));
    assert_eq!(of("rpc.response.status_code"), text("UNAVAILABLE"));
    assert_eq!(of("error.type"), text("UNAVAILABLE"));
    assert_eq!(of("qiwi.error.reason"), text("UPSTREAM_CIRCUIT_OPEN"));
    let status = server.status.as_ref().unwrap();
    assert_eq!(status.code(), StatusCode::Error);

    let attempt = named(&spans, "POST /pay/{wallet}")[0];
    assert_eq!(attempt.kind(), SpanKind::Client);
    assert_eq!(attempt.parent_span_id, server.span_id);
    let of = |key| attribute(&attempt.attributes, key).cloned();
    assert_eq!(of("url.template"), text("/pay/{wallet}"));
    assert_eq!(of("server.address"), text("edge.example"));
    assert_eq!(of("server.port"), Some(Value::IntValue(443)));
    assert_eq!(of("http.request.resend_count"), Some(Value::IntValue(2)));
    assert_eq!(of("http.response.status_code"), Some(Value::IntValue(503)));
    let hex: String = attempt.span_id.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(sent["traceparent"], format!("00-{TRACE}-{hex}-01"));
    assert_eq!(sent.len(), 1, "nothing but traceparent is sent on");

    let logs = collector.logs();
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert_eq!(logs[0].body, Some(AnyValue { value: text("served") }));
    assert_eq!(logs[0].span_id, server.span_id);
    assert!(log.contents().contains("\"message\":\"served\""));

    let metrics = collector.metric_names();
    for name in ["rpc.server.call.duration", "qiwi.attempts", "qiwi.build_info"] {
        assert!(metrics.iter().any(|metric| metric == name), "{name}: {metrics:?}");
    }
    let everything = collector.everything();
    assert!(everything.contains("gateway-under-test"));
    assert!(!everything.contains("secret"));
}

#[tokio::test]
async fn money_is_always_traced_and_reads_follow_their_share() {
    let collector = Collector::start();
    let telemetry = exporting(collector.endpoint(), &MemoryLog::default());
    let tracing = telemetry.tracing();
    let run = |method, headers: &HeaderMap, money| {
        let span = tracing.server_span(method, headers, money);
        let recording = span.is_recording();
        span.finish_server("OK", None);
        recording
    };
    // The share of reads is 0 % here.
    assert!(!run("read/root", &HeaderMap::new(), false));
    assert!(!run("read/unsampled", &called_with("00"), false));
    assert!(run("read/sampled", &called_with("01"), false));
    assert!(run("money/root", &HeaderMap::new(), true));
    assert!(run("money/unsampled", &called_with("00"), true));
    telemetry.shutdown(CAP).await;
    let mut names: Vec<_> = collector.spans().into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["money/root", "money/unsampled", "read/sampled"]);
}

#[tokio::test]
async fn an_unsampled_call_is_still_propagated_as_unsampled() {
    let collector = Collector::start();
    let telemetry = exporting(collector.endpoint(), &MemoryLog::default());
    let span = telemetry.tracing().server_span("read", &called_with("00"), false);
    let attempt = span.attempt("GET", "/x", "edge", 443, 0);
    let mut sent = HeaderMap::new();
    attempt.inject(&mut sent);
    let traceparent = sent["traceparent"].to_str().unwrap();
    assert!(traceparent.starts_with(&format!("00-{TRACE}-")), "{traceparent}");
    assert!(traceparent.ends_with("-00"), "{traceparent}");
    drop((attempt, span));
    telemetry.shutdown(CAP).await;
    assert_eq!(collector.spans(), []);
}

#[tokio::test]
async fn a_dropped_span_ends_as_cancelled() {
    let collector = Collector::start();
    let telemetry = exporting(collector.endpoint(), &MemoryLog::default());
    let span = telemetry.tracing().server_span("call", &HeaderMap::new(), true);
    drop(span.attempt("GET", "/x", "edge", 443, 0));
    drop(span);
    telemetry.shutdown(CAP).await;
    let spans = collector.spans();
    let call = named(&spans, "call")[0];
    let code = attribute(&call.attributes, "rpc.response.status_code");
    assert_eq!(code.cloned(), text("CANCELLED"));
    let attempt = named(&spans, "GET /x")[0];
    let kind = attribute(&attempt.attributes, "error.type");
    assert_eq!(kind.cloned(), text("cancelled"));
}

#[tokio::test]
async fn without_a_collector_all_goes_on_and_it_is_said_once() {
    // A port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let log = MemoryLog::default();
    let telemetry = exporting(endpoint, &log);
    let page = telemetry.renderer();
    {
        let _installed = telemetry.install_local();
        for _ in 0..10 {
            let span = telemetry.tracing().server_span("call", &HeaderMap::new(), true);
            tracing::info!("served");
            span.finish_server("OK", None);
        }
    }
    // Export now, with the collector absent, and look before shutting down.
    let pipelines = telemetry.pipelines.as_ref().unwrap();
    pipelines.flush();
    let page = page();
    assert!(page.contains(r#"qiwi_telemetry_dropped_total{signal="traces"} 10"#), "{page}");
    assert!(page.contains(r#"qiwi_telemetry_dropped_total{signal="logs"} 10"#), "{page}");
    let begun = Instant::now();
    telemetry.shutdown(CAP).await;
    assert!(begun.elapsed() < CAP + Duration::from_secs(1));
    let lines = log.contents();
    assert_eq!(lines.matches("telemetry_export_failed").count(), 1, "{lines}");
    assert_eq!(lines.matches("\"message\":\"served\"").count(), 10);
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

/// A collector that accepts connections and never answers must not hold up the
/// end of the process beyond the cap.
#[tokio::test]
async fn a_silent_collector_cannot_delay_the_end() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let telemetry = exporting(endpoint, &MemoryLog::default());
    let span = telemetry.tracing().server_span("call", &HeaderMap::new(), true);
    span.finish_server("OK", None);
    let begun = Instant::now();
    telemetry.shutdown(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn https_endpoints_are_accepted() {
    // Nothing listens there and nothing is sent: only the exporter is built.
    let telemetry = exporting("https://127.0.0.1:1".to_owned(), &MemoryLog::default());
    assert!(telemetry.tracing().enabled());
}
