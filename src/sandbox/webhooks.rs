//! Webhooks of the wallet: the active one (W-HK-5).

use axum::http::StatusCode;
use serde_json::json;

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;

/// W-HK-5. A single object; 404 when there is none.
pub(super) async fn active(call: Call) -> Reply {
    let number = call.admit(Access::Permission(Permission::Payments))?;
    let hook = call.with_wallet(number, |wallet, _| {
        wallet.hook.as_ref().map(|hook| {
            json!({
                "hookId": hook.id,
                "hookParameters": { "url": hook.url },
                "hookType": "WEB",
                "txnType": hook.direction,
            })
        })
    })?;
    answer::ok(&hook.ok_or_else(|| {
        Refusal::service(
            StatusCode::NOT_FOUND,
            "payment-notifier",
            "hook.not.found",
            "Hook not found",
        )
    })?)
}
