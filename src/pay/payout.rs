//! Payouts to a card (catalogue P-API-20).

use super::acquiring::{self, MONEY, Terms};
use super::amount::Amount;
use super::outcome::Outcome;
use super::params::Params;
use super::status::check_transaction_id;
use super::{Opcode, Place};
use crate::credentials::Merchant;
use crate::error::Error;
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Sending, Taken};
use crate::pb::pay::v1 as pb;
use crate::policy::Policy;
use crate::wallet::check::Checks;

/// P-API-20.
pub static PAYOUT: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Payout", operation: "P-API-20", ..MONEY };

impl pb::PayoutRequest {
    fn terms(&self, merchant: &Merchant) -> Result<Terms, Error> {
        let Self { order, amount, instrument, transaction_id, reattempt: _ } = self;
        let mut checks = Checks::default();
        let mut params = Params::new(Opcode::PAYOUT, &merchant.site);
        let id = order.as_ref().map_or("", |order| order.order_id.as_str());
        let checked = Amount::of(&mut checks, "amount", amount.as_ref());
        if let Some(amount) = &checked {
            amount.add(&mut params);
        }
        match order {
            Some(order) => checks.within("order", |checks| {
                order.add(checks, &mut params, Place::Payout);
            }),
            None => checks.invalid("order.order_id", "Give an id of your own."),
        }
        match instrument {
            Some(instrument) => checks.within("instrument", |checks| {
                instrument.add(checks, &mut params, Place::Payout);
            }),
            None => checks.invalid("instrument", "Name the card to pay to, or a token of it."),
        }
        if !transaction_id.is_empty() {
            check_transaction_id(&mut checks, "transaction_id", transaction_id);
            params.number("txn_id", transaction_id);
        }
        checks.done()?;
        let amount = acquiring::ledger_amount(checked.as_ref(), amount.as_ref());
        Ok(Terms { params, id: id.to_owned(), amount, parent: None })
    }
}

impl Payment for pb::PayoutRequest {
    const POLICY: &'static Policy = &PAYOUT;
    const KIND: OperationKind = OperationKind::Payout;
    type Payer = Merchant;
    type Shown = Outcome;
    type Response = pb::PayoutResponse;

    fn order(&self, merchant: &Merchant) -> Result<Order, Error> {
        Ok(self.terms(merchant)?.order(&PAYOUT))
    }

    fn sending(&self, merchant: &Merchant, _: &Order, _: &Found) -> Result<Sending, Error> {
        Ok(self.terms(merchant)?.sending(merchant))
    }

    fn taken(body: &[u8], _: &str) -> Option<Taken> {
        acquiring::taken(body, Self::KIND)
    }

    fn reattempt(&self) -> bool {
        self.reattempt
    }

    fn wipe(&mut self) {
        if let Some(instrument) = &mut self.instrument {
            instrument.wipe();
        }
    }

    fn respond(outcome: Outcome) -> Self::Response {
        pb::PayoutResponse { operation: outcome.operation }
    }
}
