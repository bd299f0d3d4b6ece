//! The text a webhook's signature is made of.

use crate::notification::Refusal;
use crate::notification::json::Object;

/// A longer list is none of QIWI's.
const FIELDS_MAX: usize = 32;

/// The values of the signed fields, joined.
#[derive(Debug)]
pub(super) struct SignedText {
    as_written: String,
    /// The same with amounts without trailing zeros, where that makes a difference: QIWI's
    /// examples do not show how it turns an amount like `1.00` into text.
    shortened: Option<String>,
    /// Whether a value holds the separator.
    pub(super) has_separator: bool,
}

impl SignedText {
    /// Joins what the list names.
    pub(super) fn of(payment: &Object<'_>, list: &str) -> Result<Self, Refusal> {
        let mut as_written = String::new();
        let mut shortened = String::new();
        let mut has_separator = false;
        for (place, field) in list.split(',').enumerate() {
            if place == FIELDS_MAX {
                return Err(Refusal::SignFieldsUnresolved);
            }
            if place > 0 {
                as_written.push('|');
                shortened.push('|');
            }
            let value = payment.at(field).ok_or(Refusal::SignFieldsUnresolved)?;
            has_separator |= value.text.contains('|');
            as_written.push_str(&value.text);
            let is_amount = field == "amount" || field.ends_with(".amount");
            shortened.push_str(if is_amount { short(&value.text) } else { &value.text });
        }
        let shortened = (shortened != as_written).then_some(shortened);
        Ok(Self { as_written, shortened, has_separator })
    }

    /// The texts QIWI may have signed, the likelier first.
    pub(super) fn variants(&self) -> impl Iterator<Item = &str> {
        [Some(&*self.as_written), self.shortened.as_deref()].into_iter().flatten()
    }
}

/// A plain decimal number without the zeros at its end: the same value.
fn short(number: &str) -> &str {
    let plain = number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'));
    if !plain || !number.contains('.') {
        return number;
    }
    let kept = number.trim_end_matches('0');
    kept.strip_suffix('.').unwrap_or(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_go_where_they_mean_nothing() {
        for (long, kept) in [
            ("1.00", "1"),
            ("1.50", "1.5"),
            ("100", "100"),
            ("0.0", "0"),
            ("1.00e2", "1.00e2"),
            ("-2.10", "-2.1"),
            ("x.0", "x.0"),
        ] {
            assert_eq!(short(long), kept);
        }
    }
}
