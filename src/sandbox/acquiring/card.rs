//! What an operation is paid with: a card, the token of one, or the token of a phone's wallet.
//!
//! A card's number and code are looked at and forgotten; what stays is the masked number and a
//! digest by which the same card is known again.

use jiff::civil::Date;
use serde_json::Value;

use super::super::moment::{self, DAY};
use super::checks::Checks;
use super::fields::Fields;
use super::packed;
use super::refusal::Refused;
use super::settings::MerchantSite;

/// A card without what opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Card {
    /// `411111******1111`.
    pub(super) masked: String,
    digest: [u8; 32],
    pub(super) expires: Option<Expiry>,
}

/// Month and year of the last month in which a card is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    pub(super) month: i8,
    year: i16,
}

impl Expiry {
    /// `MMYY`.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<i16>().ok().filter(|_| digits)?;
        let month = i8::try_from(number / 100).ok()?;
        (1..=12).contains(&month).then_some(Self { month, year: 2000 + number % 100 })
    }

    /// The last day.
    fn last_day(self) -> Option<Date> {
        Some(Date::new(self.year, self.month, 1).ok()?.last_of_month())
    }

    pub(super) fn is_over(self, now: i64) -> bool {
        self.last_day().is_none_or(|last| last < moment::moscow_date(now))
    }

    /// The end of its last day in Moscow, in Unix seconds.
    pub(super) fn end(self) -> Option<i64> {
        let midnight = self.last_day()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(midnight.timestamp().as_second() + DAY - 3 * 3_600)
    }
}

impl Card {
    fn new(number: &str, expires: Option<Expiry>) -> Self {
        let mut digest = [0; 32];
        let made = ring::digest::digest(&ring::digest::SHA256, number.as_bytes());
        digest.iter_mut().zip(made.as_ref()).for_each(|(to, from)| *to = *from);
        Self { masked: masked(number), digest, expires }
    }

    /// Whether it is the same piece of plastic.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// The first six digits and the last four.
pub(super) fn masked(number: &str) -> String {
    let digits: Vec<char> = number.chars().collect();
    match (digits.get(..6), digits.get(digits.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) if digits.len() >= 13 => {
            let stars = std::iter::repeat_n(&'*', digits.len() - 10);
            first.iter().chain(stars).chain(last).collect()
        }
        _ => "*".repeat(digits.len()),
    }
}

/// What was sent to pay with.
#[derive(Debug, Clone)]
pub(super) enum Instrument {
    Card(Card),
    /// The token of a card that has paid before.
    Token(String),
    /// A phone's wallet; whether its token proves who the holder is.
    Phone {
        card: Card,
        authenticated: bool,
    },
}

impl Instrument {
    /// Of a purchase: exactly one of the four.
    pub(super) fn of_purchase(
        fields: &Fields,
        site: &MerchantSite,
        now: i64,
        checks: &mut Checks,
    ) -> Option<Self> {
        let names = [
            "pan",
            "card_token",
            "apple_pay_encoded_payment_token",
            "google_pay_encoded_payment_token",
        ];
        let mut sent = names.into_iter().filter(|name| fields.text(name).is_some());
        let (one, more) = (sent.next(), sent.next());
        match (one, more) {
            (Some("pan"), None) => {
                let card = card(fields, now, checks);
                checks.required(fields, "cvv2");
                code(fields, site, checks);
                Some(Self::Card(card?))
            }
            (Some("card_token"), None) => {
                if site.token_needs_code {
                    checks.required(fields, "cvv2");
                }
                code(fields, site, checks);
                fields.text("card_token").map(Self::Token)
            }
            (Some(phone), None) => {
                let text = fields.text(phone).unwrap_or_default();
                match unpacked(&text, phone.starts_with("apple")) {
                    Ok(authenticated) => {
                        // Which card is behind it, only the issuer can read.
                        let card = Card::new("4000000000000002", None);
                        Some(Self::Phone { card, authenticated })
                    }
                    Err(message) => {
                        checks.complain(phone, message);
                        None
                    }
                }
            }
            (None, _) => {
                checks.complain("pan", "[pan] is required");
                None
            }
            (Some(_), Some(more)) => {
                checks.complain(more, "only one means of payment can be used");
                None
            }
        }
    }

    /// Of a payout: a card's number alone, or a token.
    pub(super) fn of_payout(fields: &Fields, checks: &mut Checks) -> Option<Self> {
        match (fields.text("pan"), fields.text("card_token")) {
            (Some(number), None) => {
                let right = is_number("pan", &number, checks);
                right.then(|| Self::Card(Card::new(&number, None)))
            }
            (None, Some(token)) => Some(Self::Token(token)),
            (Some(_), Some(_)) => {
                checks.complain("card_token", "only one means of payment can be used");
                None
            }
            (None, None) => {
                checks.complain("pan", "[pan] is required");
                None
            }
        }
    }
}

/// Number and expiry.
fn card(fields: &Fields, now: i64, checks: &mut Checks) -> Option<Card> {
    let number = fields.text("pan")?;
    let right = is_number("pan", &number, checks);
    let expiry = checks.required(fields, "expiry")?;
    let Some(expiry) = Expiry::parse(&expiry) else {
        checks.complain("expiry", "[expiry] must be MMYY");
        return None;
    };
    if expiry.is_over(now) {
        checks.complain("expiry", "card expired");
    }
    right.then(|| Card::new(&number, Some(expiry)))
}

fn is_number(name: &str, number: &str, checks: &mut Checks) -> bool {
    checks.length(name, number, 13, 19);
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        checks.complain(name, format!("[{name}] must be digits only"));
    }
    digits
}

/// The code on the back, if it is there.
fn code(fields: &Fields, site: &MerchantSite, checks: &mut Checks) {
    if let Some(code) = fields.text("cvv2") {
        let max = if site.test_mode { 3 } else { 4 };
        checks.length("cvv2", &code, 3, max);
        if !code.bytes().all(|byte| byte.is_ascii_digit()) {
            checks.complain("cvv2", "[cvv2] must be digits only");
        }
    }
}

/// 8006 for a number that no card has.
pub(super) fn supported(fields: &Fields) -> Result<(), Refused> {
    let right = fields.text("pan").is_none_or(|number| luhn(&number));
    if right { Ok(()) } else { Err(Refused::new(8006)) }
}

/// The check digit.
fn luhn(number: &str) -> bool {
    let digits = number.chars().rev().filter_map(|digit| digit.to_digit(10)).enumerate();
    let sum: u32 = digits
        .map(|(place, digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, double @ 10..) => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether a phone's token, as it must be packed, proves who the holder is. Apple's always does,
/// Google's when it has a cryptogram in it.
fn unpacked(text: &str, apple: bool) -> Result<bool, String> {
    let token = packed::json(text)?;
    let object = token.as_object().ok_or("the token must be a JSON object")?;
    if apple {
        let data = object.get("paymentData").is_some_and(Value::is_object);
        return if data { Ok(true) } else { Err("the token has no paymentData".to_owned()) };
    }
    Ok(token.to_string().contains("cryptogram") || token.to_string().contains("CRYPTOGRAM_3DS"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn the_check_digit_tells_numbers_apart() {
        for right in ["4111111111111111", "4000000000000002"] {
            assert!(luhn(right), "{right}");
        }
        for wrong in ["41111111111111111", "44441111222233333", "4111111111111112"] {
            assert!(!luhn(wrong), "{wrong}");
        }
    }

    #[test]
    fn masks_leave_six_and_four_digits() {
        assert_eq!(masked("4111111111111111"), "411111******1111");
        assert_eq!(masked("4111111111111"), "411111***1111");
        assert_eq!(masked("41111"), "*****");
    }

    #[test]
    fn cards_are_good_until_their_last_month_ends_in_moscow() {
        let expiry = Expiry::parse("0218").unwrap();
        // 2018-02-28T20:59:59Z and a second later.
        assert!(!expiry.is_over(1_519_851_599));
        assert!(expiry.is_over(1_519_851_600));
        assert_eq!(expiry.end(), Some(1_519_851_600));
        for wrong in ["1318", "0018", "218", "02018", "0x18", ""] {
            assert_eq!(Expiry::parse(wrong), None, "{wrong}");
        }
    }
}
