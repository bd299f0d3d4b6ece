//! The record of every transaction, for tests that count them.

use serde::Serialize;

use super::super::moment::{self, MOSCOW};
use super::super::money;
use super::transaction::Transaction;

/// A transaction as it really stands, whatever its client was told and status queries show.
///
/// A request that was carried out twice has two entries; one that captured twice would have two
/// captures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcquiringTransaction {
    /// The merchant site.
    pub site: u64,
    /// The client's own number of the order.
    pub order_id: Option<String>,
    /// Its number, `txn_id`.
    pub txn_id: u64,
    /// What it is, `txn_type`.
    pub txn_type: u8,
    /// How it stands, `txn_status`: 2 and above means that money is held or was moved.
    pub status: u8,
    /// Why it was declined; 0 when it was not.
    pub error_code: u32,
    /// The amount, such as `10.5`.
    pub amount: String,
    /// The numeric code of its currency.
    pub currency: u16,
    /// The transaction it reverses, refunds or pays out.
    pub parent: Option<u64>,
    /// How often its money was captured.
    pub captures: u32,
    /// The masked number of the card.
    pub pan: String,
    /// When it began, as `2021-01-18T14:29:51.984+03:00`.
    pub time: String,
}

impl AcquiringTransaction {
    pub(super) fn of(one: &Transaction) -> Self {
        Self {
            site: one.site,
            order_id: one.order_id.clone(),
            txn_id: one.id,
            txn_type: one.kind.number(),
            status: one.state.number(),
            error_code: one.error_code,
            amount: money::decimal(one.amount, 2),
            currency: one.currency,
            parent: one.parent,
            captures: one.captures,
            pan: one.card.masked.clone(),
            time: moment::with_milliseconds(one.date, MOSCOW),
        }
    }
}
