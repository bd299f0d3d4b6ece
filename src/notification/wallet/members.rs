//! The members of a webhook's message, from JSON to types. Nothing here believes anything.
//!
//! What identifies a payment and its amount must be as documented. The rest is read as far as it
//! can be: an odd date must not lose a payment.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Kind, Payment, Signed, Status, Unsigned};
use crate::credentials::Wallet;
use crate::money::{self, Number};
use crate::notification::json::{Object, Scalar};
use crate::notification::{Amount, Refusal};

/// Transaction ids have at most so many digits.
const ID_DIGITS_MAX: usize = 20;

/// An id, if there is one.
pub(super) fn uuid(whole: &Object<'_>, name: &'static str) -> Result<Option<Uuid>, Refusal> {
    if whole.get(name).is_none() {
        return Ok(None);
    }
    let text = whole.string(name).filter(|text| text.len() == 36);
    let id = text.and_then(|text| Uuid::try_parse(&text).ok());
    id.map(Some).ok_or(Refusal::Malformed(name))
}

/// A truth value; absent is false.
pub(super) fn flag(whole: &Object<'_>, name: &'static str) -> Result<bool, Refusal> {
    match whole.get(name).map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Refusal::Malformed(name)),
    }
}

/// The whole payment, of the wallet it claims to be of.
pub(super) fn payment(
    object: &Object<'_>,
    hook_id: Uuid,
    message_id: Uuid,
    version: Option<String>,
) -> Result<Payment, Refusal> {
    let text = |name| object.scalar(name).map(|scalar| scalar.text.into_owned());
    let txn_id = text("txnId").filter(|id| is_transaction_id(id));
    let kind_raw = object.string("type").ok_or(Refusal::Malformed("payment.type"))?;
    let status_raw = object.string("status").ok_or(Refusal::Malformed("payment.status"))?;
    let wallet = text("personId").and_then(|number| Wallet::parse(&number));
    let mut rest = Rest { object, unread: Vec::new() };
    let unsigned = Unsigned {
        hook_id,
        message_id,
        status: Status::of(&status_raw),
        status_raw,
        error_code: rest.read("errorCode", |raw| Scalar::read(raw)?.text.parse().ok()),
        date: rest.read("date", |raw| Some(crate::time::parse(&string(raw)?))),
        provider_id: rest.read("provider", |raw| Some(Scalar::read(raw)?.text.into_owned())),
        comment: rest.read("comment", string),
        total: rest.read("total", amount),
        commission: rest.read("commission", amount),
        version,
    };
    Ok(Payment {
        wallet: wallet.ok_or(Refusal::Malformed("payment.personId"))?,
        signed: Signed {
            txn_id: txn_id.ok_or(Refusal::Malformed("payment.txnId"))?,
            kind: Kind::of(&kind_raw),
            kind_raw,
            account: text("account").ok_or(Refusal::Malformed("payment.account"))?,
            sum: object.get("sum").and_then(amount).ok_or(Refusal::Malformed("payment.sum"))?,
        },
        unsigned,
        sign_fields: object.string("signFields").ok_or(Refusal::Malformed("payment.signFields"))?,
        key_index: 0,
        unread: rest.unread,
    })
}

fn is_transaction_id(id: &str) -> bool {
    (1..=ID_DIGITS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn string(raw: &RawValue) -> Option<String> {
    Scalar::read(raw).filter(|scalar| scalar.is_string).map(|scalar| scalar.text.into_owned())
}

fn amount(raw: &RawValue) -> Option<Amount> {
    let object = Object::read(raw.get())?;
    let text = object.scalar("amount")?.text.into_owned();
    let currency = object.scalar("currency")?.text.into_owned();
    let numeric = (1..=3).contains(&currency.len()) && currency.bytes().all(|b| b.is_ascii_digit());
    let named = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if !numeric && !named {
        return None;
    }
    let code = money::currency_code(&currency);
    let money = Number::parse(&*text)?.to_money(code, "payment.sum").ok()?;
    Some(Amount { text, currency, money })
}

/// Members that may be missing or odd.
struct Rest<'o, 'a> {
    object: &'o Object<'a>,
    unread: Vec<&'static str>,
}

impl<'a> Rest<'_, 'a> {
    fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Option<T>,
    ) -> Option<T> {
        let raw = self.object.get(name)?;
        let value = read(raw);
        if value.is_none() {
            self.unread.push(name);
        }
        value
    }
}
