//! Payments to a provider: W-PAY-4, 5, 7, 12, 13, 16…19 and W-MST-1, 4 are one call.

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;

use super::agenda::Consequence;
use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::catalog;
use super::execution::{Order, Plan};
use super::money::{EUR, KZT, Money, RUB, USD};
use super::orders;
use super::payment_body::{Payment, mask};
use super::requisites::Requisites;
use super::tariffs;

/// The call. A provider it does not pay is not found.
pub(super) async fn pay(call: Call, Path(provider): Path<u32>, body: Bytes) -> Reply {
    let requisites = Requisites::of(provider);
    let access = match requisites {
        Some(Requisites::Wallet | Requisites::Card | Requisites::ForeignCard) => Access::Transfers,
        _ => Access::Permission(Permission::Payments),
    };
    let wallet = call.admit(access)?;
    let requisites = requisites.ok_or_else(|| Refusal::empty(StatusCode::NOT_FOUND))?;
    let payment = Payment::read(&call.json(&body)?)?;
    let currencies: &[u16] = match requisites {
        Requisites::Conversion => &[KZT, USD, EUR],
        _ => &[RUB],
    };
    payment.is_in(currencies, "643")?;
    requisites.check(&payment, provider, wallet)?;
    let masked: &[&str] = if requisites.is_card(&payment) { &["account"] } else { &[] };
    let order = order(wallet, provider, requisites, &payment)?;
    if let Some(code) = call.payment_fault.refusal {
        return Err(Refusal::payment(code));
    }
    let mut world = call.shared.world();
    if requisites == Requisites::OrderedCard {
        orders::check_price(&world, wallet, payment.field("order_id"), payment.sum)?;
    }
    let plan = Plan::new(&call.shared.config, &call.payment_fault);
    let txn_id = world.execute(order, plan).map_err(Refusal::payment)?;
    let shown = (!call.payment_fault.no_transaction).then_some(txn_id);
    answer::ok(&payment.info(provider, masked, shown))
}

fn order(
    wallet: &'static str,
    provider: u32,
    requisites: Requisites,
    payment: &Payment,
) -> Result<Order, Refusal> {
    let account = payment.field("account");
    let mut commission = 0;
    let mut debit = payment.sum;
    let mut rate = "1";
    if payment.sum.currency == RUB {
        commission = tariffs::fee(provider, payment.sum.minor);
        if requisites == Requisites::Free && payment.field("urgent") == "1" {
            commission += 2_500;
        }
        debit.minor += commission;
    } else {
        (debit, rate) = converted(payment.sum)?;
    }
    // The documents let comments go with these only; elsewhere nobody ever sees one.
    let commented =
        matches!(requisites, Requisites::Wallet | Requisites::Conversion | Requisites::Package);
    let comment = payment.comment.clone().filter(|_| commented);
    let then = match requisites {
        Requisites::Wallet | Requisites::Conversion => Consequence::Credit {
            wallet: account.trim_start_matches('+').to_owned(),
            sum: payment.sum,
            sender: format!("+{wallet}"),
            comment: comment.clone(),
        },
        Requisites::OrderedCard => {
            Consequence::Card { order: payment.field("order_id").to_owned() }
        }
        _ => Consequence::Nothing,
    };
    Ok(Order {
        wallet,
        client_id: Some(payment.id.clone()),
        provider,
        account: if requisites.is_card(payment) { mask(account) } else { account.to_owned() },
        sum: payment.sum,
        commission,
        debit,
        rate,
        comment,
        invoice: None,
        then,
    })
}

/// What a sum of another currency costs in roubles, and the rate. Kopeks are rounded up.
fn converted(sum: Money) -> Result<(Money, &'static str), Refusal> {
    let unavailable = || Refusal::payment(300);
    let (scaled, rate) = catalog::per_rouble(sum.currency).ok_or_else(unavailable)?;
    let exact = i128::from(sum.minor) * 10_000_000;
    let minor = (exact + i128::from(scaled) - 1) / i128::from(scaled);
    let minor = i64::try_from(minor).map_err(|_| unavailable())?;
    Ok((Money::new(minor, RUB), rate))
}
