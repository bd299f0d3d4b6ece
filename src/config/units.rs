//! Values with a unit or a rule of their own: sizes, percentages, dates and
//! names of variables.

use std::borrow::Cow;
use std::fmt;

use super::value::{Raw, Value};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// A size of `n` KiB.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// A size of `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size in bytes as an index type; saturates where the machine's is smaller.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The size in bytes for the HTTP/2 settings; saturates. Ranges keep those keys below.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.iter().find(|(unit, _)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Value for Size {
    fn expected() -> Cow<'static, str> {
        "a size such as 64KiB or 2MiB, or a number of bytes".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        if let Some(bytes) = raw.integer() {
            return u64::try_from(bytes).ok().map(Self);
        }
        let text = raw.text()?;
        let split = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(split);
        // Powers of ten are not offered: nobody who writes a buffer of 64kB means 64000.
        let unit = match unit.trim().to_ascii_lowercase().as_str() {
            "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.to_string()))
    }
}

/// A share of a whole, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u32);

impl Percent {
    /// The number of hundredths.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// This share of `whole`, rounded down.
    #[must_use]
    pub const fn of(self, whole: usize) -> usize {
        // Divided first where the product could overflow.
        match whole.checked_mul(self.0 as usize) {
            Some(product) => product / 100,
            None => whole / 100 * self.0 as usize,
        }
    }

    /// This share of a duration.
    #[must_use]
    pub fn of_duration(self, whole: std::time::Duration) -> std::time::Duration {
        whole / 100 * self.0
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Value for Percent {
    fn expected() -> Cow<'static, str> {
        "a percentage from 0 to 100".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        let number = match raw {
            Raw::Text(text) => text.trim().trim_end_matches('%').trim_end().parse().ok()?,
            other => other.integer()?,
        };
        let number = u32::try_from(number).ok()?;
        (number <= 100).then_some(Self(number))
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Integer(i64::from(self.0)))
    }
}

/// When a credential is expected to expire: a day, taken as its first moment in Moscow so that a
/// warning comes early rather than late, or a full timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(pub jiff::Timestamp);

impl Value for Expiry {
    fn expected() -> Cow<'static, str> {
        "a date such as 2026-03-31, or a timestamp such as 2026-03-31T12:00:00+03:00".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(Self(time));
        }
        // A date with a time but no offset would silently lose the time.
        if text.len() != "2026-03-31".len() {
            return None;
        }
        let day: jiff::civil::Date = text.parse().ok()?;
        let moscow = jiff::tz::offset(3);
        moscow.to_timestamp(day.at(0, 0, 0, 0)).ok().map(Self)
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.0.to_string()))
    }
}

/// The name of the environment variable that holds a secret. Upper case only: then a secret
/// given in place of its variable is noticed, and not printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable(pub String);

impl Value for Variable {
    fn expected() -> Cow<'static, str> {
        "the name of an environment variable, of A-Z, 0-9 and _, the first a letter".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        let good = text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        good.then(|| Self(text.to_owned()))
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.0.clone()))
    }

    fn found(raw: &Raw) -> String {
        format!("text of {} characters", raw.plain().chars().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.to_owned())
    }

    #[test]
    fn sizes_are_bytes_or_powers_of_two() {
        for (written, expected) in [
            (text("64KiB"), Some(64 * 1024)),
            (text("2 MiB"), Some(2 * 1024 * 1024)),
            (text("1gib"), Some(1 << 30)),
            (text("100"), Some(100)),
            (text("100B"), Some(100)),
            (Raw::Integer(100), Some(100)),
            (Raw::Integer(-1), None),
            (text("64kB"), None),
            (text("KiB"), None),
            (text("18446744073709551615GiB"), None),
            (text(""), None),
        ] {
            assert_eq!(Size::read(&written).map(Size::get), expected, "{written:?}");
        }
        for (size, shown) in [(0, "0B"), (1000, "1000B"), (65_536, "64KiB"), (1 << 21, "2MiB")] {
            assert_eq!(Size(size).to_string(), shown);
        }
    }

    #[test]
    fn percentages_stay_within_the_whole() {
        for (written, expected) in [
            (Raw::Integer(0), Some(0)),
            (Raw::Integer(100), Some(100)),
            (Raw::Integer(101), None),
            (Raw::Integer(-1), None),
            (text("20%"), Some(20)),
            (text("20"), Some(20)),
            (text("fifth"), None),
        ] {
            assert_eq!(Percent::read(&written).map(Percent::get), expected, "{written:?}");
        }
        assert_eq!(Percent(20).of(512), 102);
        assert_eq!(Percent(50).of(usize::MAX), usize::MAX / 100 * 50);
    }

    #[test]
    fn a_plain_date_is_the_start_of_that_day_in_moscow() {
        for (written, expected) in [
            ("2026-03-31", Some("2026-03-30T21:00:00Z")),
            ("2026-03-31T12:00:00+03:00", Some("2026-03-31T09:00:00Z")),
            ("2026-03-31T12:00:00", None),
            ("next spring", None),
        ] {
            let read = Expiry::read(&text(written)).map(|expiry| expiry.0.to_string());
            assert_eq!(read.as_deref(), expected, "{written}");
        }
    }
}
