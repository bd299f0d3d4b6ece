//! Identification data, masked (W-IDN-2), and the state of a downgrade (W-IDN-5).

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::json;

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;

const ACCESS: Access = Access::Permission(Permission::Profile);

/// W-IDN-2.
pub(super) async fn data(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let body = call.with_wallet(number, |wallet, _| {
        let person = &wallet.identification;
        json!({
            "id": wallet.person_id(),
            "type": person.level,
            "birthDate": person.birth_date,
            "firstName": person.first_name,
            "middleName": person.middle_name,
            "lastName": person.last_name,
            "passport": person.passport.as_deref().map(masked),
            "inn": person.inn.as_deref().map(masked),
            "snils": person.snils.as_deref().map(masked),
            "oms": person.oms.as_deref().map(masked),
        })
    })?;
    answer::ok(&body)
}

/// The first and last two digits; an empty value stays empty.
fn masked(digits: &str) -> String {
    match (digits.get(..2), digits.get(digits.len().saturating_sub(2)..)) {
        (Some(first), Some(last)) => format!("{first}***{last}"),
        _ => String::new(),
    }
}

/// W-IDN-5.
pub(super) async fn downgrade(
    call: Call,
    Path((wallet, operation)): Path<(String, String)>,
) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let status =
        call.with_wallet(number, |wallet, _| wallet.downgrades.get(operation.as_str()).copied())?;
    let Some(status) = status else {
        return Err(Refusal::empty(StatusCode::NOT_FOUND));
    };
    answer::ok(&json!({
        "downgradeOperation": {
            "downgradeOperationId": operation,
            "status": { "type": status },
        },
    }))
}
