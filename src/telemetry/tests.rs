//! Telemetry as a whole: the metrics page, and export to a collector in process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use std::time::{Duration, SystemTime};

mod collector;
mod export;
mod process;

use collector::Collector;

const METHODS: [&str; 2] = ["qiwi.test.v1.Tests/Read", "qiwi.test.v1.Tests/Pay"];

fn settings(log: &MemoryLog) -> TelemetrySettings {
    TelemetrySettings {
        methods: METHODS.to_vec(),
        log_output: LogOutput::Memory(log.clone()),
        ..TelemetrySettings::default()
    }
}

/// Uses every instrument once.
fn exercise(metrics: &Metrics) {
    metrics.call(0, 0, 0.000_2);
    metrics.call(1, 14, 7.0);
    metrics.call(99, 12, 0.1);
    metrics.attempt("edge", "balances", "GET", "ok", Some(200), 0.03);
    metrics.attempt("edge", "balances", "GET", "timeout", None, 2.0);
    metrics.retry_budget_refused("edge");
    metrics.breaker_transition("edge", "balances", BreakerState::Open);
    metrics.cooldowns_active("history", 3);
    metrics.cooldown_started("history");
    metrics.shed("full");
    metrics.limiter_refused("history", true);
    metrics.cache("balances", "hit");
    metrics.in_flight("read", 2);
    metrics.in_flight("read", -1);
    metrics.remaining_budget(0.7);
    metrics.connections(1);
    metrics.connection_closed("idle");
    metrics.reload("credentials", "ok");
    metrics.panic();
    metrics.unknown_enum("status");
    metrics.unknown_field("balances");
    metrics.unreadable_time("date");
    metrics.undocumented_reply("balances");
    metrics.deadline_header_malformed();
    metrics.events.webhook("main", true);
    metrics.events.groups(7, 30.0, 0.25);
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    metrics.secrets.credential("main", true, Duration::from_secs(90), Some(expires));
    metrics.secrets.certificate("shop", expires);
}

#[test]
fn the_metrics_page_shows_every_metric_with_its_labels() {
    let telemetry = init(&settings(&MemoryLog::default())).unwrap();
    exercise(&telemetry.metrics());
    let page = telemetry.render_prometheus();
    for line in [
        r#"rpc_server_call_duration_seconds_bucket{rpc_method="qiwi.test.v1.Tests/Read",rpc_response_status_code="OK",le="0.0005"} 1"#,
        r#"rpc_server_call_duration_seconds_bucket{rpc_method="qiwi.test.v1.Tests/Pay",rpc_response_status_code="UNAVAILABLE",le="5"} 0"#,
        r#"rpc_server_call_duration_seconds_bucket{rpc_method="qiwi.test.v1.Tests/Pay",rpc_response_status_code="UNAVAILABLE",le="7.5"} 1"#,
        r#"rpc_server_call_duration_seconds_count{rpc_method="_OTHER",rpc_response_status_code="UNIMPLEMENTED"} 1"#,
        r#"http_client_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",server_address="edge"} 1"#,
        r#"http_client_request_duration_seconds_count{error_type="timeout",http_request_method="GET",server_address="edge"} 1"#,
        r#"qiwi_attempts_total{area="balances",host="edge",method="GET",outcome="timeout"} 1"#,
        r#"qiwi_retry_budget_refused_total{host="edge"} 1"#,
        r#"qiwi_breaker_state{area="balances",host="edge"} 2"#,
        r#"qiwi_breaker_transitions_total{area="balances",host="edge",to="open"} 1"#,
        r#"qiwi_cooldowns_active{area="history"} 3"#,
        r#"qiwi_cooldowns_started_total{area="history"} 1"#,
        r#"qiwi_shed_total{reason="full"} 1"#,
        r#"qiwi_limiter_refused_total{area="history",shadow="true"} 1"#,
        r#"qiwi_cache_total{operation="balances",result="hit"} 1"#,
        r#"qiwi_in_flight{class="read"} 1"#,
        r#"qiwi_remaining_budget_seconds_bucket{le="1"} 1"#,
        "qiwi_connections 1",
        r#"qiwi_connections_closed_total{reason="idle"} 1"#,
        r#"qiwi_reload_total{result="ok",source="credentials"} 1"#,
        "qiwi_panics_total 1",
        r#"qiwi_unknown_enum_total{field="status"} 1"#,
        r#"qiwi_unknown_field_total{operation="balances"} 1"#,
        r#"qiwi_unreadable_time_total{field="date"} 1"#,
        r#"qiwi_undocumented_reply_total{operation="balances"} 1"#,
        "qiwi_deadline_header_malformed_total 1",
        r#"qiwi_webhook_up{credential="main"} 1"#,
        r#"qiwi_payment_alarms_total{reason="unwritten"} 0"#,
        r#"qiwi_event_alarms_total{reason="group_gap"} 0"#,
        r#"qiwi_events_buried_total{reason="rejected"} 0"#,
        "qiwi_events_conflict_total 0",
        "qiwi_group_lag 7",
        "qiwi_group_age_seconds 30",
        "qiwi_group_retention_used 0.25",
        r#"qiwi_credential_rejected{credential="main"} 1"#,
        r#"qiwi_credential_stale_seconds{credential="main"} 90"#,
        r#"qiwi_credential_expiry_timestamp_seconds{credential="main"} 1900000000"#,
        r#"qiwi_credential_certificate_expiry_timestamp_seconds{credential="shop"} 1900000000"#,
        r#"qiwi_telemetry_dropped_total{signal="traces"} 0"#,
        "qiwi_log_lines_dropped_total 0",
    ] {
        let shown = page.lines().any(|shown| shown == line);
        assert!(shown, "missing: {line}\n{page}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(page.contains(&format!("qiwi_build_info{{version=\"{version}\"}} 1")));
}

#[test]
fn every_metric_is_described_and_named_as_prometheus_expects() {
    let telemetry = init(&settings(&MemoryLog::default())).unwrap();
    exercise(&telemetry.metrics());
    let families = telemetry.registry.gather();
    assert!(families.len() >= 26, "{}", families.len());
    for family in families {
        let name = family.name();
        assert!(!family.help().is_empty(), "{name}");
        let counter = family.get_field_type() == prometheus::proto::MetricType::COUNTER;
        assert_eq!(counter, name.ends_with("_total"), "{name}");
        assert!(!name.ends_with("_ratio"), "{name}");
    }
}

#[test]
fn an_unlabelled_counter_exists_before_its_first_event() {
    let telemetry = init(&settings(&MemoryLog::default())).unwrap();
    let page = telemetry.render_prometheus();
    assert!(page.contains("\nqiwi_panics_total 0\n"), "{page}");
}

#[test]
fn a_method_beyond_the_default_series_limit_keeps_its_name() {
    let methods: Vec<&'static str> = (0..150)
        .map(|n| &*Box::leak(format!("qiwi.test.v1.Tests/M{n}").into_boxed_str()))
        .collect();
    let telemetry =
        init(&TelemetrySettings { methods, ..settings(&MemoryLog::default()) }).unwrap();
    let metrics = telemetry.metrics();
    for method in 0..150 {
        for code in 0..17 {
            metrics.call(method, code, 0.1);
        }
    }
    let page = telemetry.render_prometheus();
    assert!(page.contains("Tests/M149\",rpc_response_status_code=\"UNAUTHENTICATED\""));
    assert!(!page.contains("overflow"));
}

#[test]
fn two_gateways_in_one_process_share_nothing() {
    let logs = [MemoryLog::default(), MemoryLog::default()];
    let [first, second] = [0, 1].map(|n| {
        init(&TelemetrySettings {
            // Even so, bound addresses are told.
            log_filter: "error".to_owned(),
            ..settings(&logs[n])
        })
        .unwrap()
    });
    first.metrics().panic();
    assert!(first.render_prometheus().contains("qiwi_panics_total 1"));
    assert!(second.render_prometheus().contains("qiwi_panics_total 0"));
    {
        let _installed = first.install_local();
        listening("grpc", SocketAddr::from(([127, 0, 0, 1], 1234)));
    }
    {
        let _installed = second.install_local();
        listening("admin", SocketAddr::from(([127, 0, 0, 1], 4321)));
    }
    drop((first, second));
    let [first, second] = logs.map(|log| log.contents());
    let front = r#"{"event":"listening","listener":"grpc","address":"127.0.0.1:1234","time":""#;
    assert!(first.starts_with(front), "{first}");
    assert_eq!(first.lines().count(), 1);
    assert!(second.contains("4321") && !second.contains("1234"), "{second}");
}

#[test]
fn unread_metrics_take_everything() {
    exercise(&Metrics::unread(&METHODS));
}

#[test]
fn without_otlp_the_callers_trace_id_is_still_known_and_nothing_is_injected() {
    let telemetry = init(&settings(&MemoryLog::default())).unwrap();
    let tracing = telemetry.tracing();
    assert!(!tracing.enabled());
    let mut headers = http::HeaderMap::new();
    let span = tracing.server_span(METHODS[0], &headers, false);
    assert_eq!(span.trace_id(), None);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    headers.insert("traceparent", parent.parse().unwrap());
    let span = tracing.server_span(METHODS[0], &headers, false);
    let text = span.trace_id().unwrap();
    assert_eq!(text.as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let attempt = span.attempt("GET", "/x", "edge", 443, 0);
    let mut out = http::HeaderMap::new();
    attempt.inject(&mut out);
    assert!(out.is_empty());
    attempt.finish_attempt(AttemptOutcome::Status(200));
    span.finish_server("OK", None);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let log = MemoryLog::default();
    let bad_filter = TelemetrySettings { log_filter: "a=b=c".to_owned(), ..settings(&log) };
    assert!(matches!(init(&bad_filter), Err(TelemetryError::Filter(_))));
    let bad_endpoint = TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some("http://no url".to_owned()),
        ..settings(&log)
    };
    assert!(matches!(init(&bad_endpoint), Err(TelemetryError::Exporter(_))));
}
