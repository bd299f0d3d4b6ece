//! Card operations: purchases, what follows them, and how an order is shown.

use serde_json::json;

use super::merchant::{PAN, changed, quick, signed, with_card};
use super::{Bench, demo};
use crate::sandbox::{SandboxConfig, UpstreamDuplicate};

const SITE: u64 = demo::ONLINE_SITE;
const DEFERRED: u64 = demo::DEFERRED_SITE;

#[tokio::test]
async fn a_sale_is_answered_as_the_documents_show_it() {
    let bench = Bench::start().await;
    let answer = bench.purchase(SITE, 1, "o-1", "4678.50").await;
    assert_eq!((&answer["error_code"], &answer["txn_type"]), (&json!(0), &json!(1)));
    assert_eq!((&answer["txn_status"], &answer["currency"]), (&json!(4), &json!(643)));
    assert_eq!(answer["amount"].to_string(), "4678.50");
    assert_eq!(answer["pan"], "411111******1111");
    assert_eq!(answer["issuer_country"], "RUS");
    assert_eq!(answer["auth_code"].as_str().unwrap().len(), 6);
    assert_eq!(answer["card_token"].as_str().unwrap().len(), 36);
    assert_eq!(answer["card_token_expire"], "2099-12-31T21:00:00+00:00");
    assert!(answer["txn_date"].as_str().unwrap().ends_with("+00:00"));
    assert_eq!(answer.get("is_test"), None);
    let kept = bench.transactions();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].txn_id, &*kept[0].amount), (answer["txn_id"].as_u64().unwrap(), "4678.5"));
    assert_eq!((kept[0].order_id.as_deref(), kept[0].status), (Some("o-1"), 4));
}

#[tokio::test]
async fn a_deferred_acquirer_says_3_and_later_4() {
    let bench = Bench::with(quick()).await;
    let answer = bench.purchase(DEFERRED, 1, "o", "7.00").await;
    let id = answer["txn_id"].as_u64().unwrap();
    assert_eq!(answer["txn_status"], 3);
    assert_eq!(bench.code(DEFERRED, 7, json!({ "txn_id": id })).await, 8026);
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while bench.order(DEFERRED, "o").await != [(id, 1, 4)] {
        assert!(std::time::Instant::now() < patience);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(bench.code(DEFERRED, 6, json!({ "txn_id": id })).await, 8026);
    assert_eq!(bench.code(DEFERRED, 7, json!({ "txn_id": id })).await, 0);
}

#[tokio::test]
async fn a_capture_goes_on_as_the_same_transaction() {
    let bench = Bench::start().await;
    let id = bench.paid(SITE, 3, "o", "100.00").await;
    assert_eq!(bench.order(SITE, "o").await, [(id, 2, 2)]);
    assert_eq!(bench.code(SITE, 7, json!({ "txn_id": id })).await, 8026, "nothing is taken yet");
    let answer = bench.operate(SITE, 5, json!({ "txn_id": id.to_string() })).await;
    assert_eq!(answer["txn_id"], id);
    assert_eq!((&answer["txn_type"], &answer["txn_status"]), (&json!(2), &json!(4)));
    assert_eq!(answer.get("amount"), None);
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": id })).await, 8052);
    assert_eq!(bench.transactions()[0].captures, 1);
}

#[tokio::test]
async fn parts_can_be_reversed_before_and_refunded_after_the_capture() {
    let bench = Bench::start().await;
    let id = bench.paid(SITE, 3, "o", "100.00").await;
    let part = |amount: &str| json!({ "txn_id": id, "amount": amount });
    let answer = bench.operate(SITE, 6, part("30")).await;
    assert_eq!((&answer["txn_type"], &answer["txn_status"]), (&json!(4), &json!(3)));
    assert_eq!(answer["amount"], 30);
    let reversal = answer["txn_id"].as_u64().unwrap();
    assert_ne!(reversal, id);
    assert_eq!(bench.code(SITE, 6, part("70.01")).await, 8020);
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": id })).await, 0);
    assert_eq!(bench.code(SITE, 7, part("70.01")).await, 8020);
    assert_eq!(bench.code(SITE, 7, part("20.50")).await, 0);
    // What names no amount is about the rest.
    let answer = bench.operate(SITE, 7, json!({ "txn_id": id })).await;
    assert_eq!((&answer["txn_type"], answer["amount"].to_string()), (&json!(3), "49.50".into()));
    assert_eq!(bench.code(SITE, 7, json!({ "txn_id": id })).await, 8020);
    assert_eq!(bench.code(SITE, 7, json!({ "txn_id": reversal })).await, 8027);
    let types: Vec<u64> = bench.order(SITE, "o").await.iter().map(|(_, kind, _)| *kind).collect();
    assert_eq!(types, [2, 4, 3, 3]);
    assert!(bench.transactions()[1..].iter().all(|one| one.parent == Some(id)));
}

#[tokio::test]
async fn what_is_wholly_reversed_cannot_be_captured() {
    let bench = Bench::start().await;
    let id = bench.paid(SITE, 3, "o", "100.00").await;
    assert_eq!(bench.code(SITE, 6, json!({ "txn_id": id })).await, 0);
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": id })).await, 8052);
    let sale = bench.paid(SITE, 1, "p", "100.00").await;
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": sale })).await, 8027);
}

#[tokio::test]
async fn held_money_is_captured_when_nobody_does() {
    let mut config = SandboxConfig::default();
    config.acquiring.capture_within = std::time::Duration::from_millis(50);
    let bench = Bench::with(config).await;
    let id = bench.paid(SITE, 3, "o", "100.00").await;
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert_eq!(bench.order(SITE, "o").await, [(id, 2, 4)]);
    assert_eq!(bench.transactions()[0].captures, 1);
}

#[tokio::test]
async fn an_order_is_paid_once_and_a_declined_one_can_be_tried_again() {
    let bench = Bench::start().await;
    bench.mischief(json!({ "times": 1, "fault": { "decline_code": 8165 } }));
    let answer = bench.purchase(SITE, 1, "o", "1.00").await;
    assert_eq!((&answer["error_code"], &answer["txn_status"]), (&json!(8165), &json!(1)));
    assert_eq!(answer["error_message"], "Transaction rejected");
    let id = bench.paid(SITE, 1, "o", "1.00").await;
    assert_eq!(bench.code(SITE, 1, with_card("o", "1.00")).await, 8055);
    assert_eq!(bench.code(SITE, 3, with_card("o", "2.00")).await, 8055);
    assert_eq!(bench.order(SITE, "o").await.len(), 2);
    // Another site's orders are its own.
    assert_eq!(bench.code(DEFERRED, 1, with_card("o", "1.00")).await, 0);
    assert_eq!(bench.code(DEFERRED, 7, json!({ "txn_id": id })).await, 8022);
}

#[tokio::test]
async fn payouts_are_covered_by_their_purchase() {
    let bench = Bench::start().await;
    let sale = bench.purchase(SITE, 1, "o", "100.00").await;
    let (id, token) = (sale["txn_id"].as_u64().unwrap(), sale["card_token"].clone());
    let payout = |amount: &str| json!({ "txn_id": id, "card_token": token, "amount": amount, "currency": "643" });
    assert_eq!(bench.code(SITE, 20, payout("100.01")).await, 8060);
    assert_eq!(bench.code(SITE, 20, changed(payout("1"), json!({ "currency": 840 }))).await, 8061);
    let answer = bench.operate(SITE, 20, payout("60.00")).await;
    assert_eq!((&answer["txn_type"], &answer["txn_status"]), (&json!(8), &json!(3)));
    assert_eq!((&answer["pan"], &answer["amount"]), (&json!("411111******1111"), &json!(60)));
    assert_eq!(bench.code(SITE, 20, payout("60.00")).await, 8060);
    // Without a purchase there is no limit, and a currency is one of the site's.
    let free = changed(payout("900.00"), json!({ "txn_id": null }));
    assert_eq!(bench.code(SITE, 20, free.clone()).await, 0);
    assert_eq!(bench.code(SITE, 20, changed(free, json!({ "currency": 840 }))).await, 8059);
    let unknown = changed(payout("1"), json!({ "card_token": "nobody's" }));
    assert_eq!(bench.code(SITE, 20, unknown).await, 8019);
}

#[tokio::test]
async fn a_payout_that_comes_again_is_paid_again_unless_told_otherwise() {
    for (duplicates, code) in [(UpstreamDuplicate::Executes, 0), (UpstreamDuplicate::Refused, 8055)]
    {
        let bench = Bench::with(SandboxConfig { duplicates, ..SandboxConfig::default() }).await;
        let payout =
            json!({ "pan": PAN, "amount": "5.00", "currency": 643, "order_id": "prize-1" });
        assert_eq!(bench.code(SITE, 20, payout.clone()).await, 0);
        assert_eq!(bench.code(SITE, 20, payout).await, code);
    }
}

#[tokio::test]
async fn an_order_is_found_by_its_number_or_a_transaction_of_it() {
    let bench = Bench::start().await;
    let details = json!({ "email": "user@co.ru", "ip": "127.0.0.1", "cf1": "seat 7", "cf2": "" });
    let id = bench.operate(SITE, 3, changed(with_card("o", "10000"), details)).await["txn_id"]
        .as_u64()
        .unwrap();
    let reversal = bench.operate(SITE, 6, json!({ "txn_id": id, "amount": "100" })).await;
    let reversal = reversal["txn_id"].as_u64().unwrap();
    bench.paid(SITE, 1, "other", "1").await;
    for query in [
        json!({ "order_id": "o" }),
        json!({ "txn_id": id }),
        json!({ "txn_id": reversal.to_string() }),
        json!({ "txn_id": id, "order_id": "o" }),
        json!({ "txn_id": reversal, "order_id": "o" }),
    ] {
        let answer = bench.operate(SITE, 30, query.clone()).await;
        let shown = answer["transactions"].as_array().unwrap();
        assert_eq!(shown.len(), 2, "{query}");
        assert_eq!((&shown[0]["txn_id"], &shown[1]["txn_id"]), (&json!(id), &json!(reversal)));
        let first = &shown[0];
        assert_eq!((&first["email"], &first["cf1"]), (&json!("user@co.ru"), &json!("seat 7")));
        assert_eq!((first.get("cf2"), &first["card_bank"]), (None, &json!("")));
        assert_eq!((&first["merchant_site"], &first["amount"]), (&json!(SITE), &json!(10000)));
        assert_eq!(first["card_name"], "CARDHOLDER NAME");
        assert_eq!((shown[1].get("order_id"), shown[1].get("auth_code")), (None, None));
    }
    for unknown in [
        json!({ "order_id": "none" }),
        json!({ "txn_id": 1 }),
        json!({ "txn_id": id, "order_id": "other" }),
    ] {
        assert_eq!(bench.code(SITE, 30, unknown.clone()).await, 8022, "{unknown}");
    }
    assert_eq!(bench.code(SITE, 30, json!({})).await, 8019);
}

#[tokio::test]
async fn a_token_pays_in_the_place_of_its_card() {
    let bench = Bench::start().await;
    let first = bench.purchase(SITE, 1, "a", "1").await;
    let token = first["card_token"].clone();
    let by_token = json!({
        "card_token": token, "amount": "1", "currency": 643, "order_id": "b",
    });
    let second = bench.operate(SITE, 3, by_token.clone()).await;
    assert_eq!((&second["error_code"], &second["card_token"]), (&json!(0), &token));
    assert_eq!(second["pan"], "411111******1111");
    // It is the site's own, and never goes with a number.
    let other = changed(by_token.clone(), json!({ "order_id": "c" }));
    assert_eq!(bench.code(DEFERRED, 1, other).await, 8019);
    let both = changed(by_token, json!({ "order_id": "c", "pan": PAN }));
    assert_eq!(bench.code(SITE, 1, both).await, 8019);
    let cards = bench.operate(SITE, 40, json!({ "card_token": token })).await;
    assert_eq!(cards["cards"][0]["pan"], "411111******1111");
    assert_eq!(bench.operate(SITE, 40, json!({ "card_token": "x" })).await["cards"], json!([]));
}

#[tokio::test]
async fn withdrawn_operations_work_only_when_they_are_switched_on() {
    let bench = Bench::start().await;
    for opcode in [10, 11, 51, 52] {
        assert_eq!(bench.code(SITE, opcode, with_card("o", "1")).await, 8025, "{opcode}");
    }
    let mut config = SandboxConfig::default();
    config.acquiring.legacy_opcodes = true;
    let bench = Bench::with(config).await;
    let sale = bench.purchase(SITE, 10, "a", "1").await;
    assert_eq!((&sale["txn_type"], &sale["txn_status"]), (&json!(6), &json!(4)));
    let auth = bench.purchase(SITE, 11, "b", "1").await;
    assert_eq!((&auth["txn_type"], &auth["txn_status"]), (&json!(7), &json!(2)));
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": auth["txn_id"] })).await, 0);
    assert_eq!(bench.code(SITE, 51, json!({})).await, 0);
}

#[tokio::test]
async fn the_journal_shows_operations_without_their_cards() {
    let bench = Bench::start().await;
    bench.paid(SITE, 1, "o", "1.00").await;
    let requests = bench.sandbox.requests();
    let operation = &requests["latest"][0]["operation"];
    assert_eq!((&operation["opcode"], &operation["order_id"]), (&json!(1), &json!("o")));
    assert_eq!(
        (&operation["pan"], &operation["cvv2"]),
        (&json!("411111******1111"), &json!("***"))
    );
    assert!(!requests.to_string().contains(PAN));
    let listed = bench.json("/__sandbox/transactions").await;
    assert_eq!(listed[0]["order_id"], "o");
    assert_eq!(listed, json!(bench.transactions()));
}

#[tokio::test]
async fn sites_can_be_added_over_http_and_go_with_a_reset() {
    let bench = Bench::start().await;
    let site = json!({ "id": 7, "secret": demo::MERCHANT_SECRET, "online": false });
    let (status, _) = bench.send(reqwest::Method::POST, "/__sandbox/sites", &site).await;
    assert_eq!(status, 204);
    assert_eq!(bench.purchase(7, 1, "o", "1").await["txn_status"], 3);
    bench.post("/__sandbox/reset", "").await;
    assert_eq!(bench.transactions(), []);
    assert_eq!(bench.operate_unsigned(&signed(7, 30, json!({}))).await.1["error_code"], 8021);
    let (status, _) = bench.send(reqwest::Method::POST, "/__sandbox/sites", &json!({"x": 1})).await;
    assert_eq!(status, 400);
}
