//! What an entry of the ledger remembers besides its state: why QIWI refused, what its history says.
//!
//! Fields stay in files for more than a year: they are only added to.

use bytes::Bytes;
use prost::Message;

use crate::error::Error;
use crate::error::kept::Kept;
use crate::ledger::Record;
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

    /// As an entry keeps it.
    pub fn bytes(&self) -> Option<Bytes> {
        (*self != Self::default()).then(|| self.encode_to_vec().into())
    }
}
