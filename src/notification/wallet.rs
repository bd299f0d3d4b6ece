//! The notification of a wallet's webhook (catalogue W-HK-7).
//!
//! QIWI signs five values and sends the list of what it signed beside them, unsigned. A message is
//! trusted only when its list is the documented one, for otherwise one captured signature could be
//! laid over another content: `comment` named as the only signed field, say, with the old text in
//! it. Status, wallet, date, error and ids are never signed; [`Unsigned`] keeps them apart.

mod members;
mod signed_text;
#[cfg(test)]
mod tests;

use std::fmt;

use uuid::Uuid;

use super::identity::{BodyDigest, DeliveryKey, TransitionKey};
use super::json::{self, Broken, Object};
use super::signature::Signature;
use super::{Amount, Key, Refusal};
use crate::credentials::Wallet;
use crate::pb::r#type::v1 as pb;
use signed_text::SignedText;

/// The list of signed fields that the documents show.
pub const SIGN_FIELDS: &str = "sum.currency,sum.amount,type,account,txnId";

/// The lists of signed fields that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedLists(Vec<String>);

impl Default for TrustedLists {
    fn default() -> Self {
        Self(vec![SIGN_FIELDS.to_owned()])
    }
}

impl TrustedLists {
    /// Trusts the given lists and no other. For the day QIWI changes its own.
    ///
    /// # Errors
    /// The first list that leaves out a field of the documented one: what identifies a payment and
    /// its amount must be signed.
    pub fn new(lists: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let lists: Vec<_> = lists.into_iter().collect();
        match lists.iter().find(|list| !has_all(list, SIGN_FIELDS)) {
            Some(short) => Err(short.clone()),
            None => Ok(Self(lists)),
        }
    }
}

/// Whether a list has every field of another.
fn has_all(list: &str, other: &str) -> bool {
    other.split(',').all(|field| list.split(',').any(|known| known == field))
}

/// A webhook the gateway knows: the active one, or one it had before.
#[derive(Debug, Clone)]
pub struct Hook {
    /// QIWI's id of it.
    pub id: Uuid,
    /// Whose transactions it reports; messages themselves are not believed about that.
    pub wallet: Wallet,
    /// Its keys, the current one first.
    pub keys: Vec<Key>,
}

/// A message that has been read and not been believed yet.
pub struct Message<'a> {
    hook_id: Option<Uuid>,
    message_id: Option<Uuid>,
    digest: BodyDigest,
    content: Content<'a>,
}

enum Content<'a> {
    Payment { object: Object<'a>, payment: Box<Payment>, signature: Signature },
    Test { signed: Option<(Object<'a>, Signature)> },
}

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
    /// The digest of the body.
    pub digest: BodyDigest,
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
    /// The digest of the body.
    pub digest: BodyDigest,
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
    /// The digest of the body.
    pub digest: BodyDigest,
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

/// Reads a message of at most so many bytes.
///
/// # Errors
/// Why it is no notification.
pub fn read(body: &[u8], bytes_max: usize) -> Result<Message<'_>, Refusal> {
    if body.len() > bytes_max {
        return Err(Refusal::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::NotJson)?;
    json::check(text).map_err(|broken| match broken {
        Broken::Syntax => Refusal::NotJson,
        Broken::DuplicateKey => Refusal::DuplicateKey,
    })?;
    let whole = Object::read(text).ok_or(Refusal::NotJson)?;
    let digest = BodyDigest::of(body);
    let hook_id = members::uuid(&whole, "hookId")?;
    let message_id = members::uuid(&whole, "messageId")?;
    let object = whole.object("payment");
    let signature = match whole.get("hash") {
        Some(_) => {
            let hash = whole.string("hash").ok_or(Refusal::SignatureMalformed)?;
            Signature::from_hex(&hash)
        }
        None => Err(Refusal::SignatureMissing),
    };
    let content = if members::flag(&whole, "test")? {
        Content::Test { signed: object.zip(signature.ok()) }
    } else {
        let hook_id = hook_id.ok_or(Refusal::Malformed("hookId"))?;
        let message_id = message_id.ok_or(Refusal::Malformed("messageId"))?;
        let object = object.ok_or(Refusal::Malformed("payment"))?;
        let version = whole.scalar("version").map(|version| version.text.into_owned());
        let payment = members::payment(&object, hook_id, message_id, version, digest)?;
        Content::Payment { object, payment: Box::new(payment), signature: signature? }
    };
    Ok(Message { hook_id, message_id, digest, content })
}

impl Message<'_> {
    /// The webhook it names, to look up what [`verify`](Self::verify) needs. A test may name none.
    #[must_use]
    pub const fn hook_id(&self) -> Option<Uuid> {
        self.hook_id
    }

    /// Whether it calls itself a test.
    #[must_use]
    pub const fn is_test(&self) -> bool {
        matches!(self.content, Content::Test { .. })
    }

    /// Verifies the message with the webhooks that may send to this address; of one webhook there
    /// may be several entries.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(self, hooks: &[Hook], lists: &TrustedLists) -> Result<Received, Refusal> {
        let of_message = |hook: &&Hook| Some(hook.id) == self.hook_id;
        let own: Vec<&Hook> = hooks.iter().filter(of_message).collect();
        if own.is_empty() && self.hook_id.is_some() {
            return Err(Refusal::UnknownHook);
        }
        match self.content {
            Content::Test { signed } => Ok(Received::Test(Test {
                hook_id: self.hook_id,
                message_id: self.message_id,
                signature: test_signature(signed.as_ref(), &own),
                digest: self.digest,
            })),
            Content::Payment { object, payment, signature } => {
                let text = SignedText::of(&object, &payment.sign_fields)?;
                let (hook, key_index) = signer(&own, &signature, &text)?;
                believed(payment, hook, key_index, &text, lists)
            }
        }
    }
}

/// The webhook and the place of its key that made the signature.
fn signer<'h>(
    hooks: &[&'h Hook],
    signature: &Signature,
    text: &SignedText,
) -> Result<(&'h Hook, usize), Refusal> {
    if hooks.iter().all(|hook| hook.keys.is_empty()) {
        return Err(Refusal::KeyUnknown);
    }
    let keys = hooks.iter().flat_map(|hook| hook.keys.iter().enumerate().map(|key| (*hook, key)));
    for (hook, (index, key)) in keys {
        if text.variants().any(|variant| key.made(signature, variant)) {
            return Ok((hook, index));
        }
    }
    Err(Refusal::SignatureMismatch)
}

fn believed(
    mut payment: Box<Payment>,
    hook: &Hook,
    key_index: usize,
    text: &SignedText,
    lists: &TrustedLists,
) -> Result<Received, Refusal> {
    if payment.wallet != hook.wallet {
        return Err(Refusal::WalletMismatch);
    }
    payment.key_index = key_index;
    let list = &payment.sign_fields;
    let doubt = if !lists.0.contains(list) {
        match (has_all(list, SIGN_FIELDS), has_all(SIGN_FIELDS, list)) {
            (true, true) => Doubt::OtherOrder,
            (true, false) => Doubt::MoreFields,
            (false, _) => Doubt::OtherFields,
        }
    } else if text.has_separator {
        Doubt::SeparatorInValue
    } else {
        return Ok(Received::Payment(payment));
    };
    let Payment { wallet, signed, unsigned, sign_fields, digest, .. } = *payment;
    Ok(Received::Doubtful(Doubtful {
        hook_id: unsigned.hook_id,
        message_id: unsigned.message_id,
        wallet,
        txn_id: signed.txn_id,
        kind_raw: signed.kind_raw,
        sign_fields,
        doubt,
        digest,
    }))
}

/// A test is a test whatever its signature is; it only tells whether the key is right.
fn test_signature(signed: Option<&(Object<'_>, Signature)>, hooks: &[&Hook]) -> TestSignature {
    let Some((object, signature)) = signed else { return TestSignature::Absent };
    let Some(list) = object.string("signFields") else { return TestSignature::Absent };
    let Ok(text) = SignedText::of(object, &list) else { return TestSignature::Absent };
    match signer(hooks, signature, &text) {
        Ok(_) => TestSignature::Right,
        Err(_) => TestSignature::Wrong,
    }
}

impl Payment {
    /// Whether the signature covers a field, by its name in the list of signed fields.
    #[must_use]
    pub fn covers(&self, field: &str) -> bool {
        self.sign_fields.split(',').any(|signed| signed == field)
    }

    /// The state of the transaction that it reports.
    #[must_use]
    pub fn transition(&self) -> TransitionKey {
        let Self { wallet, signed, unsigned, .. } = self;
        let (kind, status) = (&signed.kind_raw, &unsigned.status_raw);
        TransitionKey::transaction(wallet, &signed.txn_id, kind, status)
    }

    /// The message itself.
    #[must_use]
    pub fn delivery(&self) -> DeliveryKey {
        DeliveryKey::new(self.unsigned.hook_id, self.unsigned.message_id)
    }
}

impl Doubtful {
    /// The message itself.
    #[must_use]
    pub fn delivery(&self) -> DeliveryKey {
        DeliveryKey::new(self.hook_id, self.message_id)
    }
}

impl Test {
    /// The message itself, when it says which it is.
    #[must_use]
    pub fn delivery(&self) -> Option<DeliveryKey> {
        Some(DeliveryKey::new(self.hook_id?, self.message_id?))
    }

    /// What makes it one test and not another.
    #[must_use]
    pub fn transition(&self) -> TransitionKey {
        TransitionKey::test(self.delivery(), self.digest)
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

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("hook_id", &self.hook_id).finish_non_exhaustive()
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
