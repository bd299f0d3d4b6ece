//! Purchases in one step and in two (catalogue P-API-1, P-API-3), and those that began a recurring
//! agreement (P-API-10, P-API-11), which took the same parameters.

use super::acquiring::{self, MONEY, Terms};
use super::amount::Amount;
use super::outcome::{self, Outcome};
use super::params::Params;
use super::{Opcode, Place};
use crate::credentials::Merchant;
use crate::error::Error;
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Sending, Taken};
use crate::pb::pay::v1 as pb;
use crate::policy::Policy;
use crate::wallet::check::Checks;

/// P-API-1.
pub static SALE: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Sale", operation: "P-API-1", ..MONEY };
/// P-API-3.
pub static AUTHORIZE: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Authorize", operation: "P-API-3", ..MONEY };
/// P-API-10.
pub static RECURRING_SALE: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/InitRecurringSale",
    operation: "P-API-10",
    legacy: true,
    ..MONEY
};
/// P-API-11.
pub static RECURRING_AUTHORIZE: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/InitRecurringAuthorization",
    operation: "P-API-11",
    legacy: true,
    ..MONEY
};

macro_rules! purchase {
    ($request:ident, $response:ident, $policy:ident, $kind:ident, $opcode:ident) => {
        impl pb::$request {
            fn terms(&self, merchant: &Merchant) -> Result<Terms, Error> {
                let Self {
                    order,
                    amount,
                    instrument,
                    customer,
                    receipt,
                    avia,
                    safe_deal,
                    receiver,
                    top_up,
                    reattempt: _,
                } = self;
                let mut checks = Checks::default();
                let mut params = Params::new(Opcode::$opcode, &merchant.site);
                let id = order.as_ref().map_or("", |order| order.order_id.as_str());
                let checked = Amount::of(&mut checks, "amount", amount.as_ref());
                if let Some(amount) = &checked {
                    amount.add(&mut params);
                }
                match order {
                    Some(order) => checks.within("order", |checks| {
                        order.add(checks, &mut params, Place::Payment);
                    }),
                    None => checks.invalid("order.order_id", "Give an id of your own."),
                }
                match instrument {
                    Some(instrument) => {
                        checks.within("instrument", |checks| {
                            instrument.add(checks, &mut params, Place::Payment)
                        });
                    }
                    None => checks.invalid("instrument", "Say what is paid with."),
                }
                if let Some(customer) = customer {
                    checks.within("customer", |checks| {
                        customer.add(checks, &mut params, Place::Payment)
                    });
                }
                if let Some(receipt) = receipt {
                    checks.within("receipt", |checks| {
                        receipt.add(checks, &mut params, Place::Payment);
                    });
                }
                if let Some(avia) = avia {
                    let currency = amount.as_ref().map(|of| of.currency_code.as_str());
                    checks.within("avia", |checks| avia.add(checks, &mut params, currency));
                }
                if let Some(deal) = safe_deal {
                    checks.within("safe_deal", |checks| {
                        deal.add(checks, &mut params, Place::Payment, checked.as_ref());
                    });
                }
                if let Some(receiver) = receiver {
                    checks.within("receiver", |checks| receiver.add(checks, &mut params));
                }
                if let Some(top_up) = top_up {
                    checks.within("top_up", |checks| top_up.add(checks, &mut params));
                }
                checks.done()?;
                let amount = acquiring::ledger_amount(checked.as_ref(), amount.as_ref());
                Ok(Terms { params, id: id.to_owned(), amount, parent: None })
            }
        }

        impl Payment for pb::$request {
            const POLICY: &'static Policy = &$policy;
            const KIND: OperationKind = OperationKind::$kind;
            type Payer = Merchant;
            type Shown = Outcome;
            type Response = pb::$response;

            fn order(&self, merchant: &Merchant) -> Result<Order, Error> {
                Ok(self.terms(merchant)?.order(&$policy))
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
                if let Some(receiver) = &mut self.receiver {
                    receiver.wipe();
                }
            }

            fn wipe_response(response: &mut Self::Response) {
                outcome::wipe(response.three_ds.as_mut(), response.card_token.as_mut());
            }

            fn respond(outcome: Outcome) -> Self::Response {
                let Outcome { operation, three_ds, card_token } = outcome;
                pb::$response { operation, three_ds, card_token }
            }
        }
    };
}

purchase!(SaleRequest, SaleResponse, SALE, Sale, SALE);
purchase!(AuthorizeRequest, AuthorizeResponse, AUTHORIZE, Authorization, AUTHORIZE);
purchase!(
    InitRecurringSaleRequest,
    InitRecurringSaleResponse,
    RECURRING_SALE,
    RecurringSale,
    RECURRING_SALE
);
purchase!(
    InitRecurringAuthorizationRequest,
    InitRecurringAuthorizationResponse,
    RECURRING_AUTHORIZE,
    RecurringAuthorization,
    RECURRING_AUTHORIZE
);
