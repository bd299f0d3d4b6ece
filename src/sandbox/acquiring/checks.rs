//! What is wrong with the fields of a request, all at once.

use std::net::Ipv4Addr;

use super::amount;
use super::fields::Fields;
use super::refusal::Refused;

/// Texts of purchases and payouts with the most characters they may have.
const TEXTS: &[(&str, usize)] = &[
    ("account_id", 50),
    ("address", 64),
    ("callback_url", 256),
    ("card_name", 64),
    ("card_token", 40),
    ("cf1", 256),
    ("cf2", 256),
    ("cf3", 256),
    ("cf4", 256),
    ("cf5", 256),
    ("city", 64),
    ("country", 3),
    ("decline_url", 256),
    ("email", 64),
    ("ip", 15),
    ("merchant_uid", 64),
    ("modifiers", 64),
    ("order_id", 256),
    ("phone", 15),
    ("product_name", 25),
    ("region", 6),
    ("success_url", 256),
    ("user_agent", 256),
    ("user_device_id", 64),
    ("user_screen_res", 64),
    ("user_timedate", 64),
    ("wallet_type", 50),
];

/// The complaints so far.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<(String, String)>);

impl Checks {
    /// Something is wrong with a field.
    pub(super) fn complain(&mut self, field: &str, message: impl Into<String>) {
        self.0.push((field.to_owned(), message.into()));
    }

    /// Takes over what is wrong with a part, if anything.
    pub(super) fn part(&mut self, field: &str, result: Result<(), String>) {
        if let Err(message) = result {
            self.complain(field, message);
        }
    }

    /// A value that must be there.
    pub(super) fn required(&mut self, fields: &Fields, name: &str) -> Option<String> {
        let text = fields.text(name);
        if text.is_none() {
            self.complain(name, format!("[{name}] is required"));
        }
        text
    }

    /// Lengths in characters.
    pub(super) fn length(&mut self, name: &str, text: &str, min: usize, max: usize) {
        let length = text.chars().count();
        if length < min {
            self.complain(name, format!("length of [{name}] cannot be less than {min}"));
        } else if length > max {
            self.complain(name, format!("length of [{name}] cannot be greater than {max}"));
        }
    }

    /// Every text that has a greatest length, and the forms of some.
    pub(super) fn texts(&mut self, fields: &Fields) {
        for (name, max) in TEXTS {
            if let Some(text) = fields.text(name) {
                self.length(name, &text, 0, *max);
            }
        }
        let mut form = |name: &str, right: &dyn Fn(&str) -> bool| {
            if let Some(text) = fields.text(name)
                && !right(&text)
            {
                self.complain(name, format!("[{name}] has a wrong format"));
            }
        };
        form("ip", &|text| text.parse::<Ipv4Addr>().is_ok());
        form("email", &|text| text.contains('@'));
        form("country", &|text| {
            text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
        });
        form("card_name", &|text| text.is_ascii());
        form("modifiers", &|text| text.split(',').all(|one| matches!(one.trim(), "aft" | "moto")));
        form("wallet_type", &|text| text == "QIWI");
        if fields.text("wallet_type").is_some() {
            self.required(fields, "account_id");
        }
    }

    /// The amount, if it is there and right.
    pub(super) fn amount(&mut self, fields: &Fields) -> Option<i64> {
        let text = fields.text("amount")?;
        let amount = amount::parse(&text);
        if amount.is_none() {
            self.complain("amount", "[amount] must be a positive number with two decimals");
        }
        amount
    }

    /// Nothing, or everything that is wrong.
    pub(super) fn finish(self) -> Result<(), Refused> {
        if self.0.is_empty() { Ok(()) } else { Err(Refused::fields(self.0)) }
    }
}

/// What is documented about the receiver of money; 8008 when it is not so.
pub(super) fn receiver(fields: &Fields) -> Result<(), Refused> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = |text: &str| {
        let part = |part: &str, blanks: bool| {
            let inside =
                |c: char| c.is_ascii_alphanumeric() || "_-".contains(c) || (blanks && c == ' ');
            !part.is_empty() && part.chars().all(inside)
        };
        text.split_once(", ").is_some_and(|(last, first)| part(last, false) && part(first, true))
    };
    let is = |name: &str, right: &dyn Fn(&str) -> bool| {
        fields.text(name).is_none_or(|text| right(&text))
    };
    let right = is("receiver_name", &|text| text.len() <= 30 && name(text))
        && is("receiver_pan", &|text| (13..=19).contains(&text.len()) && digits(text))
        && is("receiver_bank_account", &|text| text.len() == 20 && digits(text))
        && is("receiver_bic", &|text| text.len() == 9 && digits(text))
        && is("receiver_wallet", &|text| text.len() <= 64)
        && is("receiver_inn", &|text| matches!(text.len(), 10 | 12) && digits(text))
        && is("receiver_phone", &|text| {
            text.len() <= 15 && digits(text.strip_prefix('+').unwrap_or(text))
        });
    if right { Ok(()) } else { Err(Refused::new(8008)) }
}
