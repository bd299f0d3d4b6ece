//! Notifications as QIWI signs them, and a client that posts them.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The key of the webhook, as QIWI gives it.
pub const KEY: &str = "c2VjcmV0IGtleSBvZiB0aGUgd2ViaG9vayBoZXJlISE=";
/// The webhook.
pub const HOOK: &str = "50c8b0d2-5a4d-4a1a-9a6b-1b1a0a8b2c3d";

/// A webhook's message about one payment.
#[derive(Clone)]
pub struct Letter {
    pub hook: String,
    pub message: String,
    pub txn: u64,
    pub kind: &'static str,
    pub status: &'static str,
    pub amount: &'static str,
    pub account: String,
    pub comment: String,
    pub sign_fields: &'static str,
    pub key: &'static str,
}

impl Letter {
    /// A payment that came in.
    pub fn incoming(txn: u64) -> Self {
        Self {
            hook: HOOK.to_owned(),
            message: uuid::Uuid::now_v7().to_string(),
            txn,
            kind: "IN",
            status: "SUCCESS",
            amount: "1",
            account: "79161112233".to_owned(),
            comment: "hello".to_owned(),
            sign_fields: "sum.currency,sum.amount,type,account,txnId",
            key: KEY,
        }
    }

    /// The body, signed.
    pub fn body(&self) -> String {
        let Self { hook, message, txn, kind, status, amount, account, comment, .. } = self;
        let value = |field: &str| match field {
            "sum.currency" => "643".to_owned(),
            "sum.amount" => (*amount).to_owned(),
            "type" => (*kind).to_owned(),
            "account" => account.clone(),
            "txnId" => txn.to_string(),
            "comment" => comment.clone(),
            other => panic!("{other} is not signed here"),
        };
        let text: Vec<_> = self.sign_fields.split(',').map(value).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(self.key).unwrap());
        let tag = hmac::sign(&key, text.join("|").as_bytes());
        let hash: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let list = self.sign_fields;
        format!(
            r#"{{"messageId":"{message}","hookId":"{hook}","payment":{{"txnId":"{txn}","date":"2026-11-01T12:00:00+03:00","type":"{kind}","status":"{status}","errorCode":"0","personId":{person},"account":"{account}","comment":"{comment}","provider":7,"sum":{{"amount":{amount},"currency":643}},"commission":{{"amount":0,"currency":643}},"total":{{"amount":{amount},"currency":643}},"signFields":"{list}"}},"hash":"{hash}","version":"1.0.0","test":false}}"#,
            person = crate::support::WALLET,
        )
    }
}

/// Posts a body and reads the status and body of the answer.
pub async fn post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    try_post(to, path, headers, body).await.expect("an answer")
}

/// The same; nothing where the connection broke.
pub async fn try_post(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await.ok()?;
        let mut request = format!("POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(20), exchange).await.ok()?
}
