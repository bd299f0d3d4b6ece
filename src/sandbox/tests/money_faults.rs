//! What can go wrong around a payment, before and after the money has moved.

use std::time::{Duration, Instant};

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::money::{WALLET_TERMS, transfer};
use super::{Bench, SandboxConfig, demo};

/// How a payment's call ended for its client.
#[derive(Debug, PartialEq)]
enum Seen {
    Silence,
    Broken,
    Status(u16),
    HalfAnswer,
}

impl Bench {
    fn strike(&self, fault: Value) {
        let rule = json!({ "match": { "path_prefix": "/sinap/api/" }, "fault": fault });
        self.sandbox.clear_faults();
        self.sandbox.add_fault(rule).unwrap();
    }

    async fn pay(&self, id: &str, patience: Duration) -> (Seen, String) {
        let request = self
            .request(Method::POST, WALLET_TERMS)
            .header(header::CONTENT_TYPE, "application/json")
            .timeout(patience)
            .body(transfer(id, "10").to_string());
        match request.send().await {
            Err(error) if error.is_timeout() => (Seen::Silence, String::new()),
            Err(error) => {
                let whole = format!("{error:?}");
                assert!(!error.is_connect(), "{whole}");
                (Seen::Broken, whole)
            }
            Ok(response) => {
                let status = response.status().as_u16();
                match response.text().await {
                    Ok(text) => (Seen::Status(status), text),
                    Err(error) if error.is_timeout() => (Seen::Silence, String::new()),
                    Err(_) => (Seen::HalfAnswer, String::new()),
                }
            }
        }
    }

    fn commits(&self, id: &str) -> usize {
        self.sandbox.payments().iter().filter(|paid| paid.client_id == id).count()
    }
}

#[tokio::test]
async fn each_fault_lies_on_its_side_of_the_commit() {
    let bench = Bench::start().await;
    let table = [
        (json!({ "hang": "before_processing" }), Seen::Silence, 0),
        (json!({ "hang": "before_headers" }), Seen::Silence, 1),
        (json!({ "hang": "after_headers" }), Seen::Silence, 1),
        (json!({ "hang": "mid_body" }), Seen::Silence, 1),
        (json!({ "cut": "before_processing" }), Seen::Broken, 0),
        (json!({ "cut": "before_headers" }), Seen::Broken, 1),
        (json!({ "cut": "before_processing", "reset": true }), Seen::Broken, 0),
        (json!({ "cut": "before_headers", "reset": true }), Seen::Broken, 1),
        (json!({ "cut": "after_headers" }), Seen::HalfAnswer, 1),
        (json!({ "cut": "mid_body" }), Seen::HalfAnswer, 1),
        (json!({ "status": 500 }), Seen::Status(500), 0),
        (json!({ "status": 500, "process": true }), Seen::Status(500), 1),
        (json!({ "garbage": true }), Seen::Status(200), 1),
        (json!({ "no_transaction": true }), Seen::Status(200), 1),
        (json!({ "empty": true }), Seen::Status(200), 1),
        (json!({ "answer_latency_ms": 2_000 }), Seen::Silence, 1),
        (json!({ "latency_ms": 20, "answer_latency_ms": 20 }), Seen::Status(200), 1),
        (json!({ "payment_code": 220 }), Seen::Status(400), 0),
    ];
    for ((fault, expected, commits), number) in table.into_iter().zip(1_000..) {
        let id = format!("{number}");
        bench.strike(fault.clone());
        // Patience enough for a busy machine where an answer of some kind is to come.
        let patience = if expected == Seen::Silence { 300 } else { 5_000 };
        let (seen, text) = bench.pay(&id, Duration::from_millis(patience)).await;
        assert_eq!(seen, expected, "{fault}");
        assert_eq!(bench.commits(&id), commits, "{fault}");
        assert_eq!(bench.operation(&id).await.is_some(), commits == 1, "{fault}");
        if fault.get("garbage").is_some() {
            assert!(serde_json::from_str::<Value>(&text).is_err());
        }
        if fault.get("no_transaction").is_some() {
            let info: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((&info["id"], info.get("transaction")), (&json!(id), None));
        }
        if fault.get("reset").is_some() {
            assert!(text.contains("ConnectionReset"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_whole_request_is_carried_out_though_its_client_has_gone() {
    let bench = Bench::start().await;
    bench.strike(json!({ "latency_ms": 700 }));
    let (seen, _) = bench.pay("5", Duration::from_millis(100)).await;
    assert_eq!((seen, bench.commits("5")), (Seen::Silence, 0));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(bench.commits("5"), 1);
    let journal = bench.sandbox.requests();
    let payment = &journal["latest"][0];
    assert_eq!((&payment["path"], &payment["status"]), (&json!(WALLET_TERMS), &Value::Null));
}

#[tokio::test]
async fn half_a_request_is_not_carried_out() {
    use tokio::io::AsyncWriteExt;
    let bench = Bench::start().await;
    let body = transfer("6", "10").to_string();
    for kept in [body.len() / 2, body.len() - 1] {
        let mut stream = tokio::net::TcpStream::connect(bench.sandbox.address()).await.unwrap();
        let head = format!(
            "POST {WALLET_TERMS} HTTP/1.1\r\nhost: x\r\nuser-agent: x\r\naccept: */*\r\n\
             content-type: application/json\r\nauthorization: Bearer {}\r\n\
             content-length: {}\r\n\r\n",
            demo::WALLET_TOKEN,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body.as_bytes()[..kept]).await.unwrap();
        drop(stream);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(bench.commits("6"), 0);
    assert_eq!(bench.sandbox.requests()["total"], 2);
}

#[tokio::test]
async fn the_history_may_be_late_and_the_money_gone() {
    let config =
        SandboxConfig { settle_delay: Duration::from_millis(50), ..SandboxConfig::default() };
    let bench = Bench::with(config).await;
    bench.strike(json!({ "late_history_ms": 400, "cut": "before_headers" }));
    let started = Instant::now();
    assert_eq!(bench.pay("7", Duration::from_secs(5)).await.0, Seen::Broken);
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12335.57");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let shown = bench.operation("7").await;
    if started.elapsed() < Duration::from_millis(400) {
        assert_eq!(shown, None);
    }
    let txn_id = bench.sandbox.payments()[0].transaction_id;
    tokio::time::sleep(Duration::from_millis(400)).await;
    // It settled while nobody could see it.
    let shown = bench.operation("7").await.unwrap();
    assert_eq!((&shown["status"], &shown["txnId"]), (&json!("SUCCESS"), &json!(txn_id)));
}

#[tokio::test]
async fn the_course_of_a_payment_can_be_set() {
    let config = SandboxConfig { settle_delay: Duration::ZERO, ..SandboxConfig::default() };
    let bench = Bench::with(config).await;
    for (id, fault, soon, later) in [
        ("21", json!({}), "SUCCESS", "SUCCESS"),
        ("22", json!({ "stays_waiting": true }), "WAITING", "WAITING"),
        ("23", json!({ "settle_ms": 700 }), "WAITING", "SUCCESS"),
        ("24", json!({ "settle_ms": 700, "settle_code": 5 }), "WAITING", "ERROR"),
    ] {
        bench.strike(fault);
        assert_eq!(bench.pay(id, Duration::from_secs(5)).await.0, Seen::Status(200));
        assert_eq!(bench.operation(id).await.unwrap()["status"], soon, "{id}");
        tokio::time::sleep(Duration::from_millis(750)).await;
        assert_eq!(bench.operation(id).await.unwrap()["status"], later, "{id}");
    }
}

#[tokio::test]
async fn every_code_of_the_table_comes_on_demand() {
    const CODES: [u16; 52] = [
        3, 4, 5, 8, 57, 131, 166, 167, 202, 204, 220, 241, 242, 254, 271, 300, 303, 319, 407, 408,
        455, 461, 472, 500, 522, 547, 548, 558, 561, 700, 702, 704, 705, 710, 711, 716, 717, 746,
        747, 749, 750, 757, 797, 852, 866, 867, 893, 901, 943, 1050, 7000, 7600,
    ];
    let bench = Bench::start().await;
    for code in CODES {
        bench.strike(json!({ "payment_code": code }));
        let (status, answer) = bench.send(Method::POST, WALLET_TERMS, &transfer("8", "10")).await;
        assert_eq!((status, &answer["code"]), (400, &json!(format!("QWPRC-{code}"))));
        let text = answer["message"].as_str().unwrap();
        assert_ne!(text, "Платеж отклонен", "{code} has a text of its own");
    }
    assert!(bench.sandbox.payments().is_empty());
    // What the form of the payment forbids is refused before.
    let (_, answer) = bench.send(Method::POST, WALLET_TERMS, &transfer("x", "10")).await;
    assert_eq!(answer["errorCode"], "http.message.conversion.failed");
}

#[tokio::test]
async fn a_rule_can_be_meant_for_one_payment() {
    let bench = Bench::start().await;
    let rule = json!({ "match": { "body_contains": "\"31\"" }, "fault": { "payment_code": 704 } });
    bench.sandbox.add_fault(rule).unwrap();
    assert_eq!(bench.pay("131", Duration::from_secs(5)).await.0, Seen::Status(200));
    assert_eq!(bench.pay("31", Duration::from_secs(5)).await.0, Seen::Status(400));
    assert_eq!((bench.commits("131"), bench.commits("31")), (1, 0));
    for wrong in [json!({ "fault": { "reset": true } }), json!([{ "falt": {} }]), json!("x")] {
        assert!(bench.sandbox.add_fault(wrong).is_err());
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_hang() {
    let bench = Bench::start().await;
    bench.strike(json!({ "hang": "before_headers" }));
    assert_eq!(bench.pay("9", Duration::from_millis(100)).await.0, Seen::Silence);
    let hanging = bench.pay("10", Duration::from_secs(20));
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(bench.commits("10"), 1);
    };
    tokio::select! {
        _ = hanging => panic!("it hangs"),
        () = stop => {}
    }
    let stopped = tokio::time::timeout(Duration::from_secs(5), bench.sandbox.shutdown()).await;
    stopped.unwrap();
}
