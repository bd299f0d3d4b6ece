//! The payment form as a customer's script plays it.

use reqwest::header;
use serde_json::{Value, json};

use super::merchant::{PAN, changed, sign};
use super::{Bench, demo};

const SITE: u64 = demo::MERCHANT_SITE;

/// The fields of a form, with a signature over all of them.
fn form(changes: Value) -> Vec<(String, String)> {
    let fields = json!({
        "opcode": "1", "merchant_site": SITE.to_string(), "currency": "643", "amount": "7.00",
        "order_id": "o", "email": "user@co.ru", "success_url": "http://shop/paid",
        "decline_url": "http://shop/sorry",
    });
    let mut fields = changed(fields, changes);
    if fields.get("sign").is_none() {
        let sign = sign(&fields);
        fields["sign"] = json!(sign);
    }
    let fields = fields.as_object().unwrap().clone();
    fields.into_iter().map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
}

fn pairs(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl Bench {
    /// Opens a form.
    async fn open_form(&self, changes: Value) -> Value {
        self.submit("/paypage/initial", &pairs(&form(changes))).await
    }

    /// Types a card into an open form.
    async fn pay_form(&self, opened: &Value, expiry: &str, name: &str) -> Value {
        let typed = [
            ("form", opened["form"].as_str().unwrap()),
            ("pan", PAN),
            ("expiry", expiry),
            ("cvv2", "123"),
            ("card_name", name),
        ];
        self.submit(opened["action"].as_str().unwrap(), &typed).await
    }
}

#[tokio::test]
async fn a_signed_form_is_shown_and_paid_once() {
    let bench = Bench::start().await;
    let opened = bench.open_form(json!({})).await;
    let paid = bench.pay_form(&opened, "1299", "CARDHOLDER NAME").await;
    assert_eq!((&paid["error_code"], &paid["txn_status"]), (&json!(0), &json!(4)));
    assert_eq!(paid["redirect"], "http://shop/paid");
    assert_eq!(bench.order(SITE, "o").await.len(), 1);
    assert_eq!(bench.pay_form(&opened, "1299", "X").await["error_code"], 8056);
    let again = bench.open_form(json!({})).await;
    assert_eq!(bench.pay_form(&again, "1299", "X").await["error_code"], 8055);
    bench.mischief(json!({ "match": { "path_prefix": "/paypage/pay" }, "times": 1, "fault": { "decline_code": 8153 } }));
    let struck = bench.open_form(json!({ "order_id": "q" })).await;
    assert_eq!(bench.pay_form(&struck, "1299", "X").await["error_code"], 8153);
    let declined = bench.open_form(json!({ "order_id": "p", "opcode": "3" })).await;
    let declined = bench.pay_form(&declined, "0299", "X").await;
    assert_eq!(
        (&declined["txn_status"], &declined["redirect"]),
        (&json!(1), &json!("http://shop/sorry"))
    );
}

#[tokio::test]
async fn what_is_not_signed_or_too_late_is_not_shown() {
    let bench = Bench::start().await;
    for (changes, code) in [
        (json!({ "sign": "x" }), 8054),
        (json!({ "opcode": "5" }), 8025),
        (json!({ "merchant_site": "12" }), 8021),
        (json!({ "merchant_site": demo::DISABLED_SITE.to_string() }), 8051),
        (json!({ "currency": null }), 8019),
        (json!({ "order_expire": "2020-01-01T00:00:00+03:00" }), 8019),
        (json!({ "merchant_cheque": "x" }), 8019),
    ] {
        assert_eq!(bench.open_form(changes.clone()).await["error_code"], code, "{changes}");
    }
}

#[tokio::test]
async fn the_customer_may_type_the_amount() {
    let bench = Bench::start().await;
    let opened = bench.open_form(json!({ "amount": null })).await;
    let typed = [
        ("form", opened["form"].as_str().unwrap()),
        ("pan", PAN),
        ("expiry", "1299"),
        ("cvv2", "123"),
        ("amount", "3.50"),
    ];
    let paid = bench.submit("/paypage/pay", &typed).await;
    assert_eq!(paid["amount"].to_string(), "3.50");
    // As in the documents' sample, where the signature was made before the customer typed.
    let mut sample = form(json!({ "amount": null, "order_id": "q" }));
    sample.push(("amount".to_owned(), "3.50".to_owned()));
    assert!(bench.submit("/paypage/initial", &pairs(&sample)).await["form"].is_string());
}

#[tokio::test]
async fn the_way_to_the_issuer_and_back_leads_through_pages() {
    let bench = Bench::start().await;
    for (order, answer, status) in [("a", "confirm", 4), ("b", "deny", 1)] {
        let opened = bench.open_form(json!({ "order_id": order })).await;
        let hop = bench.pay_form(&opened, "1299", "unknown name").await;
        let text = |name: &str| hop[name].as_str().unwrap().to_owned();
        let (pareq, md, back) = (text("PaReq"), text("MD"), text("TermUrl"));
        assert!(text("action").ends_with("/acs"));
        let hop = [("PaReq", &*pareq), ("MD", &*md), ("TermUrl", &*back)];
        let asked = bench.submit("/acs", &hop).await;
        assert_eq!(asked["action"], "/acs/answer");
        let [pareq, md, back] = hop;
        let answered = bench.submit("/acs/answer", &[pareq, md, back, ("answer", answer)]).await;
        assert_eq!(answered["action"].as_str().unwrap(), back.1);
        let pares = answered["PaRes"].as_str().unwrap();
        let done = bench.submit("/paypage/return", &[("PaRes", pares), md]).await;
        assert_eq!(done["txn_status"], status, "{answer}");
    }
}

#[tokio::test]
async fn a_browser_sees_pages_and_is_sent_back_to_the_shop() {
    let bench = Bench::start().await;
    let post = async |path: &str, form: &[(&str, &str)]| {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(form);
        let request = bench
            .client
            .post(format!("http://{}{path}", bench.sandbox.address()))
            .header(header::ACCEPT, "text/html")
            .body(text.finish());
        request.send().await.unwrap()
    };
    let page = post("/paypage/initial", &pairs(&form(json!({})))).await;
    assert_eq!(page.status(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("name=\"pan\"") && page.contains("action=\"/paypage/pay\""), "{page}");
    let name = page.split("name=\"form\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let typed = [("form", name), ("pan", PAN), ("expiry", "1299"), ("cvv2", "123")];
    let paid = post("/paypage/pay", &typed).await;
    assert_eq!(
        (paid.status().as_u16(), &paid.headers()["location"]),
        (303, &header::HeaderValue::from_static("http://shop/paid"))
    );
    assert_eq!(post("/paypage/pay", &typed).await.status(), 400);
    assert!(!bench.sandbox.requests().to_string().contains(PAN));
}
