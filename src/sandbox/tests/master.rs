//! The Master package: buying it, ordering cards, and what can be done to them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, SandboxConfig, demo};

fn payment(id: &str, amount: u32, fields: &Value) -> Value {
    json!({
        "id": id,
        "sum": { "amount": amount, "currency": "643" },
        "paymentMethod": { "type": "Account", "accountId": "643" },
        "comment": "Оплата",
        "fields": fields,
    })
}

async fn cards(bench: &Bench) -> Vec<Value> {
    bench.json("/cards/v1/cards?vas-alias=qvc-master").await.as_array().unwrap().clone()
}

#[tokio::test]
async fn the_package_has_its_price_and_its_answer() {
    let bench = Bench::start().await;
    let path = "/sinap/api/v2/terms/28004/payments";
    let fields = json!({ "account": demo::WALLET, "vas_alias": "qvc-master" });
    let (status, info) = bench.send(Method::POST, path, &payment("1", 2999, &fields)).await;
    assert_eq!((status, &info["fields"]), (200, &json!({ "account": demo::WALLET })));
    assert_eq!(bench.send(Method::POST, path, &payment("1", 2998, &fields)).await.0, 400);
    let other = json!({ "account": demo::SECOND_WALLET, "vas_alias": "qvc-master" });
    let (_, refused) = bench.send(Method::POST, path, &payment("1", 2999, &other)).await;
    assert_eq!(refused["code"], "QWPRC-4");
}

#[tokio::test]
async fn five_cards_are_free_and_the_next_one_is_paid() {
    let config = SandboxConfig { settle_delay: Duration::ZERO, ..SandboxConfig::default() };
    let bench = Bench::with(config).await;
    let orders = format!("/cards/v2/persons/{}/orders", demo::WALLET);
    let mut last = Value::Null;
    for alias in ["qvc-cpa", "qvc-cpa-debit", "qvc-cpa"] {
        let (status, draft) =
            bench.send(Method::POST, &orders, &json!({ "cardAlias": alias })).await;
        assert_eq!(status, 200);
        assert_eq!((&draft["status"], &draft["price"]), (&json!("DRAFT"), &Value::Null));
        let submit = format!("{orders}/{}/submit", draft["id"].as_str().unwrap());
        let before = cards(&bench).await.len();
        let (status, order) = bench.send(Method::PUT, &submit, &Value::Null).await;
        assert_eq!((status, &order["id"]), (200, &draft["id"]));
        let again = bench.send(Method::PUT, &submit, &Value::Null).await;
        assert_eq!(again, (200, order.clone()));
        let now = cards(&bench).await;
        if order["status"] == "COMPLETED" {
            assert_eq!(order["price"], json!({ "amount": 0, "currency": 643 }));
            assert_eq!(order["cardId"].as_str().unwrap(), now[0]["qvx"]["id"].to_string());
            assert_eq!((now.len(), &now[0]["info"]["alias"]), (before + 1, &json!(alias)));
        } else {
            assert_eq!(now.len(), before);
        }
        last = order;
    }
    assert_eq!((&last["status"], &last["cardId"]), (&json!("PAYMENT_REQUIRED"), &Value::Null));
    assert_eq!(last["price"], json!({ "amount": 99, "currency": 643 }));
    assert_eq!(cards(&bench).await.len(), 5);

    let path = "/sinap/api/v2/terms/32064/payments";
    let fields = json!({ "account": demo::WALLET, "order_id": last["id"] });
    assert_eq!(bench.send(Method::POST, path, &payment("1", 98, &fields)).await.0, 400);
    // Paid twice, it is still one card.
    for id in ["2", "3"] {
        assert_eq!(bench.send(Method::POST, path, &payment(id, 99, &fields)).await.0, 200);
        assert_eq!(cards(&bench).await.len(), 6);
    }
    let newest = cards(&bench).await[0]["qvx"].clone();
    assert_eq!(newest["txnId"], bench.sandbox.payments()[0].transaction_id.to_string());
    let unknown = json!({ "account": demo::WALLET, "order_id": "none" });
    assert_eq!(bench.send(Method::POST, path, &payment("4", 99, &unknown)).await.0, 400);
    let (status, _) = bench.send(Method::POST, &orders, &json!({ "cardAlias": "gold" })).await;
    assert_eq!(status, 400);
    let missing = format!("{orders}/none/submit");
    assert_eq!(bench.send(Method::PUT, &missing, &Value::Null).await.0, 404);
}

#[tokio::test]
async fn cards_are_blocked_unblocked_shown_and_renamed() {
    let bench = Bench::start().await;
    let id = demo::CARD_ID;
    let of_card = |verb: &str| format!("/cards/v2/persons/{}/cards/{id}/{verb}", demo::WALLET);
    let status = async |id: u64| {
        let cards = cards(&bench).await;
        cards.iter().find(|card| card["qvx"]["id"] == id).unwrap()["qvx"]["status"].clone()
    };
    let details = format!("/cards/v1/cards/{id}/details");
    let ask = json!({ "operationId": "43555447-a026-4c17-b56d-6956a09249c9" });
    let (_, shown) = bench.send(Method::PUT, &details, &ask).await;
    assert_eq!((&shown["status"], &shown["errorCode"]), (&json!("OK"), &json!("0")));
    assert!(shown["pan"].as_str().unwrap().ends_with("9078"));
    assert_eq!(shown["cvv"].as_str().unwrap().len(), 3);
    assert_eq!(bench.send(Method::PUT, &details, &json!({ "operationId": "1" })).await.0, 400);

    for _ in 0..2 {
        let blocked = bench.request(Method::PUT, &of_card("block")).send().await.unwrap();
        assert_eq!(blocked.status(), 202);
        assert_eq!(blocked.text().await.unwrap(), "");
        assert_eq!(status(id).await, "BLOCKED");
    }
    let (code, hidden) = bench.send(Method::PUT, &details, &ask).await;
    assert_eq!((code, &hidden["status"], &hidden["pan"]), (200, &json!("FAIL"), &Value::Null));
    for expected in ["OK", "FAIL"] {
        let (code, answer) = bench.send(Method::PUT, &of_card("unblock"), &Value::Null).await;
        assert_eq!((code, &answer["status"]), (200, &json!(expected)));
        assert!(answer["confirmationId"].is_null() && answer["nextConfirmationRequest"].is_null());
    }
    assert_eq!(status(id).await, "ACTIVE");

    let alias = format!("/cards/v1/cards/{id}/alias");
    let (_, renamed) = bench.send(Method::PUT, &alias, &json!({ "alias": "Сад" })).await;
    assert_eq!(renamed, json!({ "status": "OK", "error": "OK", "errorCode": "OK" }));
    let listed = cards(&bench).await;
    assert!(listed.iter().any(|card| card["qvx"]["cardAlias"] == "Сад"));
    let (code, empty) = bench.send(Method::PUT, &alias, &json!({ "alias": "" })).await;
    assert_eq!((code, &empty["status"]), (200, &json!("FAIL")));
    assert_eq!(bench.send(Method::PUT, &alias, &json!({})).await.0, 400);
    let unknown = "/cards/v1/cards/1/alias";
    assert_eq!(bench.send(Method::PUT, unknown, &json!({ "alias": "x" })).await.0, 404);
    let payer = demo::PAYMENTS_TOKEN;
    let forbidden = bench.send_as(payer, Method::PUT, &of_card("block"), &Value::Null).await;
    assert_eq!(forbidden.0, 403);
}
