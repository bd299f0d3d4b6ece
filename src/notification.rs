//! Inbound notifications of QIWI: reading and verifying them.
//!
//! Bytes and keys come in, a typed notification or a reason for refusing it comes out. Nothing here
//! does IO, reads a clock or knows who listens or who stores: whose key belongs to which address,
//! what is answered and what is kept is the business of the callers.
//!
//! [`wallet`] reads the webhook of a wallet (catalogue W-HK-7), [`bill`] the notification about a
//! P2P bill (W-INV-10), [`pay`] the one about a transaction of QIWI PAY (P-CBK-1). [`source`] tells
//! whether a sender's address is one of QIWI's. What makes two notifications the same is told by
//! [`crate::events::id`].

pub mod bill;
mod json;
pub mod pay;
mod refusal;
mod signature;
pub mod source;
pub mod wallet;

pub use refusal::Refusal;
pub use signature::{Key, KeyRejected};

use crate::pb::r#type::v1 as pb;

/// An amount of a notification, as it was written and as it reads.
#[derive(Clone, PartialEq)]
pub struct Amount {
    /// The text of the number; of a bill's amount the text that was signed.
    pub text: String,
    /// The currency as written, `643` or `RUB`.
    pub currency: String,
    /// The same, typed.
    pub money: pb::Money,
}

/// Amounts are private.
impl std::fmt::Debug for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Amount(***)")
    }
}
