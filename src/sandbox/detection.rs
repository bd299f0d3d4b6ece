//! The older detection calls of the web site: W-PAY-9, W-PAY-11, W-PAY-21.
//!
//! They take forms, know no token, and answer HTTP 200 for failures too.

use axum::body::Bytes;
use serde_json::{Value, json};

use super::answer::{self, Reply};
use super::call::{Call, FORM, JSON};
use super::catalog;
use super::query::Query;

/// W-PAY-9. The archive's oldest text sends the number with a plus, later ones without.
pub(super) async fn mobile(call: Call, body: Bytes) -> Reply {
    let phone = form_field(&call, &body, "phone")?;
    let phone = phone.strip_prefix('+').unwrap_or(&phone);
    let operator =
        (phone.len() == 11 && phone.starts_with('7')).then(|| catalog::operator(phone)).flatten();
    verdict(
        operator.map(|operator| operator.id),
        "По номеру не удалось определить оператора сотовой связи.",
    )
}

/// W-PAY-11.
pub(super) async fn card(call: Call, body: Bytes) -> Reply {
    let number = form_field(&call, &body, "cardNumber")?;
    let plausible =
        (16..=19).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let provider = plausible.then(|| catalog::card_provider(&number)).flatten();
    verdict(provider, "Номер банковской карты введен неверно.")
}

/// W-PAY-21.
pub(super) async fn search(call: Call) -> Reply {
    call.accepts(JSON)?;
    let items: Vec<Value> = catalog::search(call.query.required("searchPhrase")?)
        .into_iter()
        .map(|provider| json!({ "item": { "id": { "id": provider.id.to_string() } } }))
        .collect();
    answer::ok(&json!({ "data": { "items": items } }))
}

fn form_field(call: &Call, body: &[u8], name: &str) -> Result<String, super::answer::Refusal> {
    call.accepts(JSON)?;
    call.carries(FORM)?;
    let form = Query::parse(std::str::from_utf8(body).ok());
    form.required(name).map(str::to_owned)
}

fn verdict(provider: Option<u32>, failure: &str) -> Reply {
    answer::ok(&match provider {
        Some(id) => json!({
            "code": { "value": "0", "_name": "NORMAL" },
            "data": null,
            "message": id.to_string(),
            "messages": null,
        }),
        None => json!({
            "code": { "value": "2", "_name": "ERROR" },
            "data": null,
            "message": failure,
            "messages": {},
        }),
    })
}
