//! The members of a notification of QIWI PAY, from JSON to types. Nothing here believes anything.

use core::net::IpAddr;

use crate::money::{self, Number};
use crate::notification::json::{Object, Scalar};
use crate::notification::{Amount, Refusal};
use crate::pay::transaction::masked_pan;

use super::{Signed, Unsigned};

/// Transaction ids have at most so many digits.
const ID_DIGITS_MAX: usize = 20;
/// So have numbers of types, statuses and errors.
const NUMBER_DIGITS_MAX: usize = 9;

/// The signed members, with the text their signature is made of.
///
/// Amount and currency have to be there, and a currency has three characters: no code of an error
/// has, and no other member can take the place of one of the three.
pub(super) fn signed(whole: &Object<'_>) -> Result<Signed, Refusal> {
    let digits = |name: &'static str, most: usize| {
        let text = value(whole, name)?;
        let good = |text: &String| {
            text.len() <= most && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        match text {
            Some(text) if good(&text) => Ok(Some(text)),
            Some(_) => Err(Refusal::Malformed(name)),
            None => Ok(None),
        }
    };
    let needed = |name| move |text: Option<String>| text.ok_or(Refusal::Malformed(name));
    let amount = value(whole, "amount").and_then(needed("amount"))?;
    let currency = value(whole, "currency").and_then(needed("currency"))?;
    let email = value(whole, "email")?;
    let error_code = digits("error_code", NUMBER_DIGITS_MAX)?;
    let ip = value(whole, "ip")?;
    let txn_id = digits("txn_id", ID_DIGITS_MAX).and_then(needed("txn_id"))?;
    let txn_status = digits("txn_status", NUMBER_DIGITS_MAX).and_then(needed("txn_status"))?;
    let txn_type = digits("txn_type", NUMBER_DIGITS_MAX).and_then(needed("txn_type"))?;
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    if ip.as_deref().is_some_and(|ip| !is_address(ip)) {
        return Err(Refusal::Malformed("ip"));
    }
    let is_number = |text: &str| Number::parse(text).is_some();
    if email.as_deref().is_some_and(|email| is_number(email) || is_address(email)) {
        return Err(Refusal::Malformed("email"));
    }
    let parts = [
        Some(&amount),
        Some(&currency),
        email.as_ref(),
        error_code.as_ref(),
        ip.as_ref(),
        Some(&txn_id),
        Some(&txn_status),
        Some(&txn_type),
    ];
    let parts: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
    let text = parts.join("|");
    let amount = typed(amount, currency)?;
    Ok(Signed { txn_id, txn_type, txn_status, error_code, amount, ip, email, text })
}

/// A signed member as text; absent and empty are the same.
fn value(whole: &Object<'_>, name: &'static str) -> Result<Option<String>, Refusal> {
    let Some(raw) = whole.get(name) else { return Ok(None) };
    let text = Scalar::read(raw).ok_or(Refusal::Malformed(name))?.text;
    if text.contains('|') {
        // No documented value holds one; with one, two readings could have one text.
        return Err(Refusal::SeparatorInValue);
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::Malformed(name));
    }
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
}

fn typed(text: String, currency: String) -> Result<Amount, Refusal> {
    let numeric = currency.bytes().all(|byte| byte.is_ascii_digit());
    let named = currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if currency.len() != 3 || !(numeric || named) {
        return Err(Refusal::Malformed("currency"));
    }
    let malformed = Refusal::Malformed("amount");
    let number = Number::parse(&*text).ok_or(malformed)?;
    if number.nanos().is_none_or(|nanos| nanos < 0) {
        return Err(malformed);
    }
    let money =
        number.to_money(money::currency_code(&currency), "amount").map_err(|_| malformed)?;
    Ok(Amount { text, currency, money })
}

/// The other members, read as far as they can be.
pub(super) fn unsigned(whole: &Object<'_>, unread: &mut Vec<&'static str>) -> Unsigned {
    let mut text = |name: &'static str| {
        let text = Scalar::read(whole.get(name)?).map(|scalar| scalar.text.into_owned());
        if text.is_none() {
            unread.push(name);
        }
        text.filter(|text| !text.is_empty())
    };
    let custom = ["cf1", "cf2", "cf3", "cf4", "cf5"];
    let custom = custom.map(|name| text(name).map(|value| (name.to_owned(), value)));
    Unsigned {
        txn_date: text("txn_date"),
        order_id: text("order_id"),
        merchant_site: text("merchant_site"),
        is_test: matches!(whole.get("is_test").map(|raw| raw.get()), Some("true" | "\"true\"")),
        masked_pan: text("pan").map(|pan| masked_pan(&pan)),
        card_name: text("card_name"),
        // Older documents have the second name for it.
        issuer_name: text("issuer_name").or_else(|| text("card_bank")),
        issuer_country: text("issuer_country"),
        auth_code: text("auth_code"),
        eci: text("eci"),
        country: text("country"),
        city: text("city"),
        region: text("region"),
        address: text("address"),
        phone: text("phone"),
        custom_fields: custom.into_iter().flatten().collect(),
        product_name: text("product_name"),
    }
}
