//! What a message turned out to be, and which of it the signature covers.

use std::fmt;

use uuid::Uuid;

use crate::credentials::Wallet;
use crate::notification::Amount;
use crate::pb::r#type::v1 as pb;

/// What a message turned out to be.
#[derive(Debug)]
pub enum Received {
    /// A payment, with a signature over what the documents say is signed.
    Payment(Box<Payment>),
    /// Signed by QIWI in a way the documents do not describe. Neither to be believed nor to be
    /// thrown away: only asking QIWI about the transaction can tell.
    Doubtful(Doubtful),
    /// A test, which is never a payment.
    Test(Test),
}

/// A payment as a webhook reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Payment {
    /// Whose it is: the webhook's wallet.
    pub wallet: Wallet,
    /// What the signature covers.
    pub signed: Signed,
    /// What anybody could have written who holds the signature of one message.
    pub unsigned: Unsigned,
    /// The list of signed fields.
    pub sign_fields: String,
    /// Which of the webhook's keys made the signature; 0 is the current one.
    pub key_index: usize,
    /// Members that were there and could not be read; each is passed over.
    pub unread: Vec<&'static str>,
}

/// What the signature of a payment covers.
#[derive(Clone, PartialEq)]
pub struct Signed {
    /// QIWI's id of the transaction, decimal digits.
    pub txn_id: String,
    /// The direction.
    pub kind: Kind,
    /// The direction as written.
    pub kind_raw: String,
    /// The other side: a recipient's number, a sender's, a kiosk's or an agent's name.
    pub account: String,
    /// The amount without commission.
    pub sum: Amount,
}

/// What the signature of a payment does not cover.
#[derive(Clone, PartialEq)]
pub struct Unsigned {
    /// The webhook that sent it; its key fits.
    pub hook_id: Uuid,
    /// The id of this message. Nobody promises that a repeat keeps it.
    pub message_id: Uuid,
    /// The status. To be confirmed by asking for the transaction where money depends on it.
    pub status: Status,
    /// The status as written.
    pub status_raw: String,
    /// QIWI's error code, 0 for none.
    pub error_code: Option<i32>,
    /// The time of the payment.
    pub date: Option<pb::OffsetTime>,
    /// The provider's id.
    pub provider_id: Option<String>,
    /// The comment; empty and absent are not the same.
    pub comment: Option<String>,
    /// The amount with commission.
    pub total: Option<Amount>,
    /// The commission.
    pub commission: Option<Amount>,
    /// The version of the notification.
    pub version: Option<String>,
}

/// Direction of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Money came.
    In,
    /// Money went.
    Out,
    /// Something the documents do not name.
    Unknown,
}

/// Status of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Being processed.
    Waiting,
    /// Done.
    Success,
    /// Failed.
    Error,
    /// Something the documents do not name.
    Unknown,
}

/// A message whose signature is right for a form that is not the documented one: enough to ask
/// QIWI, and nothing that should be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubtful {
    /// The webhook.
    pub hook_id: Uuid,
    /// The message.
    pub message_id: Uuid,
    /// The webhook's wallet.
    pub wallet: Wallet,
    /// The transaction to ask about.
    pub txn_id: String,
    /// Its direction as written, which the question needs.
    pub kind_raw: String,
    /// The list of signed fields as sent.
    pub sign_fields: String,
    /// What is unusual.
    pub doubt: Doubt,
}

/// What is unusual about a message with a right signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// The documented fields in another order. With amount and currency swapped, an old signature
    /// over `643|1` would turn one rouble into 643.
    OtherOrder,
    /// The documented fields and others.
    MoreFields,
    /// Some documented field is not among them.
    OtherFields,
    /// A value holds the separator and could stand for two.
    SeparatorInValue,
}

/// A test notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The webhook, if it says so.
    pub hook_id: Option<Uuid>,
    /// The message, if it says so.
    pub message_id: Option<Uuid>,
    /// Whether it proves that the key is right.
    pub signature: TestSignature,
}

/// The signature of a test notification, which need not have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestSignature {
    /// There is none, or nothing that it could be of.
    Absent,
    /// Made by one of the webhook's keys.
    Right,
    /// Made by something else.
    Wrong,
}

impl Payment {
    /// Whether the signature covers a field, by its name in the list of signed fields.
    #[must_use]
    pub fn covers(&self, field: &str) -> bool {
        self.sign_fields.split(',').any(|signed| signed == field)
    }
}

impl Kind {
    /// Reads QIWI's word; the history's `QIWI_CARD` is money that went.
    #[must_use]
    pub fn of(raw: &str) -> Self {
        match raw {
            "IN" => Self::In,
            "OUT" | "QIWI_CARD" => Self::Out,
            _ => Self::Unknown,
        }
    }
}

impl Status {
    /// Reads QIWI's word.
    #[must_use]
    pub fn of(raw: &str) -> Self {
        match raw {
            "WAITING" => Self::Waiting,
            "SUCCESS" => Self::Success,
            "ERROR" => Self::Error,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Error)
    }
}

/// Accounts and amounts are private.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Signed");
        shown.field("txn_id", &self.txn_id).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Comments and amounts are private.
impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Unsigned");
        shown.field("hook_id", &self.hook_id).field("message_id", &self.message_id);
        shown.field("status", &self.status).finish_non_exhaustive()
    }
}
