//! Bills issued with a P2P key: issue (W-INV-2), status (W-INV-3), cancel (W-INV-4).
//!
//! A bill whose customer has the phone of a wallet of the sandbox is among that wallet's unpaid
//! invoices, too: paid there it is paid here.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::call::Call;
use super::moment::{self, MOSCOW, Moment};
use super::money::{KZT, Money, RUB, two_places};
use super::notice::Notice;
use super::state::{Invoice, Wallet, World};

/// An issued bill.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Bill {
    sum: Money,
    status: &'static str,
    changed: jiff::Timestamp,
    created: jiff::Timestamp,
    expires: Moment,
    form: String,
    /// The optional parts, as they were sent.
    extras: Map<String, Value>,
    /// The secret key that issued it.
    issued_with: String,
}

/// W-INV-2. A repeated request is answered with the bill there is; the same id for another bill is
/// a conflict. The documents say neither.
pub(super) async fn issue(call: Call, Path(id): Path<String>, body: Bytes) -> Reply {
    let number = call.admit(Access::P2pKey)?;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if id.len() > 200 || !id.bytes().all(named) {
        return Err(malformed());
    }
    let bill = Bill::read(&call.json(&body)?, call.token()).ok_or_else(malformed)?;
    let mut world = call.shared.world();
    if let Some(known) = bill_of(&mut world, number, &id) {
        let same =
            (known.sum, known.expires, &known.extras) == (bill.sum, bill.expires, &bill.extras);
        if same {
            return answer::ok(&known.to_json(&id));
        }
        let code = "api.invoice.already.exists";
        return Err(refusal(StatusCode::CONFLICT, code, "Invoice already exists"));
    }
    let shown = bill.to_json(&id);
    let phone = bill.extras.get("customer").and_then(|customer| customer.get("phone"));
    let phone = phone.and_then(Value::as_str).map(|phone| phone.trim_start_matches('+'));
    let invoice = Invoice {
        id: 0,
        external_id: id.clone(),
        created_ms: bill.created.as_millisecond(),
        expires_ms: bill.expires.seconds * 1_000,
        sum: bill.sum,
        comment: bill.extras.get("comment").and_then(Value::as_str).unwrap_or("").to_owned(),
        bill: Some((number.to_owned(), id.clone())),
    };
    if let Some(payer) = phone.filter(|phone| world.wallets.contains_key(*phone)) {
        // After every seeded one, so that the newest invoice has the largest id.
        let invoice = Invoice { id: world.new_id(), ..invoice };
        if let Some(payer) = world.wallets.get_mut(payer) {
            payer.invoices.insert(0, invoice);
        }
    }
    if let Some(wallet) = world.wallets.get_mut(number) {
        wallet.bills.insert(id, bill);
    }
    answer::ok(&shown)
}

/// W-INV-3.
pub(super) async fn status(call: Call, Path(id): Path<String>) -> Reply {
    let number = call.admit(Access::P2pKey)?;
    let mut world = call.shared.world();
    let bill = bill_of(&mut world, number, &id).ok_or_else(not_found)?;
    answer::ok(&bill.to_json(&id))
}

/// W-INV-4. What is paid or over stays so; what is rejected already answers so once more.
pub(super) async fn cancel(call: Call, Path(id): Path<String>) -> Reply {
    let number = call.admit(Access::P2pKey)?;
    call.carries(super::call::JSON)?;
    let mut world = call.shared.world();
    let bill = bill_of(&mut world, number, &id).ok_or_else(not_found)?;
    bill.end("REJECTED");
    let (shown, rejected) = (bill.to_json(&id), bill.status == "REJECTED");
    if !rejected {
        let code = "api.invoice.wrong.status";
        return Err(refusal(StatusCode::CONFLICT, code, "Only an unpaid invoice can be rejected"));
    }
    let of_bill = Some((number.to_owned(), id));
    for wallet in world.wallets.values_mut() {
        wallet.invoices.retain(|invoice| invoice.bill != of_bill);
    }
    answer::ok(&shown)
}

/// Ends a waiting bill whose invoice its payer has paid or rejected. That it is paid is told to the
/// address of the keys it was issued with, if they have one.
pub(super) fn end(world: &mut World, bill: &(String, String), status: &'static str) {
    let (issuer, id) = bill;
    let Some(bill) = bill_of(world, issuer, id).filter(|bill| bill.status == "WAITING") else {
        return;
    };
    bill.end(status);
    let bill = bill.clone();
    let pair = world.wallets.get(issuer).and_then(|wallet| wallet.notified_pair.as_ref());
    let pair = pair.filter(|pair| pair.secret == bill.issued_with && status == "PAID");
    if let Some(notice) = pair.map(|pair| Notice::of_bill(issuer, id, &bill, pair)) {
        world.outbox.announce(notice);
    }
}

/// A bill that can be paid.
pub(super) fn waiting<'a>(world: &'a mut World, issuer: &str, id: &str) -> Option<&'a Bill> {
    bill_of(world, issuer, id).filter(|bill| bill.status == "WAITING").map(|bill| &*bill)
}

/// A bill as it is at this moment: its time may have run out.
fn bill_of<'a>(world: &'a mut World, issuer: &str, id: &str) -> Option<&'a mut Bill> {
    let issuer: &mut Wallet = world.wallets.get_mut(issuer)?;
    let bill = issuer.bills.get_mut(id)?;
    if bill.expires.seconds <= jiff::Timestamp::now().as_second() {
        bill.end("EXPIRED");
    }
    Some(bill)
}

impl Bill {
    fn read(body: &Value, issued_with: &str) -> Option<Self> {
        let amount = body.get("amount")?;
        let currency = match amount.get("currency")?.as_str()? {
            "RUB" => RUB,
            "KZT" => KZT,
            _ => return None,
        };
        let expires = Moment::parse(body.get("expirationDateTime")?.as_str()?)?;
        let now = jiff::Timestamp::now();
        if expires.seconds <= now.as_second() {
            return None;
        }
        let mut extras = Map::new();
        for name in ["customer", "customFields"] {
            if let Some(part) = body.get(name) {
                let texts = part.as_object()?.values().all(Value::is_string);
                extras.insert(name.to_owned(), texts.then(|| part.clone())?);
            }
        }
        if let Some(comment) = body.get("comment") {
            let short = comment.as_str()?.chars().count() <= 255;
            extras.insert("comment".to_owned(), short.then(|| comment.clone())?);
        }
        Some(Self {
            sum: Money::new(hundredths(amount.get("value")?)?, currency),
            status: "WAITING",
            changed: now,
            created: now,
            expires,
            form: uuid::Uuid::new_v4().to_string(),
            extras,
            issued_with: issued_with.to_owned(),
        })
    }

    fn end(&mut self, status: &'static str) {
        if self.status == "WAITING" {
            self.status = status;
            self.changed = jiff::Timestamp::now();
        }
    }

    pub(super) fn sum(&self) -> Money {
        self.sum
    }

    pub(super) fn comment(&self) -> Option<&str> {
        self.extras.get("comment")?.as_str()
    }

    pub(super) fn customer_phone(&self) -> Option<&str> {
        self.extras.get("customer")?.get("phone")?.as_str()
    }

    /// The bill as notifications have it: times in whole seconds, of their offset the hours only.
    pub(super) fn to_notification(&self, id: &str) -> Value {
        let mut shown = self.to_json(id);
        let time = |seconds| moment::with_hours(seconds, MOSCOW);
        if let Some(fields) = shown.as_object_mut() {
            let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
            let changed = time(self.changed.as_second());
            put("status", json!({ "value": self.status, "changedDateTime": changed }));
            put("creationDateTime", json!(time(self.created.as_second())));
            put("expirationDateTime", json!(time(self.expires.seconds)));
            fields.remove("payUrl");
        }
        shown
    }

    fn to_json(&self, id: &str) -> Value {
        let time = |at| moment::with_milliseconds(at, MOSCOW);
        let currency = if self.sum.currency == KZT { "KZT" } else { "RUB" };
        let mut fields = self.extras.clone();
        let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        put("siteId", json!("sandbox-00"));
        put("billId", json!(id));
        put("amount", json!({ "currency": currency, "value": two_places(self.sum.minor) }));
        put("status", json!({ "value": self.status, "changedDateTime": time(self.changed) }));
        put("creationDateTime", json!(time(self.created)));
        let expires = moment::with_offset(self.expires.seconds, self.expires.offset);
        put("expirationDateTime", json!(expires));
        let form = format!("https://oplata.qiwi.com/form/?invoice_uid={}", self.form);
        put("payUrl", json!(form));
        Value::Object(fields)
    }
}

/// A text or a number of at most six digits before the point; decimals after the second are cut.
fn hundredths(value: &Value) -> Option<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    if text.split('.').next()?.len() > 6 {
        return None;
    }
    let number = text.parse::<serde_json::Number>().ok()?;
    super::money::positive_amount(Some(&Value::Number(number)))
}

fn malformed() -> Refusal {
    refusal(StatusCode::BAD_REQUEST, "http.message.conversion.failed", "Bad request")
}

fn not_found() -> Refusal {
    refusal(StatusCode::NOT_FOUND, "api.invoice.not.found", "Invoice not found")
}

fn refusal(status: StatusCode, code: &str, text: &str) -> Refusal {
    Refusal::service(status, "invoicing-api", code, text)
}
