//! How one value is read from text or TOML and written back.
//!
//! Sections say which type a key has; this file and its neighbour `units` say what may
//! be written for that type. Ranges are the row's business, see `section`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};

/// A value as it was found, before anyone knew its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// Any environment variable, or a TOML string or date.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float. Chart tooling writes whole numbers so, hence integers accept `512.0`.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// A TOML value no key takes; holds what it is, for the message.
    Other(&'static str),
}

impl Raw {
    /// The value in TOML's notation; what the dump writes.
    #[must_use]
    pub fn toml(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Boolean(value) => value.to_string(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Raw::toml).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    /// The value without quotes; what a list of keys shows as the default.
    #[must_use]
    pub fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Raw::plain).collect();
                items.join(",")
            }
            other => other.toml(),
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.trim()),
            _ => None,
        }
    }

    /// The whole number this is, however it was written.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            // Above 2^53 a float no longer says which integer was meant.
            #[expect(clippy::cast_possible_truncation, reason = "bounded by 2^53 and whole")]
            Self::Float(value) if value.fract() == 0.0 && value.abs() <= 9.0e15 => {
                Some(*value as i64)
            }
            Self::Text(text) => text.trim().replace('_', "").parse().ok(),
            _ => None,
        }
    }

    /// Whether it is empty text, which in the environment is the way to say "none".
    #[must_use]
    pub fn is_empty_text(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A type a configuration key may have.
pub trait Value: Sized {
    /// Whether a section without this key is a mistake.
    const REQUIRED: bool = false;

    /// What is expected, as the end of "expected …".
    fn expected() -> Cow<'static, str>;

    /// Reads the value; `None` when it is not what [`expected`](Self::expected) says.
    fn read(raw: &Raw) -> Option<Self>;

    /// Writes the value so that [`read`](Self::read) reads it again, except where a person's
    /// number or a password is hidden. `None` means that the key is absent.
    fn write(&self) -> Option<Raw>;

    /// Shows what was found in a message. A type that may hold a secret hides it here.
    fn found(raw: &Raw) -> String {
        const CHARS_MAX: usize = 60;
        let shown = raw.toml();
        match shown.char_indices().nth(CHARS_MAX) {
            Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
            None => shown,
        }
    }
}

impl<T: Value> Value for Option<T> {
    fn expected() -> Cow<'static, str> {
        T::expected()
    }

    fn read(raw: &Raw) -> Option<Self> {
        if raw.is_empty_text() {
            return Some(None);
        }
        T::read(raw).map(Some)
    }

    fn write(&self) -> Option<Raw> {
        self.as_ref().and_then(T::write)
    }

    fn found(raw: &Raw) -> String {
        T::found(raw)
    }
}

impl Value for bool {
    fn expected() -> Cow<'static, str> {
        "true or false".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::Boolean(value) => Some(*value),
            Raw::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Boolean(*self))
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn expected() -> Cow<'static, str> {
                "a whole number".into()
            }

            fn read(raw: &Raw) -> Option<Self> {
                raw.integer()?.try_into().ok()
            }

            fn write(&self) -> Option<Raw> {
                Some(i64::try_from(*self).map_or_else(|_| Raw::Text(self.to_string()), Raw::Integer))
            }
        }
    )*};
}

integers!(u32, usize);

impl Value for Duration {
    fn expected() -> Cow<'static, str> {
        "a duration with its unit, such as 250ms, 5s, 1m30s or 72h".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        SpanParser::new().parse_unsigned_duration(text).ok()
    }

    fn write(&self) -> Option<Raw> {
        let printer = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);
        Some(Raw::Text(printer.unsigned_duration_to_string(self)))
    }
}

impl Value for SocketAddr {
    fn expected() -> Cow<'static, str> {
        "an address and port, such as 127.0.0.1:50051 or [::1]:50051; port 0 is any free one".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        raw.text()?.parse().ok()
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.to_string()))
    }
}

impl Value for PathBuf {
    fn expected() -> Cow<'static, str> {
        "a path".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty()).map(Self::from)
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.display().to_string()))
    }
}

impl Value for String {
    fn expected() -> Cow<'static, str> {
        "text".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty()).map(Self::from)
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.clone()))
    }
}

/// A list: a TOML array, or text with commas, which is how the environment writes one.
impl<T: Value> Value for Vec<T> {
    fn expected() -> Cow<'static, str> {
        format!("a list (comma separated in the environment) of {}", T::expected()).into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        match raw {
            Raw::List(items) => items.iter().map(T::read).collect(),
            Raw::Text(text) => text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| T::read(&Raw::Text(item.to_owned())))
                .collect(),
            _ => None,
        }
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::List(self.iter().filter_map(T::write).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.to_owned())
    }

    #[test]
    fn durations_need_a_unit_and_write_back_what_they_read() {
        let ms = Duration::from_millis;
        for (written, expected, back) in [
            ("250ms", Some(ms(250)), "250ms"),
            ("5s", Some(ms(5_000)), "5s"),
            ("1m30s", Some(ms(90_000)), "1m30s"),
            ("90s", Some(ms(90_000)), "1m30s"),
            ("1m 30s", Some(ms(90_000)), "1m30s"),
            ("72h", Some(ms(72 * 3_600_000)), "72h"),
            ("0s", Some(ms(0)), "0s"),
            ("5", None, ""),
            ("", None, ""),
            ("-5s", None, ""),
            ("5s ago", None, ""),
            ("soon", None, ""),
            ("1d", None, ""),
        ] {
            let read = Duration::read(&text(written));
            assert_eq!(read, expected, "{written}");
            if let Some(read) = read {
                assert_eq!(read.write(), Some(text(back)), "{written}");
            }
        }
        assert_eq!(Duration::read(&Raw::Integer(5)), None);
    }

    #[test]
    fn whole_numbers_are_read_however_they_were_written() {
        assert_eq!(u32::read(&Raw::Integer(512)), Some(512));
        assert_eq!(u32::read(&Raw::Float(512.0)), Some(512));
        assert_eq!(u32::read(&text("10_000")), Some(10_000));
        for wrong in [
            Raw::Integer(-1),
            Raw::Float(0.5),
            Raw::Float(f64::NAN),
            text("many"),
            Raw::Boolean(true),
        ] {
            assert_eq!(u32::read(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn lists_are_arrays_or_comma_separated_text() {
        let expected = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(Vec::<String>::read(&text("a, b,")), expected);
        assert_eq!(Vec::<String>::read(&Raw::List(vec![text("a"), text("b")])), expected);
        assert_eq!(Vec::<String>::read(&text("")), Some(vec![]));
        assert_eq!(Vec::<String>::read(&Raw::List(vec![Raw::Integer(1)])), None);
    }

    #[test]
    fn empty_text_means_none_for_an_optional_key() {
        assert_eq!(Option::<PathBuf>::read(&text("")), Some(None));
        assert_eq!(PathBuf::read(&text("")), None);
    }

    #[test]
    fn what_was_found_is_cut_and_stays_on_one_line() {
        let shown = String::found(&text(&format!("a\n{}", "ы".repeat(100))));
        assert!(shown.starts_with("\"a\\u000A"), "{shown}");
        assert_eq!(shown.chars().count(), 61);
    }
}
