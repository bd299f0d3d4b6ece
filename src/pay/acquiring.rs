//! What the operations of `proto/qiwi/pay/v1/acquiring.proto` that move money are made of: parameters,
//! the id they are found by, the amount. Each has a file of its own beside this one.

use super::DIRECT;
use super::amount::Amount;
use super::answer;
use super::params::Params;
use crate::credentials::Merchant;
use crate::ledger::{self, OperationKind};
use crate::operation::Call;
use crate::order::{Content, Order, Sending, Taken};
use crate::pb::r#type::v1::Money;
use crate::policy::{Access, Class, Policy};

/// The parameter that does not make two requests different: after a crash nobody may have the
/// security code any more.
const NO_CONTENT: &str = "cvv2";

/// As long as a block of the digest.
const END: &str = "----------------------------------------------------------------";

/// What every operation's row has in common.
pub const MONEY: Policy =
    Policy { class: Class::Money, access: Access::Merchant, route: Some(DIRECT), ..Policy::BASE };

/// A checked request.
pub struct Terms {
    /// What is sent.
    pub params: Params,
    /// What the operation is found by.
    pub id: String,
    /// The amount, where the request names one.
    pub amount: Option<ledger::Amount>,
    /// The transaction it changes, where it has no id of its own at QIWI.
    pub parent: Option<String>,
}

impl Terms {
    /// The order these terms make.
    pub fn order(&self, policy: &Policy) -> Order {
        let mut content = Content::new(policy);
        for (name, value) in self.params.content() {
            if name != NO_CONTENT {
                content = content.part(name, value);
            }
        }
        // The last block of what is digested is copied to a stack that nobody wipes: not the number
        // of a card, which comes last by its name.
        let content = content.part("end", END);
        Order {
            id: self.id.clone(),
            provider: self.params.get("opcode").map(str::to_owned),
            amount: self.amount.clone(),
            content,
            parent: self.parent.clone(),
        }
    }

    /// The request they make.
    pub fn sending(&self, merchant: &Merchant) -> Sending {
        Sending {
            route: &DIRECT_ROUTE,
            call: Call::new().written(self.params.body(&merchant.key)),
            provider: self.params.get("opcode").unwrap_or_default().to_owned(),
            amount: self.amount.clone().unwrap_or_default(),
        }
    }
}

static DIRECT_ROUTE: crate::policy::Route = DIRECT;

/// The amount as the ledger keeps it, where the checks have found it good.
pub fn ledger_amount(checked: Option<&Amount>, money: Option<&Money>) -> Option<ledger::Amount> {
    let (_, money) = checked.zip(money)?;
    Some(ledger::Amount {
        currency: crate::money::currency_code(&money.currency_code),
        units: money.units,
        nanos: money.nanos,
    })
}

/// Reads an answer to an operation, see [`answer::taken`].
pub fn taken(body: &[u8], kind: OperationKind) -> Option<Taken> {
    let taken = answer::taken(body)?;
    // A capture that leaves the money held has not captured it yet.
    let held = kind == OperationKind::Capture && taken.status == HELD;
    Some(Taken { done: taken.done && !held, ..taken })
}

/// The status of money that is held, as QIWI writes it.
const HELD: &str = "2";

#[cfg(test)]
mod tests;
