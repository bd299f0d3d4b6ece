//! Cards of the Master package: the list (W-MST-5) and the statement of one (W-MST-6).

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::call::Call;
use super::files;
use super::history_filter;
use super::moment::{self, MOSCOW};
use super::money::{Money, RUB, exactly, two_places};
use super::operation::Kind;
use super::state::Card;

/// W-MST-5. The answer is an array at the top level.
pub(super) async fn list(call: Call) -> Reply {
    let number = call.admit(Access::MasterCards)?;
    if call.query.required("vas-alias")? != "qvc-master" {
        return Err(Refusal::malformed("vas-alias must be qvc-master"));
    }
    let cards = call.with_wallet(number, |wallet, _| {
        wallet.cards.iter().map(card_json).collect::<Vec<Value>>()
    })?;
    answer::ok(&Value::Array(cards))
}

fn card_json(card: &Card) -> Value {
    json!({
        "qvx": details(card),
        "balance": null,
        "info": product(card.product),
    })
}

fn details(card: &Card) -> Value {
    let date = |seconds| moment::with_offset(seconds, MOSCOW);
    let expires = moment::moscow_date(card.expires_at);
    let limit = card
        .limit
        .map(|minor| json!({ "value": exactly(&two_places(minor)), "currencyCode": RUB }));
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("id", json!(card.id));
    put("maskedPan", json!(format!("****{}", card.last_digits)));
    put("status", json!(card.status));
    put("cardExpire", json!(date(card.expires_at)));
    put("cardType", json!("VIRTUAL"));
    put("cardAlias", json!(card.name));
    put("cardLimit", json!(limit));
    put("activated", json!(card.activated_at.map(date)));
    put("smsResended", json!(card.activated_at.map(|at| date(at + 1_442))));
    put("postNumber", Value::Null);
    put("blockedDate", json!(card.blocked_at.map(date)));
    put("fullPan", Value::Null);
    // Not the id of the paths: it repeats the transaction that issued the card.
    put("cardId", json!(card.issuing_txn));
    put("txnId", json!(card.issuing_txn.to_string()));
    put("cardExpireMonth", json!(format!("{:02}", expires.month())));
    put("cardExpireYear", json!(expires.year().to_string()));
    // The table lists this one, the example leaves it out.
    if card.blocked_at.is_some() {
        put("unblockAvailable", json!(true));
    }
    Value::Object(fields)
}

fn product(alias: &str) -> Value {
    let (id, name, kind) = match alias {
        "qvc-cpa-debit" => (13, "QIWI Мастер Debit", "QVC_CPA_DEBIT"),
        _ => (12, "QIWI Мастер Prepaid", "QVC_CPA"),
    };
    json!({
        "id": id,
        "name": name,
        "alias": alias,
        "price": { "amount": exactly("99.0000"), "currency": RUB },
        "period": "за год",
        "type": kind,
        "details": {
            "info": "99 ₽, действует 1 год",
            "description": "",
            "tariffLink": "https://static.qiwi.com/ru/doc/qvc_tariff.pdf",
            "offerLink": "https://static.qiwi.com/ru/doc/qvc.pdf",
            "features": ["Покупки без комиссии"],
            "requisites": [
                { "name": "Получатель", "value": "КИВИ Банк (АО)" },
                { "name": "БИК", "value": "044525416" },
            ],
        },
        "features": [],
    })
}

/// W-MST-6.
pub(super) async fn statement(call: Call, Path((wallet, card)): Path<(String, u64)>) -> Reply {
    let number = call.admit_to(Access::MasterCards, &wallet)?;
    let window = history_filter::window(&call.query, "from", "till")?;
    let Some((from, till)) = window else {
        return Err(Refusal::malformed("from and till are required"));
    };
    let lines = call.with_wallet(number, |wallet, _| {
        let card = wallet.cards.iter().find(|known| known.id == card)?;
        let mut lines = vec![format!("Statement of card {} ****{}", card.id, card.last_digits)];
        let paid = wallet.operations.iter().filter(|operation| {
            operation.kind == Kind::QiwiCard
                && operation.account.ends_with(&card.last_digits)
                && (from.seconds..=till.seconds).contains(&operation.date)
        });
        lines.extend(paid.map(|operation| {
            let Money { minor, currency } = operation.total();
            let date = moment::with_offset(operation.date, from.offset);
            format!("{date} {} {currency}", two_places(minor))
        }));
        Some(lines)
    })?;
    let Some(lines) = lines else {
        return Err(Refusal::empty(StatusCode::NOT_FOUND));
    };
    Ok(answer::bytes(StatusCode::OK, "application/pdf", files::pdf(&lines)))
}
