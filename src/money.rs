//! Amounts and rates, exact from the text QIWI wrote.
//!
//! QIWI writes amounts as JSON numbers with up to seven decimals, sometimes as strings. They are
//! read from that text and never pass through binary floating point.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::Undocumented;
use crate::pb::r#type::v1 as pb;

const NANOS_PER_UNIT: i128 = 1_000_000_000;
/// No amount has more digits; more is an attack on memory.
const TEXT_MAX: usize = 64;

/// A decimal number as QIWI wrote it: a JSON number, or a string that holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number<'a>(Cow<'a, str>);

impl<'a> Number<'a> {
    /// Checks that the text is a decimal number in JSON's notation.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        (text.len() <= TEXT_MAX && scaled(&text).is_some()).then_some(Self(text))
    }

    /// The text, as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As `Money` in a currency of the given alphabetic code.
    ///
    /// # Errors
    /// When the number has more than nine decimals or does not fit 64 bits.
    pub fn to_money(
        &self,
        currency_code: impl Into<String>,
        at: &'static str,
    ) -> Result<pb::Money, Undocumented> {
        let out_of_range = || Undocumented::new(at, "an amount of at most nine decimals");
        let nanos = scaled(&self.0).and_then(Scaled::nanos).ok_or_else(out_of_range)?;
        Ok(pb::Money {
            currency_code: currency_code.into(),
            units: i64::try_from(nanos / NANOS_PER_UNIT).map_err(|_| out_of_range())?,
            nanos: i32::try_from(nanos % NANOS_PER_UNIT).map_err(|_| out_of_range())?,
        })
    }

    /// As `Decimal`, with the text as it was written.
    pub fn to_decimal(&self) -> pb::Decimal {
        pb::Decimal { value: self.0.clone().into_owned() }
    }

    /// The value times 10⁹, where that is a whole number.
    pub fn nanos(&self) -> Option<i128> {
        scaled(&self.0).and_then(Scaled::nanos)
    }

    /// The value as an integer, where it is one.
    pub fn integer(&self) -> Option<i64> {
        let nanos = self.nanos()?;
        (nanos % NANOS_PER_UNIT == 0).then(|| i64::try_from(nanos / NANOS_PER_UNIT).ok()).flatten()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = raw_text(<&'de RawValue>::deserialize(deserializer)?.get())
            .ok_or_else(|| D::Error::custom("expected a number"))?;
        Self::parse(text).ok_or_else(|| D::Error::custom("expected a decimal number"))
    }
}

/// Writes the number as it is, without quotes.
impl Serialize for Number<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A leading plus sign, which QIWI's strings may have, is no JSON.
        let text = self.0.strip_prefix('+').unwrap_or(&self.0);
        RawValue::from_string(text.to_owned()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// An amount and its currency, as QIWI nests them: `{"amount":70,"currency":643}`.
#[derive(Debug, serde::Deserialize)]
pub struct Amount<'a> {
    // The limit of a card has the second names.
    #[serde(borrow, default, alias = "value")]
    amount: Option<Number<'a>>,
    #[serde(borrow, default, alias = "currencyCode")]
    currency: Option<Text<'a>>,
}

impl Amount<'_> {
    /// As `Money`; `None` where QIWI tells no amount, which is not zero.
    ///
    /// # Errors
    /// As [`Number::to_money`].
    pub fn to_money(&self, at: &'static str) -> Result<Option<pb::Money>, Undocumented> {
        let Self { amount, currency } = self;
        let currency = currency.as_ref().map(|currency| currency_code(currency.as_str()));
        let Some(amount) = amount else { return Ok(None) };
        amount.to_money(currency.unwrap_or_default(), at).map(Some)
    }
}

/// As [`Amount::to_money`], for a member that may be missing or null.
///
/// # Errors
/// As [`Number::to_money`].
pub fn maybe_money(
    amount: Option<&Amount<'_>>,
    at: &'static str,
) -> Result<Option<pb::Money>, Undocumented> {
    amount.map_or(Ok(None), |amount| amount.to_money(at))
}

/// A JSON scalar as text: a string without its quotes, anything else as written.
///
/// QIWI writes the same id as a number in one answer and as a string in the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An owned copy.
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        raw_text(<&'de RawValue>::deserialize(deserializer)?.get())
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected a string or a number"))
    }
}

fn raw_text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' => {
            let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
            if inner.contains('\\') {
                serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
            } else {
                Some(Cow::Borrowed(inner))
            }
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// The alphabetic code of a currency QIWI wrote as a number, as text or already alphabetic.
///
/// A numeric code without a known alphabetic one passes through as three digits.
pub fn currency_code(raw: &str) -> String {
    let raw = raw.trim();
    if raw.is_empty() || !raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return raw.to_owned();
    }
    let number = raw.parse::<u16>().ok();
    let known = number.and_then(|number| CURRENCIES.iter().find(|(of, _)| *of == number));
    match known {
        Some((_, code)) => (*code).to_owned(),
        None => format!("{raw:0>3}"),
    }
}

/// The numeric code of an alphabetic one; digits pass through.
pub fn currency_number(code: &str) -> Option<String> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(code.to_owned());
    }
    let found = CURRENCIES.iter().find(|(_, of)| *of == code)?;
    Some(format!("{:03}", found.0))
}

/// ISO 4217, the currencies QIWI has ever named and their neighbours.
static CURRENCIES: &[(u16, &str)] = &[
    (643, "RUB"),
    (840, "USD"),
    (978, "EUR"),
    (398, "KZT"),
    (980, "UAH"),
    (756, "CHF"),
    (826, "GBP"),
    (933, "BYN"),
    (974, "BYR"),
    (944, "AZN"),
    (51, "AMD"),
    (981, "GEL"),
    (417, "KGS"),
    (498, "MDL"),
    (972, "TJS"),
    (934, "TMT"),
    (860, "UZS"),
    (156, "CNY"),
    (392, "JPY"),
    (949, "TRY"),
    (356, "INR"),
    (410, "KRW"),
    (764, "THB"),
    (704, "VND"),
    (360, "IDR"),
    (458, "MYR"),
    (702, "SGD"),
    (344, "HKD"),
    (784, "AED"),
    (376, "ILS"),
    (818, "EGP"),
    (682, "SAR"),
    (634, "QAR"),
    (124, "CAD"),
    (36, "AUD"),
    (554, "NZD"),
    (208, "DKK"),
    (752, "SEK"),
    (578, "NOK"),
    (203, "CZK"),
    (985, "PLN"),
    (348, "HUF"),
    (946, "RON"),
    (975, "BGN"),
    (941, "RSD"),
    (986, "BRL"),
    (484, "MXN"),
    (32, "ARS"),
    (710, "ZAR"),
    (496, "MNT"),
    (810, "RUR"),
];

/// Mantissa and decimal exponent of a number.
#[derive(Debug, Clone, Copy)]
struct Scaled {
    mantissa: i128,
    exponent: i32,
}

impl Scaled {
    fn nanos(self) -> Option<i128> {
        let shift = self.exponent.checked_add(9)?;
        if shift >= 0 {
            self.mantissa.checked_mul(10i128.checked_pow(shift.unsigned_abs())?)
        } else {
            let divisor = 10i128.checked_pow(shift.unsigned_abs())?;
            (self.mantissa % divisor == 0).then(|| self.mantissa / divisor)
        }
    }
}

/// Reads JSON's number notation, and a leading plus sign as some strings have it.
fn scaled(text: &str) -> Option<Scaled> {
    let (text, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text.strip_prefix('+').unwrap_or(text), false),
    };
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (fraction.is_empty() && number.contains('.')) {
        return None;
    }
    let mut mantissa = 0i128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        if !digit.is_ascii_digit() {
            return None;
        }
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    Some(Scaled { mantissa: if negative { -mantissa } else { mantissa }, exponent })
}

/// The decimal text of a `Money`, as QIWI wants it in requests (`100.50`).
pub fn money_text(money: &pb::Money, decimals: usize) -> Option<String> {
    let negative = money.units < 0 || money.nanos < 0;
    if (money.units > 0 && money.nanos < 0) || (money.units < 0 && money.nanos > 0) {
        return None;
    }
    if money.nanos.unsigned_abs() >= 1_000_000_000 {
        return None;
    }
    let nanos = format!("{:09}", money.nanos.unsigned_abs());
    let (kept, cut) = nanos.split_at_checked(decimals)?;
    if cut.bytes().any(|digit| digit != b'0') {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    Some(match kept {
        "" => format!("{sign}{}", money.units.unsigned_abs()),
        kept => format!("{sign}{}.{kept}", money.units.unsigned_abs()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, units: i64, nanos: i32) {
        let money = Number::parse(text).unwrap().to_money("RUB", "sum").unwrap();
        assert_eq!((money.units, money.nanos), (units, nanos), "{text}");
    }

    #[test]
    fn amounts_are_exact() {
        check("8.74", 8, 740_000_000);
        check("8.70", 8, 700_000_000);
        check("70", 70, 0);
        check("99.0000", 99, 0);
        check("0.1", 0, 100_000_000);
        check("-0.05", 0, -50_000_000);
        check("-12.5", -12, -500_000_000);
        check("1e3", 1000, 0);
        check("1.5E-2", 0, 15_000_000);
        check("0.000000001", 0, 1);
        check("0.0000000010", 0, 1);
        check("9223372036854775807", i64::MAX, 0);
    }

    #[test]
    fn what_is_no_number_or_does_not_fit_is_refused() {
        for text in ["", ".", "1.", ".5", "1,5", "NaN", "0x1", "1e", "--1", &"9".repeat(65)] {
            assert!(Number::parse(text).is_none(), "{text:?}");
        }
        for text in ["0.0000000001", "9223372036854775808", "1e30"] {
            let number = Number::parse(text).unwrap();
            assert!(number.to_money("RUB", "sum").is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_and_strings_read_alike_and_keep_their_text() {
        let read = |json| serde_json::from_str::<Number<'_>>(json).map(|n| n.as_str().to_owned());
        assert_eq!(read("8.70").unwrap(), "8.70");
        assert_eq!(read("\"8.70\"").unwrap(), "8.70");
        assert!(read("null").is_err());
        assert!(read("\"eight\"").is_err());
        assert!(read("{}").is_err());
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        let write = |text| serde_json::to_string(&Number::parse(text).unwrap()).unwrap();
        assert_eq!(write("8.70"), "8.70");
        assert_eq!(write("+8"), "8");
        assert_eq!(write("-12345678901234567890.5"), "-12345678901234567890.5");
    }

    #[test]
    fn currencies_translate_both_ways_and_unknown_ones_pass() {
        assert_eq!(currency_code("643"), "RUB");
        assert_eq!(currency_code("36"), "AUD");
        assert_eq!(currency_code("036"), "AUD");
        assert_eq!(currency_code("RUB"), "RUB");
        assert_eq!(currency_code("999"), "999");
        assert_eq!(currency_code("7"), "007");
        assert_eq!(currency_number("RUB").unwrap(), "643");
        assert_eq!(currency_number("AUD").unwrap(), "036");
        assert_eq!(currency_number("999").unwrap(), "999");
        assert!(currency_number("XYZ").is_none());
    }

    #[test]
    fn money_is_written_with_the_decimals_asked_for_or_not_at_all() {
        let money = |units, nanos| pb::Money { currency_code: "RUB".into(), units, nanos };
        assert_eq!(money_text(&money(100, 500_000_000), 2).unwrap(), "100.50");
        assert_eq!(money_text(&money(0, 10_000_000), 2).unwrap(), "0.01");
        assert_eq!(money_text(&money(0, -10_000_000), 2).unwrap(), "-0.01");
        assert!(money_text(&money(1, 1_000_000), 2).is_none());
        assert!(money_text(&money(1, -1), 9).is_none());
    }

    proptest! {
        #[test]
        fn money_survives_a_round_trip(units in any::<i64>(), nanos in 0i32..1_000_000_000) {
            let nanos = if units < 0 { -nanos } else { nanos };
            let money = pb::Money { currency_code: "RUB".into(), units, nanos };
            let text = money_text(&money, 9).unwrap();
            let back = Number::parse(text).unwrap().to_money("RUB", "sum").unwrap();
            prop_assert_eq!((back.units, back.nanos), (units, nanos));
        }
    }
}
