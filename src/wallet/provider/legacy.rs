//! Finding a provider in the ways QIWI documented until 2022 (catalogue W-PAY-9, W-PAY-11,
//! W-PAY-21), served on demand.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::card_digits;
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Host, Lifetime, NotFound, Policy, Route, Verb};
use crate::wallet::check::{Checks, is_digits};

/// What the three have in common: a form on the site, open to everybody.
const ROUTE: Route = Route {
    host: Host::Site,
    verb: Verb::Post,
    area: Area::Provider,
    not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
    ..Route::WALLET_READ
};

/// W-PAY-9.
pub static MOBILE: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/DetectMobileProvider",
    operation: "W-PAY-9",
    class: Class::Read,
    access: Access::Open,
    route: Some(Route { path: "/mobile/detect.action", ..ROUTE }),
    cache: Lifetime::Seconds(3600),
    legacy: true,
    ..Policy::BASE
};

/// W-PAY-11. Never kept: it holds a card number.
pub static CARD: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/DetectCardProvider",
    operation: "W-PAY-11",
    class: Class::Read,
    access: Access::Open,
    route: Some(Route { path: "/card/detect.action", ..ROUTE }),
    legacy: true,
    ..Policy::BASE
};

/// W-PAY-21.
pub static SEARCH: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/SearchProvidersLegacy",
    operation: "W-PAY-21",
    class: Class::Read,
    access: Access::Open,
    route: Some(Route { path: "/search/results/json.action", ..ROUTE }),
    cache: Lifetime::Seconds(3600),
    legacy: true,
    ..Policy::BASE
};

impl Operation for pb::DetectMobileProviderRequest {
    const POLICY: &'static Policy = &MOBILE;
    type Reply<'a> = Detected<'a>;
    type Response = pb::DetectMobileProviderResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let phone = self.phone_number.strip_prefix('+').unwrap_or(&self.phone_number);
        // International numbers (ITU-T E.164); shorter ones than these are in no plan.
        if !(10..=15).contains(&phone.len()) || !is_digits(phone) {
            return Err(Error::invalid(
                "phone_number",
                "Give the number with its country code: 10 to 15 digits, with or without a leading +.",
            ));
        }
        Ok(Call::new().form(&[("phone", phone)]))
    }

    fn answer(
        &self,
        reply: Detected<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::DetectMobileProviderResponse {
            provider_id: reply.into_id()?,
            fetch_time: Some(seen.fetch_time),
        })
    }

    fn is_not_found(&self, response: &Self::Response) -> bool {
        response.provider_id.is_empty()
    }
}

impl Operation for pb::DetectCardProviderRequest {
    const POLICY: &'static Policy = &CARD;
    type Reply<'a> = Detected<'a>;
    type Response = pb::DetectCardProviderResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().form(&[("cardNumber", &card_digits(&self.card_number)?)]))
    }

    fn answer(
        &self,
        reply: Detected<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::DetectCardProviderResponse {
            provider_id: reply.into_id()?,
            fetch_time: Some(seen.fetch_time),
        })
    }

    fn is_not_found(&self, response: &Self::Response) -> bool {
        response.provider_id.is_empty()
    }
}

impl Operation for pb::SearchProvidersLegacyRequest {
    const POLICY: &'static Policy = &SEARCH;
    type Reply<'a> = Results<'a>;
    type Response = pb::SearchProvidersLegacyResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        checks.required("query", &self.query, "Give key words, separated by blanks.");
        checks.done()?;
        let words: Vec<_> = self.query.split_whitespace().collect();
        Ok(Call::new().query("searchPhrase", &words.join(" ")))
    }

    fn answer(
        &self,
        reply: Results<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Results { data: Data { items } } = reply;
        let id = |Found { item }| Some(item?.id?.id?.into_string());
        Ok(pb::SearchProvidersLegacyResponse {
            provider_ids: items.into_iter().flatten().filter_map(id).collect(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-PAY-9 and W-PAY-11: an id or an explanation, told apart by the code.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the last two are documented members, empty in every example")]
pub struct Detected<'a> {
    #[serde(borrow)]
    code: Code<'a>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "the name says what the value says")]
struct Code<'a> {
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(borrow, default, rename = "_name")]
    name: Option<Text<'a>>,
}

impl Detected<'_> {
    /// The provider's id; empty where QIWI found none.
    fn into_id(self) -> Result<String, Undocumented> {
        let Self { code: Code { value, .. }, message, .. } = self;
        match value.as_str() {
            "0" => Ok(message.map(Text::into_string).unwrap_or_default()),
            "2" => Ok(String::new()),
            _ => Err(Undocumented::new("code.value", "0 or 2")),
        }
    }
}

/// The answer of W-PAY-21.
#[derive(Debug, Deserialize)]
pub struct Results<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Debug, Deserialize)]
struct Data<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<Found<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Found<'a> {
    #[serde(borrow, default)]
    item: Option<Item<'a>>,
}

#[derive(Debug, Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    id: Option<Id<'a>>,
}

#[derive(Debug, Deserialize)]
struct Id<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, try_map};

    fn mobile(phone_number: &str) -> pb::DetectMobileProviderRequest {
        pb::DetectMobileProviderRequest { phone_number: phone_number.into(), ..Default::default() }
    }

    fn card(card_number: &str) -> pb::DetectCardProviderRequest {
        pb::DetectCardProviderRequest { card_number: card_number.into() }
    }

    fn search(query: &str) -> pb::SearchProvidersLegacyRequest {
        pb::SearchProvidersLegacyRequest { query: query.into(), ..Default::default() }
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        for phone in ["79651238341", "+79651238341"] {
            let asked = ask(&mobile(phone)).unwrap();
            assert_eq!(asked.line, "POST /mobile/detect.action");
            assert_eq!(asked.body, "phone=79651238341");
        }
        // The documents mask theirs.
        let asked = ask(&card("4256 0000 0000 1231")).unwrap();
        assert_eq!(asked.line, "POST /card/detect.action");
        assert_eq!(asked.body, "cardNumber=4256000000001231");
        let asked = ask(&search("Билайн домашний  интернет ")).unwrap();
        assert_eq!(
            asked.line,
            "POST /search/results/json.action?searchPhrase=\
             %D0%91%D0%B8%D0%BB%D0%B0%D0%B9%D0%BD%20\
             %D0%B4%D0%BE%D0%BC%D0%B0%D1%88%D0%BD%D0%B8%D0%B9%20\
             %D0%B8%D0%BD%D1%82%D0%B5%D1%80%D0%BD%D0%B5%D1%82"
        );
        assert!(asked.body.is_null());
    }

    #[test]
    fn requests_that_cannot_succeed_are_refused() {
        for phone in ["", "+", "123456789", "1234567890123456", "7927001010x"] {
            assert_eq!(refused(&mobile(phone)).1, ["phone_number"], "{phone}");
        }
        for number in ["", "4256********1231", "123456789012"] {
            assert_eq!(refused(&card(number)).1, ["card_number"], "{number}");
        }
        assert_eq!(refused(&search(" ")).1, ["query"]);
    }

    #[test]
    fn what_was_found_is_passed_on() {
        let request = mobile("79651238341");
        let response = map_clean(&request, &fixture("provider/detected_operator"));
        assert_eq!((response.provider_id.as_str(), response.fetch_time), ("3", Some(NOW)));
        assert!(!request.is_not_found(&response));
        let request = card("4256000000001231");
        let response = map_clean(&request, &fixture("provider/detected_card"));
        assert_eq!((response.provider_id.as_str(), response.fetch_time), ("1963", Some(NOW)));
        assert!(!request.is_not_found(&response));
        let response = map_clean(&search("x"), &fixture("provider/search_legacy"));
        assert_eq!(response.provider_ids, ["120"]);
        assert_eq!(response.fetch_time, Some(NOW));
    }

    #[test]
    fn an_explanation_is_no_provider() {
        let request = mobile("79651238341");
        let response = map_clean(&request, &fixture("provider/undetected_operator"));
        assert!(request.is_not_found(&response));
        let request = card("4256000000001231");
        let response = map_clean(&request, &fixture("provider/undetected_card"));
        assert!(request.is_not_found(&response));
        assert!(try_map(&request, r#"{"code":{"value":"7"},"message":"1963"}"#).is_err());
        assert!(try_map(&request, r#"{"message":"1963"}"#).is_err());
    }

    #[test]
    fn only_what_has_an_id_is_found() {
        let json = r#"{"data":{"items":[{},{"item":null},{"item":{"id":{"id":99}}},{"item":{}}]}}"#;
        assert_eq!(map(&search("x"), json).response.provider_ids, ["99"]);
        assert!(map(&search("x"), r#"{"data":{"items":null}}"#).response.provider_ids.is_empty());
        assert!(try_map(&search("x"), r#"{"errorCode":"x"}"#).is_err());
    }
}
