//! What can be done to a card: block (W-MST-7), unblock (W-MST-8), show its details (W-MST-9),
//! rename (W-MST-10).

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::call::Call;
use super::moment::DAY;
use super::state::Card;

/// How long after blocking a card can be unblocked, in days.
const UNBLOCK_DAYS: i64 = 90;

/// W-MST-7. Blocking what is blocked changes nothing.
pub(super) async fn block(call: Call, Path((wallet, card)): Path<(String, u64)>) -> Reply {
    let number = call.admit_to(Access::MasterCards, &wallet)?;
    change(&call, number, card, |card| {
        if card.status != "BLOCKED" {
            card.status = "BLOCKED";
            card.blocked_at = Some(jiff::Timestamp::now().as_second());
        }
    })?;
    answer::status(StatusCode::ACCEPTED)
}

/// W-MST-8. A card that is not blocked, or not unblockable any more, is a failure within a 200.
pub(super) async fn unblock(call: Call, Path((wallet, card)): Path<(String, u64)>) -> Reply {
    let number = call.admit_to(Access::MasterCards, &wallet)?;
    let earliest = jiff::Timestamp::now().as_second() - UNBLOCK_DAYS * DAY;
    let unblocked = change(&call, number, card, |card| {
        let possible =
            card.status == "BLOCKED" && card.blocked_at.is_some_and(|blocked| blocked >= earliest);
        if possible {
            card.status = "ACTIVE";
            card.blocked_at = None;
        }
        possible
    })?;
    answer::ok(&json!({
        "status": if unblocked { "OK" } else { "FAIL" },
        "nextConfirmationRequest": null,
        "confirmationId": null,
        "operationId": null,
    }))
}

/// W-MST-9. The number and code are made up from the card's id; they open nothing.
pub(super) async fn details(call: Call, Path(card): Path<u64>, body: Bytes) -> Reply {
    let number = call.admit(Access::MasterCards)?;
    let body = call.json(&body)?;
    let operation = body.get("operationId").and_then(Value::as_str).unwrap_or("");
    if uuid::Uuid::try_parse(operation).is_err() {
        return Err(Refusal::malformed("operationId is a UUID"));
    }
    let secrets = change(&call, number, card, |card| {
        let pan = format!("489049{:06}{}", card.id % 1_000_000, card.last_digits);
        (card.status == "ACTIVE").then(|| (pan, format!("{:03}", card.id % 1_000)))
    })?;
    answer::ok(&match secrets {
        Some((pan, cvv)) => {
            json!({ "status": "OK", "cvv": cvv, "pan": pan, "errorCode": "0" })
        }
        None => json!({ "status": "FAIL", "cvv": null, "pan": null, "errorCode": "1" }),
    })
}

/// W-MST-10. An empty name is a failure within a 200.
pub(super) async fn rename(call: Call, Path(card): Path<u64>, body: Bytes) -> Reply {
    let number = call.admit(Access::MasterCards)?;
    let body = call.json(&body)?;
    let alias = body
        .get("alias")
        .and_then(Value::as_str)
        .ok_or_else(|| Refusal::malformed("alias must be a string"))?;
    change(&call, number, card, |card| {
        if !alias.is_empty() {
            card.name = Some(alias.to_owned());
        }
    })?;
    answer::ok(&if alias.is_empty() {
        json!({ "status": "FAIL", "error": "Имя карты не указано", "errorCode": "EMPTY_ALIAS" })
    } else {
        json!({ "status": "OK", "error": "OK", "errorCode": "OK" })
    })
}

fn change<T>(
    call: &Call,
    wallet: &str,
    card: u64,
    change: impl FnOnce(&mut Card) -> T,
) -> Result<T, Refusal> {
    let changed = call.change_wallet(wallet, |wallet| {
        wallet.cards.iter_mut().find(|known| known.id == card).map(change)
    })?;
    changed.ok_or_else(|| Refusal::empty(StatusCode::NOT_FOUND))
}
