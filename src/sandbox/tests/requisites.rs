//! The fields of every kind of provider: right, and wrong one by one.

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{Bench, body_json, demo};

const CARD: &str = "4256000000001231";
const ACCOUNT: &str = "40817810000000000001";

fn payment(fields: &Value) -> Value {
    json!({
        "id": "150217833198900",
        "sum": { "amount": 100, "currency": "643" },
        "paymentMethod": { "type": "Account", "accountId": "643" },
        "fields": fields,
    })
}

fn foreign() -> Value {
    json!({
        "account": CARD, "rem_name": "A", "rem_name_f": "B", "rec_address": "C",
        "rec_city": "D", "rec_country": "E", "reg_name": "F", "reg_name_f": "G",
    })
}

fn free() -> Value {
    json!({
        "name": "ПАО \"БАНК\"", "extra_to_bik": "044525225", "to_bik": "044525225",
        "city": "МОСКВА", "info": "Коммерческие организации", "is_commercial": "1",
        "to_name": "ООО \"Сад\"", "to_inn": "7700000001", "to_kpp": "770001001",
        "nds": "НДС не облагается", "goal": "Яблоки", "urgent": "0", "account": ACCOUNT,
        "from_name": "Имя", "from_name_p": "Отчество", "from_name_f": "Фамилия",
        "requestProtocol": "qw1", "toServiceId": "1717",
    })
}

#[tokio::test]
async fn each_kind_of_provider_takes_what_is_documented() {
    let bench = Bench::start().await;
    let masked = "4256********1231";
    for (provider, fields, shown) in [
        (1, json!({ "account": "9161112233" }), "9161112233"),
        (1963, json!({ "account": CARD }), masked),
        (31652, json!({ "account": CARD }), masked),
        (36390, json!({ "account": CARD }), masked),
        (21012, foreign(), masked),
        (464, json!({ "account": CARD, "account_type": "1", "exp_date": "0426" }), masked),
        (821, json!({ "account": CARD, "account_type": "7", "exp_date": "1226" }), masked),
        (870, json!({ "account": CARD, "account_type": "5" }), masked),
        (816, json!({ "account": ACCOUNT, "account_type": "5" }), ACCOUNT),
        (816, json!({ "account": ACCOUNT, "account_type": "2", "urgent": "0" }), ACCOUNT),
        (821, json!({ "account": ACCOUNT, "account_type": "9" }), ACCOUNT),
        (313, json!({ "account": "1-2", "account_type": "6", "agrnum": "1-2" }), "1-2"),
        (804, json!({ "account": "1-2", "account_type": "3" }), "1-2"),
        (674, json!({ "account": "user" }), "user"),
        (1717, free(), ACCOUNT),
    ] {
        let path = format!("/sinap/api/v2/terms/{provider}/payments");
        let (status, info) = bench.send(Method::POST, &path, &payment(&fields)).await;
        assert_eq!(status, 200, "{provider} {info}");
        assert_eq!(info["terms"], provider.to_string());
        assert_eq!(info["fields"]["account"], shown, "{provider}");
        assert_eq!(info["transaction"]["state"]["code"], "Accepted");
        assert!(info.get("comment").is_none());
        let kept = info["fields"].as_object().unwrap().len();
        assert_eq!(kept, fields.as_object().unwrap().len());
        let listed = bench.json(&super::payments("rows=1&operation=OUT")).await;
        assert_eq!(listed["data"][0]["account"], shown);
    }
    let spent = bench.sandbox.payments().len();
    assert_eq!(spent, 15);
}

#[tokio::test]
async fn wrong_fields_have_their_codes() {
    let bench = Bench::start().await;
    let mut table = vec![
        (1, json!({ "account": "79161112233" }), "QWPRC-303"),
        (1963, json!({ "account": "4256 0000 0000 1231" }), "QWPRC-522"),
        (464, json!({ "account": CARD, "account_type": "1" }), "QWPRC-547"),
        (464, json!({ "account": CARD, "account_type": "1", "exp_date": "1326" }), "QWPRC-547"),
        (870, json!({ "account": ACCOUNT, "account_type": "5" }), "QWPRC-522"),
        (870, json!({ "account": CARD, "account_type": "2" }), "QWPRC-4"),
        (870, json!({ "account": CARD, "account_type": "1" }), ""),
        (313, json!({ "account": "1", "account_type": "6" }), ""),
        (674, json!({}), "QWPRC-4"),
        (28004, json!({ "account": demo::WALLET, "vas_alias": "qvc-other" }), ""),
    ];
    for name in foreign().as_object().unwrap().keys() {
        let mut fields = foreign();
        fields.as_object_mut().unwrap().remove(name);
        table.push((1960, fields, if name == "account" { "QWPRC-522" } else { "" }));
    }
    for (name, value) in [
        ("to_bik", "044525226"),
        ("info", "Частные лица"),
        ("nds", "18%"),
        ("urgent", "2"),
        ("toServiceId", "99"),
        ("goal", ""),
    ] {
        let mut fields = free();
        fields[name] = json!(value);
        table.push((1717, fields, ""));
    }
    for (provider, fields, code) in table {
        let path = format!("/sinap/api/v2/terms/{provider}/payments");
        let (status, answer) = bench.send(Method::POST, &path, &payment(&fields)).await;
        assert_eq!(status, 400, "{provider} {fields}");
        assert_eq!(answer["code"].as_str().unwrap_or(""), code, "{provider} {fields}");
    }
    assert!(bench.sandbox.payments().is_empty());
}

#[tokio::test]
async fn urgent_free_requisites_cost_more() {
    let bench = Bench::start().await;
    let path = "/sinap/api/v2/terms/1717/payments";
    let mut fields = free();
    fields["urgent"] = json!("1");
    assert_eq!(bench.send(Method::POST, path, &payment(&fields)).await.0, 200);
    let operation = bench.operation("150217833198900").await.unwrap();
    assert_eq!(operation["commission"]["amount"].to_string(), "55");
}

#[tokio::test]
async fn a_card_of_kazakhstan_takes_two_calls() {
    let bench = Bench::start().await;
    let token = demo::PROFESSIONAL_WALLET_TOKEN;
    let call = |path: &'static str, version: u8, body: Value, from_site: bool| {
        let mut request = bench
            .client
            .post(format!("http://{}{path}", bench.sandbox.address()))
            .bearer_auth(token)
            .header(header::ACCEPT, format!("application/vnd.qiwi.v{version}+json"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if from_site {
            request = request
                .header("sec-fetch-site", "same-site")
                .header("sec-fetch-mode", "cors")
                .header("sec-fetch-dest", "empty");
        }
        async move {
            let response = request.send().await.unwrap();
            (response.status().as_u16(), body_json(response).await)
        }
    };
    let preparation = "/sinap/api/refs/a42ebc79-0584-4271-b8a0-15cb4ea8b340/containers";
    let ask = json!({ "cardNumber": CARD, "version": "2", "transferSum": "100", "src": "sinap" });
    assert_eq!(call(preparation, 1, ask.clone(), false).await.0, 400);
    assert_eq!(call(preparation, 2, ask.clone(), true).await.0, 400);
    let (status, prepared) = call(preparation, 1, ask, true).await;
    assert_eq!(status, 200);
    let element = |name: &str| {
        let mut all = prepared["elements"].as_array().unwrap().iter();
        all.find(|one| one["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(element("account"), "4256********1231");
    let mut body = payment(&json!({
        "cardNumber": CARD, "version": "2", "transferSum": "100", "accept": "1",
        "info": "Для продолжения оплаты, подтвердите, что являетесь держателем указанного \
                 банковского счета.",
        "account": element("account"), "ev_account1": element("ev_account1"),
    }));
    let transfer = "/sinap/api/terms/27292/payments";
    assert_eq!(call(transfer, 2, body.clone(), true).await.0, 400);
    body["sum"]["currency"] = json!("398");
    body["paymentMethod"]["accountId"] = json!("398");
    assert_eq!(call(transfer, 2, body.clone(), false).await.0, 400);
    assert_eq!(call(transfer, 1, body.clone(), true).await.0, 400);
    let (status, info) = call(transfer, 2, body.clone(), true).await;
    assert_eq!((status, &info["source"]), (200, &json!("account_398")), "{info}");
    assert_eq!(info["fields"]["cardNumber"], "4256********1231");
    assert_eq!(bench.balance(token, demo::PROFESSIONAL_WALLET, 398).await, "99900");
    body["fields"]["ev_account1"] = json!("made up");
    assert_eq!(call(transfer, 2, body.clone(), true).await.0, 400);
    assert_eq!(bench.sandbox.payments().len(), 1);
    // The usual path does not pay this provider.
    let usual = "/sinap/api/v2/terms/27292/payments";
    assert_eq!(bench.send_as(token, Method::POST, usual, &body).await.0, 404);
}
