//! The notification of a wallet's webhook (catalogue W-HK-7).
//!
//! QIWI signs five values and sends the list of what it signed beside them, unsigned. A message is
//! trusted only when its list is the documented one, for otherwise one captured signature could be
//! laid over another content: `comment` named as the only signed field, say, with the old text in
//! it. Status, wallet, date, error and ids are never signed; [`Unsigned`] keeps them apart.

mod members;
mod received;
mod signed_text;
#[cfg(test)]
mod tests;

use std::fmt;

use uuid::Uuid;

use super::json::{self, Broken, Object};
use super::signature::Signature;
use super::{Key, Refusal};
use crate::credentials::Wallet;
pub use received::{
    Doubt, Doubtful, Kind, Payment, Received, Signed, Status, Test, TestSignature, Unsigned,
};
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
    content: Content<'a>,
}

enum Content<'a> {
    Payment { object: Object<'a>, payment: Box<Payment>, signature: Signature },
    Test { signed: Option<(Object<'a>, Signature)> },
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
        let payment = members::payment(&object, hook_id, message_id, version)?;
        Content::Payment { object, payment: Box::new(payment), signature: signature? }
    };
    Ok(Message { hook_id, message_id, content })
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
    let Payment { wallet, signed, unsigned, sign_fields, .. } = *payment;
    Ok(Received::Doubtful(Doubtful {
        hook_id: unsigned.hook_id,
        message_id: unsigned.message_id,
        wallet,
        txn_id: signed.txn_id,
        kind_raw: signed.kind_raw,
        sign_fields,
        doubt,
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

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("hook_id", &self.hook_id).finish_non_exhaustive()
    }
}
