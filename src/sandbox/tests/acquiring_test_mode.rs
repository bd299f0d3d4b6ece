//! Test mode, and 3-D Secure from the first answer to the last.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::merchant::{changed, quick, signed, with_card};
use super::{Bench, SandboxConfig, demo};

const SITE: u64 = demo::MERCHANT_SITE;

fn expiring(order: &str, expiry: &str) -> Value {
    changed(with_card(order, "7.00"), json!({ "expiry": expiry }))
}

fn unknown(order: &str) -> Value {
    changed(with_card(order, "7.00"), json!({ "card_name": "unknown name" }))
}

#[tokio::test]
async fn the_month_of_expiry_says_how_it_ends_and_when() {
    let bench = Bench::with(quick()).await;
    for (expiry, code, status, slow) in [
        ("0199", 0, 4, false),
        ("0299", 8160, 1, false),
        ("0399", 0, 4, true),
        ("0499", 8160, 1, true),
        ("0599", 0, 4, false),
    ] {
        let started = Instant::now();
        let answer = bench.operate(SITE, 1, expiring(expiry, expiry)).await;
        assert_eq!(answer["error_code"], code, "{expiry}");
        assert_eq!(answer["txn_status"], status, "{expiry}");
        assert_eq!(answer["is_test"], "true");
        assert_eq!(started.elapsed() >= Duration::from_millis(150), slow, "{expiry}");
    }
}

#[tokio::test]
async fn an_order_in_process_and_a_card_in_use_are_not_charged_again() {
    let bench = Bench::with(quick()).await;
    bench.site(|site| {
        site.id = SITE;
        site.test_mode = true;
        site.locks_cards = true;
    });
    let slow = async { bench.operate(SITE, 1, expiring("a", "0399")).await };
    let soon = async {
        while bench.transactions().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let same = bench.code(SITE, 1, expiring("a", "1299")).await;
        (same, bench.code(SITE, 1, expiring("b", "1299")).await)
    };
    let (slow, codes) = tokio::join!(slow, soon);
    assert_eq!((slow["error_code"].as_u64(), codes), (Some(0), (8056, 8057)));
    assert_eq!(bench.code(SITE, 1, expiring("a", "1299")).await, 8055);
    assert_eq!(bench.code(SITE, 1, expiring("b", "1299")).await, 0);
}

#[tokio::test]
async fn a_client_that_goes_away_changes_nothing() {
    let bench = Bench::with(quick()).await;
    let request = signed(SITE, 1, expiring("a", "0399"));
    let impatient = Duration::from_millis(50);
    let sent = tokio::time::timeout(impatient, bench.operate_unsigned(&request)).await;
    assert!(sent.is_err(), "nothing was answered yet");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bench.transactions()[0].status, 4);
}

#[tokio::test]
async fn amounts_codes_currencies_and_numbers_are_limited() {
    let mut config = SandboxConfig::default();
    config.acquiring.test_operations_max = 3;
    let bench = Bench::with(config).await;
    bench.site(|site| {
        site.id = SITE;
        site.test_mode = true;
        site.currencies = vec![643, 840];
    });
    let code = async |order: &str, changes: Value| {
        bench.code(SITE, 1, changed(with_card(order, "10.00"), changes)).await
    };
    assert_eq!(code("a", json!({ "amount": "10.01" })).await, 8070);
    assert_eq!(code("a", json!({ "cvv2": "1234" })).await, 8019);
    assert_eq!(code("a", json!({ "currency": 840 })).await, 8059);
    // None of these counts, and of those that do, the declined one does too.
    assert_eq!(code("a", json!({})).await, 0);
    assert_eq!(code("b", json!({ "expiry": "0299" })).await, 8160);
    assert_eq!(code("c", json!({})).await, 0);
    assert_eq!(code("d", json!({})).await, 8069);
    assert_eq!(code("d", json!({ "amount": "10.01" })).await, 8070);
}

#[tokio::test]
async fn an_unknown_name_goes_to_the_issuer_and_comes_back() {
    let bench = Bench::start().await;
    for (opcode, kind, status) in [(1, 1, 4), (3, 2, 2)] {
        let order = format!("o-{opcode}");
        let begun = bench.operate(SITE, opcode, unknown(&order)).await;
        assert_eq!((&begun["txn_status"], &begun["error_code"]), (&json!(0), &json!(0)));
        assert_eq!((&begun["txn_type"], begun.get("pan")), (&json!(kind), None));
        let acs = format!("http://{}/acs", bench.sandbox.address());
        assert_eq!(begun["acs_url"], acs);
        assert_eq!(bench.code(SITE, opcode, with_card(&order, "7.00")).await, 8056);
        let pares = bench.pares(&begun, "confirm").await;
        let finish = json!({ "txn_id": begun["txn_id"], "pares": pares });
        let done = bench.operate(SITE, 2, finish.clone()).await;
        assert_eq!((&done["error_code"], &done["txn_status"]), (&json!(0), &json!(status)));
        assert_eq!((&done["eci"], &done["txn_id"]), (&json!("5"), &begun["txn_id"]));
        assert_eq!(bench.code(SITE, 2, finish).await, 8052, "it is over");
    }
}

#[tokio::test]
async fn who_is_denied_or_makes_an_answer_up_does_not_pay() {
    let bench = Bench::start().await;
    let (first, second) =
        (bench.operate(SITE, 1, unknown("a")).await, bench.operate(SITE, 1, unknown("b")).await);
    let denied = bench.pares(&first, "deny").await;
    let of_another = bench.pares(&first, "confirm").await;
    for (begun, pares) in [(&first, denied), (&second, of_another)] {
        let finish = json!({ "txn_id": begun["txn_id"], "pares": pares });
        let answer = bench.operate(SITE, 2, finish).await;
        assert_eq!((&answer["error_code"], &answer["txn_status"]), (&json!(8151), &json!(1)));
    }
    assert_eq!(bench.code(SITE, 2, json!({ "txn_id": first["txn_id"] })).await, 8019);
    assert_eq!(bench.code(SITE, 2, json!({ "txn_id": 1, "pares": "x" })).await, 8022);
}

#[tokio::test]
async fn the_issuers_decision_comes_after_the_customers() {
    let bench = Bench::start().await;
    let begun = bench.operate(SITE, 1, changed(unknown("a"), json!({ "expiry": "0299" }))).await;
    let pares = bench.pares(&begun, "confirm").await;
    assert_eq!(
        bench.code(SITE, 2, json!({ "txn_id": begun["txn_id"], "pares": pares })).await,
        8160
    );
}

#[tokio::test]
async fn after_a_quarter_of_an_hour_it_is_too_late() {
    let mut config = SandboxConfig::default();
    config.acquiring.three_d_secure_within = Duration::from_millis(50);
    let bench = Bench::with(config).await;
    let begun = bench.operate(SITE, 1, unknown("a")).await;
    let pares = bench.pares(&begun, "confirm").await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(
        bench.code(SITE, 2, json!({ "txn_id": begun["txn_id"], "pares": pares })).await,
        8023
    );
    assert_eq!(bench.transactions()[0].error_code, 8023);
    assert_eq!(bench.code(SITE, 1, with_card("a", "7.00")).await, 0, "the order is free again");
}

#[tokio::test]
async fn the_issuers_page_asks_and_sends_back() {
    let bench = Bench::start().await;
    let begun = bench.operate(SITE, 1, unknown("a")).await;
    let pareq = super::encoded(begun["pareq"].as_str().unwrap());
    let page = bench
        .client
        .get(format!(
            "{}?PaReq={pareq}&MD=%22%3E&TermUrl=http://shop/",
            begun["acs_url"].as_str().unwrap()
        ))
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(
        page.contains("action=\"/acs/answer\"") && page.contains("value=\"&quot;&gt;\""),
        "{page}"
    );
    let stranger = bench.client.get(format!("{}?PaReq=x", begun["acs_url"].as_str().unwrap()));
    assert_eq!(stranger.send().await.unwrap().status(), 404);
}
