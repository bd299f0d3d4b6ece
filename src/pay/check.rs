//! What several blocks of QIWI PAY check alike.

use std::ops::RangeInclusive;

use url::Url;

use crate::config::is_loopback;
use crate::money::Number;
use crate::wallet::check::{Checks, is_digits};

/// Digits of a card's number.
const PAN_DIGITS: RangeInclusive<usize> = 13..=19;
/// Digits of a wallet's number.
const WALLET_DIGITS: RangeInclusive<usize> = 10..=15;
/// Digits of a phone number, with the code of the country.
const PHONE_DIGITS: RangeInclusive<usize> = 1..=15;
/// QIWI delivers notifications to this port only.
const HTTPS_PORT: u16 = 443;

/// A text QIWI limits, which may be empty. Control characters are refused: browsers change line ends
/// in the fields of a form, and then its signature is wrong.
pub fn short(checks: &mut Checks, field: &'static str, text: &str, max: usize) {
    if text.chars().count() > max {
        checks.invalid(field, format!("Give at most {max} characters."));
    } else if text.contains(char::is_control) {
        checks.invalid(field, "Give a text without line ends and other control characters.");
    }
}

/// As [`short`], and not blank.
pub fn required(checks: &mut Checks, field: &'static str, text: &str, max: usize) {
    if text.trim().is_empty() {
        checks.invalid(field, format!("Give 1 to {max} characters."));
    } else {
        short(checks, field, text, max);
    }
}

/// A card's number in full.
pub fn pan(checks: &mut Checks, field: &'static str, pan: &str) {
    if !PAN_DIGITS.contains(&pan.len()) || !is_digits(pan) {
        checks.invalid(field, "Give the full card number: 13 to 19 digits without blanks.");
    } else if !has_check_digit(pan) {
        checks.invalid(field, "Give the card number as it is: its check digit is wrong.");
    }
}

/// Whether the last of the digits is the one the others ask for (ISO/IEC 7812-1, annex B).
fn has_check_digit(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .map(|digit| u32::from(digit.saturating_sub(b'0')))
        .enumerate()
        .map(|(place, digit)| match digit * 2 {
            _ if place % 2 == 0 => digit,
            twice if twice > 9 => twice - 9,
            twice => twice,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A phone number, which may be empty, as QIWI writes it: without its plus sign.
pub fn phone<'a>(checks: &mut Checks, field: &'static str, phone: &'a str) -> &'a str {
    let what = "Give the phone number: at most 15 digits, with or without a plus sign.";
    number(checks, field, phone, PHONE_DIGITS, what)
}

/// A wallet's number, which may be empty, as QIWI writes it: without its plus sign.
pub fn wallet<'a>(checks: &mut Checks, field: &'static str, wallet: &'a str) -> &'a str {
    let what = "Give the wallet number: 10 to 15 digits, with or without a plus sign.";
    number(checks, field, wallet, WALLET_DIGITS, what)
}

fn number<'a>(
    checks: &mut Checks,
    field: &'static str,
    text: &'a str,
    length: RangeInclusive<usize>,
    what: &'static str,
) -> &'a str {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !text.is_empty() && (!length.contains(&digits.len()) || !is_digits(digits)) {
        checks.invalid(field, what);
    }
    digits
}

/// A tax number, which may be empty.
pub fn inn(checks: &mut Checks, field: &'static str, inn: &str) {
    if !inn.is_empty() && (!matches!(inn.len(), 10 | 12) || !is_digits(inn)) {
        checks.invalid(field, "Give the tax number: 10 or 12 digits.");
    }
}

/// The token of a card.
pub fn card_token(checks: &mut Checks, field: &'static str, token: &str) {
    let graphic = token.bytes().all(|byte| byte.is_ascii_graphic());
    if !(1..=40).contains(&token.len()) || !graphic {
        checks.invalid(field, "Give the token QIWI answered: at most 40 characters.");
    }
}

/// A decimal number as JSON has it, not negative and without an exponent.
pub fn decimal(text: &str) -> Option<Number<'_>> {
    let whole = text.split('.').next().unwrap_or(text);
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let leads = whole.len() > 1 && whole.starts_with('0');
    if plain && !leads { Number::parse(text) } else { None }
}

/// Who follows an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// QIWI, with a notification.
    Qiwi,
    /// The browser of a customer, to a page.
    Browser,
    /// The browser of a customer, with something that nobody else may see.
    BrowserInPrivate,
}

/// An address, which may be empty. To this machine everything is permitted, for tests.
pub fn address(checks: &mut Checks, field: &'static str, text: &str, max: usize, by: Follows) {
    if text.is_empty() {
        return;
    }
    // The parser forgives blanks and line ends, others need not.
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let url = Url::parse(text).ok().filter(|_| text.len() <= max && !text.contains(odd));
    let web = |url: &Url| {
        let anonymous = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && anonymous
    };
    let Some(url) = url.filter(web) else {
        checks.invalid(field, format!("Give an address of at most {max} characters, encoded."));
        return;
    };
    let here = is_loopback(&url);
    let secure = url.scheme() == "https";
    match by {
        Follows::Qiwi if !here && (!secure || url.port_or_known_default() != Some(HTTPS_PORT)) => {
            checks.invalid(field, "Give an https address on port 443: QIWI delivers to no other.");
        }
        Follows::BrowserInPrivate if !here && !secure => {
            checks.invalid(field, "Give an https address: what is sent there is confidential.");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// What a check finds wrong.
    fn found(check: impl FnOnce(&mut Checks)) -> String {
        let mut checks = Checks::default();
        check(&mut checks);
        checks.done().err().map(|error| format!("{error:?}")).unwrap_or_default()
    }

    #[test]
    fn card_numbers_have_their_check_digit() {
        for good in [
            "4111111111111111",
            "4000000000000002",
            "4222222222222",
            "6304000000000000000",
            "378282246310005",
        ] {
            assert_eq!(found(|checks| pan(checks, "pan", good)), "", "{good}");
        }
        for wrong in [
            "",
            "4",
            "4111111111111112",
            "1411111111111111",
            // Samples of QIWI's documents with a digit too many.
            "41111111111111111",
            "44441111222233333",
            "4111 1111 1111 1111",
            "411111111111111a",
            "41111111111111111111",
            "٤١١١١١١١",
        ] {
            let told = found(|checks| pan(checks, "pan", wrong));
            assert!(told.contains("\"pan\""), "{wrong}");
            assert!(wrong.len() < 4 || !told.contains(wrong), "{told}");
        }
    }

    #[test]
    fn numbers_are_sent_without_their_plus_sign() {
        let mut checks = Checks::default();
        assert_eq!(phone(&mut checks, "phone", "+79166554321"), "79166554321");
        assert_eq!(phone(&mut checks, "phone", "79166554321"), "79166554321");
        assert_eq!(phone(&mut checks, "phone", ""), "");
        assert_eq!(wallet(&mut checks, "wallet", "+79111111111"), "79111111111");
        checks.done().unwrap();
        for wrong in ["+", "8 916", "++7", "+7916655432112345", "7-916"] {
            assert_ne!(found(|checks| _ = phone(checks, "phone", wrong)), "", "{wrong}");
            assert_ne!(found(|checks| _ = wallet(checks, "wallet", wrong)), "", "{wrong}");
        }
        assert_ne!(found(|checks| _ = wallet(checks, "wallet", "791")), "");
    }

    #[test]
    fn texts_are_counted_in_characters_and_have_no_line_ends() {
        assert_eq!(found(|checks| short(checks, "city", &"щ".repeat(64), 64)), "");
        assert_eq!(found(|checks| short(checks, "city", "", 64)), "");
        for wrong in [&*"щ".repeat(65), "a\nb", "a\0", "\r"] {
            assert_ne!(found(|checks| short(checks, "city", wrong, 64)), "", "{wrong:?}");
        }
        assert_ne!(found(|checks| required(checks, "city", " ", 64)), "");
    }

    #[test]
    fn decimals_are_what_json_calls_so() {
        for good in ["0", "1", "0.5", "322.94", "10.00", "12345678901234567890"] {
            assert_eq!(decimal(good).unwrap().as_str(), good);
        }
        for wrong in ["", "-1", "+1", "1.", ".5", "01", "00", "1e3", "1,5", "1.2.3", " 1", "NaN"] {
            assert!(decimal(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn addresses_are_refused_where_nobody_would_follow_them() {
        use Follows::{Browser, BrowserInPrivate, Qiwi};
        for (text, by) in [
            ("https://domain.tld/callback?x=1#y", &[Qiwi, Browser, BrowserInPrivate][..]),
            ("https://domain.tld:443/", &[Qiwi, Browser, BrowserInPrivate]),
            ("https://domain.tld:8443/", &[Browser, BrowserInPrivate]),
            ("http://domain.tld/callback", &[Browser]),
            ("http://127.0.0.1:8080/", &[Qiwi, Browser, BrowserInPrivate]),
            ("http://[::1]:8080/", &[Qiwi, Browser, BrowserInPrivate]),
            ("http://localhost/", &[Qiwi, Browser, BrowserInPrivate]),
            ("http://127.0.0.1.evil.example/", &[Browser]),
            ("javascript:alert(1)", &[]),
            ("https:///x", &[]),
            ("domain.tld", &[]),
            ("https://user:word@domain.tld/", &[]),
            ("https://domain.tld/a b", &[]),
            ("https://domain.tld/\n", &[]),
            ("ftp://domain.tld/", &[]),
        ] {
            for one in [Qiwi, Browser, BrowserInPrivate] {
                let told = found(|checks| address(checks, "url", text, 256, one));
                // `https:///x` is read as `https://x/` by the parser of browsers.
                let good = by.contains(&one) || text == "https:///x";
                assert_eq!(told.is_empty(), good, "{text} {one:?}");
            }
        }
        let long = format!("https://domain.tld/{}", "x".repeat(256));
        assert_ne!(found(|checks| address(checks, "url", &long, 256, Browser)), "");
        assert_eq!(found(|checks| address(checks, "url", "", 256, Qiwi)), "");
    }
}
