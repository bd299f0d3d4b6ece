//! What follows a purchase: `capture`, `reversal` and `refund` (P-API-5, 6 and 7).

use jiff::Timestamp;

use super::super::faults::PaymentFault;
use super::super::moment;
use super::super::state::World;
use super::checks::Checks;
use super::deal::{self, Parts};
use super::direct::{Step, View};
use super::fields::Fields;
use super::purchase::{late, part_of, within_test_limits};
use super::refusal::Refused;
use super::settings::{MerchantSite, SafeDeal};
use super::transaction::{Kind, State, Transaction, Verdict};
use super::{avia, cheque};

/// Takes what a transaction holds. It goes on as the same transaction.
pub(super) fn capture(
    world: &mut World,
    site: &MerchantSite,
    fields: &Fields,
    fault: &PaymentFault,
) -> Result<Step, Refused> {
    let id = fields.required_integer("txn_id")?;
    let mut checks = Checks::default();
    checks.texts(fields);
    checks.part("cheque", cheque::check(fields, "cheque"));
    checks.part("industry_data", avia::check(fields, true));
    let wallet = deal::wallet(fields, site, &mut checks);
    checks.finish()?;
    let held = parent(world, site, id)?;
    if !held.kind.holds() {
        return Err(Refused::new(8027));
    }
    if held.state != State::Authorized || world.acquiring.left_of(&held) <= 0 {
        return Err(Refused::new(8052));
    }
    if wallet.is_some() && wallet != held.wallet {
        return Err(Refused::field("cf1", "[cf1] must be the wallet of the authorisation"));
    }
    let late = (!fault.late_history.is_zero()).then_some(fault.late_history);
    world.capture_transaction(id, late);
    Ok(Step { id, view: View::Capture, due: None })
}

/// Gives back what is held, or what a purchase of one step took and nobody has confirmed.
pub(super) fn reversal(
    world: &mut World,
    site: &MerchantSite,
    fields: &Fields,
    fault: &PaymentFault,
) -> Result<Step, Refused> {
    let (purchase, left) = begin(world, site, fields)?;
    let permitted = match (purchase.kind.holds(), purchase.state) {
        (true, State::Authorized) => true,
        (true, State::Completed) => site.safe_deal == SafeDeal::None,
        (false, State::Completed) => site.reversal_after_sale && is_of_today(&purchase),
        _ => false,
    };
    if !permitted {
        return Err(Refused::new(8026));
    }
    correct(world, site, fields, fault, (&purchase, left), Kind::Reversal)
}

/// Pays back what was taken.
pub(super) fn refund(
    world: &mut World,
    site: &MerchantSite,
    fields: &Fields,
    fault: &PaymentFault,
) -> Result<Step, Refused> {
    let (purchase, left) = begin(world, site, fields)?;
    let paid_out = world.acquiring.taken_off(purchase.id, Kind::Payout) > 0;
    if purchase.state != State::Reconciled || (site.safe_deal == SafeDeal::ToCard && paid_out) {
        return Err(Refused::new(8026));
    }
    correct(world, site, fields, fault, (&purchase, left), Kind::Refund)
}

/// The purchase that a request names, and what is left of it.
fn begin(
    world: &World,
    site: &MerchantSite,
    fields: &Fields,
) -> Result<(Transaction, i64), Refused> {
    let id = fields.required_integer("txn_id")?;
    let mut checks = Checks::default();
    checks.texts(fields);
    checks.part("cheque", cheque::check(fields, "cheque"));
    checks.finish()?;
    let purchase = parent(world, site, id)?;
    if !purchase.kind.is_purchase() {
        return Err(Refused::new(8027));
    }
    let left = world.acquiring.left_of(&purchase);
    Ok((purchase, left))
}

fn correct(
    world: &mut World,
    site: &MerchantSite,
    fields: &Fields,
    fault: &PaymentFault,
    (purchase, left): (&Transaction, i64),
    kind: Kind,
) -> Result<Step, Refused> {
    let now = Timestamp::now();
    let amount = part_of(fields, left)?;
    let mut checks = Checks::default();
    let deal = Parts::read(fields, site, Some(amount), &mut checks);
    checks.finish()?;
    within_test_limits(world, site, amount, now.as_second())?;
    let id = world.new_id();
    let decided = fault.decline_code.map_or(Verdict::Approved, Verdict::Declined);
    let transaction = Transaction {
        id,
        kind,
        state: State::Init,
        error_code: 0,
        amount,
        parent: Some(purchase.id),
        order_id: None,
        date: now,
        token: None,
        details: serde_json::Map::new(),
        deal,
        wallet: None,
        verdict: decided,
        delay: std::time::Duration::ZERO,
        hop: None,
        captures: 0,
        hidden_until: late(fault),
        earlier: None,
        ..purchase.clone()
    };
    world.acquiring.transactions.insert(id, transaction);
    let due = world.decide(id);
    Ok(Step { id, view: View::Correction, due })
}

/// The transaction a request refers to; 8022 when there is none.
pub(super) fn parent(world: &World, site: &MerchantSite, id: u64) -> Result<Transaction, Refused> {
    world.acquiring.transaction(site.id, id).cloned().ok_or_else(|| Refused::new(8022))
}

/// A purchase can be reversed until its day ends in Moscow.
fn is_of_today(purchase: &Transaction) -> bool {
    let day = |at: Timestamp| moment::moscow_date(at.as_second());
    day(purchase.date) == day(Timestamp::now())
}
