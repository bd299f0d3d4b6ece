//! P2P keys and bills, and the invoices of the paying side.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Bench, demo};

const BILL: &str = "/partner/bill/v1/bills/cc961e8d-d4d6-4f02-b737-2297e51fb48e";

fn bill() -> Value {
    json!({
        "amount": { "currency": "RUB", "value": "100.009" },
        "comment": "Text comment",
        "expirationDateTime": "2099-12-10T09:02:00+03:00",
        "customer": {
            "phone": demo::PROFESSIONAL_WALLET, "email": "test@example.com", "account": "454678",
        },
        "customFields": { "paySourcesFilter": "qw", "yourParam1": "64728940" },
    })
}

impl Bench {
    async fn bill(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.send_as(demo::P2P_SECRET_KEY, method, path, body).await
    }

    async fn invoices(&self) -> Vec<Value> {
        let path = "/checkout-api/api/bill/search?statuses=READY_FOR_PAY";
        let token = demo::PROFESSIONAL_WALLET_TOKEN;
        let (_, list) = self.send_as(token, Method::GET, path, &Value::Null).await;
        list["bills"].as_array().unwrap().clone()
    }

    async fn pay_invoice(&self, token: &str, id: &str, currency: &str) -> (u16, Value) {
        let body = json!({ "invoice_uid": id, "currency": currency });
        self.send_as(token, Method::POST, "/checkout-api/invoice/pay/wallet", &body).await
    }
}

#[tokio::test]
async fn a_bill_is_issued_paid_and_credited() {
    let bench = Bench::start().await;
    let (status, issued) = bench.bill(Method::PUT, BILL, &bill()).await;
    assert_eq!(status, 200);
    assert_eq!(issued["amount"], json!({ "currency": "RUB", "value": "100.00" }));
    assert_eq!(issued["status"]["value"], "WAITING");
    for part in ["customer", "customFields", "comment", "expirationDateTime"] {
        assert_eq!(issued[part], bill()[part]);
    }
    assert!(issued["payUrl"].as_str().unwrap().contains("/form/?invoice_uid="));
    assert_eq!(bench.bill(Method::GET, BILL, &Value::Null).await, (200, issued.clone()));
    assert_eq!(bench.bill(Method::PUT, BILL, &bill()).await, (200, issued.clone()));
    let mut other = bill();
    other["amount"]["value"] = json!(5);
    assert_eq!(bench.bill(Method::PUT, BILL, &other).await.0, 409);

    let invoices = bench.invoices().await;
    assert_eq!(invoices.len(), 1);
    assert_eq!(invoices[0]["external_id"], issued["billId"]);
    let id = invoices[0]["id"].to_string();
    let payer = demo::PROFESSIONAL_WALLET_TOKEN;
    assert_eq!(bench.pay_invoice(payer, &id, "398").await.0, 400);
    let (status, paid) = bench.pay_invoice(payer, &id, "643").await;
    assert_eq!((status, &paid["invoice_status"]), (200, &json!("PAID_STATUS")));
    assert_eq!(paid["is_sms_confirm"], false);
    assert!(bench.invoices().await.is_empty());
    let (_, after) = bench.bill(Method::GET, BILL, &Value::Null).await;
    assert_eq!(after["status"]["value"], "PAID");
    assert_eq!(bench.balance(payer, demo::PROFESSIONAL_WALLET, 643).await, "49900");
    assert_eq!(bench.balance(demo::WALLET_TOKEN, demo::WALLET, 643).await, "12445.67");
    let committed = bench.sandbox.payments();
    assert_eq!(committed.len(), 1);
    assert_eq!(committed[0].invoice_id.unwrap().to_string(), id);
    // A second payment finds nothing to pay, and a paid bill cannot be cancelled.
    assert_eq!(bench.pay_invoice(payer, &id, "643").await.0, 404);
    assert_eq!(bench.bill(Method::POST, &format!("{BILL}/reject"), &json!({})).await.0, 409);
}

#[tokio::test]
async fn an_unpaid_bill_is_rejected_from_either_side() {
    let bench = Bench::start().await;
    bench.bill(Method::PUT, BILL, &bill()).await;
    let cancel = format!("{BILL}/reject");
    for _ in 0..2 {
        let (status, cancelled) = bench.bill(Method::POST, &cancel, &json!({})).await;
        assert_eq!((status, &cancelled["status"]["value"]), (200, &json!("REJECTED")));
    }
    assert!(bench.invoices().await.is_empty());

    let second = BILL.replace("cc961e8d", "second");
    bench.bill(Method::PUT, &second, &bill()).await;
    let id = bench.invoices().await[0]["id"].clone();
    let reject = "/checkout-api/api/bill/reject";
    let payer = demo::PROFESSIONAL_WALLET_TOKEN;
    let body = json!({ "id": id });
    assert_eq!(bench.send_as(payer, Method::POST, reject, &body).await, (200, Value::Null));
    assert_eq!(bench.send_as(payer, Method::POST, reject, &body).await.0, 404);
    assert_eq!(bench.send_as(payer, Method::POST, reject, &json!({ "id": "1" })).await.0, 400);
    let (_, after) = bench.bill(Method::GET, &second, &Value::Null).await;
    assert_eq!(after["status"]["value"], "REJECTED");
}

#[tokio::test]
async fn a_bill_runs_out() {
    let bench = Bench::start().await;
    let mut body = bill();
    let soon = jiff::Timestamp::now().as_second() + 2;
    body["expirationDateTime"] =
        json!(crate::sandbox::moment::with_offset(soon, crate::sandbox::moment::MOSCOW));
    assert_eq!(bench.bill(Method::PUT, BILL, &body).await.0, 200);
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let (_, after) = bench.bill(Method::GET, BILL, &Value::Null).await;
    assert_eq!(after["status"]["value"], "EXPIRED");
}

#[tokio::test]
async fn malformed_bills_are_refused_as_documented() {
    let bench = Bench::start().await;
    for (pointer, value) in [
        ("/amount/currency", json!("USD")),
        ("/amount/value", json!("1234567")),
        ("/amount/value", json!("0")),
        ("/amount/value", json!("ten")),
        ("/expirationDateTime", json!("2099-12-10T0902")),
        ("/expirationDateTime", json!("2001-12-10T09:02:00+03:00")),
        ("/comment", json!("x".repeat(256))),
        ("/customFields", json!({ "a": 1 })),
        ("/customer/phone", json!(7)),
    ] {
        let mut body = bill();
        *body.pointer_mut(pointer).unwrap() = value;
        let (status, answer) = bench.bill(Method::PUT, BILL, &body).await;
        assert_eq!((status, &answer["serviceName"]), (400, &json!("invoicing-api")), "{pointer}");
    }
    let path = format!("/partner/bill/v1/bills/{}", "a".repeat(201));
    assert_eq!(bench.bill(Method::PUT, &path, &bill()).await.0, 400);
    let (status, answer) = bench.bill(Method::GET, BILL, &Value::Null).await;
    assert_eq!((status, &answer["errorCode"]), (404, &json!("api.invoice.not.found")));
    // No wallet token opens this interface.
    assert_eq!(bench.send(Method::PUT, BILL, &bill()).await.0, 403);
}

#[tokio::test]
async fn a_new_key_opens_the_bills_of_its_wallet() {
    let bench = Bench::start().await;
    let create = "/widgets-api/api/p2p/protected/keys/create";
    let body =
        json!({ "keysPairName": "Name", "serverNotificationsUrl": "https://example.com/p2p" });
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let (status, pair) = bench.send(Method::POST, create, &body).await;
        assert_eq!(status, 200);
        assert_ne!(pair["PublicKey"], pair["SecretKey"]);
        secrets.push(pair["SecretKey"].as_str().unwrap().to_owned());
    }
    assert_ne!(secrets[0], secrets[1]);
    bench.bill(Method::PUT, BILL, &bill()).await;
    for secret in &secrets {
        assert_eq!(bench.send_as(secret, Method::GET, BILL, &Value::Null).await.0, 200);
    }
    assert_eq!(bench.send(Method::POST, create, &json!({})).await.0, 400);
    let simple = demo::SECOND_WALLET_TOKEN;
    assert_eq!(bench.send_as(simple, Method::POST, create, &body).await.0, 403);
    bench.post("/__sandbox/reset", "").await;
    assert_eq!(bench.send_as(&secrets[0], Method::GET, BILL, &Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_seeded_invoice_is_paid_once_or_not_at_all() {
    let bench = Bench::start().await;
    let path = "/checkout-api/api/bill/search?statuses=READY_FOR_PAY&rows=2";
    let list = bench.json(path).await;
    let (first, second) = (list["bills"][0]["id"].to_string(), list["bills"][1]["id"].to_string());
    let pay = async |id: &str| bench.pay_invoice(demo::P2P_SECRET_KEY, id, "643").await;
    assert_eq!(pay(&first).await.1["invoice_status"], "PAID_STATUS");
    assert_eq!(pay(&first).await.0, 404);
    assert_eq!(pay("x").await.0, 404);
    let paid = bench.sandbox.payments();
    let operation = bench.operation(&paid[0].client_id).await.unwrap();
    assert_eq!(operation["status"], "SUCCESS");
    assert_eq!(bench.json(path).await["bills"][0]["id"].to_string(), second);
    // Without the money the answer is a 200 all the same, and the invoice stays.
    let body = super::money::transfer("1", "12100");
    bench.send(Method::POST, super::money::WALLET_TERMS, &body).await;
    let (status, answer) = pay(&second).await;
    assert_eq!((status, &answer["invoice_status"]), (200, &json!("ERROR_STATUS")));
    assert_eq!(bench.json(path).await["bills"][0]["id"].to_string(), second);
    assert_eq!(bench.sandbox.payments().len(), 2);
}
