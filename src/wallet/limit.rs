//! Limits of a wallet: the REST side of `proto/qiwi/wallet/v1/limit.proto` (catalogue W-LIM).

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::check::Checks;
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented};
use crate::money::{Number, Text, currency_code};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, Policy, Route, Shape};

/// W-LIM-1.
pub static LIST: Policy = Policy {
    rpc: "qiwi.wallet.v1.LimitService/ListLimits",
    operation: "W-LIM-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        path: "/qw-limits/v1/persons/{wallet}/actual-limits",
        area: Area::Limit,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(60),
    ..Policy::BASE
};

/// W-LIM-2.
pub static P2P_COUNT: Policy = Policy {
    rpc: "qiwi.wallet.v1.LimitService/GetP2pPaymentCountLimit",
    operation: "W-LIM-2",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        path: "/qw-limits/v1/persons/{wallet}/p2p-payment-count-limit",
        area: Area::Limit,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(60),
    ..Policy::BASE
};

/// QIWI's names of the kinds, in the order they are asked for.
static TYPES: &[(&str, pb::LimitType)] = &[
    ("REFILL", pb::LimitType::Refill),
    ("TURNOVER", pb::LimitType::Turnover),
    ("PAYMENTS_P2P", pb::LimitType::PaymentsP2p),
    ("PAYMENTS_PROVIDER_INTERNATIONALS", pb::LimitType::PaymentsProviderInternationals),
    ("PAYMENTS_PROVIDER_PAYOUT", pb::LimitType::PaymentsProviderPayout),
    ("WITHDRAW_CASH", pb::LimitType::WithdrawCash),
];

impl Operation for pb::ListLimitsRequest {
    const POLICY: &'static Policy = &LIST;
    type Reply<'a> = Limits<'a>;
    type Response = pb::ListLimitsResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        for (index, asked) in self.types.iter().enumerate() {
            if !TYPES.iter().any(|(_, kind)| i32::from(*kind) == *asked) {
                checks.invalid(format!("types[{index}]"), "Give a kind of limit, or no types.");
            }
        }
        checks.done()?;
        // One order, so that callers who name the same kinds share an answer.
        let wanted = TYPES
            .iter()
            .filter(|(_, kind)| self.types.is_empty() || self.types.contains(&i32::from(*kind)));
        Ok(wanted.enumerate().fold(Call::new(), |call, (index, (name, _))| {
            call.query(&format!("types[{index}]"), name)
        }))
    }

    fn answer(
        &self,
        reply: Limits<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Limits { limits: Countries(countries) } = reply;
        let mut limits = Vec::new();
        for (country, of_country) in countries {
            for limit in of_country.unwrap_or_default() {
                limits.push(limit.into_proto(&country, seen)?);
            }
        }
        Ok(pb::ListLimitsResponse { limits, fetch_time: Some(seen.fetch_time) })
    }
}

impl Operation for pb::GetP2pPaymentCountLimitRequest {
    const POLICY: &'static Policy = &P2P_COUNT;
    type Reply<'a> = P2pCount<'a>;
    type Response = pb::GetP2pPaymentCountLimitResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: P2pCount<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let P2pCount { payment_count } = reply;
        let whole = |count: Number<'_>| {
            let expected = Undocumented::new("p2pPaymentCountLimit", "a whole number");
            count.integer().ok_or(expected)
        };
        Ok(pb::GetP2pPaymentCountLimitResponse {
            p2p_payment_count_limit: Some(pb::P2pPaymentCountLimit {
                payment_count: payment_count.map(whole).transpose()?,
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-LIM-1.
#[derive(Debug, Deserialize)]
pub struct Limits<'a> {
    #[serde(borrow)]
    limits: Countries<'a>,
}

/// An object keyed by country, in the order of QIWI.
///
/// The example shows one such object, the table calls it an array of them; both are read.
#[derive(Debug)]
struct Countries<'a>(Vec<(Cow<'a, str>, Option<Vec<Limit<'a>>>)>);

#[derive(Debug, Deserialize)]
struct Limit<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    currency: Option<Text<'a>>,
    // The table calls the next three text, text and a truth value; the example has numbers.
    #[serde(borrow, default)]
    max: Option<Text<'a>>,
    #[serde(borrow, default)]
    spent: Option<Text<'a>>,
    #[serde(borrow, default)]
    rest: Option<Text<'a>>,
    #[serde(borrow, default)]
    interval: Option<Interval<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interval<'a> {
    #[serde(borrow, default)]
    date_from: Option<Text<'a>>,
    #[serde(borrow, default)]
    date_till: Option<Text<'a>>,
}

/// The answer of W-LIM-2.
#[derive(Debug, Deserialize)]
pub struct P2pCount<'a> {
    // It may be null but must be there: an error body has no such member.
    #[serde(borrow, rename = "p2pPaymentCountLimit", deserialize_with = "Option::deserialize")]
    payment_count: Option<Number<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Countries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Countries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("limits by country")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut countries = Vec::new();
                while let Some((Country(country), limits)) = map.next_entry()? {
                    countries.push((country, limits));
                }
                Ok(Countries(countries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut countries = Vec::new();
                while let Some(Countries(more)) = seq.next_element()? {
                    countries.extend(more);
                }
                Ok(Countries(countries))
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

/// The key of an object; serde borrows `Cow` only where it is told to.
#[derive(Deserialize)]
struct Country<'a>(#[serde(borrow)] Cow<'a, str>);

impl Limit<'_> {
    fn into_proto(self, country: &str, seen: &mut Seen<'_>) -> Result<pb::Limit, Undocumented> {
        let Self { kind, currency, max, spent, rest, interval } = self;
        let raw = kind.map(Text::into_string).unwrap_or_default();
        let kind = seen.open_enum("limit.type", &raw, TYPES, pb::LimitType::Unspecified);
        let currency_code = currency.map(|of| currency_code(of.as_str())).unwrap_or_default();
        let amount = |text: Option<Text<'_>>, at| -> Result<Option<Money>, Undocumented> {
            // What is no number, such as a truth value, tells no amount.
            let number = text.and_then(|Text(text)| Number::parse(text));
            number.map(|number| number.to_money(currency_code.clone(), at)).transpose()
        };
        let (from, till) = interval
            .map_or((None, None), |Interval { date_from, date_till }| (date_from, date_till));
        Ok(pb::Limit {
            country_code: country.to_owned(),
            r#type: kind.into(),
            type_raw: raw,
            max: amount(max, "limits.max")?,
            spent: amount(spent, "limits.spent")?,
            rest: amount(rest, "limits.rest")?,
            currency_code,
            interval_start_time: seen.time("limit.interval_start_time", from),
            interval_end_time: seen.time("limit.interval_end_time", till),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, try_map};
    use crate::pb::r#type::v1::OffsetTime;

    fn list(types: &[pb::LimitType]) -> pb::ListLimitsRequest {
        let types = types.iter().map(|kind| i32::from(*kind)).collect();
        pb::ListLimitsRequest { types, ..Default::default() }
    }

    fn rub(units: i64, nanos: i32) -> Option<Money> {
        Some(Money { currency_code: "RUB".into(), units, nanos })
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        use pb::LimitType::{Refill, Turnover};
        let path = "GET /qw-limits/v1/persons/79112223344/actual-limits";
        let asked = |types: &[pb::LimitType]| ask(&list(types)).unwrap().line;
        assert_eq!(asked(&[Turnover]), format!("{path}?types%5B0%5D=TURNOVER"));
        assert_eq!(
            asked(&[Turnover, Refill, Turnover]),
            format!("{path}?types%5B0%5D=REFILL&types%5B1%5D=TURNOVER")
        );
        assert_eq!(
            asked(&[]),
            format!(
                "{path}?types%5B0%5D=REFILL&types%5B1%5D=TURNOVER&types%5B2%5D=PAYMENTS_P2P\
                 &types%5B3%5D=PAYMENTS_PROVIDER_INTERNATIONALS\
                 &types%5B4%5D=PAYMENTS_PROVIDER_PAYOUT&types%5B5%5D=WITHDRAW_CASH"
            )
        );
        assert_eq!(
            ask(&pb::GetP2pPaymentCountLimitRequest::default()).unwrap().line,
            "GET /qw-limits/v1/persons/79112223344/p2p-payment-count-limit"
        );
    }

    #[test]
    fn every_unknown_kind_is_named() {
        let request = pb::ListLimitsRequest { types: vec![0, 2, 99], ..Default::default() };
        let (reason, fields) = refused(&request);
        assert_eq!(reason, "REQUEST_INVALID");
        assert_eq!(fields, ["types[0]", "types[2]"]);
    }

    #[test]
    fn every_field_of_the_documents_is_passed_on() {
        let mapped = map(&list(&[]), &fixture("limit/levels"));
        assert_eq!(mapped.ignored, Vec::<String>::new());
        assert_eq!(mapped.unknown_enums, Vec::<&str>::new());
        assert_eq!(mapped.unreadable_times, ["limit.interval_start_time"]);
        assert_eq!(mapped.response.fetch_time, Some(NOW));
        let expected = pb::Limit {
            country_code: "RU".into(),
            r#type: pb::LimitType::Turnover.into(),
            type_raw: "TURNOVER".into(),
            currency_code: "RUB".into(),
            max: rub(40_000, 0),
            spent: rub(39_800, 0),
            rest: rub(200, 0),
            interval_start_time: Some(OffsetTime {
                raw: "2019-11-01T:00:00".into(),
                ..Default::default()
            }),
            interval_end_time: Some(OffsetTime {
                // Midnight in Moscow.
                instant: Some(prost_types::Timestamp { seconds: 1_575_147_600, nanos: 0 }),
                utc_offset: Some(prost_types::Duration { seconds: 10_800, nanos: 0 }),
                offset_assumed: true,
                raw: "2019-12-01T00:00".into(),
            }),
        };
        assert_eq!(mapped.response.limits, [expected]);
    }

    #[test]
    fn amounts_are_read_whatever_their_type_and_a_truth_value_is_no_amount() {
        let json = r#"{"limits":{"RU":[
            {"type":"REFILL","currency":643,"max":"15000.50","spent":"0","rest":true},
            {"type":"WITHDRAW_CASH","currency":"RUB","max":null,"interval":null},
            {"type":"LOTTERY"},
            {}
        ]}}"#;
        let mapped = map(&list(&[]), json);
        assert_eq!(mapped.unknown_enums, ["limit.type"]);
        assert_eq!(mapped.unreadable_times, Vec::<&str>::new());
        let limits = mapped.response.limits;
        assert_eq!(limits.len(), 4);
        assert_eq!(limits[0].max, rub(15_000, 500_000_000));
        assert_eq!(limits[0].spent, rub(0, 0));
        assert_eq!((limits[0].currency_code.as_str(), limits[0].rest.clone()), ("RUB", None));
        assert_eq!((limits[1].max.clone(), limits[1].interval_start_time.clone()), (None, None));
        assert_eq!(
            (limits[2].r#type(), limits[2].type_raw.as_str()),
            (pb::LimitType::Unspecified, "LOTTERY")
        );
        let bare = pb::Limit { country_code: "RU".into(), ..Default::default() };
        assert_eq!(limits[3], bare);
    }

    #[test]
    fn countries_keep_their_order_and_an_array_of_them_is_read_too() {
        #[track_caller]
        fn check(json: &str, expected: &[&str]) {
            let limits = map_clean(&list(&[]), json).limits;
            let countries: Vec<_> = limits.iter().map(|limit| &limit.country_code).collect();
            assert_eq!(countries, expected);
        }
        check(r#"{"limits":{"RU":[{},{}],"KZ":[{}],"AZ":[]}}"#, &["RU", "RU", "KZ"]);
        check(r#"{"limits":[{"KZ":[{}]},{"RU":null,"\u0042Y":[{}]}]}"#, &["KZ", "BY"]);
        check(r#"{"limits":{}}"#, &[]);
    }

    #[test]
    fn an_error_body_is_no_answer() {
        let body = r#"{"errorCode":"auth.unauthorized","userMessage":"x"}"#;
        assert!(try_map(&list(&[]), body).is_err());
        assert!(try_map(&pb::GetP2pPaymentCountLimitRequest::default(), body).is_err());
    }

    #[test]
    fn the_count_is_passed_on_as_it_is() {
        let request = pb::GetP2pPaymentCountLimitRequest::default();
        let count = |json: &str| {
            let response = map_clean(&request, json);
            assert_eq!(response.fetch_time, Some(NOW));
            response.p2p_payment_count_limit.unwrap().payment_count
        };
        assert_eq!(count(&fixture("limit/p2p_count")), Some(1));
        assert_eq!(count(r#"{"p2pPaymentCountLimit":"25"}"#), Some(25));
        assert_eq!(count(r#"{"p2pPaymentCountLimit":null}"#), None);
        assert!(try_map(&request, r#"{"p2pPaymentCountLimit":1.5}"#).is_err());
    }
}
