//! Pairs of P2P keys (W-INV-1). The secret one opens the invoice calls from then on.

use axum::body::Bytes;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::state::KeyPair;

/// W-INV-1. A wallet without identification may not issue invoices. One pair can have an address
/// for notifications: the newest that was made with one.
pub(super) async fn create(call: Call, body: Bytes) -> Reply {
    let number = call.admit(Access::Permission(Permission::Payments))?;
    let body = call.json(&body)?;
    if body.get("keysPairName").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::malformed("keysPairName is required"));
    }
    let url = match body.get("serverNotificationsUrl") {
        None | Some(Value::Null) => None,
        Some(Value::String(url)) if url::Url::parse(url).is_ok() => Some(url.clone()),
        Some(_) => return Err(Refusal::malformed("serverNotificationsUrl must be a URL")),
    };
    if call.with_wallet(number, |wallet, _| wallet.identification.level == "SIMPLE")? {
        return Err(Refusal::empty(StatusCode::FORBIDDEN));
    }
    let (public, secret) = (random(), random());
    call.shared.tokens.issue_p2p_key(secret.clone(), number);
    if let Some(url) = url {
        call.change_wallet(number, |wallet| {
            let previous = wallet.notified_pair.take().map(|pair| pair.secret);
            wallet.notified_pair = Some(KeyPair { secret: secret.clone(), url, previous });
        })?;
    }
    answer::ok(&json!({ "PublicKey": public, "SecretKey": secret }))
}

fn random() -> String {
    STANDARD.encode(rand::random::<[u8; 48]>())
}
