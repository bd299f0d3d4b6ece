//! JSON text written by hand into a byte buffer.
//!
//! Only what a log line needs: strings, numbers and booleans, no trees. Values
//! come from `tracing` fields, which may be anything that implements `Debug`,
//! so text is escaped while it is being formatted and cut at a bound.

use std::fmt;

/// Longest value of one field, in bytes before escaping.
pub const VALUE_BYTES_MAX: usize = 8 * 1024;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `text` with its quotes.
pub fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut escaper = Escaper::new(out);
    escaper.append(text);
    out.push(b'"');
}

/// Appends what `value` prints, with quotes.
pub fn display(out: &mut Vec<u8>, value: fmt::Arguments<'_>) {
    out.push(b'"');
    let mut escaper = Escaper::new(out);
    // A formatter that fails has written what it could; the line stays valid.
    let _ = fmt::Write::write_fmt(&mut escaper, value);
    out.push(b'"');
}

/// Appends an integer.
pub fn integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a number, or `null` for one that JSON cannot say.
pub fn float(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    // Rust prints finite floats without exponent, which is valid JSON.
    let mut escaper = Escaper::new(out);
    let _ = fmt::Write::write_fmt(&mut escaper, format_args!("{value}"));
}

/// Appends a boolean.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

struct Escaper<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl<'a> Escaper<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, left: VALUE_BYTES_MAX }
    }

    fn append(&mut self, text: &str) {
        if text.len() <= self.left {
            self.left -= text.len();
            escape(self.out, text);
        } else if self.left > 0 {
            let cut = (0..=self.left).rev().find(|at| text.is_char_boundary(*at));
            let (fitting, _) = text.split_at(cut.unwrap_or(0));
            self.left = 0;
            escape(self.out, fitting);
            self.out.extend_from_slice("…".as_bytes());
        }
    }
}

impl fmt::Write for Escaper<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.append(text);
        Ok(())
    }
}

fn escape(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    while let Some(at) = first_special(rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else {
            return;
        };
        match letter(*byte) {
            b'u' => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX.get(usize::from(byte >> 4)).copied().unwrap_or(b'0'));
                out.push(HEX.get(usize::from(byte & 15)).copied().unwrap_or(b'0'));
            }
            letter => out.extend_from_slice(&[b'\\', letter]),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

/// Where the first byte stands that needs an escape. Nearly no text has one, so
/// whole blocks are cleared at once; the compiler makes that one vector compare.
fn first_special(text: &[u8]) -> Option<usize> {
    let (blocks, _) = text.as_chunks::<16>();
    let clear = |block: &[u8; 16]| {
        !block.iter().fold(false, |any, &b| any | (b < 0x20) | (b == b'"') | (b == b'\\'))
    };
    let skip = blocks.iter().take_while(|block| clear(block)).count() * 16;
    let (_, tail) = text.split_at_checked(skip)?;
    tail.iter().position(|byte| letter(*byte) != 0).map(|at| skip + at)
}

/// What follows the backslash: 0 for a byte that stands for itself, `u` for
/// `\u00XX`.
fn letter(byte: u8) -> u8 {
    match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0..0x20 => b'u',
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> String {
        let mut out = Vec::new();
        string(&mut out, text);
        serde_json::from_slice(&out).expect("valid JSON")
    }

    #[test]
    fn every_control_character_survives() {
        let all: String = (0..=0x7f_u8).map(char::from).chain("é\u{2028}рубль😀".chars()).collect();
        assert_eq!(parsed(&all), all);
    }

    proptest! {
        #[test]
        fn any_text_survives(text in ".*") {
            prop_assert_eq!(parsed(&text), text);
        }

        #[test]
        fn any_finite_number_survives(value in proptest::num::f64::NORMAL) {
            let mut out = Vec::new();
            float(&mut out, value);
            let text = String::from_utf8(out).expect("ASCII");
            prop_assert_eq!(text.parse::<f64>().expect("a number"), value);
        }
    }

    #[test]
    fn a_long_value_is_cut_between_characters() {
        let cut = parsed(&"я".repeat(VALUE_BYTES_MAX));
        assert_eq!(cut.chars().count(), VALUE_BYTES_MAX / 2 + 1);
        assert!(cut.ends_with('…'));
        let mut out = Vec::new();
        let half = "a".repeat(VALUE_BYTES_MAX / 2 + 1);
        display(&mut out, format_args!("{half}{half}{half}"));
        let text: String = serde_json::from_slice(&out).expect("valid JSON");
        assert_eq!(text.len(), VALUE_BYTES_MAX + "…".len());
    }

    #[test]
    fn what_json_cannot_say_is_null() {
        let mut out = Vec::new();
        float(&mut out, f64::NAN);
        assert_eq!(out, b"null");
    }
}
