//! Invoices to the wallet: the unpaid ones (W-INV-5).

use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::call::Call;
use super::state::Invoice;

/// W-INV-5. Times are milliseconds. The answer carries no continuation; a caller takes it from the
/// last element, remembering that `next_id` includes its invoice and the time excludes its own.
pub(super) async fn unpaid(call: Call) -> Reply {
    let number = call.admit(Access::Invoices)?;
    let query = &call.query;
    if query.required("statuses")? != "READY_FOR_PAY" {
        return Err(Refusal::malformed("statuses must be READY_FOR_PAY"));
    }
    let rows = match query.number("rows")? {
        None => 50,
        Some(rows @ 1..=50) => usize::try_from(rows).unwrap_or(50),
        Some(_) => return Err(Refusal::malformed("rows must be 1 to 50")),
    };
    let earliest = query.number("min_creation_datetime")?;
    let latest = query.number("max_creation_datetime")?;
    let before = query.number("next_creation_datetime")?;
    let next_id = match query.number("next_id")?.map(u64::try_from) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Refusal::malformed("next_id must not be negative")),
    };
    let bills = call.with_wallet(number, |wallet, _| {
        let matching = wallet.invoices.iter().filter(|invoice| {
            earliest.is_none_or(|earliest| invoice.created_ms >= earliest)
                && latest.is_none_or(|latest| invoice.created_ms <= latest)
                && before.is_none_or(|before| invoice.created_ms < before)
                && next_id.is_none_or(|next_id| invoice.id <= next_id)
        });
        matching.take(rows).map(invoice_json).collect::<Vec<Value>>()
    })?;
    answer::ok(&json!({ "bills": bills }))
}

fn invoice_json(invoice: &Invoice) -> Value {
    json!({
        "id": invoice.id,
        "external_id": invoice.external_id,
        "creation_datetime": invoice.created_ms,
        "expiration_datetime": invoice.expires_ms,
        "sum": invoice.sum.to_json(),
        "status": "READY_FOR_PAY",
        "type": "MERCHANT",
        "repetitive": false,
        "provider": {
            "id": 480_706,
            "short_name": "Магазин песочницы",
            "long_name": "ООО «Песочница»",
            "logo_url": "https://static.qiwi.com/img/providers/logoBig/480706_l.png",
        },
        "comment": invoice.comment,
        "pay_url": format!("https://oplata.qiwi.com/form?shop=480706&transaction={}", invoice.id),
    })
}
