//! Purchases: `sale`, `auth` and their end after 3-D Secure (P-API-1, 2 and 3).

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::super::faults::PaymentFault;
use super::super::moment;
use super::super::money::RUB;
use super::super::state::World;
use super::amount;
use super::book::Happening;
use super::card::{self, Card, Instrument};
use super::checks::{self, Checks};
use super::deal::{self, Parts};
use super::direct::{Step, View};
use super::fields::Fields;
use super::refusal::Refused;
use super::settings::{MerchantSite, ThreeDSecure};
use super::transaction::{Hop, Kind, State, Transaction, Verdict};
use super::{avia, cheque, packed};

/// What is shown again as it was sent.
const DETAILS: [&str; 13] = [
    "address",
    "cf1",
    "cf2",
    "cf3",
    "cf4",
    "cf5",
    "city",
    "country",
    "email",
    "ip",
    "phone",
    "product_name",
    "region",
];

/// The name of a cardholder who has to pass 3-D Secure.
const UNKNOWN: &str = "unknown name";

/// Begins a purchase.
pub(super) fn begin(
    world: &mut World,
    site: &MerchantSite,
    kind: Kind,
    fields: &Fields,
    fault: &PaymentFault,
) -> Result<Step, Refused> {
    let now = Timestamp::now();
    let currency = fields.integer("currency")?;
    fields.integer("account_id")?;
    let mut checks = Checks::default();
    checks.required(fields, "amount");
    checks.required(fields, "currency");
    checks.texts(fields);
    let amount = checks.amount(fields);
    let instrument = Instrument::of_purchase(fields, site, now.as_second(), &mut checks);
    let deal = Parts::read(fields, site, amount, &mut checks);
    let wallet = deal::wallet(fields, site, &mut checks);
    checks.part("cheque", cheque::check(fields, "cheque"));
    checks.part("merchant_cheque", cheque::check(fields, "merchant_cheque"));
    checks.part("industry_data", avia::check(fields, !kind.holds()));
    checks.finish()?;
    let (Some(amount), Some(currency), Some(instrument)) = (amount, currency, instrument) else {
        return Err(Refused::new(8018));
    };
    card::supported(fields)?;
    checks::receiver(fields)?;
    let currency = permitted(site, currency)?;
    if matches!(instrument, Instrument::Card(_)) && !site.full_card_numbers {
        return Err(Refused::new(8058));
    }
    let (card, proven) = open(world, site, instrument, now.as_second())?;
    let order_id = fields.text("order_id");
    free(world, site, order_id.as_deref(), &card)?;
    within_test_limits(world, site, amount, now.as_second())?;
    let card_name = fields.text("card_name");
    let asked = match site.three_d_secure {
        ThreeDSecure::Always => true,
        ThreeDSecure::Never => false,
        ThreeDSecure::ByName => card_name.as_deref() == Some(UNKNOWN),
    };
    let (verdict, delay) = outcome(world, site, &card, fault);
    let id = world.new_id();
    let hop = (proven == Some(false) || (proven.is_none() && asked)).then(|| hop(id));
    let waits = hop.is_some();
    let transaction = Transaction {
        id,
        site: site.id,
        kind,
        state: State::Init,
        error_code: 0,
        amount,
        currency,
        parent: None,
        order_id,
        date: now,
        card,
        card_name,
        token: None,
        details: details(fields),
        deal,
        wallet,
        callback_url: fields.text("callback_url"),
        verdict,
        delay,
        hop,
        authenticated: proven == Some(true),
        captures: 0,
        is_test: site.test_mode,
        hidden_until: late(fault),
        earlier: None,
    };
    world.acquiring.transactions.insert(id, transaction);
    let due = if waits {
        world.schedule(id, world.acquiring.settings.three_d_secure_within, Happening::Expired);
        None
    } else {
        world.decide(id)
    };
    Ok(Step { id, view: View::Purchase, due })
}

/// Ends a purchase whose customer is back from the issuer.
pub(super) fn finish(
    world: &mut World,
    site: &MerchantSite,
    fields: &Fields,
    fault: &PaymentFault,
) -> Result<Step, Refused> {
    let id = fields.required_integer("txn_id")?;
    let mut checks = Checks::default();
    let pares = checks.required(fields, "pares").unwrap_or_default();
    checks.length("pares", &pares, 1, 4_096);
    checks.finish()?;
    let known = world.acquiring.transaction(site.id, id).ok_or_else(|| Refused::new(8022))?;
    let Some(hop) = known.hop.clone() else {
        let expired = known.error_code == 8023;
        return Err(Refused::new(if expired { 8023 } else { 8052 }));
    };
    if pares != hop.passed {
        // The issuer's "no", and what no issuer has said.
        world.decline(id, 8151);
        return Ok(Step { id, view: View::Purchase, due: None });
    }
    world.came_back(id);
    if let Some(one) = world.acquiring.transactions.get_mut(&id) {
        one.verdict = fault.decline_code.map_or(one.verdict, Verdict::Declined);
        one.earlier = late(fault).map(|until| (State::Init, until));
    }
    let due = world.decide(id);
    Ok(Step { id, view: View::Purchase, due })
}

/// What is shown again as it was sent.
pub(super) fn details(fields: &Fields) -> Map<String, Value> {
    let sent = DETAILS.into_iter().filter_map(|name| Some((name, fields.text(name)?)));
    sent.map(|(name, text)| (name.to_owned(), Value::String(text))).collect()
}

/// Until when status queries do not show it.
pub(super) fn late(fault: &PaymentFault) -> Option<Instant> {
    let late = fault.late_history;
    (!late.is_zero()).then(|| Instant::now().checked_add(late)).flatten()
}

/// 8059 for a currency that the site must not use.
pub(super) fn permitted(site: &MerchantSite, currency: u64) -> Result<u16, Refused> {
    let currency = u16::try_from(currency).unwrap_or(0);
    let right = site.currencies.contains(&currency) && (!site.test_mode || currency == RUB);
    if right { Ok(currency) } else { Err(Refused::new(8059)) }
}

/// The card behind what was sent, and whether it proves who the holder is, if it says.
pub(super) fn open(
    world: &World,
    site: &MerchantSite,
    instrument: Instrument,
    now: i64,
) -> Result<(Card, Option<bool>), Refused> {
    match instrument {
        Instrument::Card(card) => Ok((card, None)),
        Instrument::Phone { card, authenticated } => Ok((card, Some(authenticated))),
        Instrument::Token(token) => {
            let card = world.acquiring.card(site.id, &token).cloned();
            let card = card.ok_or_else(|| Refused::field("card_token", "unknown token"))?;
            if card.expires.is_some_and(|expires| expires.is_over(now)) {
                return Err(Refused::new(8028));
            }
            // Whoever pays by token has shown who he is before.
            Ok((card, None))
        }
    }
}

/// 8055 and 8056 for an order that is paid or being paid, 8057 for a card in use.
fn free(
    world: &World,
    site: &MerchantSite,
    order: Option<&str>,
    card: &Card,
) -> Result<(), Refused> {
    let own = || {
        let all = world.acquiring.transactions.values();
        all.filter(|one| one.site == site.id && one.kind.is_purchase())
    };
    let of_order = || own().filter(|one| order.is_some() && one.order_id.as_deref() == order);
    if of_order().any(Transaction::is_good) {
        return Err(Refused::new(8055));
    }
    if of_order().any(|one| one.state == State::Init) {
        return Err(Refused::new(8056));
    }
    let locked = site.locks_cards && own().any(|one| one.state == State::Init && one.card.is(card));
    if locked { Err(Refused::new(8057)) } else { Ok(()) }
}

/// 8070 and 8069 in test mode. Operations above the limit of amounts are not counted, for they are
/// not carried out.
pub(super) fn within_test_limits(
    world: &World,
    site: &MerchantSite,
    amount: i64,
    now: i64,
) -> Result<(), Refused> {
    if !site.test_mode {
        return Ok(());
    }
    let settings = &world.acquiring.settings;
    let most = i64::from(settings.test_amount_max) * 100;
    if amount > most {
        return Err(Refused::new(8070));
    }
    let today = moment::moscow_date(now);
    let all = world.acquiring.transactions.values();
    let of_today = all.filter(|one| {
        let counted = one.site == site.id && one.is_test && one.amount <= most;
        counted && moment::moscow_date(one.date.as_second()) == today
    });
    if of_today.count() >= settings.test_operations_max {
        return Err(Refused::new(8069));
    }
    Ok(())
}

/// What the issuer will say and how long it takes: in test mode the month of a card's expiry
/// decides, otherwise everything succeeds unless a fault wants it not to.
pub(super) fn outcome(
    world: &World,
    site: &MerchantSite,
    card: &Card,
    fault: &PaymentFault,
) -> (Verdict, Duration) {
    let slow = world.acquiring.settings.test_delay;
    let month = card.expires.map(|expires| expires.month).filter(|_| site.test_mode);
    let declined = Verdict::Declined(site.decline_code);
    let (verdict, delay) = match month {
        Some(2) => (declined, Duration::ZERO),
        Some(3) => (Verdict::Approved, slow),
        Some(4) => (declined, slow),
        _ => (Verdict::Approved, Duration::ZERO),
    };
    (fault.decline_code.map_or(verdict, Verdict::Declined), delay)
}

/// A request to the issuer and its two answers; they differ for each transaction.
fn hop(id: u64) -> Hop {
    let packed = |kind: &str, answer: &str| {
        let nonce = uuid::Uuid::new_v4().simple();
        packed::pack(&format!("{{\"{kind}\":{id},\"answer\":\"{answer}\",\"nonce\":\"{nonce}\"}}"))
    };
    Hop { pareq: packed("PAReq", ""), passed: packed("PARes", "Y"), failed: packed("PARes", "N") }
}

/// The part of an amount that a request names, or all that is left; 8020 when it is more.
pub(super) fn part_of(fields: &Fields, left: i64) -> Result<i64, Refused> {
    let part = match fields.text("amount") {
        None => left,
        Some(text) => amount::parse(&text).ok_or_else(|| {
            Refused::field("amount", "[amount] must be a positive number with two decimals")
        })?,
    };
    if part <= 0 || part > left { Err(Refused::new(8020)) } else { Ok(part) }
}
