//! The answers of each area, down to the text of their numbers.

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{Bench, accounts, ago, body_json, demo, payments};
use crate::sandbox::moment::DAY;

fn of_wallet(template: &str) -> String {
    template.replace("{}", demo::WALLET)
}

#[tokio::test]
async fn balances_keep_the_text_of_their_amounts() {
    let bench = Bench::start().await;
    let text = bench.text(&accounts()).await;
    for amount in ["12345.67", "100.5", "0.7"] {
        assert!(text.contains(&format!(r#""amount":{amount},"#)), "{amount}");
    }
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["accounts"][0]["hasBalance"], false);
    assert!(list["accounts"][0]["balance"].is_null());
    let offer = bench.json(&format!("{}/offer", accounts())).await;
    assert_eq!(offer, json!([{ "alias": "qw_wallet_kzt", "currency": 398 }, {}]));
    let unknown = format!("{}?timeout=1000&alias=qw_wallet_gbp", accounts());
    assert_eq!(bench.status(&unknown).await, 404);
}

#[tokio::test]
async fn parts_of_the_profile_can_be_left_out() {
    let bench = Bench::start().await;
    let path = "/person-profile/v1/profile/current";
    let whole = bench.json(path).await;
    assert_eq!(whole["authInfo"]["personId"].to_string(), demo::WALLET);
    assert!(whole["userInfo"]["email"].is_null());
    let part = bench.json(&format!("{path}?authInfoEnabled=false&userInfoEnabled=false")).await;
    let names: Vec<&String> = part.as_object().unwrap().keys().collect();
    assert_eq!(names, ["contractInfo"]);
    assert_eq!(bench.status(&format!("{path}?authInfoEnabled=1")).await, 400);
}

#[tokio::test]
async fn identification_is_masked() {
    let bench = Bench::start().await;
    let data = bench.json(&of_wallet("/identification/v1/persons/{}/identification")).await;
    assert_eq!(data["passport"], "43***11");
    assert_eq!(data["oms"], "");
    let base =
        of_wallet("/qw-ident-downgrade-api/v1/persons/{}/identification-downgrade/operations/");
    for (id, status) in [
        (demo::DOWNGRADE_SUCCEEDED, "SUCCESS"),
        (demo::DOWNGRADE_IN_PROGRESS, "IN_PROGRESS"),
        (demo::DOWNGRADE_FAILED, "FAIL"),
    ] {
        let state = bench.json(&format!("{base}{id}")).await;
        assert_eq!(state["downgradeOperation"]["status"]["type"], status);
    }
    assert_eq!(bench.status(&format!("{base}unknown")).await, 404);
}

#[tokio::test]
async fn limits_are_as_odd_as_documented() {
    let bench = Bench::start().await;
    let path = of_wallet("/qw-limits/v1/persons/{}/actual-limits");
    assert_eq!(bench.status(&path).await, 400);
    assert_eq!(bench.status(&format!("{path}?types%5B0%5D=ALL")).await, 400);
    let text = bench.text(&format!("{path}?types%5B0%5D=TURNOVER&types[1]=WITHDRAW_CASH")).await;
    assert!(text.contains(r#""max":200000.00"#) && text.contains(r#""max":"5000.00""#));
    let limits: Value = serde_json::from_str(&text).unwrap();
    let turnover = &limits["limits"]["RU"][0];
    assert_eq!(turnover["type"], "TURNOVER");
    assert!(turnover["interval"]["dateFrom"].as_str().unwrap().ends_with("-01T:00:00"));
    assert!(turnover["interval"]["dateTill"].as_str().unwrap().ends_with("-01T00:00"));
    let count = bench.json(&of_wallet("/qw-limits/v1/persons/{}/p2p-payment-count-limit")).await;
    assert_eq!(count, json!({ "p2pPaymentCountLimit": 7 }));
}

#[tokio::test]
async fn the_second_wallet_is_the_other_case_of_everything() {
    let bench = Bench::start().await;
    let get = |path: &str| {
        let path = path.replace("{}", demo::SECOND_WALLET);
        let request = bench.request_as(demo::SECOND_WALLET_TOKEN, Method::GET, &path);
        async move { request.send().await.unwrap() }
    };
    let nickname = get("/qw-nicknames/v1/persons/{}/nickname").await;
    assert!(body_json(nickname).await["nickname"].is_null());
    let blocked = get("/person-profile/v1/persons/{}/status/restrictions").await;
    let code = &body_json(blocked).await[0]["restrictionCode"];
    assert_eq!(code, "OUTGOING_PAYMENTS");
    let limits = get("/qw-limits/v1/persons/{}/actual-limits?types[0]=TURNOVER").await;
    assert_eq!(body_json(limits).await["limits"]["RU"][0]["rest"], true);
    let hook = get("/payment-notifier/v1/hooks/active").await;
    assert_eq!(hook.status(), 404);
    assert_eq!(body_json(hook).await["errorCode"], "hook.not.found");
    let cards = get("/cards/v1/cards/?vas-alias=qvc-master").await;
    assert_eq!(body_json(cards).await, json!([]));
    let foreign = get("/payment-history/v2/transactions/26712345648").await;
    assert_eq!(foreign.status(), 404);
    let restrictions = of_wallet("/person-profile/v1/persons/{}/status/restrictions");
    assert_eq!(bench.json(&restrictions).await, json!([]));
    let active = bench.json("/payment-notifier/v1/hooks/active").await;
    assert_eq!(active["txnType"], "BOTH");
}

#[tokio::test]
async fn a_transaction_has_a_receipt_once_it_is_done() {
    let bench = Bench::start().await;
    let list = bench.json(&payments("rows=20")).await;
    for item in list["data"].as_array().unwrap() {
        let (id, kind) = (&item["txnId"], item["type"].as_str().unwrap());
        let path = format!("/payment-history/v2/transactions/{id}");
        let one = bench.json(&format!("{path}?type={kind}")).await;
        assert_eq!(one["trmTxnId"], item["trmTxnId"]);
        let ready = item["status"] == "SUCCESS";
        assert_eq!(one["features"]["chequeReady"], ready);
        let other = if kind == "IN" { "OUT" } else { "IN" };
        assert_eq!(bench.status(&format!("{path}?type={other}")).await, 404);
        let file = format!("/payment-history/v1/transactions/{id}/cheque/file?type={kind}");
        assert_eq!(bench.status(&file).await, 400);
        for (format, media, magic) in [
            ("PDF", "application/pdf", b"%PDF".as_slice()),
            ("JPEG", "image/jpeg", &[0xFF, 0xD8, 0xFF]),
        ] {
            let receipt = bench.get(&format!("{file}&format={format}")).await;
            if ready {
                assert_eq!(receipt.headers()[header::CONTENT_TYPE], media);
                assert!(receipt.bytes().await.unwrap().starts_with(magic));
            } else {
                assert_eq!(receipt.status(), 404);
                assert_eq!(body_json(receipt).await["errorCode"], "cheque.not.available");
            }
        }
    }
}

#[tokio::test]
async fn cards_come_as_an_array_with_statements() {
    let bench = Bench::start().await;
    let text = bench.text("/cards/v1/cards?vas-alias=qvc-master").await;
    assert!(text.contains("99.0000") && text.contains("2001291110576200000"));
    let cards: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(cards.as_array().unwrap().len(), 3);
    assert_eq!(bench.status("/cards/v1/cards").await, 400);
    let id = demo::CARD_ID;
    let base = of_wallet(&format!("/payment-history/v1/persons/{{}}/cards/{id}/statement"));
    let period = format!("?from={}&till={}", ago(80 * DAY, 3), ago(0, 3));
    let file = bench.get(&format!("{base}{period}")).await;
    assert_eq!(file.headers()[header::CONTENT_TYPE], "application/pdf");
    assert!(file.bytes().await.unwrap().starts_with(b"%PDF"));
    let long = format!("{base}?from={}&till={}", ago(95 * DAY, 3), ago(0, 3));
    assert_eq!(bench.status(&long).await, 400);
    assert_eq!(bench.status(&base).await, 400);
    let unknown = base.replace(&id.to_string(), "1");
    assert_eq!(bench.status(&format!("{unknown}{period}")).await, 404);
}

#[tokio::test]
async fn unpaid_invoices_page_by_id() {
    let bench = Bench::start().await;
    let path = "/checkout-api/api/bill/search?statuses=READY_FOR_PAY";
    let first = bench.json(path).await;
    let first = first["bills"].as_array().unwrap();
    assert_eq!(first.len(), 50);
    let last = first[49]["id"].as_u64().unwrap();
    let rest = bench.json(&format!("{path}&next_id={last}&rows=50")).await;
    let rest = rest["bills"].as_array().unwrap();
    assert_eq!(rest.len(), 16);
    assert_eq!(rest[0], first[49], "next_id includes its own invoice");
    let created = first[20]["creation_datetime"].as_i64().unwrap();
    let before = bench.json(&format!("{path}&next_creation_datetime={created}")).await;
    let newest = before["bills"][0]["creation_datetime"].as_i64().unwrap();
    assert!(newest < created);
    let since = bench.json(&format!("{path}&min_creation_datetime={created}")).await;
    assert_eq!(since["bills"].as_array().unwrap().len(), 21);
    assert_eq!(bench.status("/checkout-api/api/bill/search").await, 400);
    assert_eq!(bench.status(&format!("{path}&rows=51")).await, 400);
}
