//! Payments to cards of Kazakhstan. QIWI has two calls for one: a preparation that moves nothing
//! (catalogue W-PAY-14), and the transfer (W-PAY-15), which goes another way than all the others.

use serde::Serialize;

use super::card::{card_number, digits};
use super::destination::{Destination, Kind, Recipient};
use super::terms::{Fields, malformed};
use crate::credentials::Scopes;
use crate::error::{Error, reason};
use crate::operation::Call;
use crate::order::{Found, Preparation};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::check::Checks;
use crate::wallet::provider::Elements;

/// Both calls demand to come from QIWI's own site.
const FROM_THE_SITE: &[(&str, &str)] =
    &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")];

/// W-PAY-14, which is no method of its own. A question in spite of its verb.
pub static PREPARE: Policy = Policy {
    operation: "W-PAY-14",
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/sinap/api/refs/a42ebc79-0584-4271-b8a0-15cb4ea8b340/containers",
        area: Area::Payment,
        accept: "application/vnd.qiwi.v1+json",
        headers: FROM_THE_SITE,
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

/// W-PAY-15.
static TRANSFER: Route = Route {
    verb: Verb::Post,
    path: "/sinap/api/terms/27292/payments",
    area: Area::Payment,
    accept: "application/vnd.qiwi.v2+json",
    headers: FROM_THE_SITE,
    not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
    ..Route::WALLET_READ
};

const PROVIDER: &str = "27292";
const VERSION: &str = "2";
/// Whatever the amount is: that one stands in `sum`.
const TRANSFER_SUM: &str = "100";
/// The masked card and a token, which the preparation brings.
const FOUND: [&str; 2] = ["account", "ev_account1"];
const CONSENT: &str =
    "Для продолжения оплаты, подтвердите, что являетесь держателем указанного банковского счета.";

static KAZAKHSTAN: Kind = Kind {
    field: "kazakhstan_card",
    currencies: &["KZT"],
    currency_help: "Give KZT: such payments leave the balance in tenge.",
    account: "398",
    route: Some(&TRANSFER),
    found: &FOUND,
    ..Kind::BASE
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    card_number: &'a str,
    version: &'static str,
    transfer_sum: &'static str,
    src: &'static str,
}

impl Destination for pb::KazakhstanCardDestination {
    fn kind(&self) -> &'static Kind {
        &KAZAKHSTAN
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { card_number: number } = self;
        Recipient {
            provider: Some(PROVIDER),
            fields: Fields::default()
                .with("cardNumber", card_number(number, checks).as_str())
                .with("version", VERSION)
                .with("transferSum", TRANSFER_SUM)
                .with("info", CONSENT)
                .with("accept", "1"),
        }
    }

    /// Always: what it brings is of use once.
    fn preparation(&self, _: Option<&str>) -> Option<Preparation> {
        let card_number = digits(&self.card_number);
        let question = Question {
            card_number: &card_number,
            version: VERSION,
            transfer_sum: TRANSFER_SUM,
            src: "sinap",
        };
        Some(Preparation {
            policy: &PREPARE,
            call: Call::new().json(&question),
            read: Box::new(prepared),
            then: None,
        })
    }
}

fn prepared(body: &[u8]) -> Result<Found, Error> {
    let unreadable = || malformed("the preparation of a payment to a card cannot be read");
    let elements: Elements<'_> = serde_json::from_slice(body).map_err(|_| unreadable())?;
    let fields = FOUND
        .into_iter()
        .map(|name| elements.value(name).map(|value| (name, value.to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(unreadable)?;
    Ok(Found { fields, ..Found::default() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::super::testing::*;
    use super::*;
    use crate::operation::testing::{fixture, wallet};
    use crate::order::Payment as _;
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn transfer(card_number: &str, currency: &str) -> pb::CreatePaymentRequest {
        let to = pb::KazakhstanCardDestination { card_number: card_number.into() };
        create(money(currency, 1000, 0), To::KazakhstanCard(to))
    }

    #[test]
    fn both_calls_of_the_documents_leave() {
        let request = transfer(CARD_WITH_BLANKS, "KZT");
        for known in [None, Some("27292")] {
            let question = asked(&request, known).unwrap();
            assert_eq!(
                question.line,
                "POST /sinap/api/refs/a42ebc79-0584-4271-b8a0-15cb4ea8b340/containers"
            );
            let mut documented = document("payment/kazakhstan_prepare_request");
            documented["cardNumber"] = json!(CARD);
            assert_eq!(question.body, documented);
        }
        let prepared = found(&request, &fixture("payment/kazakhstan_prepared")).unwrap();
        let (sent, sending) = sent_with(&request, &prepared);
        assert_eq!(sent.line, "POST /sinap/api/terms/27292/payments");
        let mut documented = document("payment/kazakhstan_card_request");
        for (name, value) in [
            ("cardNumber", CARD),
            ("account", "<маскированный PAN карты>"),
            ("ev_account1", "<длинная строка>"),
        ] {
            documented["fields"][name] = json!(value);
        }
        assert_eq!(sent.body, documented);
        assert_eq!((sending.provider.as_str(), sending.amount.units), ("27292", 1000));
        assert_eq!(sending.amount.currency, "KZT");
    }

    #[test]
    fn both_calls_have_the_headers_of_the_documents() {
        for (route, accept) in [
            (&TRANSFER, "application/vnd.qiwi.v2+json"),
            (PREPARE.route.as_ref().unwrap(), "application/vnd.qiwi.v1+json"),
        ] {
            assert_eq!(route.accept, accept);
            assert_eq!(
                route.headers,
                [
                    ("sec-fetch-site", "same-site"),
                    ("sec-fetch-mode", "cors"),
                    ("sec-fetch-dest", "empty")
                ]
            );
        }
    }

    #[test]
    fn what_the_preparation_brings_is_no_part_of_the_content_and_must_be_there() {
        let request = transfer(CARD, "KZT");
        assert_eq!(content(&request), content(&transfer(CARD_WITH_BLANKS, "KZT")));
        let order = request.order(&wallet()).unwrap();
        for fields in [vec![], vec![("account", "x".to_owned())]] {
            let found = Found { fields, ..Found::default() };
            assert!(request.sending(&wallet(), &order, &found).is_err());
        }
        for odd in [
            "",
            "null",
            r#"{"elements":[]}"#,
            r#"{"elements":[{"name":"account","value":"4000********7899"}]}"#,
            r#"{"elements":[{"name":"account","value":"x"},{"name":"ev_account1","value":""}]}"#,
            r#"{"code":"QWPRC-522"}"#,
        ] {
            assert_eq!(unusable(&request, odd).0, "UPSTREAM_MALFORMED", "{odd}");
        }
    }

    #[test]
    fn only_tenge_go_to_kazakhstan() {
        let (reason, fields) = refused(&transfer("4000", "RUB"));
        assert_eq!(reason, "REQUEST_INVALID");
        let names = ["payment.amount.currency_code", "payment.kazakhstan_card.card_number"];
        assert_eq!(fields, names);
    }
}
