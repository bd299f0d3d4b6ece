//! What a method that moves money asks for.
//!
//! An area file implements [`Payment`] for a request message and does no IO, reads no clock and no
//! configuration. [`crate::payments`] does the rest, the same for all: it writes the order into the
//! ledger, sends it at most once, and finds out what became of it.

use std::fmt;

use prost::Message;
use zeroize::Zeroize as _;

use crate::credentials::Wallet;
use crate::error::Error;
use crate::ledger::{Amount, OperationKind};
use crate::operation::Call;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Policy, Route};

/// A method that moves money, at most once for each id.
pub trait Payment: Message + Default + Send + Sync + 'static {
    /// The method's row; its route is the one a payment is sent to, unless [`Sending::route`] says
    /// otherwise.
    const POLICY: &'static Policy;
    /// What the ids of this method name.
    const KIND: OperationKind;
    /// The message the caller gets.
    type Response: Message + Default + Send + 'static;

    /// The wallet the request names, or empty.
    fn wallet(&self) -> &str;

    /// Checks everything that can be checked without asking anybody.
    ///
    /// # Errors
    /// Typed errors that name every wrong field and what to do.
    fn order(&self, wallet: &Wallet) -> Result<Order, Error>;

    /// What must be asked before the order can be sent, if anything. `provider` is the provider
    /// that is known by now: from the request, or from an earlier attempt under the same id.
    fn preparation(&self, _provider: Option<&str>) -> Option<Preparation> {
        None
    }

    /// The request to QIWI. `found` is what the preparation brought, or empty.
    ///
    /// # Errors
    /// When what was found does not fit the request.
    fn sending(&self, wallet: &Wallet, order: &Order, found: &Found) -> Result<Sending, Error>;

    /// Reads an answer with a 2xx status; `None` when it does not say that QIWI took the order.
    /// `id` is [`Order::id`].
    fn taken(body: &[u8], id: &str) -> Option<Taken>;

    /// What to ask for the commission, where QIWI quotes one for this order.
    fn quote(&self, _order: &Order, _found: &Found) -> Option<pb::QuoteCommissionRequest> {
        None
    }

    /// Whether one more attempt of an order that was not executed is permitted.
    fn reattempt(&self) -> bool;

    /// Whether the request is to be checked only.
    fn validate_only(&self) -> bool {
        false
    }

    /// Wraps the payment.
    fn respond(payment: pb::Payment) -> Self::Response;
}

/// An order as the ledger sees it: checked, and still without what has to be asked first.
#[derive(Debug)]
pub struct Order {
    /// What it is found by: the payment id, or the id of the invoice.
    pub id: String,
    /// QIWI's number of the provider, where the request tells it.
    pub provider: Option<String>,
    /// The amount, where the request tells it.
    pub amount: Option<Amount>,
    /// Everything that makes two requests the same.
    pub content: Content,
}

/// Everything that makes two requests the same, in one canonical form: only a keyed digest of it is
/// ever kept. It may hold card numbers, so it is wiped when it goes.
pub struct Content(Vec<u8>);

impl Content {
    /// The content of an order of this method, with nothing in it yet.
    pub fn new(policy: &Policy) -> Self {
        Self(Vec::new()).part("rpc", policy.rpc)
    }

    /// Adds a named value. Values are added in an order that does not depend on the caller's.
    #[must_use]
    pub fn part(mut self, name: &str, value: &str) -> Self {
        for text in [name, value] {
            // Lengths keep `("ab", "c")` and `("a", "bc")` apart.
            self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
            self.0.extend_from_slice(text.as_bytes());
        }
        self
    }

    /// The canonical form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

/// Reads the answer to a question, a 2xx.
pub type Reading = Box<dyn Fn(&[u8]) -> Result<Found, Error> + Send + Sync>;

/// A question that is asked before an order is sent; it moves no money.
pub struct Preparation {
    /// The question's row.
    pub policy: &'static Policy,
    /// What is asked.
    pub call: Call,
    /// What the answer brings.
    pub read: Reading,
}

/// What a preparation brought.
#[derive(Default)]
pub struct Found {
    /// The provider.
    pub provider: Option<String>,
    /// The amount.
    pub amount: Option<Amount>,
    /// Fields that go into the request.
    pub fields: Vec<(&'static str, String)>,
}

/// What goes on the wire, once.
pub struct Sending {
    /// Where.
    pub route: &'static Route,
    /// What.
    pub call: Call,
    /// QIWI's number of the provider; empty for an invoice that names none.
    pub provider: String,
    /// The amount, where it is known.
    pub amount: Amount,
}

/// QIWI took the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// QIWI's number of the transaction, where it tells one.
    pub transaction_id: Option<String>,
    /// QIWI's word for the state.
    pub status: String,
    /// Whether the word says that the money has moved already.
    pub done: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    #[test]
    fn parts_do_not_run_together() {
        let of = |parts: &[(&str, &str)]| {
            let content = Content::new(&Policy::BASE);
            let content = parts.iter().fold(content, |of, (name, value)| of.part(name, value));
            content.as_bytes().to_vec()
        };
        assert_ne!(of(&[("ab", "c")]), of(&[("a", "bc")]));
        assert_ne!(of(&[("a", ""), ("", "b")]), of(&[("a", "b")]));
        assert_ne!(of(&[("a", "b")]), of(&[("a", "b"), ("", "")]));
        assert_eq!(of(&[("a", "b")]), of(&[("a", "b")]));
    }

    #[test]
    fn content_is_not_shown() {
        let content = Content::new(&Policy::BASE).part("card", "4111111111111111");
        assert_eq!(format!("{content:?}"), "Content(…)");
    }
}
