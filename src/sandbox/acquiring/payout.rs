//! Payouts to cards (P-API-20).

use jiff::Timestamp;

use super::super::UpstreamDuplicate;
use super::super::faults::PaymentFault;
use super::super::state::World;
use super::card::{self, Instrument};
use super::checks::Checks;
use super::cheque;
use super::direct::{Step, View};
use super::fields::Fields;
use super::follow::parent;
use super::purchase::{details, late, open, outcome, permitted, within_test_limits};
use super::refusal::Refused;
use super::settings::{MerchantSite, SafeDeal};
use super::transaction::{Kind, State, Transaction};

/// Pays to a card. The documents do not say what a number of an order that comes again means
/// here; unless told otherwise the sandbox does the worst and pays again.
pub(super) fn pay(
    world: &mut World,
    site: &MerchantSite,
    fields: &Fields,
    fault: &PaymentFault,
    duplicates: UpstreamDuplicate,
) -> Result<Step, Refused> {
    let now = Timestamp::now();
    let (purchase, currency) = (fields.integer("txn_id")?, fields.integer("currency")?);
    let mut checks = Checks::default();
    checks.required(fields, "amount");
    checks.required(fields, "currency");
    checks.texts(fields);
    let amount = checks.amount(fields);
    let instrument = Instrument::of_payout(fields, &mut checks);
    checks.part("cheque", cheque::check(fields, "cheque"));
    if site.safe_deal == SafeDeal::ToCard && purchase.is_none() {
        checks.complain("txn_id", "[txn_id] is required");
    }
    checks.finish()?;
    let (Some(amount), Some(currency), Some(instrument)) = (amount, currency, instrument) else {
        return Err(Refused::new(8018));
    };
    card::supported(fields)?;
    if matches!(instrument, Instrument::Card(_)) && !site.full_card_numbers {
        return Err(Refused::new(8058));
    }
    let purchase = purchase.map(|id| parent(world, site, id)).transpose()?;
    if let Some(purchase) = &purchase {
        covered(world, purchase, amount, currency, now)?;
    }
    let currency = permitted(site, currency)?;
    let (card, _) = open(world, site, instrument, now.as_second())?;
    let order_id = fields.text("order_id");
    if duplicates == UpstreamDuplicate::Refused && order_id.is_some() {
        let mut paid = world.acquiring.transactions.values().filter(|one| {
            one.site == site.id && one.kind == Kind::Payout && one.order_id == order_id
        });
        if paid.any(Transaction::is_good) {
            return Err(Refused::new(8055));
        }
    }
    within_test_limits(world, site, amount, now.as_second())?;
    let (verdict, delay) = outcome(world, site, &card, fault);
    let id = world.new_id();
    let transaction = Transaction {
        id,
        site: site.id,
        kind: Kind::Payout,
        state: State::Init,
        error_code: 0,
        amount,
        currency,
        parent: purchase.map(|purchase| purchase.id),
        order_id,
        date: now,
        card,
        card_name: fields.text("card_name"),
        token: None,
        details: details(fields),
        deal: None,
        wallet: None,
        callback_url: fields.text("callback_url"),
        verdict,
        delay,
        hop: None,
        authenticated: false,
        captures: 0,
        is_test: site.test_mode,
        hidden_until: late(fault),
        earlier: None,
    };
    world.acquiring.transactions.insert(id, transaction);
    let due = world.decide(id);
    Ok(Step { id, view: View::Payout, due })
}

/// Whether a purchase has enough for a payout of its currency, and is not too old.
fn covered(
    world: &World,
    purchase: &Transaction,
    amount: i64,
    currency: u64,
    now: Timestamp,
) -> Result<(), Refused> {
    if !purchase.kind.is_purchase() {
        return Err(Refused::new(8027));
    }
    let age = now.as_second() - purchase.date.as_second();
    let within = world.acquiring.settings.payout_within.as_secs();
    if purchase.state < State::Completed || u64::try_from(age).is_ok_and(|age| age > within) {
        return Err(Refused::new(8026));
    }
    if u64::from(purchase.currency) != currency {
        return Err(Refused::new(8061));
    }
    let left = world.acquiring.left_of(purchase);
    let most = purchase.deal.map_or(left, |parts| parts.payout.min(left));
    if amount > most - world.acquiring.taken_off(purchase.id, Kind::Payout) {
        return Err(Refused::new(8060));
    }
    Ok(())
}
