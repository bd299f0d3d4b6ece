//! What may be shown of a private value.
//!
//! Two rules, used by logs, error details and the configuration dump: a number that identifies
//! a person shows its last four characters, and free text that QIWI wrote shows no long run of
//! digits. Secrets are not redacted here: their types have no way to print them.

use std::fmt;

/// The most characters of QIWI's free text that leave the gateway.
pub const TEXT_CHARS_MAX: usize = 256;

/// What stands in place of anything hidden.
pub const MASK: &str = "***";

/// A value shorter than this would be half revealed by its last four characters.
const LAST4_CHARS_MIN: usize = 8;

/// A run of this many digits is masked.
const RUN_DIGITS_MIN: usize = 5;

/// Digits in groups, as phones and cards are written, are masked from this many on.
/// Eleven is the shortest phone with a country code; a written date has eight.
const GROUPED_DIGITS_MIN: usize = 11;

/// Shows `***` and the last four characters, or `***` alone when there are fewer than eight.
pub fn last4(text: &str) -> impl fmt::Display + '_ {
    Last4(text)
}

struct Last4<'a>(&'a str);

impl fmt::Display for Last4<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)?;
        if self.0.chars().nth(LAST4_CHARS_MIN - 1).is_none() {
            return Ok(());
        }
        let tail = self.0.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
        f.write_str(self.0.get(tail..).unwrap_or_default())
    }
}

/// Prepares text that QIWI wrote for people: every run of five or more digits becomes `***`,
/// so do phones and cards written in groups, control characters become spaces, and what is
/// left is cut at 256 characters.
#[must_use]
pub fn mask_digits(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_CHARS_MAX));
    let mut room = TEXT_CHARS_MAX;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (piece, after) = if first.is_numeric() {
            let number = leading_number(rest);
            let shown = if number.hidden { MASK } else { number.text };
            (shown, number.rest)
        } else {
            let (head, tail) = rest.split_at(first.len_utf8());
            (if first.is_control() { " " } else { head }, tail)
        };
        for character in piece.chars() {
            if room == 0 {
                return out;
            }
            out.push(character);
            room -= 1;
        }
        rest = after;
    }
    out
}

struct Number<'a> {
    text: &'a str,
    rest: &'a str,
    hidden: bool,
}

/// Splits the number off the front of `text`, which starts with a digit: the whole group of
/// groups when together they are long enough for a phone or a card, else the first run only.
fn leading_number(text: &str) -> Number<'_> {
    let mut digits = 0;
    let mut gap = 0;
    let mut run_end = None;
    let mut run_digits = 0;
    let mut end = 0;
    for (at, character) in text.char_indices() {
        if character.is_numeric() {
            digits += 1;
            gap = 0;
            end = at + character.len_utf8();
        } else {
            if run_end.is_none() {
                run_end = Some(at);
                run_digits = digits;
            }
            gap += 1;
            if gap > 2 || !matches!(character, ' ' | '\u{a0}' | '-' | '(' | ')') {
                break;
            }
        }
    }
    let run_end = run_end.unwrap_or(text.len());
    if run_digits == 0 {
        run_digits = digits;
    }
    let grouped = digits >= GROUPED_DIGITS_MIN;
    let (text, rest) = text.split_at(if grouped { end } else { run_end });
    Number { text, rest, hidden: grouped || run_digits >= RUN_DIGITS_MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_masked(text: &str, expected: &str) {
        assert_eq!(mask_digits(text), expected, "from {text:?}");
    }

    #[test]
    fn only_the_last_four_characters_of_a_long_value_are_shown() {
        for (text, expected) in [
            ("", "***"),
            ("1234567", "***"),
            ("12345678", "***5678"),
            ("79000000001", "***0001"),
            ("ключключ", "***ключ"),
        ] {
            assert_eq!(last4(text).to_string(), expected);
        }
    }

    #[test]
    fn long_runs_of_digits_are_masked_and_short_ones_stay() {
        check_masked("", "");
        check_masked("Код 1234", "Код 1234");
        check_masked("Код 12345", "Код ***");
        check_masked("79000000001", "***");
        check_masked("a12345b123456c12", "a***b***c12");
        check_masked("сумма 100.50 руб", "сумма 100.50 руб");
        check_masked("12345.67890", "***.***");
        check_masked("2019-11-01 в 12:00", "2019-11-01 в 12:00");
        check_masked("1234 12345", "1234 ***");
        check_masked("٠١٢٣٤٥", "***");
    }

    #[test]
    fn phones_and_cards_written_in_groups_are_masked() {
        check_masked("+7 (900) 000-00-01.", "+***.");
        check_masked("карта 4111 1111 1111 1111 не найдена", "карта *** не найдена");
        check_masked("7-900-000-00-01", "***");
    }

    #[test]
    fn control_characters_cannot_break_a_log_line() {
        check_masked("a\nb\u{1b}c", "a b c");
    }

    #[test]
    fn text_is_cut_at_256_characters_and_never_inside_one() {
        let cut = mask_digits(&"ы".repeat(300));
        assert_eq!(cut.chars().count(), 256);
        let cut = mask_digits(&format!("{}1234567", "x".repeat(255)));
        assert_eq!(cut, format!("{}*", "x".repeat(255)));
    }
}
