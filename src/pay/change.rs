//! Operations that change a transaction: captures, reversals and refunds (catalogue P-API-5, P-API-6,
//! P-API-7).
//!
//! QIWI knows them by no id of the merchant's, so what there was before is read first.

use super::acquiring::{self, MONEY, Terms};
use super::amount::Amount;
use super::answer::Listed;
use super::outcome::Outcome;
use super::params::Params;
use super::status::{self, check_transaction_id};
use super::transaction::Noted;
use super::{Opcode, Place};
use crate::credentials::Merchant;
use crate::error::{Error, reason};
use crate::ledger::OperationKind;
use crate::money::Text;
use crate::operation::Call;
use crate::order::{Before, Found, Next, Order, Payment, Preparation, Sending, Taken};
use crate::pb::pay::v1 as pb;
use crate::pb::r#type::v1::Money;
use crate::policy::Policy;
use crate::wallet::check::Checks;

/// P-API-5.
pub static CAPTURE: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Capture", operation: "P-API-5", ..MONEY };
/// P-API-6.
pub static REVERSE: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Reverse", operation: "P-API-6", ..MONEY };
/// P-API-7.
pub static REFUND: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Refund", operation: "P-API-7", ..MONEY };

/// What the three have in common.
struct Change<'a> {
    opcode: u8,
    request_id: &'a str,
    transaction_id: &'a str,
    amount: Option<&'a Money>,
    receipt: Option<&'a pb::Receipt>,
    avia: Option<&'a pb::AviaData>,
    safe_deal: Option<&'a pb::SafeDeal>,
}

impl Change<'_> {
    fn place(&self) -> Place {
        if self.opcode == Opcode::CAPTURE { Place::Capture } else { Place::Return }
    }

    fn terms(&self, merchant: &Merchant) -> Result<Terms, Error> {
        let mut checks = Checks::default();
        let mut params = Params::new(self.opcode, &merchant.site);
        // One spelling for each, because the ledger tells operations apart by it.
        let id = uuid::Uuid::parse_str(self.request_id).ok().filter(|id| !id.is_nil());
        if id.is_none() {
            checks.invalid(
                "request_id",
                "Give an id of your own: a UUID, kept and repeated with the request.",
            );
        }
        check_transaction_id(&mut checks, "transaction_id", self.transaction_id);
        params.number("txn_id", self.transaction_id);
        let checked = match self.amount {
            Some(money) => Amount::of(&mut checks, "amount", Some(money)),
            None => None,
        };
        if let Some(amount) = &checked {
            params.text("amount", amount.as_str());
        }
        if let Some(receipt) = self.receipt {
            checks.within("receipt", |checks| receipt.add(checks, &mut params, self.place()));
        }
        if let Some(avia) = self.avia {
            checks.within("avia", |checks| avia.add(checks, &mut params, None));
        }
        if let Some(deal) = self.safe_deal {
            checks.within("safe_deal", |checks| {
                deal.add(checks, &mut params, self.place(), checked.as_ref())
            });
        }
        checks.done()?;
        Ok(Terms {
            params,
            id: id.map(|id| id.to_string()).unwrap_or_default(),
            amount: acquiring::ledger_amount(checked.as_ref(), self.amount),
            parent: Some(self.transaction_id.to_owned()),
        })
    }

    /// Asks for the order as it is before: first which one it is, and then for all of it, because
    /// nothing promises that a question about one transaction is answered with the others.
    fn preparation(&self, merchant: &Merchant) -> Preparation {
        let about = merchant.clone();
        let parent = self.transaction_id.to_owned();
        // A capture shows in the transaction itself.
        let then: Option<Next> = (self.opcode != Opcode::CAPTURE).then(|| -> Next {
            Box::new(move |found| {
                let order = found.before.order_id.as_deref()?;
                Some(status_of(&about, "", order, &parent))
            })
        });
        Preparation { then, ..status_of(merchant, self.transaction_id, "", self.transaction_id) }
    }
}

/// A status query before a transaction is changed.
fn status_of(merchant: &Merchant, transaction: &str, order: &str, parent: &str) -> Preparation {
    let mut params = Params::new(Opcode::STATUS, &merchant.site);
    params.number("txn_id", transaction).text("order_id", order);
    let parent = parent.to_owned();
    Preparation {
        policy: &status::GET,
        call: Call::new().written(params.body(&merchant.key)),
        read: Box::new(move |body| before(body, &parent)),
        then: None,
    }
}

/// Reads what there is of the order of a transaction.
fn before(body: &[u8], parent: &str) -> Result<Found, Error> {
    let malformed = || Error::new(&reason::UPSTREAM_MALFORMED).log("no list of transactions");
    let Listed { error_code, transactions } =
        serde_json::from_slice(body).map_err(|_| malformed())?;
    let code = error_code.as_ref().map_or("", Text::as_str);
    if code != "0" {
        // What cannot be seen cannot be told apart afterwards, so nothing is sent.
        return Err(super::refused(code));
    }
    let mut notes = Noted::default();
    let transactions: Vec<_> = transactions
        .ok_or_else(malformed)?
        .into_iter()
        .map(|of| of.into_transaction(&mut notes))
        .collect();
    let own = transactions.iter().find(|of| of.transaction_id == parent);
    let own =
        own.ok_or_else(|| Error::new(&reason::TRANSACTION_NOT_FOUND).resource("transaction", ""))?;
    Ok(Found {
        before: Before {
            parent: Some(parent.to_owned()),
            order_id: own.order_id.clone(),
            transactions: transactions.iter().map(|of| of.transaction_id.clone()).collect(),
        },
        ..Found::default()
    })
}

macro_rules! change {
    ($request:ident, $response:ident, $policy:ident, $kind:ident, $opcode:ident, {
        $($field:ident),*
    }, { $($absent:ident),* }) => {
        impl pb::$request {
            fn change(&self) -> Change<'_> {
                let Self { request_id, transaction_id, reattempt: _, $($field),* } = self;
                Change {
                    opcode: Opcode::$opcode,
                    request_id,
                    transaction_id,
                    $($field: $field.as_ref(),)*
                    $($absent: None,)*
                }
            }
        }

        impl Payment for pb::$request {
            const POLICY: &'static Policy = &$policy;
            const KIND: OperationKind = OperationKind::$kind;
            type Payer = Merchant;
            type Shown = Outcome;
            type Response = pb::$response;

            fn order(&self, merchant: &Merchant) -> Result<Order, Error> {
                Ok(self.change().terms(merchant)?.order(&$policy))
            }

            fn preparation(&self, merchant: &Merchant, _: Option<&str>) -> Option<Preparation> {
                Some(self.change().preparation(merchant))
            }

            fn sending(&self, merchant: &Merchant, _: &Order, _: &Found) -> Result<Sending, Error> {
                Ok(self.change().terms(merchant)?.sending(merchant))
            }

            fn taken(body: &[u8], _: &str) -> Option<Taken> {
                acquiring::taken(body, Self::KIND)
            }

            fn reattempt(&self) -> bool {
                self.reattempt
            }

            fn respond(outcome: Outcome) -> Self::Response {
                pb::$response { operation: outcome.operation }
            }
        }
    };
}

change!(CaptureRequest, CaptureResponse, CAPTURE, Capture, CAPTURE, {
    receipt, avia, safe_deal
}, { amount });
change!(ReverseRequest, ReverseResponse, REVERSE, Reversal, REVERSE, {
    amount, receipt, safe_deal
}, { avia });
change!(RefundRequest, RefundResponse, REFUND, Refund, REFUND, {
    amount, receipt, safe_deal
}, { avia });
