//! Finding the provider of a payment: the REST side of `proto/qiwi/wallet/v1/provider.proto`
//! (catalogue W-PAY-8, W-PAY-10, W-PAY-20). Its public tariff stands in [`tariff`], links to
//! payment forms in [`form`], the ways of old in [`legacy`].

pub mod form;
pub mod legacy;
pub mod tariff;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::check::{Checks, is_digits};
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape, Verb};

/// W-PAY-20.
pub static SEARCH: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/SearchProviders",
    operation: "W-PAY-20",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::NONE, information: false },
    route: Some(Route {
        path: "/search/v1/search",
        area: Area::Provider,
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(3600),
    ..Policy::BASE
};

/// W-PAY-8.
pub static MOBILE: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/ResolveMobileProvider",
    operation: "W-PAY-8",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::NONE, information: false },
    route: Some(Route {
        path: "/qw-mobile-providers-resolver/v1/providers",
        area: Area::Provider,
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(3600),
    ..Policy::BASE
};

/// W-PAY-10. A question in spite of its verb, and never kept: it holds a card number.
pub static CARD: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/ResolveCardProvider",
    operation: "W-PAY-10",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers",
        // It is a reference of the payment form, not of the search.
        area: Area::Payment,
        accept: "application/vnd.qiwi.v1+json",
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// How many digits a card number has (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// The card number goes out with a blank after so many digits.
const CARD_GROUP: usize = 4;
/// The element of W-PAY-10 that names the provider.
pub(crate) const PROVIDER_ELEMENT: &str = "termsId";

impl Operation for pb::SearchProvidersRequest {
    const POLICY: &'static Policy = &SEARCH;
    type Reply<'a> = Found<'a>;
    type Response = pb::SearchProvidersResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        checks.required("query", &self.query, "Give key words, separated by blanks.");
        checks.done()?;
        // The same words with other blanks are the same question.
        let words: Vec<_> = self.query.split_whitespace().collect();
        Ok(Call::new().query("query", &words.join(" ")))
    }

    fn answer(
        &self,
        reply: Found<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Found { items } = reply;
        Ok(pb::SearchProvidersResponse {
            providers: items.into_iter().flatten().filter_map(Item::into_proto).collect(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::ResolveMobileProviderRequest {
    const POLICY: &'static Policy = &MOBILE;
    type Reply<'a> = Operators<'a>;
    type Response = pb::ResolveMobileProviderResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let phone = self.phone_number.strip_prefix('+').unwrap_or(&self.phone_number);
        if phone.len() != 11 || !phone.starts_with('7') || !is_digits(phone) {
            return Err(Error::invalid(
                "phone_number",
                "Give 11 digits that start with 7, with or without a leading +.",
            ));
        }
        Ok(Call::new().query("phoneNumber", phone))
    }

    fn answer(
        &self,
        reply: Operators<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::ResolveMobileProviderResponse {
            mobile_providers: reply.into_proto(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::ResolveCardProviderRequest {
    const POLICY: &'static Policy = &CARD;
    type Reply<'a> = Elements<'a>;
    type Response = pb::ResolveCardProviderResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(card_question(&card_digits(&self.card_number)?))
    }

    fn answer(
        &self,
        reply: Elements<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let provider_id = reply.value(PROVIDER_ELEMENT).map(str::to_owned);
        let Elements { elements } = reply;
        let elements = elements.into_iter().flatten().map(Into::into).collect();
        Ok(pb::ResolveCardProviderResponse {
            card_provider: provider_id
                .map(|provider_id| pb::CardProvider { provider_id, elements }),
            fetch_time: Some(seen.fetch_time),
        })
    }

    fn is_not_found(&self, response: &Self::Response) -> bool {
        response.card_provider.is_none()
    }
}

/// The question W-PAY-10 about a card, whose number is digits only.
pub(crate) fn card_question(digits: &str) -> Call {
    // With its whole capacity at once: growing would leave copies behind.
    let mut account = Zeroizing::new(String::with_capacity(2 * digits.len()));
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % CARD_GROUP == 0 {
            account.push(' ');
        }
        account.push(digit);
    }
    Call::new().json(&CardBody { account: &account })
}

/// The digits of a full card number.
fn card_digits(card_number: &str) -> Result<Zeroizing<String>, Error> {
    let mut digits = Zeroizing::new(String::with_capacity(card_number.len()));
    digits.extend(card_number.chars().filter(|c| *c != ' '));
    if !CARD_DIGITS.contains(&digits.len()) || !is_digits(&digits) {
        return Err(Error::invalid(
            "card_number",
            "Give the full card number: 13 to 19 digits, with or without blanks.",
        ));
    }
    Ok(digits)
}

/// The body of W-PAY-10.
#[derive(Serialize)]
struct CardBody<'a> {
    account: &'a str,
}

/// The answer of W-PAY-20.
#[derive(Debug, Deserialize)]
pub struct Found<'a> {
    // Null may stand for "nothing found"; an error body has no such member.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    items: Option<Vec<Item<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    uri: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<ItemData<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemData<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    logo_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    site_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    category: Option<Category<'a>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Category<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
}

/// The answer of W-PAY-8.
#[derive(Debug, Deserialize)]
pub struct Operators<'a> {
    // As in `Found`.
    #[serde(
        borrow,
        rename = "mobileOperatorProviderList",
        deserialize_with = "Option::deserialize"
    )]
    operators: Option<Vec<Operator<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operator<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    short_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    logo_url: Option<Text<'a>>,
}

/// The answer of W-PAY-10.
#[derive(Debug, Deserialize)]
pub struct Elements<'a> {
    // As in `Found`.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    elements: Option<Vec<Element<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Element<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
}

impl Operators<'_> {
    /// The operators that can be paid: those with an id.
    pub(crate) fn into_proto(self) -> Vec<pb::MobileProvider> {
        let operators = self.operators.into_iter().flatten().filter_map(|operator| {
            let Operator { id, short_name, logo_url } = operator;
            Some(pb::MobileProvider {
                provider_id: id?.into_string(),
                short_name: short_name.map(Text::into_string),
                logo_url: logo_url.map(Text::into_string),
            })
        });
        operators.collect()
    }
}

impl Elements<'_> {
    /// The value of the first element of a name, unless it is empty.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let named =
            |element: &&Element<'_>| element.name.as_ref().is_some_and(|of| of.as_str() == name);
        let found = self.elements.iter().flatten().find(named)?;
        found.value.as_ref().map(Text::as_str).filter(|value| !value.is_empty())
    }
}

impl Item<'_> {
    /// `None` for an item without an id: QIWI promises nothing else, and it cannot be paid.
    fn into_proto(self) -> Option<pb::Provider> {
        let Self { name, description, uri, data } = self;
        let ItemData { id, logo_url, site_url, category, kind } = data?;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        Some(pb::Provider {
            provider_id: id?.into_string(),
            name: text(name),
            description: text(description),
            uri: text(uri),
            logo_url: text(logo_url),
            site_url: text(site_url),
            category_name: text(category.and_then(|Category { name }| name)),
            r#type: text(kind),
        })
    }
}

impl From<Element<'_>> for pb::CardProviderElement {
    fn from(element: Element<'_>) -> Self {
        let Element { kind, name, value } = element;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        Self {
            r#type: text(kind).unwrap_or_default(),
            name: text(name).unwrap_or_default(),
            value: text(value),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, try_map};

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn search(query: &str) -> pb::SearchProvidersRequest {
        pb::SearchProvidersRequest { query: query.into(), ..Default::default() }
    }

    fn mobile(phone_number: &str) -> pb::ResolveMobileProviderRequest {
        pb::ResolveMobileProviderRequest { phone_number: phone_number.into(), ..Default::default() }
    }

    fn card(card_number: &str) -> pb::ResolveCardProviderRequest {
        pb::ResolveCardProviderRequest { card_number: card_number.into() }
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        // The documents write `+` for a blank; in a query it means the same as `%20`.
        assert_eq!(
            ask(&search(" Билайн  домашний интернет ")).unwrap().line,
            "GET /search/v1/search?query=%D0%91%D0%B8%D0%BB%D0%B0%D0%B9%D0%BD%20\
             %D0%B4%D0%BE%D0%BC%D0%B0%D1%88%D0%BD%D0%B8%D0%B9%20\
             %D0%B8%D0%BD%D1%82%D0%B5%D1%80%D0%BD%D0%B5%D1%82"
        );
        for phone in ["79270010101", "+79270010101"] {
            assert_eq!(
                ask(&mobile(phone)).unwrap().line,
                "GET /qw-mobile-providers-resolver/v1/providers?phoneNumber=79270010101"
            );
        }
        let documented: serde_json::Value =
            serde_json::from_str(&fixture("provider/card_request")).unwrap();
        for number in ["1234123412341234", "1234 1234 1234 1234", "12341234 12341234 "] {
            let request = ask(&card(number)).unwrap();
            assert_eq!(
                request.line,
                "POST /sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers"
            );
            assert_eq!(request.body, documented);
        }
        let route = CARD.route.as_ref().unwrap();
        assert_eq!(route.accept, "application/vnd.qiwi.v1+json");
    }

    #[test]
    fn a_blank_stands_after_every_fourth_digit_and_at_no_end() {
        let account = |number: &str| ask(&card(number)).unwrap().body["account"].clone();
        assert_eq!(account("1234567890123"), "1234 5678 9012 3");
        assert_eq!(account("123456789012345"), "1234 5678 9012 345");
        assert_eq!(account("1234567890123456789"), "1234 5678 9012 3456 789");
    }

    #[test]
    fn requests_that_cannot_succeed_are_refused() {
        for query in ["", "  \t"] {
            assert_eq!(refused(&search(query)), ("REQUEST_INVALID", vec!["query".into()]));
        }
        for phone in ["", "9270010101", "89270010101", "792700101011", "7927001010x", "++79270010"]
        {
            let (reason, fields) = refused(&mobile(phone));
            assert_eq!((reason, fields), ("REQUEST_INVALID", vec!["phone_number".into()]));
        }
        for number in ["", "123456789012", "12345678901234567890", "4256********1231", "1234-1234"]
        {
            let (reason, fields) = refused(&card(number));
            assert_eq!((reason, fields), ("REQUEST_INVALID", vec!["card_number".into()]));
        }
    }

    #[test]
    fn a_refused_card_number_is_not_repeated() {
        let error = ask(&card("41111111111111111111")).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("4111"));
    }

    #[test]
    fn every_field_of_a_search_is_passed_on() {
        let provider = pb::Provider {
            provider_id: "23729".into(),
            name: some("МТС Домашний интернет, ТВ и Телефония РФ"),
            description: some("МТС Домашний интернет, ТВ и Телефония РФ"),
            uri: None,
            logo_url: some("https://static.qiwi.com/img/providers/logoBig/23729_l.png"),
            ..Default::default()
        };
        let response = map_clean(&search("МТС"), &fixture("provider/search_ru"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(response.providers, std::slice::from_ref(&provider));
        let response = map_clean(&search("МТС"), &fixture("provider/search_en"));
        assert_eq!(
            response.providers,
            [pb::Provider {
                site_url: some("http://www.mts.ru/internet/mts_stream/"),
                category_name: some("Интернет, ТВ, IP-телефония"),
                r#type: some("PROVIDER"),
                ..provider
            }]
        );
    }

    #[test]
    fn only_what_has_an_id_is_a_provider() {
        let json = r#"{"items":[
            {"name":"a"}, {"name":"b","data":null}, {"name":"c","data":{"id":null}},
            {"name":null,"uri":"/99","data":{"id":"99","category":null,"type":"OTHER"}}
        ]}"#;
        let mapped = map(&search("x"), json);
        assert_eq!(
            mapped.response.providers,
            [pb::Provider {
                provider_id: "99".into(),
                uri: some("/99"),
                r#type: some("OTHER"),
                ..Default::default()
            }]
        );
        assert!(map(&search("x"), r#"{"items":[]}"#).response.providers.is_empty());
        assert!(map(&search("x"), r#"{"items":null}"#).response.providers.is_empty());
    }

    #[test]
    fn every_field_of_an_operator_is_passed_on() {
        let response = map_clean(&mobile("79270010101"), &fixture("provider/mobile"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.mobile_providers,
            [pb::MobileProvider {
                provider_id: "3".into(),
                short_name: some("МегаФон Столичный филиал"),
                logo_url: some("https://static.qiwi.com/img/providers/logoBig/3_l.png"),
            }]
        );
        let json = r#"{"mobileOperatorProviderList":[{"id":"1"},{"shortName":"x"}]}"#;
        let operators = map(&mobile("79270010101"), json).response.mobile_providers;
        assert_eq!(
            operators,
            [pb::MobileProvider { provider_id: "1".into(), ..Default::default() }]
        );
        let none = r#"{"mobileOperatorProviderList":null}"#;
        assert!(map(&mobile("79270010101"), none).response.mobile_providers.is_empty());
    }

    #[test]
    fn every_element_about_a_card_is_passed_on() {
        let request = card("1234123412341234");
        let response = map_clean(&request, &fixture("provider/card"));
        assert!(!request.is_not_found(&response));
        assert_eq!(response.fetch_time, Some(NOW));
        let element = |kind: &str, name: &str, value: Option<&str>| pb::CardProviderElement {
            r#type: kind.into(),
            name: name.into(),
            value: value.map(Into::into),
        };
        assert_eq!(
            response.card_provider.unwrap(),
            pb::CardProvider {
                provider_id: "36390".into(),
                elements: vec![element("field", "termsId", Some("36390"))],
            }
        );
        let json = r#"{"elements":[{"type":"hint","name":"bank","value":null},{},
            {"type":"field","name":"termsId","value":1963}]}"#;
        assert_eq!(
            map(&request, json).response.card_provider.unwrap(),
            pb::CardProvider {
                provider_id: "1963".into(),
                elements: vec![
                    element("hint", "bank", None),
                    element("", "", None),
                    element("field", "termsId", Some("1963")),
                ],
            }
        );
    }

    #[test]
    fn a_card_without_a_provider_is_not_found() {
        let request = card("1234123412341234");
        for json in [
            r#"{"elements":null}"#,
            r#"{"elements":[]}"#,
            r#"{"elements":[{"name":"bank","value":"36390"}]}"#,
            r#"{"elements":[{"name":"termsId","value":null}]}"#,
            r#"{"elements":[{"name":"termsId","value":""}]}"#,
        ] {
            let response = map(&request, json).response;
            assert!(request.is_not_found(&response), "{json}");
        }
    }

    #[test]
    fn an_error_body_finds_nothing_and_says_so() {
        let body = r#"{"code":"QWPRC-522","message":"x"}"#;
        assert!(try_map(&search("x"), body).is_err());
        assert!(try_map(&mobile("79270010101"), body).is_err());
        assert!(try_map(&card("1234123412341234"), body).is_err());
    }
}
