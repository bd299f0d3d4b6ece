//! Receipts of a completed operation: the file (W-RCP-1), and by e-mail (W-RCP-2).

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::files;
use super::history;
use super::moment::{self, MOSCOW};
use super::money::two_places;
use super::operation::Operation;

/// W-RCP-1. The documents print a JSON content type; the file comes with its own.
pub(super) async fn file(call: Call, Path(id): Path<u64>) -> Reply {
    let number = call.admit(Access::Permission(Permission::History))?;
    let Some(kind) = history::requested_kind(&call)? else {
        return Err(Refusal::malformed("type is required"));
    };
    let format = call.query.required("format")?;
    let found = call.with_wallet(number, |wallet, _| {
        let operation = history::find(&wallet.operations, id, Some(kind))?;
        Some(operation.has_receipt().then(|| lines(operation)))
    })?;
    let lines = found.ok_or_else(history::not_found)?.ok_or_else(not_available)?;
    match format {
        "PDF" => Ok(answer::bytes(StatusCode::OK, "application/pdf", files::pdf(&lines))),
        "JPEG" => Ok(answer::bytes(StatusCode::OK, "image/jpeg", files::jpeg(&lines.join("; ")))),
        _ => Err(Refusal::malformed("format must be JPEG or PDF")),
    }
}

/// W-RCP-2. The letter goes to the outbox, `GET /__sandbox/outbox`, and no further.
pub(super) async fn send(call: Call, Path(id): Path<u64>, body: Bytes) -> Reply {
    let number = call.admit(Access::Permission(Permission::History))?;
    let Some(kind) = history::requested_kind(&call)? else {
        return Err(Refusal::malformed("type is required"));
    };
    let body = call.json(&body)?;
    let email = body.get("email").and_then(Value::as_str).unwrap_or("");
    if !email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty()) {
        return Err(Refusal::malformed("email must be an address"));
    }
    let found = call.with_wallet(number, |wallet, _| {
        history::find(&wallet.operations, id, Some(kind)).map(Operation::has_receipt)
    })?;
    if !found.ok_or_else(history::not_found)? {
        return Err(not_available());
    }
    let letter = json!({ "wallet": number, "receipt": id, "email": email });
    call.shared.world().outbox.mail(letter);
    answer::status(StatusCode::CREATED)
}

fn not_available() -> Refusal {
    Refusal::service(
        StatusCode::NOT_FOUND,
        "payment-history",
        "cheque.not.available",
        "Cheque is not available",
    )
}

fn lines(operation: &Operation) -> Vec<String> {
    let total = operation.total();
    vec![
        format!("Receipt {}", operation.txn_id),
        moment::with_offset(operation.date, MOSCOW),
        format!("{} {}", two_places(total.minor), total.currency),
    ]
}
