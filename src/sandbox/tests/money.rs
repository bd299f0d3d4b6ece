//! Payments change balances and histories, once per execution and never otherwise.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, SandboxConfig, demo};
use crate::sandbox::UpstreamDuplicate;

pub(super) const WALLET_TERMS: &str = "/sinap/api/v2/terms/99/payments";

/// A transfer to the professional wallet.
pub(super) fn transfer(id: &str, amount: &str) -> Value {
    let body = json!({
        "id": id,
        "sum": { "amount": serde_json::from_str::<Value>(amount).unwrap(), "currency": "643" },
        "paymentMethod": { "type": "Account", "accountId": "643" },
        "comment": "Заказ 1",
        "fields": { "account": format!("+{}", demo::PROFESSIONAL_WALLET) },
    });
    body
}

fn settling(delay: Duration) -> SandboxConfig {
    SandboxConfig { settle_delay: delay, ..SandboxConfig::default() }
}

#[tokio::test]
async fn a_transfer_moves_money_and_writes_both_histories() {
    let bench = Bench::with(settling(Duration::from_millis(700))).await;
    let id = "18446744073709551616";
    let (status, info) = bench.send(Method::POST, WALLET_TERMS, &transfer(id, "100.00")).await;
    assert_eq!(status, 200);
    let txn_id = info["transaction"]["id"].as_str().unwrap().to_owned();
    let account = format!("+{}", demo::PROFESSIONAL_WALLET);
    let expected = json!({
        "id": id,
        "terms": "99",
        "fields": { "account": account },
        "sum": { "amount": serde_json::from_str::<Value>("100.00").unwrap(), "currency": "643" },
        "source": "account_643",
        "comment": "Заказ 1",
        "transaction": { "id": txn_id, "state": { "code": "Accepted" } },
    });
    assert_eq!(info, expected);
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12244.67");

    let waiting = bench.operation(id).await.unwrap();
    assert_eq!(waiting["status"], "WAITING");
    assert_eq!(waiting["txnId"].to_string(), txn_id);
    assert_eq!(waiting["commission"]["amount"].to_string(), "1");
    assert_eq!(waiting["total"]["amount"].to_string(), "101");
    assert_eq!(waiting["provider"]["id"], 99);
    assert_eq!(waiting["comment"], "Заказ 1");
    let professional = (demo::PROFESSIONAL_WALLET_TOKEN, demo::PROFESSIONAL_WALLET);
    assert_eq!(bench.balance(professional.0, professional.1, 643).await, "50000");

    tokio::time::sleep(Duration::from_millis(750)).await;
    assert_eq!(bench.operation(id).await.unwrap()["status"], "SUCCESS");
    assert_eq!(bench.balance(professional.0, professional.1, 643).await, "50100");
    let path = super::payments("rows=10").replace(demo::WALLET, demo::PROFESSIONAL_WALLET);
    let (_, incoming) = bench.send_as(professional.0, Method::GET, &path, &Value::Null).await;
    let incoming = &incoming["data"][0];
    assert_eq!(incoming["type"], "IN");
    assert_eq!(incoming["account"], format!("+{}", demo::WALLET));
    assert_eq!(incoming["comment"], "Заказ 1");
    assert_eq!(incoming["sum"]["amount"].to_string(), "100");
    assert_ne!(incoming["trmTxnId"], id);

    let committed = bench.sandbox.payments();
    assert_eq!(committed.len(), 1);
    let one = &committed[0];
    assert_eq!((one.client_id.as_str(), one.provider), (id, 99));
    assert_eq!((one.amount.as_str(), one.currency), ("100", 643));
    assert_eq!((one.transaction_id.to_string(), one.wallet.as_str()), (txn_id, demo::WALLET));
    let listed = bench.json("/__sandbox/payments").await;
    assert_eq!(listed, serde_json::to_value(&committed).unwrap());
    assert_eq!(bench.post("/__sandbox/reset", "").await.status(), 204);
    assert!(bench.sandbox.payments().is_empty());
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12345.67");
}

#[tokio::test]
async fn a_repeated_id_is_paid_twice_unless_told_otherwise() {
    for (duplicates, second, commits) in
        [(UpstreamDuplicate::Executes, 200, 2), (UpstreamDuplicate::Refused, 400, 1)]
    {
        let bench = Bench::with(SandboxConfig { duplicates, ..SandboxConfig::default() }).await;
        let body = transfer("1600884280003", "10");
        let (status, first) = bench.send(Method::POST, WALLET_TERMS, &body).await;
        assert_eq!(status, 200);
        let (status, again) = bench.send(Method::POST, WALLET_TERMS, &body).await;
        assert_eq!(status, second);
        if commits == 2 {
            assert_ne!(again["transaction"]["id"], first["transaction"]["id"]);
        } else {
            assert_eq!(again["code"], "QWPRC-408");
        }
        let paid = bench.sandbox.payments();
        assert_eq!(paid.iter().filter(|one| one.client_id == "1600884280003").count(), commits);
        // The same id in another wallet is another payment.
        let mut body = transfer("1600884280003", "10");
        body["fields"]["account"] = json!(format!("+{}", demo::WALLET));
        let token = demo::PROFESSIONAL_WALLET_TOKEN;
        assert_eq!(bench.send_as(token, Method::POST, WALLET_TERMS, &body).await.0, 200);
    }
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_with_its_code() {
    let bench = Bench::start().await;
    let refused = |body: Value| {
        let bench = &bench;
        async move {
            let (status, answer) = bench.send(Method::POST, WALLET_TERMS, &body).await;
            assert_eq!(status, 400, "{body}");
            assert!(answer["message"].as_str().is_none_or(|text| !text.is_empty()));
            answer["code"].as_str().unwrap_or("malformed").to_owned()
        }
    };
    assert_eq!(refused(transfer("1", "12345.67")).await, "QWPRC-220");
    assert_eq!(refused(transfer("1", "0.99")).await, "QWPRC-241");
    assert_eq!(refused(transfer("1", "600000.01")).await, "QWPRC-242");
    for (pointer, value) in [
        ("/id", json!("")),
        ("/id", json!("123456789012345678901")),
        ("/id", json!("12a")),
        ("/id", json!(12)),
        ("/sum/amount", json!("10")),
        ("/sum/amount", json!(-1)),
        ("/sum/amount", json!(0)),
        ("/sum/currency", json!(643)),
        ("/sum/currency", json!("840")),
        ("/paymentMethod/type", json!("Card")),
        ("/paymentMethod/accountId", json!("840")),
        ("/fields", json!([])),
        ("/fields/account", json!(79990000003_u64)),
        ("/comment", json!(1)),
    ] {
        let mut body = transfer("1", "10");
        *body.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(refused(body).await, "malformed", "{pointer} {value}");
    }
    let mut body = transfer("1", "10");
    body["fields"]["account"] = json!(demo::PROFESSIONAL_WALLET);
    assert_eq!(refused(body.clone()).await, "QWPRC-4");
    let second = (demo::SECOND_WALLET_TOKEN, "QWPRC-319");
    let (_, answer) =
        bench.send_as(second.0, Method::POST, WALLET_TERMS, &transfer("1", "1")).await;
    assert_eq!(answer["code"], second.1);
    let (status, _) =
        bench.send(Method::POST, "/sinap/api/v2/terms/5/payments", &transfer("1", "1")).await;
    assert_eq!(status, 404);
    for (token, status) in [
        (demo::INFORMATION_TOKEN, 403),
        (demo::HISTORY_TOKEN, 403),
        (demo::EXPIRED_TOKEN, 401),
        (demo::PAYMENTS_TOKEN, 200),
        (demo::P2P_SECRET_KEY, 200),
    ] {
        let answer = bench.send_as(token, Method::POST, WALLET_TERMS, &transfer("1", "1")).await;
        assert_eq!(answer.0, status, "{token}");
    }
    assert_eq!(bench.sandbox.payments().len(), 2);
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12343.65");
}

#[tokio::test]
async fn conversion_buys_currency_for_roubles() {
    let bench = Bench::with(settling(Duration::ZERO)).await;
    let mut body = transfer("1600884280003", "100");
    body["sum"]["currency"] = json!("398");
    body["fields"]["account"] = json!(format!("+{}", demo::WALLET));
    let path = "/sinap/api/v2/terms/1099/payments";
    let (status, info) = bench.send(Method::POST, path, &body).await;
    assert_eq!((status, &info["source"]), (200, &json!("account_643")));
    assert_eq!(info["sum"]["currency"], "398");
    // 100 ÷ 6.22665 is a hair above 16.06, and kopeks are rounded up.
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12329.6");
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 398).await, "100");
    let operation = bench.operation("1600884280003").await.unwrap();
    assert_eq!(operation["sum"], json!({ "amount": 100, "currency": 398 }));
    assert_eq!(operation["status"], "SUCCESS");
    let list = bench.json(&super::payments("rows=2")).await;
    let kinds = [&list["data"][0]["type"], &list["data"][1]["type"]];
    assert!(kinds.contains(&&json!("IN")) && kinds.contains(&&json!("OUT")));
    body["sum"]["currency"] = json!("643");
    assert_eq!(bench.send(Method::POST, path, &body).await.0, 400);
}

#[tokio::test]
async fn a_later_failure_gives_the_money_back() {
    let bench = Bench::with(settling(Duration::ZERO)).await;
    let rule = json!({ "match": { "path_prefix": "/sinap/api/" }, "times": 1,
        "fault": { "settle_code": 797 } });
    bench.sandbox.add_fault(rule).unwrap();
    let body = transfer("77", "10");
    assert_eq!(bench.send(Method::POST, WALLET_TERMS, &body).await.0, 200);
    let operation = bench.operation("77").await.unwrap();
    assert_eq!((&operation["status"], &operation["errorCode"]), (&json!("ERROR"), &json!(797)));
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12345.67");
    assert_eq!(bench.sandbox.payments().len(), 1);
}

#[tokio::test]
async fn payments_from_many_sides_add_up() {
    let bench = Bench::with(settling(Duration::ZERO)).await;
    let calls = (0..50).map(|step| {
        let bench = &bench;
        async move {
            let body = transfer(&format!("{}", 1_000 + step), "1");
            bench.send(Method::POST, WALLET_TERMS, &body).await.0
        }
    });
    let statuses = futures_util::future::join_all(calls).await;
    assert_eq!(statuses, [200; 50]);
    let paid = bench.sandbox.payments();
    let ids: std::collections::BTreeSet<u64> = paid.iter().map(|one| one.transaction_id).collect();
    assert_eq!((paid.len(), ids.len()), (50, 50));
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12295.17");
    let journal = bench.sandbox.requests();
    assert_eq!(journal["by_route"]["POST /sinap/api/v2/terms/{provider}/payments"], 50);
}
