//! RFC 3339 timestamps for log lines.
//!
//! Formatting a date costs more than the rest of a line, so the part up to the
//! second is kept per thread and only the microseconds are written each time.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

/// `2024-02-29T12:34:56`.
type Second = [u8; 19];

thread_local! {
    static LAST: Cell<(u64, Second)> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

/// Appends the present moment as `2024-02-29T12:34:56.000001Z`.
pub fn now(out: &mut Vec<u8>) {
    // A clock before 1970 is shown as 1970; a log line is not the place to fail.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    append(out, since.as_secs(), since.subsec_micros());
}

fn append(out: &mut Vec<u8>, seconds: u64, micros: u32) {
    let (last, mut text) = LAST.get();
    if last != seconds {
        text = second(seconds);
        LAST.set((seconds, text));
    }
    out.extend_from_slice(&text);
    let mut fraction = *b".000000Z";
    let mut left = micros;
    for digit in fraction.iter_mut().skip(1).take(6).rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    out.extend_from_slice(&fraction);
}

fn second(seconds: u64) -> Second {
    let of_day = seconds % 86_400;
    // Civil date from a day count: years begin in March so that the leap day is
    // the last one, and 400 years (an era) have 146,097 days.
    let days = seconds / 86_400 + 719_468;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = days / 146_097 * 400 + year_of_era + u64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00";
    put(&mut text, 0, 4, year);
    put(&mut text, 5, 2, month);
    put(&mut text, 8, 2, day);
    put(&mut text, 11, 2, of_day / 3_600);
    put(&mut text, 14, 2, of_day / 60 % 60);
    put(&mut text, 17, 2, of_day % 60);
    text
}

fn put(text: &mut Second, at: usize, width: usize, value: u64) {
    let mut left = value;
    for digit in text.iter_mut().skip(at).take(width).rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(seconds: u64, micros: u32) -> String {
        let mut out = Vec::new();
        append(&mut out, seconds, micros);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn known_moments() {
        assert_eq!(text(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(text(1_709_210_096, 7), "2024-02-29T12:34:56.000007Z");
        assert_eq!(text(4_102_444_799, 999_999), "2099-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn agrees_with_a_calendar_library(seconds in 0_i64..200_000_000_000, micros in 0_i32..1_000_000) {
            let expected = jiff::Timestamp::new(seconds, micros * 1_000).expect("in range");
            let ours: jiff::Timestamp = text(seconds as u64, micros as u32).parse().expect("RFC 3339");
            prop_assert_eq!(ours, expected);
        }
    }
}
