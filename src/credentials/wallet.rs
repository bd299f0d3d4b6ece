//! A wallet's number, which is its owner's phone.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::config::value::{Raw, Value};
use crate::redact::last4;

/// A wallet's number: 10 to 15 digits without `+`. Printing it shows the last four only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wallet(Arc<str>);

impl Wallet {
    /// Reads a number with or without `+`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let good = (10..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        good.then(|| Self(digits.into()))
    }

    /// The digits, for requests to QIWI and store keys. Not for logs.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        last4(&self.0).fmt(f)
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({self})")
    }
}

impl Value for Wallet {
    fn expected() -> Cow<'static, str> {
        "10 to 15 digits, with or without a leading +".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        match raw {
            // Written without quotes it is a TOML integer.
            Raw::Integer(number) => Self::parse(&number.to_string()),
            other => Self::parse(other.text()?),
        }
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.to_string()))
    }

    fn found(raw: &Raw) -> String {
        let text = raw.plain();
        format!("\"{}\" of {} characters", last4(&text), text.chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_plus_and_printed_masked() {
        for (text, expected) in [
            ("79000000001", Some("79000000001")),
            ("+79000000001", Some("79000000001")),
            ("9000000001", Some("9000000001")),
            ("123456789", None),
            ("1234567890123456", None),
            ("++79000000001", None),
            ("7900000000x", None),
            ("", None),
        ] {
            assert_eq!(Wallet::parse(text).as_ref().map(Wallet::digits), expected, "{text}");
        }
        let wallet = Wallet::parse("79000000001").expect("a good number");
        assert_eq!(format!("{wallet} {wallet:?}"), "***0001 Wallet(***0001)");
    }
}
