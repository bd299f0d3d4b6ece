//! Amounts: read from what was sent, written as the samples write them.

use serde_json::Value;

use super::super::money::{exactly, two_places};

/// The longest text of an amount.
const LENGTH_MAX: usize = 20;

/// A positive amount in hundredths; nothing is cut off.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "00"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > LENGTH_MAX || whole.len() > 12 || fraction.len() > 2 {
        return None;
    }
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = format!("{fraction:0<2}").parse::<i64>().ok()?;
    let minor = whole.parse::<i64>().ok()? * 100 + fraction;
    (minor > 0).then_some(minor)
}

/// A JSON number as in the samples: `700`, `4678.50`.
pub(super) fn printed(minor: i64) -> Value {
    if minor % 100 == 0 { Value::from(minor / 100) } else { exactly(&two_places(minor)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn amounts_have_at_most_two_decimals_and_are_positive() {
        for (text, minor) in [("7", 700), ("7.5", 750), ("4678.50", 467_850), ("0.01", 1)] {
            assert_eq!(parse(text), Some(minor), "{text}");
        }
        for wrong in ["", "0", "0.00", "-1", "+1", "1.", ".5", "1.005", "1,5", " 1", "1e2"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse("1234567890123"), None);
        assert_eq!(printed(70_000).to_string(), "700");
        assert_eq!(printed(467_850).to_string(), "4678.50");
    }
}
