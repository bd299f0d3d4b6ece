//! Notifications as the documents have them: what is told, signed, repeated and listed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::money::{WALLET_TERMS, transfer};
use super::receiver::{Answer, Receiver, hmac};
use super::{Bench, SandboxConfig, demo};
use crate::sandbox::Incoming;

/// Payments settle soon, and ten minutes pass in a tenth of a second.
fn quick() -> SandboxConfig {
    SandboxConfig {
        settle_delay: Duration::from_millis(30),
        notification_time_scale: 6_000,
        ..SandboxConfig::default()
    }
}

#[tokio::test]
async fn a_payment_is_told_when_accepted_and_when_done() {
    let bench = Bench::with(quick()).await;
    let receiver = Receiver::start(&[]).await;
    let (hook, key) = bench.hook(&receiver.url("/hook?a=b"), 2).await;
    let (_, info) = bench.send(Method::POST, WALLET_TERMS, &transfer("1", "99.50")).await;
    // Nobody asks the sandbox for anything meanwhile.
    let got = receiver.wait(2).await;
    assert_eq!([got[0].status(), got[1].status()], ["WAITING", "SUCCESS"]);
    for one in &got {
        assert_eq!(one.line, "POST /hook?a=b");
        assert_eq!(one.headers["content-type"], "application/json");
        assert_eq!(one.headers["accept"], "application/json");
        assert!(one.is_signed_by(&key), "{}", one.text);
        assert_eq!(one.body["hookId"], hook);
        assert_eq!((&one.body["test"], &one.body["version"]), (&json!(false), &json!("1.0.0")));
        assert_eq!(one.payment("txnId"), &info["transaction"]["id"]);
        assert_eq!(one.payment("personId").to_string(), demo::WALLET);
        assert_eq!(one.payment("account"), &format!("+{}", demo::PROFESSIONAL_WALLET));
        assert_eq!((one.payment("type"), one.payment("provider")), (&json!("OUT"), &json!(99)));
        assert_eq!(one.payment("sum")["amount"].to_string(), "99.5");
        assert_eq!(one.payment("errorCode"), "0");
        assert_eq!(one.payment("comment"), "Заказ 1");
        assert!(one.payment("date").as_str().unwrap().ends_with("+03:00"));
    }
    assert!(got[0].payment("commission").is_null());
    assert_eq!(got[1].payment("commission")["currency"], 643);
    // One signature for both: the status is not signed.
    assert_eq!(got[0].body["hash"], got[1].body["hash"]);
    assert_ne!(got[0].body["messageId"], got[1].body["messageId"]);

    let letter = bench.letter("DELIVERED").await;
    assert_eq!(letter["notification"], got[1].body);
    assert_eq!((&letter["about"], &letter["wallet"]), (&json!("wallet"), &json!(demo::WALLET)));
    assert_eq!(
        (letter["url"].clone(), &letter["fault"]),
        (json!(receiver.url("/hook?a=b")), &Value::Null)
    );
    assert_eq!(letter["attempts"][0]["status"], 200);
    assert_eq!(letter["attempts"][0]["body"], "{\"error\":\"0\"}");
    assert_eq!(bench.sandbox.outbox(), bench.json("/__sandbox/outbox").await);
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn a_failed_payment_is_told_with_its_code() {
    let bench = Bench::with(quick()).await;
    let receiver = Receiver::start(&[]).await;
    let (_, key) = bench.hook(&receiver.url("/"), 1).await;
    bench.mischief(json!({ "match": { "method": "POST" }, "fault": { "settle_code": 5 } }));
    bench.send(Method::POST, WALLET_TERMS, &transfer("1", "10")).await;
    let failed = receiver.wait(2).await.remove(1);
    assert_eq!((failed.status(), failed.payment("errorCode")), ("ERROR", &json!("5")));
    assert!(failed.is_signed_by(&key));
}

#[tokio::test]
async fn money_comes_in_from_outside_and_is_told() {
    let bench = Bench::start().await;
    let receiver = Receiver::start(&[]).await;
    let (_, key) = bench.hook(&receiver.url("/"), 0).await;
    let donation = Incoming {
        comment: Some("на корм коту".to_owned()),
        provider: 1,
        ..Incoming::new("150.50", "79042426915")
    };
    let txn_id = bench.sandbox.incoming(donation).unwrap();
    let body = json!({ "amount": 7, "account": "Терминал 1" }).to_string();
    let answer = bench.post("/__sandbox/incoming", &body).await;
    assert_eq!(answer.status(), 201);
    let second = super::body_json(answer).await["txnId"].clone();
    // Payments go out and are nothing this webhook wants to know.
    bench.send(Method::POST, WALLET_TERMS, &transfer("1", "10")).await;
    bench.sandbox.incoming(Incoming::new("1", "last")).unwrap();
    let mut got = receiver.wait(3).await;
    // Different transactions are told in any order.
    got.sort_by_key(|one| one.payment("txnId").as_str().unwrap().to_owned());
    for one in &got {
        assert!(one.is_signed_by(&key));
        assert_eq!((one.payment("type"), one.status()), (&json!("IN"), "SUCCESS"));
    }
    assert_eq!(got[0].payment("txnId"), &txn_id.to_string());
    assert_eq!(got[0].payment("sum")["amount"].to_string(), "150.5");
    assert_eq!(got[0].payment("account"), "79042426915");
    assert_eq!(got[0].payment("comment"), "на корм коту");
    assert_eq!(got[0].payment("provider"), 1);
    assert_eq!(got[1].payment("txnId"), &second.to_string());
    assert_eq!(
        (got[1].payment("account"), got[1].payment("comment")),
        (&json!("Терминал 1"), &json!(""))
    );
    // 12345.67 and the three, without the transfer of ten and its commission.
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12494.07");
    let list = bench.json(&super::payments("rows=50&operation=IN")).await;
    let mut list = list["data"].as_array().unwrap().iter();
    assert!(list.any(|one| one["txnId"] == txn_id && one["comment"] == "на корм коту"));

    let unknown = Incoming { wallet: "79990000009".to_owned(), ..Incoming::new("1", "x") };
    let francs = Incoming { currency: 756, ..Incoming::new("1", "x") };
    for wrong in [unknown, francs, Incoming::new("0", "x"), Incoming::new("-1", "x")] {
        bench.sandbox.incoming(wrong).unwrap_err();
    }
    for wrong in ["", "{}", r#"{"amount":1}"#, r#"{"amount":[],"account":"x"}"#] {
        assert_eq!(bench.post("/__sandbox/incoming", wrong).await.status(), 400);
    }
    let tenge = Incoming { currency: 398, ..Incoming::new("500", "x") };
    bench.sandbox.incoming(tenge).unwrap();
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 398).await, "500");
}

#[tokio::test]
async fn what_is_not_heard_is_sent_three_times_with_growing_pauses() {
    let bench = Bench::with(quick()).await;
    let receiver =
        Receiver::start(&[Answer::Status(500), Answer::Status(201), Answer::Status(302)]).await;
    bench.hook(&receiver.url("/"), 0).await;
    bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
    let got = receiver.wait(3).await;
    assert!(got[1].at - got[0].at >= Duration::from_millis(100), "ten minutes");
    assert!(got[2].at - got[1].at >= Duration::from_millis(600), "an hour");
    assert_eq!([&got[1].text, &got[2].text], [&got[0].text; 2], "the same message");
    let letter = bench.letter("GIVEN_UP").await;
    let statuses: Vec<_> =
        letter["attempts"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, [500, 201, 302]);
    assert_eq!(receiver.got().len(), 3);
}

#[tokio::test]
async fn silence_and_a_closed_door_are_tried_again() {
    let config = SandboxConfig { notification_timeout: Duration::from_millis(150), ..quick() };
    let bench = Bench::with(config).await;
    let receiver = Receiver::start(&[Answer::Late(Duration::from_secs(20))]).await;
    bench.hook(&receiver.url("/"), 0).await;
    bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
    receiver.wait(2).await;
    let letter = bench.letter("DELIVERED").await;
    assert_eq!(letter["attempts"][0]["error"], "no answer in time");
    assert_eq!(letter["attempts"][1]["status"], 200);

    let closed = receiver.url("/");
    drop(receiver);
    bench.hook(&closed, 0).await;
    bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
    let letter = bench.letter("GIVEN_UP").await;
    assert_eq!(letter["attempts"].as_array().unwrap().len(), 3);
    assert!(letter["attempts"].as_array().unwrap().iter().all(|one| one["error"].is_string()));
}

#[tokio::test]
async fn a_new_key_signs_from_then_on() {
    let bench = Bench::with(quick()).await;
    let receiver = Receiver::start(&[Answer::Status(500)]).await;
    let (hook, old) = bench.hook(&receiver.url("/"), 0).await;
    bench.sandbox.incoming(Incoming::new("1", "first")).unwrap();
    receiver.wait(1).await;
    let new = bench.key(Method::POST, &format!("/payment-notifier/v1/hooks/{hook}/newkey")).await;
    bench.sandbox.incoming(Incoming::new("1", "second")).unwrap();
    for one in receiver.wait(3).await {
        let (signed_by, other) =
            if one.payment("account") == "first" { (&old, &new) } else { (&new, &old) };
        assert!(one.is_signed_by(signed_by) && !one.is_signed_by(other), "{}", one.text);
    }
}

#[tokio::test]
async fn a_test_notification_is_empty_and_arrives() {
    let bench = Bench::start().await;
    let receiver = Receiver::start(&[]).await;
    let (hook, _) = bench.hook(&receiver.url("/"), 1).await;
    assert_eq!(bench.status("/payment-notifier/v1/hooks/test").await, 200);
    let test = receiver.wait(1).await.remove(0).body;
    assert_eq!((&test["test"], &test["hookId"]), (&json!(true), &json!(hook)));
    assert!(test["messageId"].is_string() && test.get("payment").is_none());
    let letter = bench.letter("DELIVERED").await;
    assert_eq!((&letter["about"], &letter["signed_with"]), (&json!("test"), &json!("nothing")));
}

#[tokio::test]
async fn a_paid_bill_is_told_to_the_address_of_its_keys() {
    let bench = Bench::start().await;
    let receiver = Receiver::start(&[]).await;
    let secret = bench.notified_keys(&receiver.url("/p2p")).await;
    bench.issue(&secret, "by-wallet").await;
    bench.issue(&secret, "by-card").await;
    // Keys without an address: paid in silence.
    bench.issue(demo::P2P_SECRET_KEY, "silent").await;
    bench.sandbox.pay_bill(demo::WALLET, "silent").unwrap();
    let payer = demo::PROFESSIONAL_WALLET_TOKEN;
    let list = "/checkout-api/api/bill/search?statuses=READY_FOR_PAY";
    let (_, invoices) = bench.send_as(payer, Method::GET, list, &Value::Null).await;
    assert_eq!(invoices["bills"].as_array().unwrap().len(), 2);
    let id =
        invoices["bills"].as_array().unwrap().iter().find(|one| one["external_id"] == "by-wallet");
    let body = json!({ "invoice_uid": id.unwrap()["id"].to_string(), "currency": "643" });
    let pay = "/checkout-api/invoice/pay/wallet";
    assert_eq!(bench.send_as(payer, Method::POST, pay, &body).await.0, 200);
    let by_wallet = receiver.wait(1).await.remove(0);
    assert_eq!(by_wallet.line, "POST /p2p");
    let text = "RUB|100.00|by-wallet|sandbox-00|PAID";
    assert_eq!(by_wallet.headers["x-api-signature-sha256"], hmac(secret.as_bytes(), text));
    let bill = &by_wallet.body["bill"];
    assert_eq!(by_wallet.body["version"], "1");
    assert_eq!(bill["amount"], json!({ "currency": "RUB", "value": "100.00" }));
    assert_eq!(bill["status"]["value"], "PAID");
    assert_eq!((&bill["comment"], &bill["customFields"]["seat"]), (&json!("Место 7"), &json!("7")));
    assert_eq!(bill["expirationDateTime"], "2099-12-10T09:02:00+03");
    for time in [&bill["creationDateTime"], &bill["status"]["changedDateTime"]] {
        let time = time.as_str().unwrap();
        assert!(time.len() == 22 && time.ends_with("+03"), "{time}");
    }

    let path = |id: &str| format!("/__sandbox/wallets/{}/bills/{id}/pay", demo::WALLET);
    assert_eq!(bench.post(&path("by-card"), "").await.status(), 204);
    assert_eq!(receiver.wait(2).await[1].body["bill"]["billId"], "by-card");
    for again in ["by-card", "by-wallet", "unknown"] {
        assert_eq!(bench.post(&path(again), "").await.status(), 404);
    }
    let (_, invoices) = bench.send_as(payer, Method::GET, list, &Value::Null).await;
    assert!(invoices["bills"].as_array().unwrap().is_empty());
    // Three hundreds have come: one from the other wallet, two from outside.
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12645.67");
    assert_eq!(receiver.got().len(), 2);
}

#[tokio::test]
async fn a_bill_is_told_for_a_day_and_only_to_the_newest_address() {
    let config = SandboxConfig { notification_time_scale: 1_000_000, ..SandboxConfig::default() };
    let bench = Bench::with(config).await;
    let deaf = Receiver::start(&[Answer::Status(503); 8]).await;
    let first = bench.notified_keys(&deaf.url("/")).await;
    bench.issue(&first, "deaf").await;
    bench.issue(&first, "moved").await;
    bench.sandbox.pay_bill(demo::WALLET, "deaf").unwrap();
    let got = deaf.wait(8).await;
    let mut last = Duration::ZERO;
    // Waiting grows by design; a busy machine only makes it longer.
    for (pair, least) in got.windows(2).zip([60, 300, 900, 3_600, 10_800, 21_600, 43_200]) {
        let pause = Duration::from_micros(least);
        assert!(pair[1].at - pair[0].at >= pause && pause > last);
        last = pause;
    }
    bench.letter("GIVEN_UP").await;

    let second = Receiver::start(&[]).await;
    let secret = bench.notified_keys(&second.url("/")).await;
    bench.issue(&secret, "new").await;
    // Its keys have no address any more.
    bench.sandbox.pay_bill(demo::WALLET, "moved").unwrap();
    bench.sandbox.pay_bill(demo::WALLET, "new").unwrap();
    assert_eq!(second.wait(1).await[0].body["bill"]["billId"], "new");
    assert_eq!((deaf.got().len(), second.got().len()), (8, 1));
}

#[tokio::test]
async fn nothing_leaves_the_machine_unasked() {
    let bench = Bench::start().await;
    for (url, why) in [
        ("https://127.0.0.1/hook", "the sandbox speaks plain http only"),
        ("http://192.0.2.1/hook", "the sandbox sends to loopback addresses only"),
        ("http://hook.example/", "the sandbox sends to loopback addresses only"),
    ] {
        bench.hook(url, 2).await;
        bench.sandbox.incoming(Incoming::new("1", "x")).unwrap();
        let letter = bench.letter("HELD").await;
        assert_eq!((&letter["held"], &letter["url"]), (&json!(why), &json!(url)));
        assert_eq!(
            (&letter["attempts"], &letter["signed_with"]),
            (&json!([]), &json!("current key"))
        );
    }
}

#[tokio::test]
async fn a_reset_forgets_what_was_to_be_sent() {
    let bench = Bench::with(quick()).await;
    let receiver =
        Receiver::start(&[Answer::Status(500), Answer::Late(Duration::from_secs(1))]).await;
    bench.hook(&receiver.url("/"), 0).await;
    bench.sandbox.incoming(Incoming::new("1", "repeat")).unwrap();
    receiver.wait(2).await;
    // The second attempt is under way.
    assert_eq!(bench.post("/__sandbox/reset", "").await.status(), 204);
    assert_eq!(bench.sandbox.outbox(), json!([]));
    bench.hook(&receiver.url("/"), 0).await;
    bench.sandbox.incoming(Incoming::new("1", "after")).unwrap();
    let got = receiver.wait(3).await;
    assert_eq!(got[2].payment("account"), "after");
    bench.letter("DELIVERED").await;
    assert_eq!(bench.sandbox.outbox().as_array().unwrap().len(), 1);
    let stopped = tokio::time::timeout(Duration::from_secs(5), bench.sandbox.shutdown()).await;
    stopped.unwrap();
}
