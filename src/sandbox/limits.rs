//! Limits: their levels (W-LIM-1) and the count of payments to persons (W-LIM-2).

use axum::extract::Path;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::moment;
use super::money::{exactly, two_places};
use super::state::{Limit, LimitForm};

const ACCESS: Access = Access::Permission(Permission::Profile);

const TYPES: [&str; 6] = [
    "REFILL",
    "TURNOVER",
    "PAYMENTS_P2P",
    "PAYMENTS_PROVIDER_INTERNATIONALS",
    "PAYMENTS_PROVIDER_PAYOUT",
    "WITHDRAW_CASH",
];

/// W-LIM-1.
pub(super) async fn actual(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let types = call.query.indexed("types");
    if types.is_empty() {
        return Err(Refusal::malformed("types[0] is required"));
    }
    if let Some(unknown) = types.iter().find(|kind| !TYPES.contains(*kind)) {
        return Err(Refusal::malformed(&format!("unknown type {unknown}")));
    }
    let limits = call.with_wallet(number, |wallet, seeded_at| {
        let wanted = wallet.limits.iter().filter(|limit| types.contains(&limit.kind));
        wanted.map(|limit| limit_json(limit, seeded_at)).collect::<Vec<Value>>()
    })?;
    answer::ok(&json!({ "limits": { "RU": limits } }))
}

fn limit_json(limit: &Limit, seeded_at: i64) -> Value {
    let number = |minor| exactly(&two_places(minor));
    let rest = limit.max - limit.spent;
    let (max, spent, rest) = match limit.form {
        LimitForm::Numbers => (number(limit.max), number(limit.spent), number(rest)),
        LimitForm::Strings => {
            (json!(two_places(limit.max)), json!(two_places(limit.spent)), number(rest))
        }
        LimitForm::TruthValue => {
            (json!(two_places(limit.max)), json!(two_places(limit.spent)), json!(rest > 0))
        }
    };
    let today = moment::moscow_date(seeded_at);
    let first = today.first_of_month();
    let next = today.last_of_month().tomorrow().unwrap_or(first);
    json!({
        "type": limit.kind,
        "currency": "RUB",
        "max": max,
        "spent": spent,
        "rest": rest,
        // Both dates are malformed, and differently so: that is how the example prints them.
        "interval": {
            "dateFrom": format!("{first}T:00:00"),
            "dateTill": format!("{next}T00:00"),
        },
    })
}

/// W-LIM-2.
pub(super) async fn payments_to_persons(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let count = call.with_wallet(number, |wallet, _| wallet.payments_to_persons)?;
    answer::ok(&json!({ "p2pPaymentCountLimit": count }))
}
