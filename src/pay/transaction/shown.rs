//! What may be shown of a card.

use percent_encoding::percent_decode_str;

/// What a hidden digit becomes.
const HIDDEN: char = '*';
/// The shortest card number.
const PAN_MIN: usize = 13;
/// The longest one; whatever is longer is none.
const PAN_MAX: usize = 19;
/// Digits shown at the beginning, and at the end.
const SHOWN: (usize, usize) = (6, 4);

/// A card number as it may be shown: QIWI masks it, and what should have been masked beyond the
/// first six and the last four digits is hidden here. Of a text of another length than a card
/// number's only the last four digits are kept.
#[must_use]
pub fn masked_pan(raw: &str) -> String {
    let places: Vec<char> = raw
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| if c.is_ascii_digit() { c } else { HIDDEN })
        .take(PAN_MAX + 1)
        .collect();
    let length = places.len();
    if length > PAN_MAX {
        return HIDDEN.to_string().repeat(PAN_MAX);
    }
    let (first, last) = SHOWN;
    let first = if length < PAN_MIN { 0 } else { first };
    let shown = |at: usize| at < first || at + last >= length;
    places.iter().enumerate().map(|(at, c)| if shown(at) { *c } else { HIDDEN }).collect()
}

/// The name of a card's holder. Notifications write it as forms do, `cardholder+name`; what is no
/// such text stays as it is.
#[must_use]
pub fn holder_name(raw: &str) -> String {
    let spaced = raw.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok();
    match decoded {
        Some(name) if !name.chars().any(char::is_control) => name.into_owned(),
        _ => raw.to_owned(),
    }
}
