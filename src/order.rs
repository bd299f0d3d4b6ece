//! What a method that moves money asks for.
//!
//! An area file implements [`Payment`] for a request message and does no IO, reads no clock and no
//! configuration. [`crate::payments`] does the rest, the same for all: it writes the order into the
//! ledger, sends it at most once, and finds out what became of it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use zeroize::{Zeroize as _, Zeroizing};

use crate::credentials::{Merchant, Wallet};
use crate::error::Error;
use crate::ledger::{Amount, OperationKind, Record};
use crate::operation::Call;
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Policy, Route};

/// A method that moves money, at most once for each id.
pub trait Payment: Message + Default + Send + Sync + 'static {
    /// The method's row; its route is the one a payment is sent to, unless [`Sending::route`] says
    /// otherwise.
    const POLICY: &'static Policy;
    /// What the ids of this method name.
    const KIND: OperationKind;
    /// Who pays.
    type Payer: Payer;
    /// How callers see what became of it.
    type Shown: Shown;
    /// The message the caller gets.
    type Response: Message + Default + Send + 'static;

    /// The wallet the request names, or empty.
    fn wallet(&self) -> &str {
        ""
    }

    /// Checks everything that can be checked without asking anybody.
    ///
    /// # Errors
    /// Typed errors that name every wrong field and what to do.
    fn order(&self, payer: &Self::Payer) -> Result<Order, Error>;

    /// What must be asked before the order can be sent, if anything. `provider` is the provider
    /// that is known by now: from the request, or from an earlier attempt under the same id.
    fn preparation(&self, _payer: &Self::Payer, _provider: Option<&str>) -> Option<Preparation> {
        None
    }

    /// The request to QIWI. `found` is what the preparation brought, or empty.
    ///
    /// # Errors
    /// When what was found does not fit the request.
    fn sending(&self, payer: &Self::Payer, order: &Order, found: &Found) -> Result<Sending, Error>;

    /// Reads an answer with a 2xx status; `None` when it does not say that QIWI took the order.
    /// `id` is [`Order::id`].
    fn taken(body: &[u8], id: &str) -> Option<Taken>;

    /// Overwrites what is secret in a request that is not needed any more.
    fn wipe(&mut self) {}

    /// Overwrites what is secret in a reply that is encoded already.
    fn wipe_response(_response: &mut Self::Response) {}

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

    /// Wraps what callers see of it.
    fn respond(shown: Self::Shown) -> Self::Response;
}

/// Whose money moves, or into whose account.
#[derive(Debug, Clone)]
pub enum Account {
    /// A wallet's.
    Wallet(Wallet),
    /// A merchant's.
    Site(Merchant),
}

impl Account {
    /// The wallet, where it is one.
    pub const fn wallet(&self) -> Option<&Wallet> {
        match self {
            Self::Wallet(wallet) => Some(wallet),
            Self::Site(_) => None,
        }
    }
}

/// An account of the sort a method is about.
pub trait Payer: Send + Sync + 'static {
    /// The account as this sort; `None` for another one.
    fn of(account: &Account) -> Option<&Self>;
}

impl Payer for Wallet {
    fn of(account: &Account) -> Option<&Self> {
        account.wallet()
    }
}

impl Payer for Merchant {
    fn of(account: &Account) -> Option<&Self> {
        match account {
            Account::Site(merchant) => Some(merchant),
            Account::Wallet(_) => None,
        }
    }
}

/// What callers see of an entry of the ledger.
pub trait Shown: Sized + Send {
    /// The answer of a method that pays.
    ///
    /// # Errors
    /// For every state that is no payment QIWI took.
    fn of(told: &Told) -> Result<Self, Error>;

    /// An order that was checked and not sent; the entry has been kept nowhere. `None` where no
    /// method checks only.
    fn checked(_record: &Record, _commission: Option<Money>) -> Option<Self> {
        None
    }
}

/// What came of an order: its entry, and what the answer held for nobody but the callers who wait.
#[derive(Debug, Clone)]
pub struct Told {
    /// The entry.
    pub record: Record,
    /// What is handed over once and never written down.
    pub handover: Option<Arc<Handover>>,
}

impl From<Record> for Told {
    fn from(record: Record) -> Self {
        Self { record, handover: None }
    }
}

/// What QIWI PAY answers beside the transaction. It is wiped when it goes.
#[derive(Default, PartialEq, Eq)]
pub struct Handover {
    /// Where the customer has to pass 3-D Secure, and with what.
    pub three_ds: Option<ThreeDs>,
    /// A card token, and until when it is good.
    pub card_token: Option<(Zeroizing<String>, String)>,
}

/// What takes a customer to the issuer of the card.
#[derive(Clone, PartialEq, Eq)]
pub struct ThreeDs {
    /// The address of the issuer's page (`acs_url`).
    pub acs_url: String,
    /// What is posted there (`pareq`).
    pub pareq: Zeroizing<String>,
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handover(…)")
    }
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
    /// The transaction it changes, where one of these is changed by one order at a time.
    pub parent: Option<String>,
}

/// The room a content has at least.
const CONTENT_MIN: usize = 1024;

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
        self.make_room(name.len() + value.len() + 2 * size_of::<u64>());
        for text in [name, value] {
            // Lengths keep `("ab", "c")` and `("a", "bc")` apart.
            self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
            self.0.extend_from_slice(text.as_bytes());
        }
        self
    }

    /// Growing by itself would leave copies behind that nobody wipes.
    fn make_room(&mut self, more: usize) {
        let needed = self.0.len() + more;
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity((2 * needed).max(CONTENT_MIN));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
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
    /// What is to be asked after it, if anything; its answer takes the place of this one.
    pub then: Option<Next>,
}

/// The question after one, by what that brought.
pub type Next = Box<dyn Fn(&Found) -> Option<Preparation> + Send + Sync>;

/// What a preparation brought.
#[derive(Default)]
pub struct Found {
    /// The provider.
    pub provider: Option<String>,
    /// The amount.
    pub amount: Option<Amount>,
    /// Fields that go into the request.
    pub fields: Vec<(&'static str, String)>,
    /// What there was before the order, by which what it makes is known afterwards.
    pub before: Before,
}

/// What is changed by an order, and what there was before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Before {
    /// The number of the transaction that is changed.
    pub parent: Option<String>,
    /// The numbers of all transactions of the same purchase.
    pub transactions: Vec<String>,
    /// The purchase's own id at the merchant.
    pub order_id: Option<String>,
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// QIWI's number of the transaction, where it tells one.
    pub transaction_id: Option<String>,
    /// QIWI's word for the state.
    pub status: String,
    /// Whether the word says that the money has moved already.
    pub done: bool,
    /// Whether it says that it never will.
    pub declined: bool,
    /// What else is known of the transaction, encoded for the ledger: nothing secret, nothing
    /// personal beyond masks.
    pub details: Option<Bytes>,
    /// What is for the callers who wait, and nobody else.
    pub handover: Option<Arc<Handover>>,
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
    fn a_content_of_any_size_is_whole() {
        let long = "4111111111111111".repeat(500);
        let content = Content::new(&Policy::BASE).part("a", &long).part("b", "1").part("c", &long);
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        let mut expected = Content::new(&Policy::BASE).as_bytes().to_vec();
        for text in ["a", &long, "b", "1", "c", &long] {
            expected.extend_from_slice(&length(text));
            expected.extend_from_slice(text.as_bytes());
        }
        assert_eq!(content.as_bytes(), expected);
    }

    #[test]
    fn content_is_not_shown() {
        let content = Content::new(&Policy::BASE).part("card", "4111111111111111");
        assert_eq!(format!("{content:?}"), "Content(…)");
    }
}
