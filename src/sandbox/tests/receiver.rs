//! Somebody who is notified: answers by a script and keeps what came.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method as Verb, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Bench, demo, encoded};

/// What the receiver does with a request.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Status(u16),
    /// Nothing for so long, then 200.
    Late(Duration),
}

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) at: Instant,
    pub(super) line: String,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) body: Value,
}

#[derive(Default)]
struct Desk {
    script: Mutex<VecDeque<Answer>>,
    got: Mutex<Vec<Got>>,
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    desk: Arc<Desk>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// Answers by the script, and 200 after its end.
    pub(super) async fn start(script: &[Answer]) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk { script: Mutex::new(script.to_vec().into()), ..Desk::default() });
        let app = axum::Router::new().fallback(receive).with_state(Arc::clone(&desk));
        let serving = tokio::spawn(serve(listener, app));
        Self { address, desk, serving }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.desk.got.lock().clone()
    }

    /// Waits until so many requests have come, and returns them in their order.
    pub(super) async fn wait(&self, count: usize) -> Vec<Got> {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let got = self.got();
            if got.len() >= count {
                return got;
            }
            assert!(Instant::now() < patience, "{} of {count} came: {got:#?}", got.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// One task for each connection.
async fn serve(listener: tokio::net::TcpListener, app: axum::Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let app = app.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| app.clone().oneshot(request));
            let stream = hyper_util::rt::TokioIo::new(stream);
            let server = hyper::server::conn::http1::Builder::new();
            let _client_may_go = server.serve_connection(stream, service).await;
        });
    }
}

async fn receive(
    State(desk): State<Arc<Desk>>,
    verb: Verb,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let body = serde_json::from_str(&text).unwrap();
    let line = format!("{verb} {uri}");
    desk.got.lock().push(Got { at: Instant::now(), line, headers, text, body });
    let answer = desk.script.lock().pop_front();
    match answer {
        None => (StatusCode::OK, "{\"error\":\"0\"}").into_response(),
        Some(Answer::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Answer::Late(pause)) => {
            tokio::time::sleep(pause).await;
            StatusCode::OK.into_response()
        }
    }
}

impl Got {
    pub(super) fn payment(&self, member: &str) -> &Value {
        &self.body["payment"][member]
    }

    pub(super) fn status(&self) -> &str {
        self.payment("status").as_str().unwrap()
    }

    /// Whether the signature of a wallet's notification is right for the documented fields.
    pub(super) fn is_signed_by(&self, key: &str) -> bool {
        let sum = self.payment("sum");
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        let signed = [
            &sum["currency"],
            &sum["amount"],
            self.payment("type"),
            self.payment("account"),
            self.payment("txnId"),
        ]
        .map(text)
        .join("|");
        self.body["hash"] == hmac(&STANDARD.decode(key).unwrap(), &signed)
    }
}

/// Lower-case hexadecimal digits, as QIWI writes a signature.
pub(super) fn hmac(key: &[u8], text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    let tag = ring::hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Bench {
    /// Registers a webhook of the demo wallet in place of the one it has; its id and key.
    pub(super) async fn hook(&self, url: &str, transactions: u8) -> (String, String) {
        let hooks = "/payment-notifier/v1/hooks";
        let old = self.json(&format!("{hooks}/active")).await["hookId"].clone();
        let path = format!("{hooks}/{}", old.as_str().unwrap());
        assert_eq!(self.send(Method::DELETE, &path, &Value::Null).await.0, 200);
        let path = format!("{hooks}?hookType=1&txnType={transactions}&param={}", encoded(url));
        let (status, hook) = self.send(Method::PUT, &path, &Value::Null).await;
        assert_eq!(status, 200);
        let id = hook["hookId"].as_str().unwrap().to_owned();
        let key = self.key(Method::GET, &format!("{hooks}/{id}/key")).await;
        (id, key)
    }

    /// Asks for a key.
    pub(super) async fn key(&self, method: Method, path: &str) -> String {
        let (status, answer) = self.send(method, path, &Value::Null).await;
        assert_eq!(status, 201);
        answer["key"].as_str().unwrap().to_owned()
    }

    /// Creates P2P keys with an address for notifications; the secret.
    pub(super) async fn notified_keys(&self, url: &str) -> String {
        let path = "/widgets-api/api/p2p/protected/keys/create";
        let body = json!({ "keysPairName": "Name", "serverNotificationsUrl": url });
        let (status, pair) = self.send(Method::POST, path, &body).await;
        assert_eq!(status, 200);
        pair["SecretKey"].as_str().unwrap().to_owned()
    }

    /// Issues a bill for a hundred roubles with a secret key.
    pub(super) async fn issue(&self, secret: &str, id: &str) {
        let path = format!("/partner/bill/v1/bills/{id}");
        let body = json!({
            "amount": { "currency": "RUB", "value": "100.00" },
            "comment": "Место 7",
            "expirationDateTime": "2099-12-10T09:02:00+03:00",
            "customer": { "phone": demo::PROFESSIONAL_WALLET },
            "customFields": { "seat": "7" },
        });
        assert_eq!(self.send_as(secret, Method::PUT, &path, &body).await.0, 200);
    }

    /// Waits until the newest notification of the outbox is in a state, and returns it.
    pub(super) async fn letter(&self, state: &str) -> Value {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let outbox = self.json("/__sandbox/outbox").await;
            let newest = outbox.as_array().unwrap().last().cloned().unwrap_or_default();
            if newest["state"] == state {
                return newest;
            }
            assert!(Instant::now() < patience, "{newest:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn mischief(&self, rule: Value) {
        self.sandbox.add_fault(rule).unwrap();
    }
}
