//! The notification about a transaction of QIWI PAY (catalogue P-CBK-1).
//!
//! The signature covers eight members, in the order of their names and without those that are
//! absent or empty. So one signed text could stand for several readings, an error code for a
//! currency; what each of the eight may look like is therefore checked so closely that there is one
//! reading only. Everything else, the order included, anybody could have written who holds one
//! signature. Tokens of cards are not read at all.

mod members;
#[cfg(test)]
mod tests;

use std::fmt;

use super::json::{self, Broken, Object};
use super::signature::Signature;
use super::{Amount, Key, Refusal};

/// A notification that has been read and not been believed yet.
pub struct Message {
    transaction: Box<Transaction>,
    signature: Signature,
}

/// A transaction as a verified notification reports it. Only [`Message::verify`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Transaction {
    /// What the signature covers.
    pub signed: Signed,
    /// What it does not.
    pub unsigned: Unsigned,
    /// Which of the keys made the signature; 0 is the current one.
    pub key_index: usize,
    /// Members that were there and could not be read; each is passed over.
    pub unread: Vec<&'static str>,
}

/// What the signature of a transaction covers.
#[derive(Clone, PartialEq)]
pub struct Signed {
    /// QIWI's id of the transaction, decimal digits.
    pub txn_id: String,
    /// The number of its type.
    pub txn_type: String,
    /// The number of its status.
    pub txn_status: String,
    /// The number of its error, `0` for none. Absent when QIWI does not tell.
    pub error_code: Option<String>,
    /// The amount, its text as it was signed.
    pub amount: Amount,
    /// The customer's address.
    pub ip: Option<String>,
    /// The customer's e-mail address.
    pub email: Option<String>,
    /// All of them as they were signed.
    text: String,
}

/// What the signature of a transaction does not cover.
#[derive(Clone, PartialEq, Default)]
pub struct Unsigned {
    /// When it took place.
    pub txn_date: Option<String>,
    /// The merchant's id of the order.
    pub order_id: Option<String>,
    /// The merchant site.
    pub merchant_site: Option<String>,
    /// Whether it is one of the test mode.
    pub is_test: bool,
    /// The number of the card, masked here as far as QIWI has not.
    pub masked_pan: Option<String>,
    /// The holder of the card.
    pub card_name: Option<String>,
    /// The bank that issued the card.
    pub issuer_name: Option<String>,
    /// Its country.
    pub issuer_country: Option<String>,
    /// The authorisation code.
    pub auth_code: Option<String>,
    /// The indicator of electronic commerce.
    pub eci: Option<String>,
    /// The customer's country.
    pub country: Option<String>,
    /// The customer's city.
    pub city: Option<String>,
    /// The customer's region.
    pub region: Option<String>,
    /// The customer's postal address.
    pub address: Option<String>,
    /// The customer's phone.
    pub phone: Option<String>,
    /// What the merchant added, `cf1` to `cf5` by name.
    pub custom_fields: Vec<(String, String)>,
    /// The product.
    pub product_name: Option<String>,
}

/// Reads a notification of at most so many bytes.
///
/// # Errors
/// Why it is no notification.
pub fn read(body: &[u8], bytes_max: usize) -> Result<Message, Refusal> {
    if body.len() > bytes_max {
        return Err(Refusal::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::NotJson)?;
    json::check(text).map_err(|broken| match broken {
        Broken::Syntax => Refusal::NotJson,
        Broken::DuplicateKey => Refusal::DuplicateKey,
    })?;
    let whole = Object::read(text).ok_or(Refusal::NotJson)?;
    let signed = members::signed(&whole)?;
    let signature = match whole.get("sign") {
        None => return Err(Refusal::SignatureMissing),
        Some(_) => whole.string("sign").ok_or(Refusal::SignatureMalformed)?,
    };
    if signature.is_empty() {
        return Err(Refusal::SignatureMissing);
    }
    let mut unread = Vec::new();
    let unsigned = members::unsigned(&whole, &mut unread);
    let transaction = Transaction { signed, unsigned, key_index: 0, unread };
    Ok(Message {
        transaction: Box::new(transaction),
        // The documents write it in upper case.
        signature: Signature::from_hex(&signature)?,
    })
}

impl Message {
    /// Verifies the notification with the keys of the merchant site it was sent to, the current one
    /// first.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(self, keys: &[Key], merchant_site: &str) -> Result<Transaction, Refusal> {
        if keys.is_empty() {
            return Err(Refusal::KeyUnknown);
        }
        let made = |key: &Key| key.made(&self.signature, &self.transaction.signed.text);
        let key_index = keys.iter().position(made).ok_or(Refusal::SignatureMismatch)?;
        // One secret may be that of several sites.
        let told = self.transaction.unsigned.merchant_site.as_deref();
        if told.is_some_and(|told| told != merchant_site) {
            return Err(Refusal::SiteMismatch);
        }
        Ok(Transaction { key_index, ..*self.transaction })
    }
}

impl Transaction {
    /// The text the signature was made of. It is the same in every delivery of one transition, where
    /// other members need not be.
    #[must_use]
    pub fn signed_text(&self) -> &str {
        &self.signed.text
    }
}

/// Nothing of it is believed yet.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").finish_non_exhaustive()
    }
}

/// Amounts and customers are private.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Signed");
        shown.field("txn_id", &self.txn_id).field("txn_type", &self.txn_type);
        shown.field("txn_status", &self.txn_status).finish_non_exhaustive()
    }
}

/// Cards and customers are private.
impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsigned").finish_non_exhaustive()
    }
}
