//! Amounts in hundredths, and JSON numbers that keep the text the documents print.

use serde_json::{Number, Value};

/// The roubles' numeric code.
pub(super) const RUB: u16 = 643;
/// The US dollar's numeric code.
pub(super) const USD: u16 = 840;
/// The euro's numeric code.
pub(super) const EUR: u16 = 978;
/// The tenge's numeric code.
pub(super) const KZT: u16 = 398;

/// An amount of one currency in hundredths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Money {
    pub(super) minor: i64,
    pub(super) currency: u16,
}

impl Money {
    pub(super) const fn new(minor: i64, currency: u16) -> Self {
        Self { minor, currency }
    }

    /// `{"amount": 3497.5, "currency": 643}`: trailing zeros are not printed.
    pub(super) fn to_json(self) -> Value {
        serde_json::json!({ "amount": shortest(self.minor), "currency": self.currency })
    }

    /// The same with the currency as a string, as the payment endpoints print it.
    pub(super) fn to_json_with_text_currency(self) -> Value {
        serde_json::json!({
            "amount": shortest(self.minor),
            "currency": self.currency.to_string(),
        })
    }
}

/// A JSON number with exactly this text. Only called with literals and formatted integers.
pub(super) fn exactly(text: &str) -> Value {
    text.parse::<Number>().map_or(Value::Null, Value::Number)
}

/// Hundredths without trailing zeros: `70`, `3497.5`, `8.74`.
pub(super) fn shortest(minor: i64) -> Value {
    exactly(&decimal(minor, 2))
}

/// Hundredths always with two decimals: `200.00`.
pub(super) fn two_places(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let size = minor.unsigned_abs();
    format!("{sign}{}.{:02}", size / 100, size % 100)
}

/// An integer of 10⁻ᵖˡᵃᶜᵉˢ units as decimal text without trailing zeros.
pub(super) fn decimal(units: i64, places: usize) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

/// Reads a positive JSON number as hundredths; decimals after the second are cut off.
pub(super) fn positive_amount(value: Option<&Value>) -> Option<i64> {
    let text = value?.as_number()?.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() > 12 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let cents: String = fraction.chars().chain("00".chars()).take(2).collect();
    let minor = whole.parse::<i64>().ok()? * 100 + cents.parse::<i64>().ok()?;
    (minor > 0).then_some(minor)
}
