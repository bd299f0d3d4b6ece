//! What a merchant is notified of, and what can go wrong with it.

use std::time::Duration;

use serde_json::{Value, json};

use super::merchant::{PAN, changed, quick, with_card};
use super::receiver::{Answer, Got, Receiver, hmac};
use super::{Bench, SandboxConfig, demo};

const SITE: u64 = demo::ONLINE_SITE;

/// Whether the eight fields are signed, in upper case.
fn is_signed(got: &Got, secret: &str) -> bool {
    let text = |name: &&str| match &got.body[*name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    };
    let fields =
        ["amount", "currency", "email", "error_code", "ip", "txn_id", "txn_status", "txn_type"];
    let texts: Vec<String> =
        fields.iter().filter_map(text).filter(|text| !text.is_empty()).collect();
    got.body["sign"] == hmac(secret.as_bytes(), &texts.join("|")).to_uppercase()
}

/// A site that is notified at a receiver.
async fn both(config: SandboxConfig, script: &[Answer]) -> (Bench, Receiver) {
    let bench = Bench::with(config).await;
    let receiver = Receiver::start(script).await;
    bench.site(|site| site.callback_url = Some(receiver.url("/callback")));
    (bench, receiver)
}

#[tokio::test]
async fn each_operation_is_told_as_the_documents_show_it() {
    let (bench, receiver) = both(SandboxConfig::default(), &[]).await;
    let details = json!({ "email": "user@co.ru", "ip": "111.12.75.92", "cf1": "seat 7" });
    let held = bench.operate(SITE, 3, changed(with_card("o", "10000"), details)).await;
    let got = receiver.wait(1).await.remove(0);
    assert_eq!(got.line, "POST /callback");
    assert_eq!(got.headers["content-type"], "application/json");
    let told = &got.body;
    assert_eq!(
        (&told["txn_id"], &told["txn_status"], &told["txn_type"]),
        (&held["txn_id"], &json!(2), &json!(2))
    );
    assert_eq!(
        (&told["amount"], &told["error_code"], &told["order_id"]),
        (&json!(10000), &json!(0), &json!("o"))
    );
    assert_eq!((&told["card_name"], &told["cf1"]), (&json!("CARDHOLDER+NAME"), &json!("seat 7")));
    assert_eq!(
        (&told["pan"], &told["card_token"]),
        (&json!("411111******1111"), &held["card_token"])
    );
    assert!(is_signed(&got, demo::MERCHANT_SECRET) && !got.text.contains(PAN), "{}", got.text);
    bench.operate(SITE, 5, json!({ "txn_id": held["txn_id"] })).await;
    bench.operate(SITE, 7, json!({ "txn_id": held["txn_id"], "amount": "1.50" })).await;
    let got = receiver.wait(3).await;
    let kinds: Vec<_> = got
        .iter()
        .map(|one| (one.body["txn_type"].clone(), one.body["txn_status"].clone()))
        .collect();
    assert!(
        kinds.contains(&(json!(2), json!(4))) && kinds.contains(&(json!(3), json!(3))),
        "{kinds:?}"
    );
    assert!(got.iter().all(|one| is_signed(one, demo::MERCHANT_SECRET)));
    let outbox = bench.json("/__sandbox/outbox").await;
    assert_eq!((&outbox[0]["about"], &outbox[0]["merchant_site"]), (&json!("pay"), &json!("556")));
}

#[tokio::test]
async fn a_request_can_name_its_own_address_and_declines_are_told_too() {
    let (bench, site) = both(SandboxConfig::default(), &[]).await;
    let own = Receiver::start(&[]).await;
    bench.mischief(json!({ "match": { "opcode": 1 }, "fault": { "decline_code": 8161 } }));
    let named = changed(with_card("o", "1"), json!({ "callback_url": own.url("/own") }));
    bench.operate(SITE, 1, named).await;
    let got = own.wait(1).await.remove(0);
    assert_eq!((&got.body["txn_status"], &got.body["error_code"]), (&json!(1), &json!(8161)));
    assert!(is_signed(&got, demo::MERCHANT_SECRET));
    assert_eq!(site.got().len(), 0);
}

#[tokio::test]
async fn one_is_repeated_until_200_is_heard() {
    let config = SandboxConfig { notification_time_scale: 6_000, ..SandboxConfig::default() };
    let (bench, receiver) = both(config, &[Answer::Status(500), Answer::Status(202)]).await;
    bench.paid(SITE, 1, "o", "1").await;
    let got = receiver.wait(3).await;
    assert!(got.iter().all(|one| one.body == got[0].body));
    assert_eq!(bench.letter("DELIVERED").await["attempts"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn nobody_outside_is_told() {
    let bench = Bench::start().await;
    let named = json!({ "callback_url": "http://domain.tld/callback_service" });
    bench.operate(SITE, 1, changed(with_card("o", "1"), named)).await;
    assert_eq!(bench.letter("HELD").await["held"], "the sandbox sends to loopback addresses only");
}

#[tokio::test]
async fn a_synchronous_one_is_told_before_the_answer() {
    let bench = Bench::with(quick()).await;
    let receiver = Receiver::start(&[Answer::Late(Duration::from_millis(200))]).await;
    bench.site(|site| {
        site.callback_url = Some(receiver.url("/"));
        site.synchronous_callbacks = true;
    });
    let started = std::time::Instant::now();
    bench.paid(SITE, 1, "a", "1").await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(receiver.got().len(), 1);
    // One that is not to be sent holds nothing up.
    let named = json!({ "callback_url": "http://domain.tld/" });
    bench.operate(SITE, 1, changed(with_card("b", "1"), named)).await;
}

#[tokio::test]
async fn mischief_comes_to_merchants_too() {
    for (mischief, count) in [
        (json!({ "duplicates": 3 }), 4),
        (json!({ "signature": "wrong" }), 1),
        (json!({ "signature": "absent" }), 1),
        (json!({ "set": { "/order_id": "other", "/pan": "400000******0002" } }), 1),
        (json!({ "set": { "/amount": 1 } }), 1),
        (json!({ "replay_status": "4" }), 2),
    ] {
        let (bench, receiver) = both(SandboxConfig::default(), &[]).await;
        bench.mischief(json!({ "match": { "about": "pay" }, "notification": mischief.clone() }));
        bench.paid(SITE, 3, "o", "7.50").await;
        let got = receiver.wait(count).await;
        let right: Vec<bool> =
            got.iter().map(|one| is_signed(one, demo::MERCHANT_SECRET)).collect();
        match count {
            4 => assert_eq!(right, [true; 4]),
            2 => {
                assert_eq!(right, [true, false], "the status is signed");
                assert_eq!(got[1].body["txn_status"], 4);
            }
            _ => {
                let unsigned = mischief["set"].get("/order_id").is_some();
                assert_eq!(right, [unsigned], "{mischief}");
                assert!(!unsigned || got[0].body["order_id"] == "other");
                assert!(mischief["signature"] != "absent" || got[0].body.get("sign").is_none());
            }
        }
    }
}

#[tokio::test]
async fn two_can_change_places_and_an_old_key_can_sign() {
    let (bench, receiver) = both(SandboxConfig::default(), &[]).await;
    bench.mischief(json!({ "times": 1, "notification": { "behind_next": true } }));
    let id = bench.paid(SITE, 3, "o", "7.50").await;
    bench.operate(SITE, 5, json!({ "txn_id": id })).await;
    let got = receiver.wait(2).await;
    assert_eq!((&got[0].body["txn_status"], &got[1].body["txn_status"]), (&json!(4), &json!(2)));
    bench.site(|site| {
        site.callback_url = Some(receiver.url("/"));
        site.previous_secret = Some("before".to_owned());
    });
    bench.mischief(json!({ "notification": { "signature": "old_key" } }));
    bench.paid(SITE, 1, "p", "7.50").await;
    assert!(is_signed(&receiver.wait(3).await[2], "before"));
}
