//! What an entry of the ledger remembers besides its state: why QIWI refused, what its history says.
//!
//! Fields stay in files for more than a year: they are only added to.

use bytes::Bytes;
use prost::Message;

use crate::error::Error;
use crate::error::kept::Kept;
use crate::ledger::Record;
use crate::order;
use crate::pb::r#type::v1::{Money, OffsetTime, PaymentError};

/// The content of [`Record::reply`].
#[derive(Clone, PartialEq, Message)]
pub struct Memo {
    /// The refusal, or the code after which the outcome was unclear.
    #[prost(message, optional, tag = "1")]
    pub error: Option<Kept>,
    /// The commission of the history.
    #[prost(message, optional, tag = "2")]
    pub commission: Option<Money>,
    /// When the history says it took place.
    #[prost(message, optional, tag = "3")]
    pub transaction_time: Option<OffsetTime>,
    /// Why the transaction failed.
    #[prost(message, optional, tag = "4")]
    pub payment_error: Option<PaymentError>,
    /// The transaction of QIWI PAY, encoded: nothing secret, nothing personal beyond masks.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub transaction: Option<Bytes>,
    /// What there was before the order.
    #[prost(message, optional, tag = "6")]
    pub before: Option<Before>,
    /// Of a turn: who has had it, the last one last.
    #[prost(string, repeated, tag = "7")]
    pub holders: Vec<String>,
}

/// What there was before an order, see [`crate::order::Before`].
#[derive(Clone, PartialEq, Message)]
pub struct Before {
    /// The numbers of all transactions of the same purchase.
    #[prost(string, repeated, tag = "1")]
    pub transactions: Vec<String>,
    /// The purchase's own id at the merchant.
    #[prost(string, optional, tag = "2")]
    pub order_id: Option<String>,
    /// The number of the transaction that is changed.
    #[prost(string, optional, tag = "3")]
    pub parent: Option<String>,
}

impl Before {
    /// Whether nothing is known of that time.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl From<order::Before> for Before {
    fn from(before: order::Before) -> Self {
        let order::Before { parent, transactions, order_id } = before;
        Self { transactions, order_id, parent }
    }
}

impl Memo {
    /// What an entry remembers.
    pub fn of(record: &Record) -> Self {
        // The entry has a checksum: what does not decode was written by a later version.
        record.reply.as_ref().and_then(|bytes| Self::decode(&**bytes).ok()).unwrap_or_default()
    }

    /// An error to remember.
    pub fn refusal(error: &Error) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// The same beside what an entry remembers of the time before the order, which its search needs
    /// for as long as it is open.
    #[must_use]
    pub fn beside(self, record: &Record) -> Self {
        Self { before: Self::of(record).before, ..self }
    }

    /// As an entry keeps it.
    pub fn bytes(&self) -> Option<Bytes> {
        (*self != Self::default()).then(|| self.encode_to_vec().into())
    }
}
