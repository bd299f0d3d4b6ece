//! Payments to cards by their number: of Russia and its neighbours (catalogue W-PAY-12), with the
//! provider asked for where the caller leaves that open (W-PAY-10), and of other countries (W-PAY-13).

use zeroize::Zeroizing;

use super::destination::{Destination, Kind, Recipient};
use super::terms::{Fields, malformed};
use crate::error::{Error, reason};
use crate::order::{Found, Preparation};
use crate::pb::wallet::v1 as pb;
use crate::wallet::check::{Checks, is_digits, is_provider_id};
use crate::wallet::provider::{CARD as RESOLVE, Elements, PROVIDER_ELEMENT, card_question};

/// How many digits a card number has: 19 at most by ISO/IEC 7812, 12 on the shortest in use.
const DIGITS: std::ops::RangeInclusive<usize> = 12..=19;
/// Visa and MasterCard of other countries.
const FOREIGN: [&str; 2] = ["1960", "21012"];

static BY_NUMBER: Kind = Kind { field: "card", ..Kind::BASE };
static FOREIGN_CARD: Kind = Kind { field: "foreign_card", ..Kind::BASE };

/// The number without the blanks people write.
pub(super) fn digits(number: &str) -> Zeroizing<String> {
    // With its whole capacity at once: growing would leave copies behind.
    let mut digits = Zeroizing::new(String::with_capacity(number.len()));
    digits.extend(number.chars().filter(|c| *c != ' '));
    digits
}

/// The digits of a checked card number; what is wrong with it is noted.
pub(super) fn card_number(number: &str, checks: &mut Checks) -> Zeroizing<String> {
    let digits = digits(number);
    if !DIGITS.contains(&digits.len()) || !is_digits(&digits) {
        checks.invalid(
            "card_number",
            "Give the full card number: 12 to 19 digits, with or without blanks.",
        );
    } else if !has_check_digit(&digits) {
        checks.invalid("card_number", "Correct the card number: its check digit does not fit.");
    }
    digits
}

/// Luhn's check, which every payment system's cards pass: it finds any single wrong digit.
fn has_check_digit(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            match place % 2 {
                0 => digit,
                _ if digit > 4 => digit * 2 - 9,
                _ => digit * 2,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

impl Destination for pb::CardDestination {
    fn kind(&self) -> &'static Kind {
        &BY_NUMBER
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { card_number: number, provider_id } = self;
        if !provider_id.is_empty() {
            checks.provider_id(provider_id);
        }
        Recipient {
            provider: Some(provider_id.as_str()).filter(|id| !id.is_empty()),
            fields: Fields::default().with("account", card_number(number, checks).as_str()),
        }
    }

    fn preparation(&self, provider: Option<&str>) -> Option<Preparation> {
        if provider.is_some() || !self.provider_id.is_empty() {
            return None;
        }
        Some(Preparation {
            policy: &RESOLVE,
            call: card_question(&digits(&self.card_number)),
            read: Box::new(resolved),
            then: None,
        })
    }
}

/// The provider of the answer.
fn resolved(body: &[u8]) -> Result<Found, Error> {
    let elements: Elements<'_> = serde_json::from_slice(body)
        .map_err(|_| malformed("the provider of a card cannot be read"))?;
    match elements.value(PROVIDER_ELEMENT) {
        Some(id) if is_provider_id(id) => {
            Ok(Found { provider: Some(id.to_owned()), ..Found::default() })
        }
        Some(_) => Err(malformed("the id of a card's provider is no number")),
        None => Err(Error::new(&reason::PROVIDER_NOT_FOUND)),
    }
}

impl Destination for pb::ForeignCardDestination {
    fn kind(&self) -> &'static Kind {
        &FOREIGN_CARD
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self {
            provider_id,
            card_number: number,
            sender_first_name,
            sender_last_name,
            sender_address,
            sender_city,
            sender_country,
            recipient_first_name,
            recipient_last_name,
        } = self;
        if !FOREIGN.contains(&provider_id.as_str()) {
            checks.invalid("provider_id", "Give 1960 for Visa or 21012 for MasterCard.");
        }
        let mut fields = Fields::default().with("account", card_number(number, checks).as_str());
        // QIWI's names say `rec` where they mean the sender.
        for (field, value, name) in [
            ("sender_first_name", sender_first_name, "rem_name"),
            ("sender_last_name", sender_last_name, "rem_name_f"),
            ("sender_address", sender_address, "rec_address"),
            ("sender_city", sender_city, "rec_city"),
            ("sender_country", sender_country, "rec_country"),
            ("recipient_first_name", recipient_first_name, "reg_name"),
            ("recipient_last_name", recipient_last_name, "reg_name_f"),
        ] {
            checks.required(field, value, "Give it: QIWI demands it for cards of other countries.");
            fields = fields.with(name, value.as_str());
        }
        Recipient { provider: Some(provider_id), fields }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::super::testing::*;
    use super::*;
    use crate::operation::testing::fixture;
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn card(card_number: &str, provider_id: &str) -> pb::CreatePaymentRequest {
        let to = pb::CardDestination {
            card_number: card_number.into(),
            provider_id: provider_id.into(),
        };
        create(roubles(1000), To::Card(to))
    }

    fn foreign() -> pb::ForeignCardDestination {
        pb::ForeignCardDestination {
            provider_id: "1960".into(),
            card_number: CARD_WITH_BLANKS.into(),
            sender_first_name: "Сергей".into(),
            sender_last_name: "Иванов".into(),
            sender_address: "Ленинский проспект 131, 56".into(),
            sender_city: "Москва".into(),
            sender_country: "Россия".into(),
            recipient_first_name: "Виктор".into(),
            recipient_last_name: "Петров".into(),
        }
    }

    fn to_foreign(to: pb::ForeignCardDestination) -> pb::CreatePaymentRequest {
        create(roubles(1000), To::ForeignCard(to))
    }

    #[test]
    fn the_payments_of_the_documents_leave() {
        for number in [CARD, CARD_WITH_BLANKS] {
            let request = sent(&card(number, "1963"));
            assert_eq!(request.line, "POST /sinap/api/v2/terms/1963/payments");
            let mut documented = document("payment/card_request");
            documented["fields"]["account"] = json!(CARD);
            assert_eq!(request.body, documented);
        }
        let request = sent(&to_foreign(foreign()));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/1960/payments");
        let mut documented = document("payment/foreign_card_request");
        documented["fields"]["account"] = json!(CARD);
        assert_eq!(request.body, documented);
    }

    #[test]
    fn blanks_make_no_difference() {
        assert_eq!(content(&card(CARD, "")), content(&card(CARD_WITH_BLANKS, "")));
        assert_ne!(content(&card(CARD, "")), content(&card(CARD, "1963")));
        let blank_free = pb::ForeignCardDestination { card_number: CARD.into(), ..foreign() };
        assert_eq!(content(&to_foreign(foreign())), content(&to_foreign(blank_free)));
    }

    #[test]
    fn the_provider_is_asked_for_only_when_nobody_knows_it() {
        let open = card(CARD_WITH_BLANKS, "");
        let question = asked(&open, None).unwrap();
        assert_eq!(
            question.line,
            "POST /sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers"
        );
        assert_eq!(question.body, json!({ "account": "4000 0012 3456 7899" }));
        assert!(asked(&open, Some("36390")).is_none());
        assert!(asked(&card(CARD, "1963"), None).is_none());
        let provider = found(&open, &fixture("provider/card")).unwrap();
        assert_eq!(provider.provider.as_deref(), Some("36390"));
        let (request, sending) = sent_with(&open, &provider);
        assert_eq!(request.line, "POST /sinap/api/v2/terms/36390/payments");
        assert_eq!(request.body["fields"], json!({ "account": CARD }));
        assert_eq!(sending.provider, "36390");
    }

    #[test]
    fn a_card_without_a_provider_is_told_apart_from_an_odd_answer() {
        let open = card(CARD, "");
        for none in [
            r#"{"elements":[]}"#,
            r#"{"elements":null}"#,
            r#"{"elements":[{"name":"termsId","value":null}]}"#,
            r#"{"elements":[{"name":"bank","value":"36390"}]}"#,
        ] {
            assert_eq!(unusable(&open, none).0, "PROVIDER_NOT_FOUND", "{none}");
        }
        for odd in [
            "",
            "[]",
            r#"{"code":"QWPRC-522","message":"4000001234567899"}"#,
            r#"{"elements":"4000001234567899"}"#,
            r#"{"elements":[{"name":"termsId","value":"4000/../99"}]}"#,
        ] {
            assert_eq!(unusable(&open, odd).0, "UPSTREAM_MALFORMED", "{odd}");
        }
    }

    #[test]
    fn card_numbers_are_checked_and_never_repeated() {
        for number in ["400000000028", "4000000000022", "4000000000000000022", "4000 0000 0028"] {
            assert!(!sent(&card(number, "1")).body.is_null());
        }
        for number in [
            "",
            " ",
            "40000000026",
            "40000000000000000028",
            "4000********7899",
            "4000-0012-3456-7899",
            // One wrong digit, and two that changed places.
            "4000001234567898",
            "4000001234567989",
        ] {
            let told = ("REQUEST_INVALID", vec!["payment.card.card_number".to_owned()]);
            assert_eq!(refused(&card(number, "")), told, "{number}");
        }
        assert_eq!(refused(&card(CARD, "Visa")).1, ["payment.card.provider_id"]);
    }

    #[test]
    fn everything_is_required_for_cards_of_other_countries() {
        let (reason, fields) = refused(&to_foreign(pb::ForeignCardDestination::default()));
        assert_eq!(reason, "REQUEST_INVALID");
        let names = [
            "provider_id",
            "card_number",
            "sender_first_name",
            "sender_last_name",
            "sender_address",
            "sender_city",
            "sender_country",
            "recipient_first_name",
            "recipient_last_name",
        ];
        assert_eq!(fields, names.map(|name| format!("payment.foreign_card.{name}")));
        let russian = pb::ForeignCardDestination { provider_id: "1963".into(), ..foreign() };
        assert_eq!(refused(&to_foreign(russian)).1, ["payment.foreign_card.provider_id"]);
    }
}
