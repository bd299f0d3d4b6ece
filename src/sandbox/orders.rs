//! Orders for cards of the Master package: the draft (W-MST-2), its confirmation (W-MST-3) and
//! the card that follows. The payment between them (W-MST-4) is `terms.rs`.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::call::Call;
use super::moment::DAY;
use super::money::{Money, RUB};
use super::state::{Card, CardOrder, OrderState, World};

/// As many cards are free.
const FREE_CARDS: usize = 5;
/// What one more costs.
const PRICE: Money = Money::new(9_900, RUB);

/// W-MST-2.
pub(super) async fn create(call: Call, Path(wallet): Path<String>, body: Bytes) -> Reply {
    let number = call.admit_to(Access::MasterCards, &wallet)?;
    let body = call.json(&body)?;
    let product = match body.get("cardAlias").and_then(Value::as_str) {
        Some("qvc-cpa") => "qvc-cpa",
        Some("qvc-cpa-debit") => "qvc-cpa-debit",
        _ => return Err(Refusal::malformed("cardAlias is qvc-cpa or qvc-cpa-debit")),
    };
    let id = uuid::Uuid::new_v4().to_string();
    let order = CardOrder { product, state: OrderState::Draft };
    let shown = order_json(&id, &order);
    call.change_wallet(number, |wallet| wallet.orders.insert(id, order))?;
    answer::ok(&shown)
}

/// W-MST-3. What is confirmed already answers as it stands.
pub(super) async fn submit(call: Call, Path((wallet, order)): Path<(String, String)>) -> Reply {
    let number = call.admit_to(Access::MasterCards, &wallet)?;
    let mut world = call.shared.world();
    let missing = || Refusal::empty(StatusCode::NOT_FOUND);
    let wallet = world.wallets.get(number).ok_or_else(missing)?;
    let free = wallet.cards.len() < FREE_CARDS;
    let known = wallet.orders.get(&order).ok_or_else(missing)?;
    if known.state == OrderState::Draft {
        let product = known.product;
        let state = if free {
            let txn_id = world.new_id();
            OrderState::Completed(Some(issue(&mut world, number, product, txn_id)))
        } else {
            OrderState::PaymentRequired
        };
        let wallet = world.wallets.get_mut(number).ok_or_else(missing)?;
        wallet.orders.insert(order.clone(), CardOrder { product, state });
    }
    let known = world.wallets.get(number).and_then(|wallet| wallet.orders.get(&order));
    answer::ok(&order_json(&order, known.ok_or_else(missing)?))
}

/// Whether a payment has the price of an order that is to be paid, or has been before: to refuse
/// a second payment would hide a client that sends it.
pub(super) fn check_price(
    world: &World,
    wallet: &str,
    order: &str,
    sum: Money,
) -> Result<(), Refusal> {
    let known = world.wallets.get(wallet).and_then(|wallet| wallet.orders.get(order));
    let payable = matches!(
        known.map(|order| order.state),
        Some(OrderState::PaymentRequired | OrderState::Completed(None))
    );
    if payable && sum == PRICE {
        return Ok(());
    }
    Err(Refusal::malformed("fields.order_id and the sum are those of an order to be paid"))
}

/// The card of a paid order. However often the order is paid, it is one card.
pub(super) fn issue_paid(world: &mut World, wallet: &str, order: &str, txn_id: u64) {
    let Some(known) = world.wallets.get_mut(wallet).and_then(|known| known.orders.get_mut(order))
    else {
        return;
    };
    if known.state == OrderState::PaymentRequired {
        known.state = OrderState::Completed(None);
        let product = known.product;
        issue(world, wallet, product, txn_id);
    }
}

fn issue(world: &mut World, wallet: &str, product: &'static str, txn_id: u64) -> u64 {
    let id = world.new_id();
    let now = jiff::Timestamp::now().as_second();
    if let Some(wallet) = world.wallets.get_mut(wallet) {
        wallet.cards.insert(
            0,
            Card {
                id,
                last_digits: format!("{:04}", id * 7 % 10_000),
                status: "ACTIVE",
                name: None,
                product,
                activated_at: Some(now),
                blocked_at: None,
                expires_at: now + 730 * DAY,
                issuing_txn: txn_id,
                limit: None,
            },
        );
    }
    id
}

fn order_json(id: &str, order: &CardOrder) -> Value {
    let (status, price, card) = match order.state {
        OrderState::Draft => ("DRAFT", None, None),
        OrderState::PaymentRequired => ("PAYMENT_REQUIRED", Some(PRICE), None),
        OrderState::Completed(None) => ("COMPLETED", Some(PRICE), None),
        OrderState::Completed(card) => ("COMPLETED", Some(Money::new(0, RUB)), card),
    };
    json!({
        "id": id,
        "cardAlias": order.product,
        "status": status,
        "price": price.map(Money::to_json),
        "cardId": card.map(|card| card.to_string()),
    })
}
