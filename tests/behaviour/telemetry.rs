//! What an operator learns of a call: one server span, one client span for each attempt, metrics,
//! one summary line.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use qiwi_gateway::telemetry::TelemetrySettings;

use crate::support::otlp::Collector;
use crate::support::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A gateway that exports to `collector`.
fn exporting(fake: &Fake, collector: &Collector) -> Setup {
    let setup = Setup::new(fake);
    let telemetry = TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some(collector.endpoint()),
        sample_read_percent: 0,
        metric_interval: Duration::from_secs(3600),
        ..setup.telemetry.clone()
    };
    Setup { telemetry, ..setup }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

#[tokio::test]
async fn a_call_is_one_server_span_with_a_client_span_for_each_attempt() {
    let collector = Collector::start();
    let fake =
        Fake::sequence([Answer::new(503, ""), Answer::raw("").and_close(), balance_answer()]).await;
    let gateway = exporting(&fake, &collector).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("traceparent", PARENT).and("baggage", "customer=17");
    ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    gateway.stop().await;
    let metrics = collector.metric_names();
    for name in ["rpc.server.call.duration", "http.client.request.duration", "qiwi.attempts"] {
        assert!(metrics.iter().any(|of| of == name), "{name} was not exported: {metrics:?}");
    }
    let summary = collector.logs().into_iter().find(|record| hex(&record.trace_id) == TRACE);
    assert!(summary.is_some(), "the summary line is exported with its trace");

    let spans = collector.spans();
    let servers: Vec<_> = spans.iter().filter(|span| span.kind() == SpanKind::Server).collect();
    let [server] = servers[..] else { panic!("one server span: {spans:#?}") };
    assert_eq!(server.name, BALANCES);
    assert_eq!(hex(&server.trace_id), TRACE);
    assert_eq!(hex(&server.parent_span_id), "00f067aa0ba902b7", "the caller's span is the parent");
    assert_eq!(attribute(server, "rpc.method").as_deref(), Some(BALANCES));
    assert_eq!(attribute(server, "rpc.system.name").as_deref(), Some("grpc"));
    assert_eq!(attribute(server, "rpc.response.status_code").as_deref(), Some("OK"));

    let mut attempts: Vec<_> =
        spans.iter().filter(|span| span.kind() == SpanKind::Client).collect();
    attempts.sort_by_key(|span| span.start_time_unix_nano);
    assert_eq!(attempts.len(), 3);
    let template = "/funding-sources/v2/persons/{wallet}/accounts";
    for (number, attempt) in attempts.iter().enumerate() {
        assert_eq!(attempt.name, format!("GET {template}"));
        assert_eq!(attempt.parent_span_id, server.span_id);
        assert_eq!(attempt.trace_id, server.trace_id);
        assert_eq!(attribute(attempt, "url.template").as_deref(), Some(template));
        assert_eq!(attribute(attempt, "server.address").as_deref(), Some("127.0.0.1"));
        let resend = attribute(attempt, "http.request.resend_count");
        assert_eq!(resend.unwrap_or_else(|| "0".to_owned()), number.to_string());
    }
    let status = |at: usize| attribute(attempts[at], "http.response.status_code");
    assert_eq!(
        (status(0).as_deref(), status(1), status(2).as_deref()),
        (Some("503"), None, Some("200"))
    );
    assert!(attribute(attempts[1], "error.type").is_some());
    assert!(!collector.everything().contains("customer=17"), "baggage is dropped");
}

#[tokio::test]
async fn a_refused_call_is_a_span_with_its_reason_and_no_attempt() {
    let collector = Collector::start();
    let fake = Fake::always(balance_answer()).await;
    let gateway = exporting(&fake, &collector).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::default().and("traceparent", PARENT);
    ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap_err();
    gateway.stop().await;
    let spans = collector.spans();
    let [span] = &spans[..] else { panic!("one span: {spans:#?}") };
    assert_eq!(attribute(span, "qiwi.error.reason").as_deref(), Some("CREDENTIAL_MISSING"));
    assert_eq!(attribute(span, "rpc.response.status_code").as_deref(), Some("UNAUTHENTICATED"));
}

#[tokio::test]
async fn trace_headers_reach_the_upstream_only_where_it_is_configured() {
    let collector = Collector::start();
    let fake = Fake::always(balance_answer()).await;
    let gateway = exporting(&fake, &collector)
        .set(|config| config.upstream.trace_context = true)
        .start()
        .await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("traceparent", PARENT).and("baggage", "customer=17");
    ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    let seen = &fake.seen()[0];
    let sent = seen.header("traceparent").expect("switched on");
    assert!(sent.contains(TRACE) && !sent.contains("00f067aa0ba902b7"), "{sent}");
    assert_eq!(seen.header("baggage"), None);
    gateway.stop().await;
}

#[tokio::test]
async fn the_callers_trace_is_in_the_summary_and_in_the_error_without_any_collector() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("traceparent", PARENT);
    let told = told(&ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap_err());
    assert_eq!(told.details.request_info().unwrap().serving_data, TRACE);
    assert_eq!(gateway.summaries()[0]["trace_id"], TRACE);
}

#[tokio::test]
async fn every_call_has_one_summary_line() {
    let fake = Fake::sequence([Answer::new(503, ""), balance_answer(), Answer::new(400, "")]).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let call = async |ask: Ask<'_>| ask.raw(&channel, BALANCES, Bytes::new()).await;
    call(Ask::with(MAIN)).await.unwrap();
    call(Ask::with(MAIN)).await.unwrap();
    call(Ask::default()).await.unwrap_err();
    let request = prost::Message::encode_to_vec(&fresh_balances());
    Ask::with(MAIN).raw(&channel, BALANCES, request).await.unwrap_err();
    let lines = gateway.summaries();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["code"].as_str().unwrap(),
                line["reason"].as_str(),
                line["attempts"].as_u64().unwrap(),
                line["cache"].as_str(),
                line["credential"].as_str(),
                line["http_status"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("OK", None, 2, Some("miss"), Some("main"), None),
            ("OK", None, 0, Some("hit"), Some("main"), None),
            ("UNAUTHENTICATED", Some("CREDENTIAL_MISSING"), 0, None, None, None),
            (
                "INVALID_ARGUMENT",
                Some("UPSTREAM_INVALID_REQUEST"),
                1,
                None,
                Some("main"),
                Some(400)
            ),
        ]
    );
    for line in &lines {
        assert_eq!(line["method"], BALANCES);
        assert_eq!(line["level"], "INFO");
        assert!(line["duration_us"].as_u64().unwrap() > 0);
        assert!(!line["request_id"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn metrics_have_the_names_of_the_conventions() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for _ in 0..3 {
        Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    }
    Ask::default().raw(&channel, BALANCES, Bytes::new()).await.unwrap_err();
    let calls = "rpc_server_call_duration_seconds_count";
    let method = format!("rpc_method=\"{BALANCES}\"");
    let ok = "rpc_response_status_code=\"OK\"";
    assert_eq!(gateway.metric(calls, &[&method, ok]).await, 3);
    let refused = "rpc_response_status_code=\"UNAUTHENTICATED\"";
    assert_eq!(gateway.metric(calls, &[&method, refused]).await, 1);
    let attempts = "http_client_request_duration_seconds_count";
    assert_eq!(gateway.metric(attempts, &[]).await, 1);
    assert_eq!(gateway.metric("qiwi_attempts_total", &["host=\"edge\""]).await, 1);
    assert_eq!(gateway.metric("qiwi_cache_total", &["result=\"hit\""]).await, 2);
    assert_eq!(gateway.metric("qiwi_cache_total", &["result=\"miss\""]).await, 1);
    assert_eq!(gateway.metric("qiwi_connections", &[]).await, 1);
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(gateway.metric("qiwi_build_info", &[&version]).await, 1);
}

#[tokio::test]
async fn calls_in_flight_are_counted_while_they_run() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(300))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let call =
        tokio::spawn(async move { Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await });
    until("the call is on its way", || fake.in_flight() == 1).await;
    assert_eq!(gateway.metric("qiwi_in_flight", &["class=\"read\""]).await, 1);
    call.await.unwrap().unwrap();
    assert_eq!(gateway.metric("qiwi_in_flight", &["class=\"read\""]).await, 0);
}

#[tokio::test]
async fn a_collector_that_is_away_disturbs_no_call_and_no_end() {
    let nobody = crate::support::fake::nobody().await;
    let fake = Fake::always(balance_answer()).await;
    let setup = Setup::new(&fake);
    let telemetry = TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some(format!("http://{nobody}")),
        ..setup.telemetry.clone()
    };
    let gateway = Setup { telemetry, ..setup }.start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("traceparent", PARENT);
    ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    drop(channel);
    let stop = tokio::time::timeout(Duration::from_secs(12), gateway.stop()).await;
    assert!(stop.is_ok(), "the end waits for the collector");
}
