//! Identification (W-IDN-1), its data, masked (W-IDN-2), and downgrades of it (W-IDN-3…5).

use std::time::Instant;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::agenda::Downgrade;
use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::state::{Identification, Wallet};

const ACCESS: Access = Access::Permission(Permission::Profile);

/// The state of a downgrade that waits for its confirmation. No answer shows it.
const REQUESTED: &str = "REQUESTED";

/// W-IDN-2.
pub(super) async fn data(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    answer::ok(&call.with_wallet(number, |wallet, _| person_json(wallet, masked))?)
}

fn person_json(wallet: &Wallet, shown: impl Fn(&str) -> String) -> Value {
    let person = &wallet.identification;
    let number = |value: &Option<String>| value.as_deref().map(&shown);
    json!({
        "id": wallet.person_id(),
        "type": person.level,
        "birthDate": person.birth_date,
        "firstName": person.first_name,
        "middleName": person.middle_name,
        "lastName": person.last_name,
        "passport": number(&person.passport),
        "inn": number(&person.inn),
        "snils": number(&person.snils),
        "oms": number(&person.oms),
    })
}

/// W-IDN-1. The check finds a person by a passport of ten digits and adds the tax id it knows;
/// whoever it does not find keeps the level there was.
pub(super) async fn identify(call: Call, Path(wallet): Path<String>, body: Bytes) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let body = call.json(&body)?;
    let text = |name: &str| {
        let found = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        found.map(str::to_owned).ok_or_else(|| Refusal::malformed(&format!("{name} is required")))
    };
    let optional = |name: &str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::malformed(&format!("{name} must be a string"))),
    };
    let birth_date = text("birthDate")?;
    if birth_date.len() != 10 || birth_date.parse::<jiff::civil::Date>().is_err() {
        return Err(Refusal::malformed("birthDate must be YYYY-MM-DD"));
    }
    let passport = text("passport")?;
    if !passport.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::malformed("passport must be digits"));
    }
    let found = passport.len() == 10;
    let inn = optional("inn")?;
    let known_inn = Some("7710000001".to_owned()).filter(|_| found);
    let mut person = Identification {
        level: "SIMPLE",
        birth_date,
        first_name: text("firstName")?,
        middle_name: text("middleName")?,
        last_name: text("lastName")?,
        passport: Some(passport),
        inn: inn.filter(|inn| !inn.is_empty()).or(known_inn),
        snils: optional("snils")?,
        oms: optional("oms")?,
    };
    let shown = call.change_wallet(number, |wallet| {
        person.level = match wallet.identification.level {
            "SIMPLE" if found => "VERIFIED",
            level => level,
        };
        wallet.identification = person;
        person_json(wallet, str::to_owned)
    })?;
    answer::ok(&shown)
}

/// W-IDN-3. From a level below "professional" the request is taken and its confirmation fails.
pub(super) async fn request_downgrade(
    call: Call,
    Path(wallet): Path<String>,
    body: Bytes,
) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    if call.json(&body)?.get("identificationLevel") != Some(&json!("VERIFIED")) {
        return Err(Refusal::malformed("identificationLevel must be VERIFIED"));
    }
    let id = uuid::Uuid::new_v4().to_string();
    call.change_wallet(number, |wallet| wallet.downgrades.insert(id.clone(), REQUESTED))?;
    answer::ok(&json!({ "downgradeOperationId": id }))
}

/// W-IDN-4. A second confirmation answers how the first one stands.
pub(super) async fn confirm_downgrade(
    call: Call,
    Path((wallet, operation)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    call.json(&body)?;
    let missing = || Refusal::empty(StatusCode::NOT_FOUND);
    let mut world = call.shared.world();
    let wallet = world.wallets.get_mut(number).ok_or_else(missing)?;
    let professional = wallet.identification.level == "FULL";
    let status = wallet.downgrades.get_mut(&operation).ok_or_else(missing)?;
    if *status == REQUESTED {
        *status = if professional { "IN_PROGRESS" } else { "FAIL" };
        if professional {
            world.agenda.downgrades.push(Downgrade {
                due: Instant::now() + call.shared.config.settle_delay,
                wallet: number.to_owned(),
                id: operation.clone(),
            });
        }
    }
    let status = world.wallets.get(number).and_then(|wallet| wallet.downgrades.get(&operation));
    answer::ok(&downgrade_json(&operation, status.ok_or_else(missing)?))
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
    answer::ok(&downgrade_json(&operation, status))
}

fn downgrade_json(operation: &str, status: &str) -> Value {
    // The documents know no status for what is not confirmed yet.
    let status = if status == REQUESTED { "IN_PROGRESS" } else { status };
    json!({
        "downgradeOperation": {
            "downgradeOperationId": operation,
            "status": { "type": status },
        },
    })
}
