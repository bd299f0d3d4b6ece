//! Reads: the status of an order (P-API-30) and cards by token (P-API-40).

use std::time::Instant;

use serde_json::{Value, json};

use super::super::moment;
use super::super::state::World;
use super::card::Card;
use super::checks::Checks;
use super::fields::Fields;
use super::refusal::Refused;
use super::settings::MerchantSite;
use super::transaction::Transaction;

/// Every operation of an order, found by its number, by that of one of its transactions, or by
/// both when they belong together.
pub(super) fn status(
    world: &World,
    site: &MerchantSite,
    fields: &Fields,
    now: Instant,
) -> Result<Value, Refused> {
    let (id, order) = (fields.integer("txn_id")?, fields.text("order_id"));
    if id.is_none() && order.is_none() {
        return Err(Refused::field("txn_id", "[txn_id] or [order_id] is required"));
    }
    let mut checks = Checks::default();
    checks.texts(fields);
    checks.finish()?;
    let own = || world.acquiring.transactions.values().filter(|one| one.site == site.id);
    let root = |one: &Transaction| one.parent.unwrap_or(one.id);
    let visible = |one: &Transaction| one.as_entry(now).is_some();
    let roots: Vec<u64> = own()
        .filter(|one| id.is_none_or(|id| one.id == id && visible(one)))
        .filter(|one| {
            let order_of = world.acquiring.transaction(site.id, root(one));
            let of_order = |one: &Transaction| one.order_id.is_some() && one.order_id == order;
            order.is_none() || of_order(one) || order_of.is_some_and(of_order)
        })
        .map(root)
        .collect();
    let entries: Vec<Value> = own()
        .filter(|one| roots.contains(&root(one)))
        .filter_map(|one| one.as_entry(now))
        .collect();
    if entries.is_empty() {
        return Err(Refused::new(8022));
    }
    Ok(json!({ "error_code": 0, "transactions": entries }))
}

/// The cards of a site, or the one behind a token. The documents name the operation and nothing
/// else, so the form of the answer is the sandbox's own.
pub(super) fn cards(world: &World, site: &MerchantSite, fields: &Fields) -> Result<Value, Refused> {
    let wanted = fields.text("card_token");
    let all = world.acquiring.cards(site.id);
    let found = all.filter(|(token, _)| wanted.as_deref().is_none_or(|wanted| wanted == *token));
    let cards: Vec<Value> = found.map(|(token, card)| shown(token, card)).collect();
    Ok(json!({ "error_code": 0, "cards": cards }))
}

fn shown(token: &str, card: &Card) -> Value {
    let ends = card.expires.and_then(|expires| expires.end());
    let ends = ends.map(|ends| moment::with_offset(ends, jiff::tz::Offset::UTC));
    json!({ "card_token": token, "card_token_expire": ends, "pan": card.masked })
}
