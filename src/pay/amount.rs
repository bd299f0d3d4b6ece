//! Amounts as QIWI PAY takes them: with two decimals, always, and a numeric currency.

use crate::money::{Number, currency_number, money_text};
use crate::pb::r#type::v1::Money;
use crate::wallet::check::Checks;

use super::params::Params;

/// QIWI's limit, the point included.
const TEXT_MAX: usize = 20;

/// An amount that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    text: String,
    code: String,
    number: String,
}

impl Amount {
    /// A positive amount; `None` when something is wrong with it, which is noted.
    pub fn of(checks: &mut Checks, field: &'static str, money: Option<&Money>) -> Option<Self> {
        Self::above(checks, field, money, 1, "Give a positive amount with at most two decimals.")
    }

    /// A part of an amount, which may be zero.
    pub fn part(checks: &mut Checks, field: &'static str, money: Option<&Money>) -> Option<Self> {
        let what = "Give an amount with at most two decimals, not negative.";
        Self::above(checks, field, money, 0, what)
    }

    fn above(
        checks: &mut Checks,
        field: &'static str,
        money: Option<&Money>,
        least: i128,
        what: &'static str,
    ) -> Option<Self> {
        let Some(money) = money else {
            checks.invalid(field, "Give the amount.");
            return None;
        };
        let number =
            checks.within(field, |checks| currency(checks, "currency_code", &money.currency_code));
        let nanos = |text: &String| Number::parse(text.as_str()).and_then(|number| number.nanos());
        let text = money_text(money, 2).filter(|text| nanos(text) >= Some(least));
        if text.is_none() {
            checks.imprecise(field, what);
        }
        let text = text.filter(|text| {
            let fits = text.len() <= TEXT_MAX;
            if !fits {
                checks.invalid(field, format!("Give at most {TEXT_MAX} characters in all."));
            }
            fits
        });
        Some(Self { text: text?, code: money.currency_code.clone(), number: number? })
    }

    /// As it is sent and signed: `7.00`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The currency as the caller wrote it.
    pub fn currency_code(&self) -> &str {
        &self.code
    }

    /// The currency as it is sent and signed: `643`.
    pub fn currency_number(&self) -> &str {
        &self.number
    }

    /// As a number of JSON, which needs no fraction.
    pub fn to_number(&self) -> Option<Number<'static>> {
        Number::parse(self.text.strip_suffix(".00").unwrap_or(&self.text).to_owned())
    }

    /// The value times 10⁹. Text of two decimals and twenty characters is always a number.
    pub fn nanos(&self) -> i128 {
        Number::parse(self.text.as_str()).and_then(|number| number.nanos()).unwrap_or_default()
    }

    /// Adds `amount` and `currency`.
    pub fn add(&self, params: &mut Params) {
        params.text("amount", &self.text).number("currency", &self.number);
    }
}

/// The numeric code of a currency, as the integer QIWI PAY takes; a wrong one is noted.
pub fn currency(checks: &mut Checks, field: &'static str, code: &str) -> Option<String> {
    let number = currency_number(code);
    // An integer has no leading zeros: 36 is the Australian dollar.
    let number = number.map(|number| number.trim_start_matches('0').to_owned());
    let number = number.filter(|number| !number.is_empty());
    if number.is_none() {
        checks.invalid(field, "Give a currency by its code of ISO 4217, such as RUB.");
    }
    number
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn money(code: &str, units: i64, nanos: i32) -> Money {
        Money { currency_code: code.into(), units, nanos }
    }

    #[test]
    fn amounts_always_have_two_decimals_and_currencies_are_numbers() {
        for (given, text, number) in [
            (money("RUB", 7, 0), "7.00", "643"),
            (money("RUB", 450, 200_000_000), "450.20", "643"),
            (money("643", 0, 10_000_000), "0.01", "643"),
            (money("AUD", 1, 0), "1.00", "36"),
            (money("999", 99_999_999_999_999_999, 990_000_000), "99999999999999999.99", "999"),
        ] {
            let mut checks = Checks::default();
            let amount = Amount::of(&mut checks, "amount", Some(&given)).unwrap();
            checks.done().unwrap();
            assert_eq!((amount.as_str(), amount.currency_number()), (text, number));
            let mut params = Params::default();
            amount.add(&mut params);
            assert!(params.iter().eq([("amount", text), ("currency", number)]));
        }
    }

    #[test]
    fn what_qiwi_would_round_or_not_know_is_refused() {
        for (given, reason, field) in [
            (money("RUB", 0, 0), "AMOUNT_PRECISION", "\"amount\""),
            (money("RUB", -1, 0), "AMOUNT_PRECISION", "\"amount\""),
            (money("RUB", 0, -10_000_000), "AMOUNT_PRECISION", "\"amount\""),
            (money("RUB", 1, 1_000_000), "AMOUNT_PRECISION", "\"amount\""),
            (money("RUB", 1, -1), "AMOUNT_PRECISION", "\"amount\""),
            (money("", 1, 0), "REQUEST_INVALID", "\"amount.currency_code\""),
            (money("rub", 1, 0), "REQUEST_INVALID", "\"amount.currency_code\""),
            (money("000", 1, 0), "REQUEST_INVALID", "\"amount.currency_code\""),
            (money("RUB", 100_000_000_000_000_000, 0), "REQUEST_INVALID", "\"amount\""),
        ] {
            let mut checks = Checks::default();
            assert_eq!(Amount::of(&mut checks, "amount", Some(&given)), None);
            let error = checks.done().unwrap_err();
            assert_eq!(error.reason().name, reason, "{given:?}");
            assert!(format!("{error:?}").contains(field), "{error:?}");
        }
        let mut checks = Checks::default();
        assert_eq!(Amount::of(&mut checks, "amount", None), None);
        assert_eq!(checks.done().unwrap_err().reason().name, "REQUEST_INVALID");
    }

    #[test]
    fn a_part_may_be_nothing_but_not_less() {
        let mut checks = Checks::default();
        let part = Amount::part(&mut checks, "fee", Some(&money("RUB", 0, 0))).unwrap();
        assert_eq!((part.as_str(), part.nanos()), ("0.00", 0));
        checks.done().unwrap();
        let mut checks = Checks::default();
        let less = money("RUB", 0, -10_000_000);
        assert_eq!(Amount::part(&mut checks, "fee", Some(&less)), None);
        assert_eq!(checks.done().unwrap_err().reason().name, "AMOUNT_PRECISION");
    }
}
