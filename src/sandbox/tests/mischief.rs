//! Notifications gone wrong, on request.

use std::collections::HashSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::money::{WALLET_TERMS, transfer};
use super::receiver::{Got, Receiver, hmac};
use super::{Bench, SandboxConfig, demo};
use crate::sandbox::Incoming;

async fn both(config: SandboxConfig) -> (Bench, Receiver, String, String) {
    let bench = Bench::with(config).await;
    let receiver = Receiver::start(&[]).await;
    let (hook, key) = bench.hook(&receiver.url("/hook"), 2).await;
    (bench, receiver, hook, key)
}

/// The one notification of an incoming payment, with this done to it.
async fn struck(mischief: Value) -> (Got, String) {
    let (bench, receiver, _, key) = both(SandboxConfig::default()).await;
    bench.mischief(json!({ "notification": mischief.clone() }));
    bench.sandbox.incoming(Incoming::new("1", "+79161112233")).unwrap();
    let got = receiver.wait(1).await.remove(0);
    assert_eq!(bench.letter("DELIVERED").await["fault"], mischief);
    (got, key)
}

#[tokio::test]
async fn copies_come_with_one_id_or_with_ids_of_their_own() {
    for (new_id, ids) in [(false, 1), (true, 101)] {
        let (bench, receiver, _, key) = both(SandboxConfig::default()).await;
        bench.mischief(json!({ "notification": { "duplicates": 100, "new_id": new_id } }));
        bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
        let got = receiver.wait(101).await;
        let seen: HashSet<_> = got.iter().map(|one| one.body["messageId"].to_string()).collect();
        assert_eq!((got.len(), seen.len()), (101, ids));
        assert!(got.iter().all(|one| one.is_signed_by(&key)));
    }
}

#[tokio::test]
async fn the_order_of_two_can_be_changed() {
    let config =
        SandboxConfig { settle_delay: Duration::from_millis(20), ..SandboxConfig::default() };
    let (bench, receiver, ..) = both(config).await;
    bench.mischief(json!({ "times": 1, "notification": { "behind_next": true } }));
    bench.send(Method::POST, WALLET_TERMS, &transfer("1", "10")).await;
    let got = receiver.wait(2).await;
    assert_eq!([got[0].status(), got[1].status()], ["SUCCESS", "WAITING"]);
    assert_eq!(got[0].payment("txnId"), got[1].payment("txnId"));
}

#[tokio::test]
async fn one_can_be_late() {
    let (bench, receiver, ..) = both(SandboxConfig::default()).await;
    bench.mischief(json!({ "times": 1, "notification": { "delay_ms": 300 } }));
    let started = std::time::Instant::now();
    bench.sandbox.incoming(Incoming::new("1", "late")).unwrap();
    bench.sandbox.incoming(Incoming::new("1", "prompt")).unwrap();
    let got = receiver.wait(2).await;
    let late = got.iter().find(|one| one.payment("account") == "late").unwrap();
    assert!(late.at - started >= Duration::from_millis(300));
}

#[tokio::test]
async fn signatures_can_be_wrong_or_absent() {
    let (got, key) = struck(json!({ "signature": "wrong" })).await;
    assert!(!got.is_signed_by(&key));
    assert_eq!(got.body["hash"].as_str().unwrap().len(), 64);
    let (got, _) = struck(json!({ "signature": "absent" })).await;
    assert_eq!(got.body.get("hash"), None);
    let (got, key) = struck(json!({ "signature": "old_key" })).await;
    assert!(got.is_signed_by(&key), "there is no older one");
}

#[tokio::test]
async fn the_old_key_can_go_on_signing() {
    let (bench, receiver, hook, old) = both(SandboxConfig::default()).await;
    let new = bench.key(Method::POST, &format!("/payment-notifier/v1/hooks/{hook}/newkey")).await;
    bench.mischief(json!({ "times": 1, "notification": { "signature": "old_key" } }));
    for account in ["old", "new"] {
        bench.sandbox.incoming(Incoming::new("1", account)).unwrap();
    }
    for one in receiver.wait(2).await {
        let key = if one.payment("account") == "old" { &old } else { &new };
        assert!(one.is_signed_by(key), "{}", one.text);
    }
}

#[tokio::test]
async fn a_signature_can_be_replayed_over_another_status() {
    for new_id in [false, true] {
        let (bench, receiver, _, key) = both(SandboxConfig::default()).await;
        bench.mischief(json!({ "notification": { "replay_status": "ERROR", "new_id": new_id } }));
        bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
        let got = receiver.wait(2).await;
        assert_eq!([got[0].status(), got[1].status()], ["SUCCESS", "ERROR"]);
        assert_eq!(got[0].body["hash"], got[1].body["hash"]);
        assert!(got[1].is_signed_by(&key));
        assert_eq!(got[0].body["messageId"] != got[1].body["messageId"], new_id);
    }
}

#[tokio::test]
async fn the_list_of_signed_fields_can_be_altered() {
    let list = "sum.amount,sum.currency,type,account,txnId";
    let (got, key) = struck(json!({ "sign_fields": list })).await;
    assert_eq!(got.payment("signFields"), list);
    assert!(got.is_signed_by(&key), "the signature is that of the usual list");
    let (got, key) = struck(json!({ "sign_fields": list, "resign": true })).await;
    let text = format!("1|643|IN|+79161112233|{}", got.payment("txnId").as_str().unwrap());
    assert_eq!(got.body["hash"], hmac(&STANDARD.decode(key).unwrap(), &text));
    let (got, key) = struck(json!({ "forged_list": true })).await;
    assert_eq!(got.payment("signFields"), "comment");
    let text = got.payment("comment").as_str().unwrap();
    assert!(text.starts_with("643|1|IN|+79161112233|"));
    assert_eq!(got.body["hash"], hmac(&STANDARD.decode(key).unwrap(), text));
    assert_eq!(got.payment("sum")["amount"], 1_000_000);
}

#[tokio::test]
async fn any_value_can_be_changed_after_signing() {
    let (got, key) =
        struck(json!({ "set": { "/payment/personId": 1, "/payment/sum/amount": 2, "/x": [] } }))
            .await;
    assert_eq!((got.payment("personId"), &got.body["x"]), (&json!(1), &json!([])));
    assert!(!got.is_signed_by(&key));
}

#[tokio::test]
async fn an_answer_can_be_lost() {
    let config = SandboxConfig { notification_time_scale: 6_000, ..SandboxConfig::default() };
    for (new_id, same) in [(false, true), (true, false)] {
        let (bench, receiver, ..) = both(config.clone()).await;
        bench.mischief(json!({ "notification": { "drop_answers": 1, "new_id": new_id } }));
        bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
        let got = receiver.wait(2).await;
        assert_eq!(got[0].body["messageId"] == got[1].body["messageId"], same);
        let letter = bench.letter("DELIVERED").await;
        assert_eq!(letter["attempts"][0]["error"], "the answer 200 was dropped");
        assert_eq!(letter["attempts"][1]["status"], 200);
    }
}

#[tokio::test]
async fn bills_suffer_the_same() {
    let bench = Bench::start().await;
    let receiver = Receiver::start(&[]).await;
    let old = bench.notified_keys("http://127.0.0.1:9/").await;
    let secret = bench.notified_keys(&receiver.url("/")).await;
    for (number, mischief, key) in [
        (1, json!({ "base64": true }), Some(&secret)),
        (2, json!({ "signature": "old_key" }), Some(&old)),
        (3, json!({ "signature": "wrong" }), None),
        (4, json!({ "signature": "absent" }), None),
        (5, json!({ "replay_status": "EXPIRED" }), Some(&secret)),
    ] {
        bench.sandbox.clear_faults();
        bench.mischief(json!({ "match": { "about": "bill" }, "notification": mischief }));
        let before = receiver.got().len();
        bench.issue(&secret, &format!("b{number}")).await;
        bench.sandbox.pay_bill(demo::WALLET, &format!("b{number}")).unwrap();
        let got = receiver.wait(before + 1).await.remove(before);
        let text = format!("RUB|100.00|b{number}|sandbox-00|PAID");
        let sent = got.headers.get("x-api-signature-sha256").map(|value| value.to_str().unwrap());
        let right = key.map(|key| hmac(key.as_bytes(), &text));
        match number {
            1 => {
                let tag = STANDARD.decode(sent.unwrap()).unwrap();
                let digits: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(Some(digits), right);
            }
            3 => assert_ne!(sent.unwrap(), hmac(secret.as_bytes(), &text)),
            4 => assert_eq!(sent, None),
            _ => assert_eq!(sent, right.as_deref()),
        }
        if number == 5 {
            let replayed = receiver.wait(before + 2).await.remove(before + 1);
            assert_eq!(replayed.body["bill"]["status"]["value"], "EXPIRED");
            assert_eq!(replayed.headers["x-api-signature-sha256"], sent.unwrap());
        }
    }
}

#[tokio::test]
async fn rules_choose_notifications_and_leave_requests_alone() {
    let (bench, receiver, _, key) = both(SandboxConfig::default()).await;
    for rule in [
        json!({ "match": { "about": "bill" }, "notification": { "signature": "wrong" } }),
        json!({ "match": { "path_prefix": "/other" }, "notification": { "signature": "wrong" } }),
        json!({
            "match": { "about": "wallet", "path_prefix": "/hook", "body_contains": "\"chosen\"" },
            "skip": 1, "times": 1, "notification": { "signature": "wrong" },
        }),
        // Requests do not use rules of notifications up, nor the other way round.
        json!({ "match": { "path_prefix": "/hook" }, "times": 1, "fault": { "status": 500 } }),
    ] {
        bench.mischief(rule);
    }
    assert_eq!(bench.status("/person-profile/v1/profile/current").await, 200);
    for account in ["chosen", "other", "chosen", "chosen"] {
        let before = receiver.got().len();
        bench.sandbox.incoming(Incoming::new("1", account)).unwrap();
        receiver.wait(before + 1).await;
    }
    let right: Vec<_> = receiver.got().iter().map(|one| one.is_signed_by(&key)).collect();
    assert_eq!(right, [true, true, false, true]);
    let left = bench.json("/__sandbox/faults").await;
    assert_eq!(left.as_array().unwrap().len(), 3);
    assert_eq!(
        left[0],
        json!({
            "match": { "about": "bill" }, "skip": 0, "times": null,
            "notification": { "signature": "wrong" },
        })
    );
    for wrong in [
        json!({}),
        json!({ "fault": {}, "notification": {} }),
        json!({ "match": { "about": "bill" }, "fault": {} }),
        json!({ "match": { "method": "POST" }, "notification": {} }),
        json!({ "match": { "token": "x" }, "notification": {} }),
        json!({ "notification": { "resign": true } }),
        json!({ "notification": { "set": { "payment": 1 } } }),
        json!({ "notification": { "duplicates": 10_001 } }),
        json!({ "notification": { "signature": "none" } }),
        json!({ "notification": { "unknown": 1 } }),
    ] {
        assert!(bench.sandbox.add_fault(wrong.clone()).is_err(), "{wrong}");
    }
}
