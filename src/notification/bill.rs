//! The notification about a P2P bill (catalogue W-INV-10).
//!
//! The signature covers amount, ids and status, always in the same order, and travels in a header.
//! Notifications come more than once, even after a good answer; a bill and its status are what
//! tells them apart.

#[cfg(test)]
mod tests;

use std::fmt;

use super::json::{self, Broken, Object, Scalar};
use super::signature::Signature;
use super::{Amount, Key, Refusal};
use crate::money::{self, Number};
use crate::pb::r#type::v1 as pb;

/// The header with the signature.
pub const SIGNATURE_HEADER: &str = "x-api-signature-sha256";

/// Nanos of a kopek.
const NANOS_PER_HUNDREDTH: i128 = 10_000_000;

/// A notification that has been read and not been believed yet.
#[derive(Debug)]
pub struct Message {
    bill: Box<Bill>,
    signature: Signature,
    signed_text: String,
}

/// A bill as a verified notification reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bill {
    /// What the signature covers.
    pub signed: Signed,
    /// What it does not.
    pub unsigned: Unsigned,
    /// Which of the keys made the signature; 0 is the current one.
    pub key_index: usize,
    /// Members that were there and could not be read; each is passed over.
    pub unread: Vec<&'static str>,
}

/// What the signature of a bill covers.
#[derive(Clone, PartialEq)]
pub struct Signed {
    /// QIWI's id of the issuer.
    pub site_id: String,
    /// The issuer's id of the bill.
    pub bill_id: String,
    /// The amount, its text with two decimals as it was signed.
    pub amount: Amount,
    /// The status.
    pub status: Status,
    /// The status as written.
    pub status_raw: String,
}

/// What the signature of a bill does not cover.
#[derive(Clone, PartialEq, Default)]
pub struct Unsigned {
    /// When the status changed.
    pub status_time: Option<pb::OffsetTime>,
    /// The customer's phone.
    pub customer_phone: Option<String>,
    /// The customer's e-mail address.
    pub customer_email: Option<String>,
    /// The customer's id at the issuer.
    pub customer_account: Option<String>,
    /// What the issuer added to the bill, in its order; values that are no texts as JSON.
    pub custom_fields: Vec<(String, String)>,
    /// The comment.
    pub comment: Option<String>,
    /// When the bill was issued.
    pub creation_time: Option<pb::OffsetTime>,
    /// Until when it can be paid.
    pub expiration_time: Option<pb::OffsetTime>,
    /// The payment form.
    pub pay_url: Option<String>,
    /// The version of the notification.
    pub version: Option<String>,
}

/// Status of a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not paid yet.
    Waiting,
    /// Paid.
    Paid,
    /// Rejected by its customer or issuer.
    Rejected,
    /// Its time ran out.
    Expired,
    /// Something the documents do not name.
    Unknown,
}

/// Reads a notification of at most so many bytes, with the value of its signature header.
///
/// # Errors
/// Why it is no notification.
pub fn read(body: &[u8], signature: Option<&[u8]>, bytes_max: usize) -> Result<Message, Refusal> {
    if body.len() > bytes_max {
        return Err(Refusal::TooLarge);
    }
    let text = std::str::from_utf8(body).map_err(|_| Refusal::NotJson)?;
    json::check(text).map_err(|broken| match broken {
        Broken::Syntax => Refusal::NotJson,
        Broken::DuplicateKey => Refusal::DuplicateKey,
    })?;
    let whole = Object::read(text).ok_or(Refusal::NotJson)?;
    let bill = whole.object("bill").ok_or(Refusal::Malformed("bill"))?;
    let version = whole.scalar("version").map(|version| version.text.into_owned());
    let (signed, signed_text) = signed(&bill)?;
    let mut unread = Vec::new();
    let unsigned = Unsigned { version, ..unsigned(&bill, &mut unread) };
    let signature = std::str::from_utf8(signature.ok_or(Refusal::SignatureMissing)?)
        .map_err(|_| Refusal::SignatureMalformed)?
        .trim();
    if signature.is_empty() {
        return Err(Refusal::SignatureMissing);
    }
    Ok(Message {
        bill: Box::new(Bill { signed, unsigned, key_index: 0, unread }),
        signature: Signature::from_hex_or_base64(signature)?,
        signed_text,
    })
}

impl Message {
    /// Verifies the notification with the keys that belong to its address, the current one first.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(self, keys: &[Key]) -> Result<Bill, Refusal> {
        if keys.is_empty() {
            return Err(Refusal::KeyUnknown);
        }
        let made = |key: &Key| key.made(&self.signature, &self.signed_text);
        let key_index = keys.iter().position(made).ok_or(Refusal::SignatureMismatch)?;
        Ok(Bill { key_index, ..*self.bill })
    }
}

/// The signed members, and the text their signature is made of.
fn signed(bill: &Object<'_>) -> Result<(Signed, String), Refusal> {
    let text = |object: &Object<'_>, name: &str, at| {
        let text = object.scalar(name).map(|scalar| scalar.text.into_owned());
        let text = text.filter(|text| !text.is_empty()).ok_or(Refusal::Malformed(at))?;
        // No documented value holds one; with one, two different bills could have one text.
        if text.contains('|') { Err(Refusal::SeparatorInValue) } else { Ok(text) }
    };
    let site_id = text(bill, "siteId", "bill.siteId")?;
    let bill_id = text(bill, "billId", "bill.billId")?;
    let status = bill.object("status").ok_or(Refusal::Malformed("bill.status"))?;
    let status_raw = text(&status, "value", "bill.status.value")?;
    let amount = bill.object("amount").ok_or(Refusal::Malformed("bill.amount"))?;
    let currency = text(&amount, "currency", "bill.amount.currency")?;
    if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(Refusal::Malformed("bill.amount.currency"));
    }
    let malformed = Refusal::Malformed("bill.amount.value");
    let value = text(&amount, "value", "bill.amount.value")?;
    let number = Number::parse(value).ok_or(malformed)?;
    let value = two_decimals(&number).ok_or(malformed)?;
    let money = number.to_money(money::currency_code(&currency), "bill.amount.value");
    let money = money.map_err(|_| malformed)?;
    let signed_text = format!("{currency}|{value}|{bill_id}|{site_id}|{status_raw}");
    let amount = Amount { text: value, currency, money };
    let status = Status::of(&status_raw);
    Ok((Signed { site_id, bill_id, amount, status, status_raw }, signed_text))
}

/// The amount as QIWI signs it, whichever way it is written. More decimals are not cut off: then
/// one signature would fit many amounts.
fn two_decimals(number: &Number<'_>) -> Option<String> {
    let nanos = number.nanos().filter(|nanos| *nanos >= 0)?;
    let hundredths = nanos / NANOS_PER_HUNDREDTH;
    let exact = nanos % NANOS_PER_HUNDREDTH == 0;
    exact.then(|| format!("{}.{:02}", hundredths / 100, hundredths % 100))
}

/// The other members, read as far as they can be.
fn unsigned(bill: &Object<'_>, unread: &mut Vec<&'static str>) -> Unsigned {
    let mut text = |object: &Object<'_>, name: &str, at: &'static str| {
        let raw = object.get(name)?;
        let text = Scalar::read(raw).map(|scalar| scalar.text.into_owned());
        if text.is_none() {
            unread.push(at);
        }
        text
    };
    let time = |text: Option<String>| text.map(|text| crate::time::parse(&text));
    let empty = || Object::read("{}");
    let status = bill.object("status").or_else(empty);
    let customer = bill.object("customer").or_else(empty);
    // The documents' samples have both names for it.
    let status_time = status.and_then(|status| {
        text(&status, "changedDateTime", "bill.status.changedDateTime")
            .or_else(|| text(&status, "datetime", "bill.status.datetime"))
    });
    let mut of_customer =
        |name, at| customer.as_ref().and_then(|customer| text(customer, name, at));
    let customer_phone = of_customer("phone", "bill.customer.phone");
    let customer_email = of_customer("email", "bill.customer.email");
    let customer_account = of_customer("account", "bill.customer.account");
    let unsigned = Unsigned {
        status_time: time(status_time),
        customer_phone,
        customer_email,
        customer_account,
        custom_fields: custom_fields(bill),
        comment: text(bill, "comment", "bill.comment"),
        creation_time: time(text(bill, "creationDateTime", "bill.creationDateTime")),
        expiration_time: time(text(bill, "expirationDateTime", "bill.expirationDateTime")),
        pay_url: text(bill, "payUrl", "bill.payUrl"),
        version: None,
    };
    for (name, at) in [("customer", "bill.customer"), ("customFields", "bill.customFields")] {
        if bill.get(name).is_some() && bill.object(name).is_none() {
            unread.push(at);
        }
    }
    unsigned
}

fn custom_fields(bill: &Object<'_>) -> Vec<(String, String)> {
    let Some(fields) = bill.object("customFields") else { return Vec::new() };
    let text = |raw| match Scalar::read(raw) {
        Some(scalar) => scalar.text.into_owned(),
        None => raw.get().to_owned(),
    };
    fields.members().map(|(name, raw)| (name.to_owned(), text(raw))).collect()
}

impl Status {
    /// Reads QIWI's word.
    #[must_use]
    pub fn of(raw: &str) -> Self {
        match raw {
            "WAITING" => Self::Waiting,
            "PAID" => Self::Paid,
            "REJECTED" => Self::Rejected,
            "EXPIRED" => Self::Expired,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Paid | Self::Rejected | Self::Expired)
    }
}

/// Amounts are private.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Signed");
        shown.field("bill_id", &self.bill_id).field("status", &self.status).finish_non_exhaustive()
    }
}

/// Customers are private.
impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsigned").finish_non_exhaustive()
    }
}
