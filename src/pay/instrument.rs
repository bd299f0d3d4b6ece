//! What is paid with: cards, their tokens, Apple Pay and Google Pay, as
//! `proto/qiwi/pay/v1/instrument.proto` has them (catalogue P-API-1, P-EXT-1, P-EXT-6, P-EXT-7).
//!
//! All of it is secret: nothing here repeats a value in an error, and [`pb::PaymentInstrument::wipe`]
//! overwrites the request's own copy.

use serde::de::IgnoredAny;
use zeroize::{Zeroize as _, Zeroizing};

use crate::pb::pay::v1 as pb;
use crate::pb::pay::v1::mobile_wallet_token::Form;
use crate::pb::pay::v1::payment_instrument::Instrument;
use crate::wallet::check::{Checks, is_digits};

use super::params::Params;
use super::{Place, check, zlib};

const HOLDER_MAX: usize = 64;
/// QIWI writes the year with two digits.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2099;

impl pb::PaymentInstrument {
    /// Checks the instrument and adds it. A payout has no expiry and no verification code.
    pub fn add(&self, checks: &mut Checks, params: &mut Params, place: Place) {
        let payout = place == Place::Payout;
        match &self.instrument {
            None => {
                let what = match payout {
                    true => "Give a card or the token of one.",
                    false => "Give a card, the token of one, Apple Pay or Google Pay.",
                };
                checks.invalid("instrument", what);
            }
            Some(Instrument::Card(card)) => checks.within("card", |checks| {
                card.add(checks, params, payout);
            }),
            Some(Instrument::CardToken(token)) => checks.within("card_token", |checks| {
                token.add(checks, params, payout);
            }),
            Some(Instrument::ApplePay(_)) if payout => {
                checks.invalid("apple_pay", "Give a card or the token of one: payouts take these.");
            }
            Some(Instrument::GooglePay(_)) if payout => {
                checks
                    .invalid("google_pay", "Give a card or the token of one: payouts take these.");
            }
            Some(Instrument::ApplePay(token)) => checks.within("apple_pay", |checks| {
                token.add(checks, params, "apple_pay_encoded_payment_token");
            }),
            Some(Instrument::GooglePay(token)) => checks.within("google_pay", |checks| {
                token.add(checks, params, "google_pay_encoded_payment_token");
            }),
        }
    }

    /// Overwrites everything secret in the message.
    pub fn wipe(&mut self) {
        match &mut self.instrument {
            Some(Instrument::Card(card)) => {
                card.pan.zeroize();
                card.cvv2.zeroize();
                card.holder_name.zeroize();
                card.expiry_month.zeroize();
                card.expiry_year.zeroize();
            }
            Some(Instrument::CardToken(token)) => {
                token.token.zeroize();
                token.cvv2.zeroize();
                token.holder_name.zeroize();
            }
            Some(Instrument::ApplePay(token) | Instrument::GooglePay(token)) => {
                if let Some(Form::Json(text) | Form::Encoded(text)) = &mut token.form {
                    text.zeroize();
                }
            }
            None => {}
        }
    }
}

impl pb::BankCard {
    fn add(&self, checks: &mut Checks, params: &mut Params, payout: bool) {
        check::pan(checks, "pan", &self.pan);
        params.text("pan", &self.pan);
        if payout {
            if self.expiry_month != 0 || self.expiry_year != 0 {
                checks.invalid("expiry_month", "Leave out the expiry: payouts have none.");
            }
        } else {
            if !(1..=12).contains(&self.expiry_month) {
                checks.invalid("expiry_month", "Give the month, 1 to 12.");
            }
            if !YEARS.contains(&self.expiry_year) {
                checks.invalid("expiry_year", "Give the year with four digits.");
            }
            let expiry =
                Zeroizing::new(format!("{:02}{:02}", self.expiry_month, self.expiry_year % 100));
            params.text("expiry", &expiry);
        }
        code(checks, params, &self.cvv2, payout);
        holder(checks, params, &self.holder_name);
    }
}

impl pb::CardToken {
    fn add(&self, checks: &mut Checks, params: &mut Params, payout: bool) {
        check::card_token(checks, "token", &self.token);
        params.text("card_token", &self.token);
        code(checks, params, &self.cvv2, payout);
        holder(checks, params, &self.holder_name);
    }
}

impl pb::MobileWalletToken {
    fn add(&self, checks: &mut Checks, params: &mut Params, name: &'static str) {
        match &self.form {
            Some(Form::Json(json)) if json.len() <= zlib::PLAIN_MAX && is_object(json) => {
                params.encoded(name, zlib::encode(json), Zeroizing::new(json.clone()));
            }
            Some(Form::Json(_)) => {
                checks.invalid("json", "Give the token as the wallet made it: a JSON object.");
            }
            Some(Form::Encoded(text)) => match zlib::decode(text).filter(|json| is_object(json)) {
                Some(json) => {
                    params.encoded(name, Zeroizing::new(text.clone()), json);
                }
                None => checks.invalid(
                    "encoded",
                    "Give the JSON object of the wallet compressed with zlib and in Base64.",
                ),
            },
            None => checks.invalid("form", "Give the token, as JSON or encoded."),
        }
    }
}

/// The verification code, which the settings of a site may do without.
fn code(checks: &mut Checks, params: &mut Params, cvv2: &str, payout: bool) {
    if cvv2.is_empty() {
        return;
    }
    if payout {
        checks.invalid("cvv2", "Leave it out: payouts have no verification code.");
    } else if !matches!(cvv2.len(), 3 | 4) || !is_digits(cvv2) {
        checks.invalid("cvv2", "Give the 3 or 4 digits of the verification code.");
    }
    params.text("cvv2", cvv2);
}

/// The name on the card.
fn holder(checks: &mut Checks, params: &mut Params, name: &str) {
    let latin = name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    let letters = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !name.is_empty() && (name.len() > HOLDER_MAX || !latin || !letters) {
        let what = "Give the name as the card has it: Latin letters, at most 64 characters.";
        checks.invalid("holder_name", what);
    }
    params.text("card_name", name);
}

fn is_object(json: &str) -> bool {
    json.trim_ascii_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(json).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::credentials::SigningKey;

    const PAN: &str = "4111111111111111";
    /// The start of Apple's token in the documents, which cut it there, made whole.
    const APPLE: &str = "{\"paymentData\":{\"version\":\"EC_v1\",\"data\":\"TG9yZW0=\"}}";

    fn card() -> pb::BankCard {
        pb::BankCard {
            pan: PAN.into(),
            expiry_month: 12,
            expiry_year: 2019,
            cvv2: "123".into(),
            holder_name: "cardholder name".into(),
        }
    }

    fn of(instrument: Instrument) -> pb::PaymentInstrument {
        pb::PaymentInstrument { instrument: Some(instrument) }
    }

    fn mobile(form: Form) -> pb::MobileWalletToken {
        pb::MobileWalletToken { form: Some(form) }
    }

    fn added(instrument: &pb::PaymentInstrument, place: Place) -> Result<Params, String> {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        checks.within("instrument", |checks| instrument.add(checks, &mut params, place));
        checks.done().map(|()| params).map_err(|error| format!("{error:?}"))
    }

    #[track_caller]
    fn refused(instrument: Instrument, place: Place, field: &str) {
        let told = added(&of(instrument), place).unwrap_err();
        assert!(told.contains(&format!("\"instrument.{field}\"")), "{field} in {told}");
        for secret in [PAN, "12345", "secret"] {
            assert!(!told.contains(secret), "{told}");
        }
    }

    #[test]
    fn a_card_is_written_as_the_documents_do() {
        let params = added(&of(Instrument::Card(card())), Place::Payment).unwrap();
        assert!(params.iter().eq([
            ("card_name", "cardholder name"),
            ("cvv2", "123"),
            ("expiry", "1219"),
            ("pan", PAN),
        ]));
        let bare = pb::BankCard {
            expiry_month: 1,
            expiry_year: 2030,
            cvv2: String::new(),
            holder_name: String::new(),
            ..card()
        };
        let params = added(&of(Instrument::Card(bare)), Place::Payment).unwrap();
        assert!(params.iter().eq([("expiry", "0130"), ("pan", PAN)]));
    }

    #[test]
    fn a_card_with_anything_wrong_is_refused_without_a_word_of_it() {
        let change = |change: fn(&mut pb::BankCard), field| {
            let mut card = card();
            change(&mut card);
            refused(Instrument::Card(card), Place::Payment, &format!("card.{field}"));
        };
        change(|card| card.pan = "41111111111111111".into(), "pan");
        change(|card| card.pan = "4111111111111112".into(), "pan");
        change(|card| card.pan.clear(), "pan");
        change(|card| card.expiry_month = 13, "expiry_month");
        change(|card| card.expiry_month = 0, "expiry_month");
        change(|card| card.expiry_month = -1, "expiry_month");
        change(|card| card.expiry_year = 19, "expiry_year");
        change(|card| card.cvv2 = "12".into(), "cvv2");
        change(|card| card.cvv2 = "12345".into(), "cvv2");
        change(|card| card.cvv2 = "12a".into(), "cvv2");
        change(|card| card.holder_name = "Иван Иванов".into(), "holder_name");
        change(|card| card.holder_name = "x".repeat(65), "holder_name");
        change(|card| card.holder_name = "7".into(), "holder_name");
        change(|card| card.holder_name = "IVAN\nIVANOV".into(), "holder_name");
    }

    #[test]
    fn a_token_stands_for_a_card() {
        let token = "4d5b363e-a116-35f5-e053-6751080ac38e";
        let stands = pb::CardToken { token: token.into(), ..Default::default() };
        let params = added(&of(Instrument::CardToken(stands.clone())), Place::Payment).unwrap();
        assert!(params.iter().eq([("card_token", token)]));
        let with = pb::CardToken { cvv2: "1234".into(), ..stands.clone() };
        let params = added(&of(Instrument::CardToken(with)), Place::Payment).unwrap();
        assert!(params.iter().eq([("card_token", token), ("cvv2", "1234")]));
        for token in ["", " ", "secret token", &"x".repeat(41), "т"] {
            let wrong = pb::CardToken { token: token.into(), ..Default::default() };
            refused(Instrument::CardToken(wrong), Place::Payment, "card_token.token");
        }
    }

    #[test]
    fn payouts_take_a_number_or_a_token_and_nothing_else() {
        let number = pb::BankCard { pan: PAN.into(), ..Default::default() };
        let params = added(&of(Instrument::Card(number)), Place::Payout).unwrap();
        assert!(params.iter().eq([("pan", PAN)]));
        refused(Instrument::Card(card()), Place::Payout, "card.expiry_month");
        refused(Instrument::Card(card()), Place::Payout, "card.cvv2");
        let token = mobile(Form::Json(APPLE.into()));
        refused(Instrument::ApplePay(token.clone()), Place::Payout, "apple_pay");
        refused(Instrument::GooglePay(token), Place::Payout, "google_pay");
    }

    #[test]
    fn exactly_one_instrument_is_required() {
        for place in [Place::Payment, Place::Payout] {
            let told = added(&pb::PaymentInstrument::default(), place).unwrap_err();
            assert!(told.contains("\"instrument.instrument\""), "{told}");
        }
        let empty = pb::MobileWalletToken::default();
        refused(Instrument::ApplePay(empty), Place::Payment, "apple_pay.form");
    }

    #[test]
    fn both_forms_of_a_mobile_token_mean_the_same() {
        let name = "google_pay_encoded_payment_token";
        let plain = of(Instrument::GooglePay(mobile(Form::Json(APPLE.into()))));
        let encoded = zlib::encode(APPLE).to_string();
        let encoded = of(Instrument::GooglePay(mobile(Form::Encoded(encoded))));
        for instrument in [plain, encoded] {
            let params = added(&instrument, Place::Payment).unwrap();
            assert_eq!(zlib::decode(params.get(name).unwrap()).unwrap().as_str(), APPLE);
            assert!(params.content().eq([(name, APPLE)]));
        }
    }

    #[test]
    fn a_token_that_is_encoded_already_is_passed_on_byte_for_byte() {
        // Level 9, as Apple's sample has it; what the gateway encodes begins with 78 9C.
        let level_9 = "eNqrVkrLz1eyUkpKLFKqBQAdegQ0";
        let token = of(Instrument::ApplePay(mobile(Form::Encoded(level_9.into()))));
        let mut params = added(&token, Place::Payment).unwrap();
        assert_eq!(params.get("apple_pay_encoded_payment_token"), Some(level_9));
        assert!(params.content().eq([("apple_pay_encoded_payment_token", "{\"foo\":\"bar\"}")]));
        params.number("opcode", "1").number("merchant_site", "123321").text("order_id", "500989");
        params.number("currency", "643").text("amount", "100.00").text("phone", "79111111111");
        let key = SigningKey::new("secret_key");
        let text = format!("100.00|{level_9}|643|123321|1|500989|79111111111");
        assert_eq!(params.sign(&key), key.sign([text.as_str()]));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for json in ["", "secret", "[]", "\"secret\"", "{\"a\":1", "{} {}", "null"] {
            let token = mobile(Form::Json(json.into()));
            refused(Instrument::ApplePay(token), Place::Payment, "apple_pay.json");
        }
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(zlib::PLAIN_MAX));
        refused(Instrument::ApplePay(mobile(Form::Json(large))), Place::Payment, "apple_pay.json");
        let no_object = zlib::encode("Hello world").to_string();
        for text in ["", "secret", "e30=", APPLE, &no_object] {
            let token = mobile(Form::Encoded(text.into()));
            refused(Instrument::GooglePay(token), Place::Payment, "google_pay.encoded");
        }
    }

    #[test]
    fn nothing_secret_is_left_after_wiping_and_nothing_is_shown_before() {
        let token =
            pb::CardToken { token: "secret".into(), cvv2: "123".into(), ..Default::default() };
        for instrument in [
            Instrument::Card(card()),
            Instrument::CardToken(token),
            Instrument::ApplePay(mobile(Form::Json(APPLE.into()))),
            Instrument::GooglePay(mobile(Form::Encoded("secret".into()))),
        ] {
            let mut instrument = of(instrument);
            let shown = format!("{instrument:?}");
            for secret in [PAN, "123", "2019", "cardholder", "secret", "EC_v1"] {
                assert!(!shown.contains(secret), "{shown}");
            }
            instrument.wipe();
            let left = match instrument.instrument.unwrap() {
                Instrument::Card(card) => {
                    assert_eq!(card, pb::BankCard::default());
                    String::new()
                }
                Instrument::CardToken(token) => token.token + &token.cvv2 + &token.holder_name,
                Instrument::ApplePay(token) | Instrument::GooglePay(token) => {
                    match token.form.unwrap() {
                        Form::Json(text) | Form::Encoded(text) => text,
                    }
                }
            };
            assert_eq!(left, "");
        }
    }
}
