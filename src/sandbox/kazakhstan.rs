//! Cards of Kazakhstan: the preparation (W-PAY-14) and the transfer (W-PAY-15).

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::agenda::Consequence;
use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::execution::{Order, Plan};
use super::money::KZT;
use super::payment_body::{Payment, mask};
use super::requisites::{constant, is_card};

const PROVIDER: u32 = 27292;
const ACCESS: Access = Access::Permission(Permission::Payments);
const CONSENT: &str =
    "Для продолжения оплаты, подтвердите, что являетесь держателем указанного банковского счета.";

/// W-PAY-14. The answer holds more elements than the two a caller needs.
pub(super) async fn prepare(call: Call, body: Bytes) -> Reply {
    call.accepts("application/vnd.qiwi.v1+json")?;
    let wallet = call.admit_any_type(ACCESS)?;
    call.comes_from_the_site()?;
    let body = call.json(&body)?;
    for (name, value) in [("version", "2"), ("transferSum", "100"), ("src", "sinap")] {
        if body.get(name).and_then(Value::as_str) != Some(value) {
            return Err(Refusal::malformed(&format!("{name} is {value}")));
        }
    }
    let card = body.get("cardNumber").and_then(Value::as_str).unwrap_or("");
    if !is_card(card) {
        return Err(Refusal::payment(522));
    }
    let token = STANDARD.encode(rand::random::<[u8; 96]>());
    call.change_wallet(wallet, |wallet| {
        wallet.prepared_cards.insert(token.clone(), card.to_owned());
    })?;
    answer::ok(&json!({
        "elements": [
            { "type": "dependency", "name": "transfer", "value": null },
            { "type": "field", "name": "account", "value": mask(card) },
            { "type": "field", "name": "ev_account1", "value": token },
        ],
    }))
}

/// W-PAY-15. The account and its token must be those of the preparation for this card.
pub(super) async fn pay(call: Call, body: Bytes) -> Reply {
    call.accepts("application/vnd.qiwi.v2+json")?;
    let wallet = call.admit_any_type(ACCESS)?;
    call.comes_from_the_site()?;
    let payment = Payment::read(&call.json(&body)?)?;
    payment.is_in(&[KZT], "398")?;
    let card = payment.field("cardNumber");
    if !is_card(card) {
        return Err(Refusal::payment(522));
    }
    for (name, value) in
        [("transferSum", "100"), ("accept", "1"), ("version", "2"), ("info", CONSENT)]
    {
        constant(&payment, name, value)?;
    }
    let mut world = call.shared.world();
    let token = payment.field("ev_account1");
    let prepared = world.wallets.get(wallet).and_then(|wallet| wallet.prepared_cards.get(token));
    if prepared.is_none_or(|prepared| prepared != card) || payment.field("account") != mask(card) {
        return Err(Refusal::malformed("account and ev_account1 are not those of the preparation"));
    }
    if let Some(code) = call.payment_fault.refusal {
        return Err(Refusal::payment(code));
    }
    let order = Order {
        wallet,
        client_id: Some(payment.id.clone()),
        provider: PROVIDER,
        account: mask(card),
        sum: payment.sum,
        commission: 0,
        debit: payment.sum,
        rate: "1",
        comment: None,
        invoice: None,
        then: Consequence::Nothing,
    };
    let plan = Plan::new(&call.shared.config, &call.payment_fault);
    let txn_id = world.execute(order, plan).map_err(Refusal::payment)?;
    let shown = (!call.payment_fault.no_transaction).then_some(txn_id);
    answer::ok(&payment.info(PROVIDER, &["cardNumber"], shown))
}
