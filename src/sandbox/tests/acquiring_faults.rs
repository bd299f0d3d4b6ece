//! Card operations under faults: what a client is told and what was really done.

use serde_json::{Value, json};

use super::merchant::{changed, signed, with_card};
use super::{Bench, demo};

const SITE: u64 = demo::ONLINE_SITE;

/// Sends a sale under a rule; status, answer, and how many transactions there are then.
async fn sale(fault: Value) -> (Option<u16>, Value, usize) {
    let bench = Bench::start().await;
    bench.mischief(json!({ "match": { "opcode": 1 }, "times": 1, "fault": fault }));
    let request = bench
        .request(reqwest::Method::POST, "/merchant/direct")
        .header("content-type", "application/json")
        .body(signed(SITE, 1, with_card("o", "7.00")).to_string());
    let (status, body) = match request.send().await {
        Ok(answer) => (Some(answer.status().as_u16()), answer.bytes().await.unwrap_or_default()),
        Err(_) => (None, bytes::Bytes::new()),
    };
    let answer = serde_json::from_slice(&body).unwrap_or_default();
    (status, answer, bench.transactions().len())
}

#[tokio::test]
async fn a_fault_strikes_before_or_after_the_money_moved() {
    for (fault, status, done) in [
        (json!({ "cut": "before_processing" }), None, 0),
        (json!({ "cut": "before_processing", "reset": true }), None, 0),
        (json!({ "cut": "before_headers" }), None, 1),
        (json!({ "cut": "mid_body" }), Some(200), 1),
        (json!({ "status": 500 }), Some(500), 0),
        (json!({ "status": 502, "process": true }), Some(502), 1),
        (json!({ "status": 401 }), Some(401), 0),
        (json!({ "status": 403 }), Some(403), 0),
        (json!({ "garbage": true }), Some(200), 1),
    ] {
        let (answered, answer, count) = sale(fault.clone()).await;
        assert_eq!((answered, answer, count), (status, Value::Null, done), "{fault}");
    }
}

#[tokio::test]
async fn codes_can_be_answered_truly_falsely_or_with_a_declined_transaction() {
    let (status, answer, count) = sale(json!({ "error_code": 8154 })).await;
    assert_eq!((status, &answer["error_code"], count), (Some(200), &json!(8154), 0));
    assert_eq!(answer["error_message"], "Try again later");
    let (_, answer, count) = sale(json!({ "error_code": 8001, "process": true })).await;
    assert_eq!((&answer["error_code"], answer.get("txn_id"), count), (&json!(8001), None, 1));
    let (_, answer, count) = sale(json!({ "decline_code": 8153 })).await;
    assert_eq!((&answer["error_code"], &answer["txn_status"], count), (&json!(8153), &json!(1), 1));
}

#[tokio::test]
async fn rules_choose_operations_by_their_number() {
    let bench = Bench::start().await;
    bench
        .mischief(json!({ "match": { "opcode": 7 }, "times": 1, "fault": { "error_code": 8001 } }));
    let id = bench.paid(SITE, 1, "o", "7.00").await;
    // Clients may send it as text.
    let request = signed(SITE, 7, json!({ "txn_id": id }));
    let mut as_text = request.clone();
    as_text["opcode"] = json!("7");
    assert_eq!(bench.operate_unsigned(&as_text).await.1["error_code"], 8001);
    assert_eq!(bench.operate_unsigned(&request).await.1["error_code"], 0);
    let wrong = json!({ "match": { "opcode": 7 }, "notification": {} });
    assert!(bench.sandbox.add_fault(wrong).is_err());
}

#[tokio::test]
async fn a_status_query_can_be_behind_the_truth() {
    let bench = Bench::start().await;
    bench.mischief(
        json!({ "match": { "opcode": 3 }, "times": 1, "fault": { "late_history_ms": 200 } }),
    );
    let id = bench.paid(SITE, 3, "o", "7.00").await;
    assert_eq!(bench.code(SITE, 30, json!({ "order_id": "o" })).await, 8022);
    assert_eq!(bench.code(SITE, 30, json!({ "txn_id": id })).await, 8022);
    assert_eq!(bench.transactions().len(), 1);
    tokio::time::sleep(std::time::Duration::from_millis(210)).await;
    assert_eq!(bench.order(SITE, "o").await, [(id, 2, 2)]);
    let begun = with_card("p", "7.00");
    let begun = changed(begun, json!({ "card_name": "unknown name", "expiry": "0299" }));
    let begun = bench.operate(demo::MERCHANT_SITE, 1, begun).await;
    let pares = bench.pares(&begun, "confirm").await;
    let finish = json!({ "txn_id": begun["txn_id"], "pares": pares });
    bench.mischief(
        json!({ "match": { "opcode": 2 }, "times": 1, "fault": { "late_history_ms": 200 } }),
    );
    assert_eq!(bench.code(demo::MERCHANT_SITE, 2, finish).await, 8160);
    let shown = bench.operate(demo::MERCHANT_SITE, 30, json!({ "order_id": "p" })).await;
    let shown = &shown["transactions"][0];
    assert_eq!((&shown["txn_status"], &shown["error_code"]), (&json!(0), &json!(0)));
    assert_eq!((shown.get("auth_code"), shown.get("error_message")), (None, None));
    bench.mischief(
        json!({ "match": { "opcode": 5 }, "times": 1, "fault": { "late_history_ms": 200 } }),
    );
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": id })).await, 0);
    assert_eq!(bench.order(SITE, "o").await, [(id, 2, 2)]);
    assert_eq!(bench.transactions()[0].status, 4);
    tokio::time::sleep(std::time::Duration::from_millis(210)).await;
    assert_eq!(bench.order(SITE, "o").await, [(id, 2, 4)]);
}
