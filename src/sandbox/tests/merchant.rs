//! A merchant: signs operations by hand and sends them.

use reqwest::{Client, Method, header};
use serde_json::{Map, Value, json};

use super::receiver::hmac;
use super::{Bench, SandboxConfig, demo};
use crate::sandbox::{AcquiringTransaction, MerchantSite};

/// A card that no fault lies in.
pub(super) const PAN: &str = "4111111111111111";

impl Bench {
    /// Adds or replaces a site that is the seeded online one but for what is said.
    pub(super) fn site(&self, change: impl FnOnce(&mut MerchantSite)) -> u64 {
        let mut site = MerchantSite::new(demo::ONLINE_SITE, demo::MERCHANT_SECRET);
        change(&mut site);
        let id = site.id;
        self.sandbox.put_site(site);
        id
    }

    /// Sends an operation as it is; status and answer.
    pub(super) async fn operate_unsigned(&self, request: &Value) -> (u16, Value) {
        self.send(Method::POST, "/merchant/direct", request).await
    }

    /// Signs and sends an operation of a site, which is answered in JSON with 200.
    pub(super) async fn operate(&self, site: u64, opcode: u64, parameters: Value) -> Value {
        let (status, answer) = self.operate_unsigned(&signed(site, opcode, parameters)).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A sale or an auth with a good card.
    pub(super) async fn purchase(
        &self,
        site: u64,
        opcode: u64,
        order: &str,
        amount: &str,
    ) -> Value {
        self.operate(site, opcode, with_card(order, amount)).await
    }

    /// The number of a purchase that succeeds.
    pub(super) async fn paid(&self, site: u64, opcode: u64, order: &str, amount: &str) -> u64 {
        let answer = self.purchase(site, opcode, order, amount).await;
        assert_eq!(answer["error_code"], 0, "{answer}");
        answer["txn_id"].as_u64().unwrap()
    }

    /// The code of an operation's answer.
    pub(super) async fn code(&self, site: u64, opcode: u64, parameters: Value) -> u64 {
        self.operate(site, opcode, parameters).await["error_code"].as_u64().unwrap()
    }

    /// What a status query shows of an order: number, type and status of each operation.
    pub(super) async fn order(&self, site: u64, order: &str) -> Vec<(u64, u64, u64)> {
        let answer = self.operate(site, 30, json!({ "order_id": order })).await;
        let number = |one: &Value, name: &str| one[name].as_u64().unwrap();
        let of = |one: &Value| {
            (number(one, "txn_id"), number(one, "txn_type"), number(one, "txn_status"))
        };
        answer["transactions"].as_array().map_or_else(Vec::new, |all| all.iter().map(of).collect())
    }

    pub(super) fn transactions(&self) -> Vec<AcquiringTransaction> {
        self.sandbox.transactions()
    }

    /// Submits a form as a script does; the object that is answered.
    pub(super) async fn submit(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(form);
        let request = self
            .client
            .post(format!("http://{}{path}", self.sandbox.address()))
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(text.finish());
        let response = request.send().await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// The issuer's answer for a purchase that waits for it.
    pub(super) async fn pares(&self, purchase: &Value, answer: &str) -> String {
        let pareq = purchase["pareq"].as_str().unwrap();
        let form = [("PaReq", pareq), ("MD", "x"), ("TermUrl", "http://shop/"), ("answer", answer)];
        self.submit("/acs/answer", &form).await["PaRes"].as_str().unwrap().to_owned()
    }
}

/// The parameters of a purchase.
pub(super) fn with_card(order: &str, amount: &str) -> Value {
    json!({
        "pan": PAN, "expiry": "1299", "cvv2": "123", "amount": amount, "currency": 643,
        "order_id": order, "card_name": "CARDHOLDER NAME",
    })
}

/// The same with something changed, or left out where it is null.
pub(super) fn changed(parameters: Value, changes: Value) -> Value {
    let mut parameters: Map<String, Value> = serde_json::from_value(parameters).unwrap();
    for (name, value) in changes.as_object().unwrap().clone() {
        match value {
            Value::Null => parameters.remove(&name),
            value => parameters.insert(name, value),
        };
    }
    Value::Object(parameters)
}

/// An operation with its signature, made here by hand.
pub(super) fn signed(site: u64, opcode: u64, parameters: Value) -> Value {
    let mut request = changed(parameters, json!({ "merchant_site": site, "opcode": opcode }));
    let sign = sign(&request);
    request["sign"] = json!(sign);
    request
}

/// The signature of what has a value and is none of its own parts.
pub(super) fn sign(request: &Value) -> String {
    let mut values: Vec<(String, String)> = Vec::new();
    for (name, value) in request.as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if !text.is_empty() && !value.is_object() && name != "sign" {
            values.push((name.clone(), text));
        }
    }
    values.sort();
    let texts: Vec<String> = values.into_iter().map(|(_, text)| text).collect();
    hmac(demo::MERCHANT_SECRET.as_bytes(), &texts.join("|"))
}

/// A client of the listener with certificates.
pub(super) fn secure_client(authority: &str, identity: Option<&str>) -> Client {
    let root = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
    let mut client = Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .timeout(std::time::Duration::from_secs(10));
    if let Some(identity) = identity {
        client = client.identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap());
    }
    client.build().unwrap()
}

/// A sandbox with quick ends and nothing else changed.
pub(super) fn quick() -> SandboxConfig {
    let mut config = SandboxConfig::default();
    config.acquiring.complete_after = std::time::Duration::from_millis(150);
    config.acquiring.test_delay = std::time::Duration::from_millis(150);
    config
}
