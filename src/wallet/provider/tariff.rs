//! The public tariff of a provider (catalogue W-PAY-2) and the commission that follows from it.
//!
//! QIWI documented it from 2017 to 2020, and asks for no token.

use serde::Deserialize;

use super::super::check::Checks;
use crate::error::{Error, Undocumented, reason};
use crate::money::{Number, Text, currency_code};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape};

/// W-PAY-2.
pub static GET: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/GetTariff",
    operation: "W-PAY-2",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Open,
    route: Some(Route {
        path: "/sinap/providers/{provider}/form",
        area: Area::Provider,
        // The documents demand a content type although nothing is sent.
        headers: &[("origin", "qiwi.com"), ("content-type", "application/json")],
        not_found: NotFound::Is(&reason::TARIFF_UNAVAILABLE),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(3600),
    ..Policy::BASE
};

impl Operation for pb::GetTariffRequest {
    const POLICY: &'static Policy = &GET;
    type Reply<'a> = Form<'a>;
    type Response = pb::GetTariffResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        checks.provider_id(&self.provider_id);
        let mut amount = String::new();
        if let Some(money) = &self.amount {
            if !is_currency(&money.currency_code) {
                checks.invalid("amount.currency_code", "Give an ISO 4217 code, such as RUB.");
            }
            if let Some(number) = checks.amount(money) {
                amount = format!("{} {}", number.as_str(), money.currency_code);
            }
        }
        checks.done()?;
        // QIWI never sees the amount, but the answer depends on it.
        Ok(Call::new().path("provider", self.provider_id.as_str()).varies(&amount))
    }

    fn answer(&self, reply: Form<'_>, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        let Form { content: Content { terms: Terms { commission: tariff } } } = reply;
        let fetch_time = Some(seen.fetch_time);
        let Some(Tariff { ranges, limits }) = tariff else {
            return Ok(pb::GetTariffResponse { fetch_time, ..Default::default() });
        };
        let ranges = ranges.unwrap_or_default();
        let commission = self.amount.as_ref().and_then(|amount| commission(&ranges, amount));
        let limits = limits.unwrap_or_default().into_iter().map(TryInto::try_into);
        Ok(pb::GetTariffResponse {
            tariff: Some(pb::Tariff {
                provider_id: self.provider_id.clone(),
                limits: limits.collect::<Result<_, _>>()?,
                ranges: ranges.into_iter().map(Into::into).collect(),
            }),
            fetch_time,
            commission,
        })
    }

    /// A form without a commission is one QIWI has no public tariff for.
    fn is_not_found(&self, response: &Self::Response) -> bool {
        response.tariff.is_none()
    }
}

fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The commission of a checked amount; `None` when no row applies or its numbers are finer than
/// nine decimals or larger than any payment.
///
/// Numbers are held in billionths of a hundredth, which is what hundredths times a factor in
/// billionths are, so nothing is rounded but the result.
fn commission(ranges: &[Range<'_>], amount: &Money) -> Option<Money> {
    const UNIT: i128 = 1_000_000_000;
    let hundredths =
        i128::from(amount.units).checked_mul(100)? + i128::from(amount.nanos) / 10_000_000;
    let fine = |number: &Number<'_>| number.nanos()?.checked_mul(100);
    let amount_fine = hundredths.checked_mul(UNIT)?;
    let mut row: Option<(i128, &Range<'_>)> = None;
    for range in ranges {
        let bound = range.bound.as_ref().map_or(Some(0), fine)?;
        if bound <= amount_fine && row.is_none_or(|(best, _)| best < bound) {
            row = Some((bound, range));
        }
    }
    let (_, Range { bound: _, rate, min, max, fixed }) = row?;
    let mut total = match rate {
        Some(rate) => hundredths.checked_mul(rate.nanos()?)?,
        None => 0,
    };
    if let Some(min) = min {
        total = total.max(fine(min)?);
    }
    if let Some(max) = max {
        total = total.min(fine(max)?);
    }
    if let Some(fixed) = fixed {
        total = total.checked_add(fine(fixed)?)?;
    }
    // Half up, whatever the sign.
    let rounded = total.checked_add(UNIT / 2)?.div_euclid(UNIT);
    Some(Money {
        currency_code: amount.currency_code.clone(),
        units: i64::try_from(rounded / 100).ok()?,
        nanos: i32::try_from(rounded % 100 * 10_000_000).ok()?,
    })
}

/// The answer of W-PAY-2, of which the commission is all that is documented.
#[derive(Debug, Deserialize)]
pub struct Form<'a> {
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Debug, Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    terms: Terms<'a>,
}

#[derive(Debug, Deserialize)]
struct Terms<'a> {
    #[serde(borrow, default)]
    commission: Option<Tariff<'a>>,
}

#[derive(Debug, Deserialize)]
struct Tariff<'a> {
    #[serde(borrow, default)]
    ranges: Option<Vec<Range<'a>>>,
    #[serde(borrow, default)]
    limits: Option<Vec<Limit<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Range<'a> {
    #[serde(borrow, default)]
    bound: Option<Number<'a>>,
    #[serde(borrow, default)]
    rate: Option<Number<'a>>,
    #[serde(borrow, default)]
    min: Option<Number<'a>>,
    #[serde(borrow, default)]
    max: Option<Number<'a>>,
    #[serde(borrow, default)]
    fixed: Option<Number<'a>>,
}

#[derive(Debug, Deserialize)]
struct Limit<'a> {
    #[serde(borrow, default)]
    currency: Option<Text<'a>>,
    #[serde(borrow, default)]
    min: Option<Number<'a>>,
    #[serde(borrow, default)]
    max: Option<Number<'a>>,
}

impl From<Range<'_>> for pb::TariffRange {
    fn from(range: Range<'_>) -> Self {
        let Range { bound, rate, min, max, fixed } = range;
        let decimal = |number: Option<Number<'_>>| number.map(|number| number.to_decimal());
        Self {
            bound: decimal(bound),
            rate: decimal(rate),
            min: decimal(min),
            max: decimal(max),
            fixed: decimal(fixed),
        }
    }
}

impl TryFrom<Limit<'_>> for pb::TariffLimit {
    type Error = Undocumented;

    fn try_from(limit: Limit<'_>) -> Result<Self, Undocumented> {
        let Limit { currency, min, max } = limit;
        let currency_code = currency.map(|of| currency_code(of.as_str())).unwrap_or_default();
        let money = |number: Option<Number<'_>>, at| {
            number.map(|number| number.to_money(currency_code.clone(), at)).transpose()
        };
        Ok(Self {
            min_amount: money(min, "commission.limits.min")?,
            max_amount: money(max, "commission.limits.max")?,
            currency_code,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, pages, refused, try_map};
    use crate::pb::r#type::v1::Decimal;

    fn rub(units: i64, nanos: i32) -> Money {
        Money { currency_code: "RUB".into(), units, nanos }
    }

    fn tariff(amount: Option<Money>) -> pb::GetTariffRequest {
        pb::GetTariffRequest { provider_id: "99".into(), amount, ..Default::default() }
    }

    fn decimal(value: &str) -> Option<Decimal> {
        Some(Decimal { value: value.into() })
    }

    #[test]
    fn the_request_of_the_documents_leaves() {
        let request = ask(&tariff(None)).unwrap();
        assert_eq!(request.line, "GET /sinap/providers/99/form");
        assert!(request.body.is_null());
        let route = GET.route.as_ref().unwrap();
        assert_eq!(route.accept, "application/json");
        assert_eq!(route.headers, [("origin", "qiwi.com"), ("content-type", "application/json")]);
        assert!(!GET.access.needs_credential());
    }

    #[test]
    fn answers_about_different_amounts_are_kept_apart() {
        let variant = |amount| {
            let asking = Asking { wallet: None, merchant: None, pages: pages() };
            tariff(amount).ask(&asking).unwrap().variant().to_owned()
        };
        assert_eq!(variant(None), "");
        assert_eq!(variant(Some(rub(10, 500_000_000))), "10.50 RUB");
        assert_eq!(variant(Some(Money { currency_code: "USD".into(), ..rub(10, 0) })), "10 USD");
    }

    #[test]
    fn everything_wrong_with_a_request_is_told_at_once() {
        let amount = Money { currency_code: "roubles".into(), ..rub(0, 0) };
        let request = pb::GetTariffRequest { provider_id: String::new(), ..tariff(Some(amount)) };
        let (reason, fields) = refused(&request);
        assert_eq!(reason, "REQUEST_INVALID");
        assert_eq!(fields, ["provider_id", "amount.currency_code", "amount"]);
        for amount in [rub(0, 0), rub(-1, 0), rub(1, 1)] {
            let (reason, fields) = refused(&tariff(Some(amount)));
            assert_eq!((reason, fields), ("AMOUNT_PRECISION", vec!["amount".into()]));
        }
    }

    #[test]
    fn every_field_of_the_documents_is_passed_on() {
        let request = tariff(Some(rub(1000, 0)));
        let response = map_clean(&request, &fixture("provider/tariff"));
        assert!(!request.is_not_found(&response));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.tariff.unwrap(),
            pb::Tariff {
                provider_id: "99".into(),
                ranges: vec![pb::TariffRange {
                    bound: decimal("0"),
                    rate: decimal("0.02"),
                    fixed: decimal("50.0"),
                    ..Default::default()
                }],
                limits: vec![],
            }
        );
        assert_eq!(response.commission, Some(rub(70, 0)));
    }

    #[test]
    fn the_bounds_of_2019_are_passed_on() {
        let json = r#"{"content":{"terms":{"id":"466","commission":{
            "ranges":[{"bound":"0","rate":"0.020","min":20,"max":null}, {}],
            "limits":[{"currency":"643","min":1,"max":600000.50},{"currency":"KZT"},{}]
        }}}}"#;
        let response = map(&tariff(None), json).response;
        assert_eq!(response.commission, None);
        let tariff = response.tariff.unwrap();
        let row = pb::TariffRange {
            bound: decimal("0"),
            rate: decimal("0.020"),
            min: decimal("20"),
            ..Default::default()
        };
        assert_eq!(tariff.ranges, [row, pb::TariffRange::default()]);
        let limit = |currency_code: &str, min_amount, max_amount| pb::TariffLimit {
            currency_code: currency_code.into(),
            min_amount,
            max_amount,
        };
        assert_eq!(
            tariff.limits,
            [
                limit("RUB", Some(rub(1, 0)), Some(rub(600_000, 500_000_000))),
                limit("KZT", None, None),
                limit("", None, None),
            ]
        );
    }

    #[test]
    fn a_form_without_commission_means_no_tariff() {
        let request = tariff(None);
        for json in [
            r#"{"content":{"terms":{}}}"#,
            r#"{"content":{"terms":{"id":"99","commission":null}}}"#,
        ] {
            assert!(request.is_not_found(&map(&request, json).response), "{json}");
        }
        let empty = r#"{"content":{"terms":{"commission":{"ranges":null}}}}"#;
        assert!(!request.is_not_found(&map(&request, empty).response));
        for json in ["{}", r#"{"content":null}"#, r#"{"code":"QWPRC-131"}"#] {
            assert!(try_map(&request, json).is_err(), "{json}");
        }
    }

    #[track_caller]
    fn check(ranges: &str, amount: Money, expected: Option<Money>) {
        let ranges: Vec<Range<'_>> = serde_json::from_str(ranges).unwrap();
        assert_eq!(commission(&ranges, &amount), expected);
    }

    #[test]
    fn the_row_with_the_largest_bound_not_above_the_amount_applies() {
        let rows = r#"[{"bound":1000,"rate":0.01},{"rate":0.05},{"bound":100,"rate":0.02}]"#;
        check(rows, rub(99, 990_000_000), Some(rub(5, 0)));
        check(rows, rub(100, 0), Some(rub(2, 0)));
        check(rows, rub(999, 990_000_000), Some(rub(20, 0)));
        check(rows, rub(1000, 0), Some(rub(10, 0)));
        check(r#"[{"bound":100,"rate":0.02}]"#, rub(99, 990_000_000), None);
        check("[]", rub(100, 0), None);
        check(r#"[{"rate":0.01},{"bound":0,"rate":0.02}]"#, rub(100, 0), Some(rub(1, 0)));
    }

    #[test]
    fn a_share_is_brought_between_its_bounds_before_the_fixed_part_is_added() {
        let row = r#"[{"rate":0.03,"min":30,"max":300,"fixed":"1.5"}]"#;
        check(row, rub(100, 0), Some(rub(31, 500_000_000)));
        check(row, rub(2000, 0), Some(rub(61, 500_000_000)));
        check(row, rub(1_000_000, 0), Some(rub(301, 500_000_000)));
        check(r#"[{"fixed":50.0}]"#, rub(1, 0), Some(rub(50, 0)));
        check(r#"[{"min":10,"max":5}]"#, rub(1, 0), Some(rub(5, 0)));
        check("[{}]", rub(1, 0), Some(rub(0, 0)));
    }

    #[test]
    fn halves_are_rounded_up_and_nothing_else_is_rounded() {
        check(r#"[{"rate":0.005}]"#, rub(1, 0), Some(rub(0, 10_000_000)));
        check(r#"[{"rate":0.004999999}]"#, rub(1, 0), Some(rub(0, 0)));
        check(r#"[{"rate":0.015}]"#, rub(0, 330_000_000), Some(rub(0, 0)));
        check(r#"[{"rate":0.05}]"#, rub(0, 300_000_000), Some(rub(0, 20_000_000)));
        // Two halves make a whole: rounding each would give two.
        check(r#"[{"rate":0.005,"fixed":0.005}]"#, rub(1, 0), Some(rub(0, 10_000_000)));
        check(r#"[{"fixed":-0.005}]"#, rub(1, 0), Some(rub(0, 0)));
        check(r#"[{"fixed":-1.25}]"#, rub(1, 0), Some(rub(-1, -250_000_000)));
        // 0.1 + 0.2 and its like are exact.
        check(r#"[{"rate":0.1,"fixed":0.2}]"#, rub(1, 0), Some(rub(0, 300_000_000)));
    }

    #[test]
    fn what_cannot_be_computed_exactly_is_left_out() {
        check(r#"[{"rate":0.0000000001}]"#, rub(1, 0), None);
        check(r#"[{"bound":1e-10,"rate":0.1}]"#, rub(1, 0), None);
        check(r#"[{"rate":1e20}]"#, rub(i64::MAX, 0), None);
        check(r#"[{"rate":2}]"#, rub(i64::MAX, 0), None);
        check(r#"[{"rate":1}]"#, rub(i64::MAX, 0), Some(rub(i64::MAX, 0)));
    }
}
