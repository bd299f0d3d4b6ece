//! Pairs of P2P keys (W-INV-1). The secret one opens the invoice calls from then on.

use axum::body::Bytes;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;

/// W-INV-1. A wallet without identification may not issue invoices.
pub(super) async fn create(call: Call, body: Bytes) -> Reply {
    let number = call.admit(Access::Permission(Permission::Payments))?;
    let body = call.json(&body)?;
    if body.get("keysPairName").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err(Refusal::malformed("keysPairName is required"));
    }
    match body.get("serverNotificationsUrl") {
        None | Some(Value::Null) => {}
        Some(Value::String(url)) if url::Url::parse(url).is_ok() => {}
        Some(_) => return Err(Refusal::malformed("serverNotificationsUrl must be a URL")),
    }
    if call.with_wallet(number, |wallet, _| wallet.identification.level == "SIMPLE")? {
        return Err(Refusal::empty(StatusCode::FORBIDDEN));
    }
    let (public, secret) = (random(), random());
    call.shared.tokens.issue_p2p_key(secret.clone(), number);
    answer::ok(&json!({ "PublicKey": public, "SecretKey": secret }))
}

fn random() -> String {
    STANDARD.encode(rand::random::<[u8; 48]>())
}
