//! What several areas check in a request, and one answer for everything that is wrong with it.
//!
//! A check notes what it finds and goes on; [`Checks::done`] refuses the request with all of it.

use std::borrow::Cow;

use crate::error::Error;
use crate::error::reason::{self, Reason};
use crate::money::{Number, money_text};
use crate::pb::r#type::v1::Money;

/// Longer than any id QIWI issues.
const ID_DIGITS_MAX: usize = 20;

/// What is wrong with a request so far.
#[derive(Default)]
pub struct Checks {
    found: Vec<(&'static Reason, Cow<'static, str>, Cow<'static, str>)>,
    /// Path of the message whose fields are looked at, with a dot at its end; empty for the request.
    within: String,
}

impl Checks {
    /// Checks the fields of a message inside the request: they are named `field.…`.
    pub fn within<T>(&mut self, field: &str, check: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.within.len();
        self.within.push_str(field);
        self.within.push('.');
        let checked = check(self);
        self.within.truncate(outside);
        checked
    }

    fn note(&mut self, reason: &'static Reason, field: Cow<'static, str>, what: Cow<'static, str>) {
        let field = match self.within.as_str() {
            "" => field,
            within => format!("{within}{field}").into(),
        };
        self.found.push((reason, field, what));
    }

    /// Notes a broken rule.
    pub fn invalid(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
    ) {
        self.note(&reason::REQUEST_INVALID, field.into(), what.into());
    }

    /// Notes an amount QIWI would not take as it is.
    pub fn imprecise(&mut self, field: &'static str, what: &'static str) {
        self.note(&reason::AMOUNT_PRECISION, field.into(), what.into());
    }

    /// The id of a payment. A leading zero would not survive QIWI's history, which tells numbers.
    pub fn payment_id(&mut self, id: &str) {
        if !(1..=ID_DIGITS_MAX).contains(&id.len()) || !is_digits(id) || id.starts_with('0') {
            self.invalid("payment_id", "Give an id of your own: 1 to 20 digits, no leading zero.");
        }
    }

    /// A provider's id.
    pub fn provider_id(&mut self, id: &str) {
        if !is_provider_id(id) {
            self.invalid("provider_id", "Give the provider's id, digits only, such as 99.");
        }
    }

    /// A field that must not be empty or blank.
    pub fn required(&mut self, field: &'static str, text: &str, what: &'static str) {
        if text.trim().is_empty() {
            self.invalid(field, what);
        }
    }

    /// A positive amount with at most two decimals, as QIWI wants it: `10`, `10.50`.
    pub fn amount(&mut self, money: &Money) -> Option<Number<'static>> {
        let positive = money.units > 0 || money.nanos > 0;
        match money_text(money, 2).filter(|_| positive) {
            // The documents write whole amounts without a fraction.
            Some(text) => Number::parse(text.strip_suffix(".00").unwrap_or(&text).to_owned()),
            None => {
                self.imprecise("amount", "Give a positive amount with at most two decimals.");
                None
            }
        }
    }

    /// As [`Checks::amount`], in roubles and not optional.
    pub fn roubles(&mut self, money: Option<&Money>) -> Option<Number<'static>> {
        self.amount_in(&["RUB"], "Give RUB: QIWI takes no other currency here.", money)
    }

    /// As [`Checks::amount`], in one of these currencies and not optional.
    pub fn amount_in(
        &mut self,
        currencies: &[&str],
        what: &'static str,
        money: Option<&Money>,
    ) -> Option<Number<'static>> {
        let Some(money) = money else {
            self.invalid("amount", "Give the amount of the payment.");
            return None;
        };
        if !currencies.contains(&money.currency_code.as_str()) {
            self.imprecise("amount.currency_code", what);
        }
        self.amount(money)
    }

    /// The end of the checks.
    ///
    /// # Errors
    /// Names everything that was noted, under its reason, or under `REQUEST_INVALID` when there
    /// are several reasons.
    pub fn done(self) -> Result<(), Error> {
        let Some((first, ..)) = self.found.first() else { return Ok(()) };
        let alike = self.found.iter().all(|(reason, ..)| reason == first);
        let error = Error::new(if alike { first } else { &reason::REQUEST_INVALID });
        Err(self.found.into_iter().fold(error, |error, (_, field, what)| error.field(field, what)))
    }
}

/// Whether the text has nothing but decimal digits.
pub fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the text can be the id of a provider.
pub fn is_provider_id(text: &str) -> bool {
    (1..=ID_DIGITS_MAX).contains(&text.len()) && is_digits(text)
}

/// Whether the text is a UUID in its usual form, with hyphens.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn money(units: i64, nanos: i32) -> Money {
        Money { currency_code: "RUB".into(), units, nanos }
    }

    #[test]
    fn amounts_are_positive_kopeks_written_as_the_documents_do() {
        for (units, nanos, text) in [
            (10, 0, "10"),
            (10, 500_000_000, "10.50"),
            (0, 10_000_000, "0.01"),
            (100, 0, "100"),
            (i64::MAX, 990_000_000, "9223372036854775807.99"),
        ] {
            let mut checks = Checks::default();
            let amount = checks.amount(&money(units, nanos)).unwrap();
            assert_eq!(amount.as_str(), text);
            checks.done().unwrap();
        }
        for (units, nanos) in
            [(0, 0), (-1, 0), (0, -10_000_000), (1, 1_000_000), (1, -1), (0, 1_000_000_000)]
        {
            let mut checks = Checks::default();
            assert!(checks.amount(&money(units, nanos)).is_none());
            let error = checks.done().unwrap_err();
            assert_eq!(error.reason().name, "AMOUNT_PRECISION", "{units} {nanos}");
        }
    }

    #[test]
    fn mistakes_of_several_kinds_come_in_one_answer() {
        let mut checks = Checks::default();
        checks.provider_id("9 9");
        checks.required("account", " ", "Give it.");
        checks.roubles(Some(&Money { currency_code: "USD".into(), units: 1, nanos: 1 }));
        let error = checks.done().unwrap_err();
        assert_eq!(error.reason().name, "REQUEST_INVALID");
        let shown = format!("{error:?}");
        for field in ["provider_id", "account", "amount.currency_code", "\"amount\""] {
            assert!(shown.contains(field), "{field} in {shown}");
        }
    }

    #[test]
    fn fields_inside_messages_have_their_whole_path() {
        let mut checks = Checks::default();
        checks.within("payment", |checks| {
            checks.roubles(Some(&money(0, 0)));
            checks.within("card", |checks| checks.provider_id("x"));
            checks.invalid("destination", "Give one.");
        });
        checks.payment_id("01");
        let shown = format!("{:?}", checks.done().unwrap_err());
        for field in [
            "\"payment.amount\"",
            "\"payment.card.provider_id\"",
            "\"payment.destination\"",
            "\"payment_id\"",
        ] {
            assert!(shown.contains(field), "{field} in {shown}");
        }
    }

    #[test]
    fn payment_ids_have_one_spelling() {
        let longest = "9".repeat(20);
        for (id, good) in [
            ("1", true),
            (longest.as_str(), true),
            ("", false),
            ("0", false),
            ("01", false),
            ("+1", false),
            ("1 ", false),
            ("999999999999999999999", false),
            ("١", false),
        ] {
            let mut checks = Checks::default();
            checks.payment_id(id);
            assert_eq!(checks.done().is_ok(), good, "{id:?}");
        }
    }

    #[test]
    fn provider_ids_are_digits() {
        for (id, good) in [("99", true), ("", false), ("9a", false), (" 99", false), ("-1", false)]
        {
            let mut checks = Checks::default();
            checks.provider_id(id);
            assert_eq!(checks.done().is_ok(), good, "{id:?}");
        }
    }
}
