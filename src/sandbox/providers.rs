//! Finding a provider: by phone (W-PAY-8), by card (W-PAY-10), by key words (W-PAY-20).

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::catalog;

/// W-PAY-8. A number in no known range answers an empty list.
pub(super) async fn by_phone(call: Call) -> Reply {
    call.admit(Access::AnyWalletToken)?;
    let phone = call.query.required("phoneNumber")?;
    let digits = phone.bytes().all(|byte| byte.is_ascii_digit());
    if phone.len() != 11 || !digits || !phone.starts_with('7') {
        return Err(Refusal::malformed("phoneNumber is 11 digits beginning with 7"));
    }
    let list: Vec<Value> = catalog::operator(phone)
        .into_iter()
        .map(|operator| {
            json!({
                "id": operator.id,
                "shortName": operator.name,
                "logoUrl": catalog::logo(operator.id),
            })
        })
        .collect();
    answer::ok(&json!({ "mobileOperatorProviderList": list }))
}

/// W-PAY-10. The card number carries a blank after every fourth digit.
pub(super) async fn by_card(call: Call, body: Bytes) -> Reply {
    call.accepts("application/vnd.qiwi.v1+json")?;
    call.admit_any_type(Access::Permission(Permission::Payments))?;
    let body = call.json(&body)?;
    let account = body.get("account").and_then(Value::as_str).unwrap_or("");
    let provider = card_digits(account).and_then(|digits| catalog::card_provider(&digits));
    let Some(provider) = provider else {
        return Err(Refusal::processing(StatusCode::BAD_REQUEST, 522, catalog::payment_error(522)));
    };
    answer::ok(&json!({
        "elements": [
            { "type": "field", "name": "termsId", "value": provider.to_string() },
        ],
    }))
}

/// The digits of `1234 1234 1234 1234`; any other grouping is none.
fn card_digits(account: &str) -> Option<String> {
    let groups: Vec<&str> = account.split(' ').collect();
    let (last, full) = groups.split_last()?;
    let digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = full.iter().all(|group| group.len() == 4 && digits(group))
        && (1..=4).contains(&last.len())
        && digits(last);
    let joined = groups.concat();
    (well_formed && (16..=19).contains(&joined.len())).then_some(joined)
}

/// W-PAY-20.
pub(super) async fn search(call: Call) -> Reply {
    call.admit(Access::AnyWalletToken)?;
    let items: Vec<Value> = catalog::search(call.query.required("query")?)
        .into_iter()
        .map(|provider| {
            json!({
                "name": provider.name,
                "description": provider.name,
                "uri": null,
                "data": {
                    "id": provider.id,
                    "logoUrl": catalog::logo(provider.id),
                    "siteUrl": null,
                    "type": "PROVIDER",
                    "category": { "name": provider.category },
                },
            })
        })
        .collect();
    answer::ok(&json!({ "items": items }))
}
