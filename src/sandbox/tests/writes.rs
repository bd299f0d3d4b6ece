//! The writes beside money: identification, balances, receipts by e-mail, webhooks.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, SandboxConfig, accounts, demo, encoded, payments};

fn person(passport: &str) -> Value {
    json!({
        "birthDate": "1998-02-11", "firstName": "Имя", "lastName": "Фамилия",
        "middleName": "Отчество", "passport": passport, "inn": "", "snils": "", "oms": "",
    })
}

#[tokio::test]
async fn a_wallet_is_identified_when_its_person_is_found() {
    let bench = Bench::start().await;
    let token = demo::SECOND_WALLET_TOKEN;
    let path = format!("/identification/v1/persons/{}/identification", demo::SECOND_WALLET);
    let ask = async |body: &Value| bench.send_as(token, Method::POST, &path, body).await;
    let (status, unknown) = ask(&person("123")).await;
    assert_eq!((status, &unknown["type"], &unknown["inn"]), (200, &json!("SIMPLE"), &Value::Null));
    let (status, found) = ask(&person("1122333000")).await;
    assert_eq!((status, &found["type"]), (200, &json!("VERIFIED")));
    assert_eq!(found["passport"], "1122333000");
    assert_eq!(found["inn"], "7710000001");
    let (_, read) = bench.send_as(token, Method::GET, &path, &Value::Null).await;
    assert_eq!(read["passport"], "11***00");
    assert_eq!((&read["type"], &read["inn"]), (&json!("VERIFIED"), &json!("77***01")));
    for (name, value) in [
        ("birthDate", "11.02.1998"),
        ("passport", "11 22 333000"),
        ("firstName", ""),
        ("lastName", ""),
        ("middleName", ""),
    ] {
        let mut body = person("1122333000");
        body[name] = json!(value);
        assert_eq!(ask(&body).await.0, 400, "{name}");
    }
}

#[tokio::test]
async fn a_downgrade_is_requested_confirmed_and_done() {
    let config =
        SandboxConfig { settle_delay: Duration::from_millis(600), ..SandboxConfig::default() };
    let bench = Bench::with(config).await;
    for (token, wallet, confirmed, end, level) in [
        (demo::WALLET_TOKEN, demo::WALLET, "FAIL", "FAIL", "VERIFIED"),
        (
            demo::PROFESSIONAL_WALLET_TOKEN,
            demo::PROFESSIONAL_WALLET,
            "IN_PROGRESS",
            "SUCCESS",
            "VERIFIED",
        ),
    ] {
        let base = format!(
            "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations"
        );
        let full = json!({ "identificationLevel": "FULL" });
        assert_eq!(bench.send_as(token, Method::POST, &base, &full).await.0, 400);
        let wanted = json!({ "identificationLevel": "VERIFIED" });
        let (status, asked) = bench.send_as(token, Method::POST, &base, &wanted).await;
        assert_eq!(status, 200);
        let id = asked["downgradeOperationId"].as_str().unwrap();
        let path = format!("{base}/{id}");
        let state = async || {
            let (_, state) = bench.send_as(token, Method::GET, &path, &Value::Null).await;
            state["downgradeOperation"]["status"]["type"].clone()
        };
        assert_eq!(state().await, "IN_PROGRESS");
        let confirm = format!("{path}/confirm");
        for _ in 0..2 {
            let (status, answer) = bench.send_as(token, Method::PUT, &confirm, &json!({})).await;
            let operation = &answer["downgradeOperation"];
            assert_eq!((status, &operation["downgradeOperationId"]), (200, &json!(id)));
            assert_eq!(operation["status"]["type"], confirmed);
        }
        tokio::time::sleep(Duration::from_millis(650)).await;
        assert_eq!(state().await, end);
        let data = format!("/identification/v1/persons/{wallet}/identification");
        let (_, data) = bench.send_as(token, Method::GET, &data, &Value::Null).await;
        assert_eq!(data["type"], level);
        let unknown = format!("{base}/unknown/confirm");
        assert_eq!(bench.send_as(token, Method::PUT, &unknown, &json!({})).await.0, 404);
        assert_eq!(bench.send_as(token, Method::PUT, &confirm, &Value::Null).await.0, 400);
    }
}

#[tokio::test]
async fn a_balance_is_opened_and_made_the_default() {
    let bench = Bench::start().await;
    let kzt = json!({ "alias": "qw_wallet_kzt" });
    assert_eq!(bench.send(Method::POST, &accounts(), &kzt).await, (201, Value::Null));
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 398).await, "0");
    assert_eq!(bench.json(&format!("{}/offer", accounts())).await, json!([{}]));
    assert_eq!(bench.send(Method::POST, &accounts(), &kzt).await.0, 400);
    let yes = json!({ "defaultAccount": true });
    let path = format!("{}/qw_wallet_kzt", accounts());
    assert_eq!(bench.send(Method::PATCH, &path, &yes).await, (204, Value::Null));
    let list = bench.json(&accounts()).await;
    let defaults: Vec<&Value> = list["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|account| account["defaultAccount"] == true)
        .map(|account| &account["alias"])
        .collect();
    assert_eq!(defaults, ["qw_wallet_kzt"]);
    let no = json!({ "defaultAccount": false });
    assert_eq!(bench.send(Method::PATCH, &path, &no).await.0, 400);
    let unknown = format!("{}/qw_wallet_gbp", accounts());
    assert_eq!(bench.send(Method::PATCH, &unknown, &yes).await.0, 404);
    let reader = bench.send_as(demo::INFORMATION_TOKEN, Method::PATCH, &path, &yes).await;
    assert_eq!(reader.0, 403);
}

#[tokio::test]
async fn a_receipt_goes_by_mail_once_it_is_there() {
    let bench = Bench::start().await;
    let list = bench.json(&payments("rows=10")).await;
    let with = |status: &str| {
        let mut all = list["data"].as_array().unwrap().iter();
        let one = all.find(|one| one["status"] == status).unwrap();
        let kind = one["type"].as_str().unwrap();
        format!("/payment-history/v1/transactions/{}/cheque/send?type={kind}", one["txnId"])
    };
    let mail = json!({ "email": "reader@example.com" });
    let done = with("SUCCESS");
    assert_eq!(bench.send(Method::POST, &done, &mail).await, (201, Value::Null));
    assert_eq!(bench.send(Method::POST, &done, &mail).await.0, 201);
    let outbox = bench.json("/__sandbox/outbox").await;
    assert_eq!(outbox.as_array().unwrap().len(), 2, "a repeat is a second letter");
    assert_eq!(outbox[0]["email"], "reader@example.com");
    let (status, answer) = bench.send(Method::POST, &with("WAITING"), &mail).await;
    assert_eq!((status, &answer["errorCode"]), (404, &json!("cheque.not.available")));
    let untyped = done.split('?').next().unwrap();
    assert_eq!(bench.send(Method::POST, untyped, &mail).await.0, 400);
    assert_eq!(bench.send(Method::POST, &done, &json!({ "email": "nobody" })).await.0, 400);
    let unknown = "/payment-history/v1/transactions/1/cheque/send?type=OUT";
    assert_eq!(bench.send(Method::POST, unknown, &mail).await.0, 404);
}

#[tokio::test]
async fn a_hook_lives_from_its_registration_to_its_removal() {
    let bench = Bench::start().await;
    let hooks = "/payment-notifier/v1/hooks";
    let call = async |method: Method, path: &str| bench.send(method, path, &Value::Null).await;
    let register = |url: &str, hook: &str, txn: &str| {
        format!("{hooks}?hookType={hook}&param={}&txnType={txn}", encoded(url))
    };
    let url = "http://example.com/callbacks/?a=b&c=d";
    let (status, exists) = call(Method::PUT, &register(url, "1", "2")).await;
    assert_eq!((status, &exists["errorCode"]), (422, &json!("hook.already.exists")));
    let seeded = call(Method::GET, &format!("{hooks}/{}/key", demo::HOOK_ID)).await;
    assert_eq!(seeded, (201, json!({ "key": demo::HOOK_KEY })));
    assert_eq!(STANDARD.decode(demo::HOOK_KEY).unwrap().len(), 32);
    let removed = call(Method::DELETE, &format!("{hooks}/{}", demo::HOOK_ID)).await;
    assert_eq!(removed, (200, json!({ "response": "Hook deleted" })));
    for path in [format!("{hooks}/active"), format!("{hooks}/test")] {
        assert_eq!(call(Method::GET, &path).await.0, 404);
    }
    assert_eq!(call(Method::DELETE, &format!("{hooks}/{}", demo::HOOK_ID)).await.0, 404);

    let long = format!("http://example.com/{}", "я".repeat(82));
    assert_eq!(call(Method::PUT, &register(&long, "1", "2")).await.0, 500);
    for (url, hook, txn) in [
        (url, "2", "2"),
        (url, "1", "3"),
        ("ftp://example.com/", "1", "2"),
        ("example.com", "1", "2"),
    ] {
        assert_eq!(call(Method::PUT, &register(url, hook, txn)).await.0, 422, "{url} {hook} {txn}");
    }
    assert_eq!(call(Method::PUT, &format!("{hooks}?hookType=1&txnType=2")).await.0, 400);
    let longest = format!("http://example.com/{}", "я".repeat(81));
    for (url, txn, direction) in
        [(url, "0", "IN"), (url, "1", "OUT"), (longest.as_str(), "2", "BOTH")]
    {
        let (status, hook) = call(Method::PUT, &register(url, "1", txn)).await;
        assert_eq!((status, &hook["txnType"]), (200, &json!(direction)));
        assert_eq!(
            (&hook["hookParameters"]["url"], &hook["hookType"]),
            (&json!(url), &json!("WEB"))
        );
        assert_eq!(call(Method::GET, &format!("{hooks}/active")).await, (200, hook.clone()));
        let own = format!("{hooks}/{}", hook["hookId"].as_str().unwrap());
        let (_, first) = call(Method::GET, &format!("{own}/key")).await;
        assert_eq!(call(Method::GET, &format!("{own}/key")).await, (201, first.clone()));
        let (status, renewed) = call(Method::POST, &format!("{own}/newkey")).await;
        assert_eq!(status, 201);
        assert_ne!(renewed, first);
        assert_eq!(STANDARD.decode(renewed["key"].as_str().unwrap()).unwrap().len(), 32);
        assert_eq!(call(Method::GET, &format!("{own}/key")).await, (201, renewed));
        let sent = call(Method::GET, &format!("{hooks}/test")).await;
        assert_eq!(sent, (200, json!({ "response": "Webhook sent" })));
        assert_eq!(call(Method::DELETE, &own).await.0, 200);
        assert_eq!(call(Method::GET, &format!("{own}/key")).await.0, 404);
        assert_eq!(call(Method::POST, &format!("{own}/newkey")).await.0, 404);
    }
    let outbox = bench.json("/__sandbox/outbox").await;
    assert_eq!(outbox.as_array().unwrap().len(), 3);
    assert_eq!(outbox[2]["notification"]["test"], true);
    assert_eq!(outbox[2]["url"], longest);
}
