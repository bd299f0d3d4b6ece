//! Webhooks of the wallet: W-HK-1…6. What is sent to them is `notice.rs`, and how, `postman.rs`.

use axum::extract::Path;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::notice::Notice;
use super::state::Hook;

const ACCESS: Access = Access::Permission(Permission::Payments);

/// The longest URL, in characters before encoding.
const URL_MAX: usize = 100;

/// W-HK-1. A URL that is too long is a server error, as documented; one that leads nowhere, an
/// unknown type and a second hook are 422.
pub(super) async fn register(call: Call) -> Reply {
    let number = call.admit(ACCESS)?;
    let unprocessable = || Refusal::empty(StatusCode::UNPROCESSABLE_ENTITY);
    let url = call.query.required("param")?;
    let kind = call.query.required("hookType")?;
    let direction = match call.query.required("txnType")? {
        "0" => "IN",
        "1" => "OUT",
        "2" => "BOTH",
        _ => return Err(unprocessable()),
    };
    if url.chars().count() > URL_MAX {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Err(Refusal::service(
            status,
            "payment-notifier",
            "internal.error",
            "Internal error",
        ));
    }
    let parsed = url::Url::parse(url).map_err(|_| unprocessable())?;
    if kind != "1" || !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(unprocessable());
    }
    let hook = Hook {
        id: uuid::Uuid::new_v4().to_string(),
        url: url.to_owned(),
        direction,
        key: random_key(),
        previous_key: None,
    };
    let shown = hook_json(&hook);
    let free = call.change_wallet(number, |wallet| {
        let free = wallet.hook.is_none();
        if free {
            wallet.hook = Some(hook);
        }
        free
    })?;
    if free {
        return answer::ok(&shown);
    }
    Err(Refusal::service(
        StatusCode::UNPROCESSABLE_ENTITY,
        "payment-notifier",
        "hook.already.exists",
        "Hook already exists",
    ))
}

/// W-HK-2.
pub(super) async fn remove(call: Call, Path(id): Path<String>) -> Reply {
    let number = call.admit(ACCESS)?;
    let removed = call.change_wallet(number, |wallet| wallet.hook.take_if(|hook| hook.id == id))?;
    removed.ok_or_else(not_found)?;
    answer::ok(&json!({ "response": "Hook deleted" }))
}

/// W-HK-3. Documented as 201 although it only reads.
pub(super) async fn key(call: Call, Path(id): Path<String>) -> Reply {
    let number = call.admit(ACCESS)?;
    let key = call.with_wallet(number, |wallet, _| {
        wallet.hook.as_ref().filter(|hook| hook.id == id).map(|hook| hook.key.clone())
    })?;
    created_key(key)
}

/// W-HK-4.
pub(super) async fn new_key(call: Call, Path(id): Path<String>) -> Reply {
    let number = call.admit(ACCESS)?;
    let key = call.change_wallet(number, |wallet| {
        wallet.hook.as_mut().filter(|hook| hook.id == id).map(|hook| {
            hook.previous_key = Some(std::mem::replace(&mut hook.key, random_key()));
            hook.key.clone()
        })
    })?;
    created_key(key)
}

/// W-HK-5. A single object; 404 when there is none.
pub(super) async fn active(call: Call) -> Reply {
    let number = call.admit(ACCESS)?;
    let hook = call.with_wallet(number, |wallet, _| wallet.hook.as_ref().map(hook_json))?;
    answer::ok(&hook.ok_or_else(not_found)?)
}

/// W-HK-6. The answer does not wait for that of the receiver.
pub(super) async fn test(call: Call) -> Reply {
    let number = call.admit(ACCESS)?;
    let notice = call.with_wallet(number, |wallet, _| {
        wallet.hook.as_ref().map(|hook| Notice::test(number, hook))
    })?;
    call.shared.world().outbox.announce(notice.ok_or_else(not_found)?);
    answer::ok(&json!({ "response": "Webhook sent" }))
}

fn hook_json(hook: &Hook) -> Value {
    json!({
        "hookId": hook.id,
        "hookParameters": { "url": hook.url },
        "hookType": "WEB",
        "txnType": hook.direction,
    })
}

fn created_key(key: Option<String>) -> Reply {
    let key = key.ok_or_else(not_found)?;
    Ok(answer::json(StatusCode::CREATED, &json!({ "key": key })))
}

fn random_key() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

fn not_found() -> Refusal {
    Refusal::service(StatusCode::NOT_FOUND, "payment-notifier", "hook.not.found", "Hook not found")
}
