//! Every kind of misbehaviour does what it says.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{Bench, accounts, body_json, demo, payments};

impl Bench {
    fn faulty(&self, path: &str, fault: &str) -> RequestBuilder {
        self.request(Method::GET, path).header("x-sandbox-fault", fault)
    }

    async fn rule(&self, rules: &Value) {
        let response = self.post("/__sandbox/faults", &rules.to_string()).await;
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn latency_and_status_compose() {
    let bench = Bench::start().await;
    let started = Instant::now();
    let fault = r#"{"latency_ms":120,"status":503,"retry_after":7,"body":{"down":true}}"#;
    let response = bench.faulty(&accounts(), fault).send().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(120));
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
    assert_eq!(body_json(response).await, json!({ "down": true }));
}

#[tokio::test]
async fn a_replaced_status_counts_only_what_was_carried_out() {
    let bench =
        Bench::with(super::SandboxConfig { history_limit: 1, ..super::SandboxConfig::default() })
            .await;
    let path = payments("rows=1");
    for _ in 0..3 {
        let response = bench.faulty(&path, "status=500").send().await.unwrap();
        assert_eq!(response.status(), 500);
    }
    let processed = bench.faulty(&path, "status=500,process").send().await;
    let processed = processed.unwrap();
    assert_eq!(processed.status(), 500);
    assert_eq!(processed.text().await.unwrap(), "");
    assert_eq!(bench.status(&path).await, 423);
}

#[tokio::test]
async fn cuts_end_the_connection_where_they_say() {
    let bench = Bench::start().await;
    for place in ["before_processing", "before_headers"] {
        let fault = format!("cut={place}");
        let error = bench.faulty(&accounts(), &fault).send().await.unwrap_err();
        assert!(!error.is_timeout() && !error.is_connect(), "{error:?}");
    }
    for place in ["after_headers", "mid_body"] {
        let fault = format!("cut={place}");
        let mut response = bench.faulty(&accounts(), &fault).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut received = 0;
        let error = loop {
            match response.chunk().await {
                Ok(Some(piece)) => received += piece.len(),
                Ok(None) => panic!("{place} must not end well"),
                Err(error) => break error,
            }
        };
        assert!(!error.is_timeout());
        assert_eq!(received > 0, place == "mid_body");
    }
    let latest = bench.requests().await["latest"].clone();
    assert!(latest[0]["status"].is_null());
    assert_eq!(latest[2]["status"], 200);
    assert_eq!(bench.status(&accounts()).await, 200);
}

#[tokio::test]
async fn bodies_can_be_wrong_in_many_ways() {
    let bench = Bench::start().await;
    let text = |fault: &'static str| {
        let request = bench.faulty(&accounts(), fault);
        async move { request.send().await.unwrap().text().await }
    };
    let whole = text("").await.unwrap();
    let garbage = text("garbage").await.unwrap();
    assert!(serde_json::from_str::<Value>(&garbage).is_err() && !garbage.is_empty());
    assert_eq!(text("empty").await.unwrap(), "");
    assert!(text("wrong_length=10").await.is_err());
    assert_eq!(text("wrong_length=-10").await.unwrap(), whole[..whole.len() - 10]);
    let started = Instant::now();
    assert_eq!(text("slow_body=100/20").await.unwrap(), whole);
    let pieces = u32::try_from(whole.len().div_ceil(100)).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(20) * pieces);
}

#[tokio::test]
async fn a_redirect_points_elsewhere() {
    let bench = Bench::start().await;
    let fault = r#"{"redirect":"https://example.com/elsewhere"}"#;
    let response = bench.faulty(&accounts(), fault).send().await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()["location"], "https://example.com/elsewhere");
}

#[tokio::test]
async fn a_missing_balance_comes_on_the_second_question() {
    let bench = Bench::start().await;
    for (fault, shown) in [("null_balance", Value::Null), ("empty_balance", json!({}))] {
        let response = bench.faulty(&accounts(), fault).send().await.unwrap();
        let first = body_json(response).await;
        let missing: Vec<&Value> = first["accounts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|account| account["hasBalance"] == true && account["balance"] == shown)
            .collect();
        assert_eq!(missing.len(), 3);
        let path = format!("{}?timeout=1000&alias=qw_wallet_eur", accounts());
        let response = bench.faulty(&path, fault).send().await.unwrap();
        let second = body_json(response).await;
        assert_eq!(second["accounts"][0]["balance"]["amount"].to_string(), "0.7");
    }
}

#[tokio::test]
async fn rules_match_count_and_merge() {
    let bench = Bench::start().await;
    bench
        .rule(&json!([
            {
                "match": { "path_prefix": "/funding-sources/", "token": demo::WALLET_TOKEN },
                "skip": 1, "times": 2, "fault": { "status": 503 },
            },
            { "match": { "method": "POST" }, "fault": { "status": 502 } },
            { "times": 0, "fault": { "status": 504 } },
        ]))
        .await;
    let other = bench.status_as(demo::INFORMATION_TOKEN, &accounts()).await;
    assert_eq!(other, 200);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(bench.status(&accounts()).await);
    }
    assert_eq!(seen, [200, 503, 503, 200]);
    let left = bench.text("/__sandbox/faults").await;
    assert!(left.contains("502") && !left.contains("503"));
    assert_eq!(bench.post("/sinap/crossRates", "").await.status(), 502);
    let clear = bench.request(Method::DELETE, "/__sandbox/faults");
    assert_eq!(clear.send().await.unwrap().status(), 204);
    assert_eq!(bench.post("/sinap/crossRates", "").await.status(), 405);
}

#[tokio::test]
async fn nonsense_is_refused_rather_than_ignored() {
    let bench = Bench::start().await;
    for fault in ["statsu=500", "status=100", "cut=somewhere", "{", "slow_body=0/1"] {
        let response = bench.faulty(&accounts(), fault).send().await.unwrap();
        assert_eq!(response.status(), 400, "{fault}");
    }
    let rules = bench.post("/__sandbox/faults", r#"[{"fault":{"x":1}}]"#).await;
    assert_eq!(rules.status(), 400);
}

#[tokio::test]
async fn the_journal_counts_by_route_and_holds_no_token() {
    let bench =
        Bench::with(super::SandboxConfig { request_log: 3, ..super::SandboxConfig::default() })
            .await;
    for _ in 0..4 {
        assert_eq!(bench.status(&payments("rows=1")).await, 200);
    }
    assert_eq!(bench.status("/nowhere").await, 404);
    let journal = bench.requests().await;
    assert_eq!(journal["total"], 5);
    let route = "GET /payment-history/v2/persons/{wallet}/payments";
    assert_eq!(journal["by_route"][route], 4);
    assert_eq!(journal["by_route"]["unmatched"], 1);
    assert_eq!(journal["latest"].as_array().unwrap().len(), 3);
    assert_eq!(journal["latest"][0]["wallet"], demo::WALLET);
    assert_eq!(journal["latest"][0]["query"], "rows=1");
    assert!(!journal.to_string().contains(demo::WALLET_TOKEN));
}
