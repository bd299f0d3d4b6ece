//! Payouts to a card (catalogue P-API-20).

use super::Opcode;
use super::amount::Amount;
use super::check;
use super::outcome::Outcome;
use super::params::Params;
use super::status::{check_order_id, check_transaction_id};
use super::terms::{self, MONEY, Terms};
use crate::credentials::Merchant;
use crate::error::Error;
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Sending, Taken};
use crate::pb::pay::v1 as pb;
use crate::pb::pay::v1::payment_instrument::Instrument;
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
        check_order_id(&mut checks, "order.order_id", id);
        let checked = Amount::of(&mut checks, "amount", amount.as_ref());
        if let Some(amount) = &checked {
            amount.add(&mut params);
        }
        if let Some(order) = order {
            checks.within("order", |checks| order.add(checks, &mut params));
        }
        checks.within("instrument", |checks| {
            card(checks, &mut params, instrument.as_ref().and_then(|of| of.instrument.as_ref()));
        });
        if !transaction_id.is_empty() {
            check_transaction_id(&mut checks, "transaction_id", transaction_id);
            params.number("txn_id", transaction_id);
        }
        checks.done()?;
        let amount = terms::ledger_amount(checked.as_ref(), amount.as_ref());
        Ok(Terms { params, id: id.to_owned(), amount, parent: None })
    }
}

/// The card that is paid to. What only its holder knows has no place in a payout.
fn card(checks: &mut Checks, params: &mut Params, to: Option<&Instrument>) {
    match to {
        Some(Instrument::Card(card)) => checks.within("card", |checks| {
            let pb::BankCard { pan, expiry_month, expiry_year, cvv2, holder_name } = card;
            check::pan(checks, "pan", pan);
            if *expiry_month != 0 || *expiry_year != 0 {
                checks.invalid("expiry_month", "Leave it empty: a payout needs no expiry.");
            }
            if !cvv2.is_empty() {
                checks.invalid("cvv2", "Leave it empty: a payout needs no security code.");
            }
            check::short(checks, "holder_name", holder_name, 64);
            params.text("pan", pan).text("card_name", holder_name);
        }),
        Some(Instrument::CardToken(token)) => checks.within("card_token", |checks| {
            let pb::CardToken { token, cvv2, holder_name } = token;
            check::card_token(checks, "token", token);
            if !cvv2.is_empty() {
                checks.invalid("cvv2", "Leave it empty: a payout needs no security code.");
            }
            check::short(checks, "holder_name", holder_name, 64);
            params.text("card_token", token).text("card_name", holder_name);
        }),
        Some(Instrument::ApplePay(_) | Instrument::GooglePay(_)) | None => {
            checks.invalid("card", "Name the card to pay to by its number or by a card token.");
        }
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

    fn taken(body: &[u8], id: &str) -> Option<Taken> {
        terms::taken(body, id)
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
