//! The sandbox from the outside, over loopback, with an ordinary HTTP client.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod acquiring;
mod acquiring_callbacks;
mod acquiring_errors;
mod acquiring_faults;
mod acquiring_form;
mod acquiring_test_mode;
mod acquiring_tls;
mod areas;
mod bills;
mod errors;
mod faults;
mod history;
mod limit;
mod master;
mod merchant;
mod mischief;
mod money;
mod money_faults;
mod notifications;
mod payments;
mod receiver;
mod requisites;
mod writes;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Once;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, header};
use serde_json::Value;

use super::{Sandbox, SandboxConfig, demo};

struct Bench {
    sandbox: Sandbox,
    client: Client,
}

impl Bench {
    async fn start() -> Self {
        Self::with(SandboxConfig::default()).await
    }

    async fn with(config: SandboxConfig) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Another test of the same process may have installed one, which serves as well.
            let _installed = rustls::crypto::ring::default_provider().install_default();
        });
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let sandbox = Sandbox::start(SandboxConfig { listen, ..config }).await.unwrap();
        let client = Client::builder()
            .user_agent("sandbox-tests")
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Self { sandbox, client }
    }

    /// A request with the full token of the demo wallet.
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_as(demo::WALLET_TOKEN, method, path)
    }

    fn request_as(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.sandbox.address()))
            .bearer_auth(token)
            .header(header::ACCEPT, "application/json")
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn status(&self, path: &str) -> u16 {
        self.get(path).await.status().as_u16()
    }

    async fn status_as(&self, token: &str, path: &str) -> u16 {
        let request = self.request_as(token, Method::GET, path);
        request.send().await.unwrap().status().as_u16()
    }

    async fn text(&self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.text().await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    async fn post(&self, path: &str, body: &str) -> Response {
        self.request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_owned())
            .send()
            .await
            .unwrap()
    }

    /// A call with a JSON body; its status and its answer, null when that is no JSON.
    async fn send(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.send_as(demo::WALLET_TOKEN, method, path, body).await
    }

    async fn send_as(&self, token: &str, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self
            .request_as(token, method, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    /// What a wallet has in its own account of a currency, in the text of the answer.
    async fn balance(&self, token: &str, wallet: &str, currency: u16) -> String {
        let path = accounts().replace(demo::WALLET, wallet);
        let list = self.request_as(token, Method::GET, &path).send().await.unwrap();
        let list = body_json(list).await;
        let mut own = list["accounts"].as_array().unwrap().iter();
        let own = own.find(|one| one["currency"] == currency && one["hasBalance"] == true);
        own.map_or_else(String::new, |account| account["balance"]["amount"].to_string())
    }

    /// The operation of the demo wallet with a client's id, if the history shows one.
    async fn operation(&self, client_id: &str) -> Option<Value> {
        let list = self.json(&payments("rows=50&operation=OUT")).await;
        let mut list = list["data"].as_array().unwrap().iter();
        list.find(|one| one["trmTxnId"] == client_id).cloned()
    }

    async fn requests(&self) -> Value {
        self.json("/__sandbox/requests").await
    }
}

fn payments(query: &str) -> String {
    let wallet = demo::WALLET;
    format!("/payment-history/v2/persons/{wallet}/payments?{query}")
}

fn accounts() -> String {
    format!("/funding-sources/v2/persons/{}/accounts", demo::WALLET)
}

async fn body_json(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Now minus some seconds as `YYYY-MM-DDThh:mm:ss±hh:mm`, percent-encoded.
fn ago(seconds: i64, hours_east: i8) -> String {
    let now = jiff::Timestamp::now().as_second();
    let offset = jiff::tz::Offset::constant(hours_east);
    encoded(&super::moment::with_offset(now - seconds, offset))
}
