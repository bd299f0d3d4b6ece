//! Invoices to the wallet: the unpaid ones (W-INV-5), paying one (W-INV-6), rejecting (W-INV-7).

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::agenda::Consequence;
use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::bills;
use super::call::Call;
use super::catalog;
use super::execution::{Order, Plan};
use super::state::{Invoice, World};

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

/// W-INV-6. Without enough money the call succeeds and the invoice is not paid: any status but
/// the one of success means that.
pub(super) async fn pay(call: Call, body: Bytes) -> Reply {
    let number = call.admit(Access::Invoices)?;
    let body = call.json(&body)?;
    let text = |name: &str| {
        let found = body.get(name).and_then(Value::as_str);
        found.ok_or_else(|| Refusal::malformed(&format!("{name} must be a string")))
    };
    let (id, currency) = (text("invoice_uid")?.parse::<u64>().ok(), text("currency")?);
    if let Some(code) = call.payment_fault.refusal {
        return Err(Refusal::payment(code));
    }
    let mut world = call.shared.world();
    let wallet = world.wallets.get_mut(number).ok_or_else(not_found)?;
    let place = wallet.invoices.iter().position(|invoice| Some(invoice.id) == id);
    let invoice = place.and_then(|place| wallet.invoices.get(place)).ok_or_else(not_found)?;
    if currency != invoice.sum.currency.to_string() {
        return Err(Refusal::malformed("currency is that of the invoice"));
    }
    let order = Order {
        wallet: number,
        client_id: None,
        provider: catalog::INVOICES,
        account: invoice.external_id.clone(),
        sum: invoice.sum,
        commission: 0,
        debit: invoice.sum,
        rate: "1",
        comment: Some(invoice.comment.clone()),
        invoice: Some(invoice.id),
        then: match &invoice.bill {
            Some((issuer, _)) => Consequence::Credit {
                wallet: issuer.clone(),
                sum: invoice.sum,
                sender: format!("+{number}"),
                comment: Some(invoice.comment.clone()),
            },
            None => Consequence::Nothing,
        },
    };
    let bill = invoice.bill.clone();
    let plan = Plan::new(&call.shared.config, &call.payment_fault).at_once();
    let status = match world.execute(order, plan) {
        Ok(_) => "PAID_STATUS",
        Err(_) => "ERROR_STATUS",
    };
    if status == "PAID_STATUS" {
        take_invoice(&mut world, number, id);
        if let Some(bill) = bill {
            bills::end(&mut world, &bill, "PAID");
        }
    }
    answer::ok(&json!({
        "invoice_status": status,
        "is_sms_confirm": false,
        "WALLET_ACCEPT_PAY_RESULT": {},
    }))
}

/// W-INV-7.
pub(super) async fn reject(call: Call, body: Bytes) -> Reply {
    let number = call.admit(Access::Invoices)?;
    let id = call.json(&body)?.get("id").and_then(Value::as_u64);
    let id = id.ok_or_else(|| Refusal::malformed("id must be a whole number"))?;
    let mut world = call.shared.world();
    let invoice = take_invoice(&mut world, number, Some(id)).ok_or_else(not_found)?;
    if let Some(bill) = invoice.bill {
        bills::end(&mut world, &bill, "REJECTED");
    }
    answer::status(StatusCode::OK)
}

fn take_invoice(world: &mut World, number: &str, id: Option<u64>) -> Option<Invoice> {
    let invoices = &mut world.wallets.get_mut(number)?.invoices;
    let place = invoices.iter().position(|invoice| Some(invoice.id) == id)?;
    Some(invoices.remove(place))
}

fn not_found() -> Refusal {
    let code = "api.invoice.not.found";
    Refusal::service(StatusCode::NOT_FOUND, "checkout-api", code, "Invoice not found")
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
            "id": catalog::INVOICES,
            "short_name": "Магазин песочницы",
            "long_name": "ООО «Песочница»",
            "logo_url": "https://static.qiwi.com/img/providers/logoBig/480706_l.png",
        },
        "comment": invoice.comment,
        "pay_url": format!("https://oplata.qiwi.com/form?shop=480706&transaction={}", invoice.id),
    })
}
