//! Payments: the REST side of `proto/qiwi/wallet/v1/payment.proto`. Here is what a payment costs
//! (catalogue W-PAY-1, W-PAY-6), two calls that send nothing anywhere but questions. Payments
//! themselves stand in [`create`], and each kind of destination has its own part of it.

mod bank;
mod card;
pub mod create;
mod destination;
mod kazakhstan;
mod phone;
mod provider;
mod requisites;
pub(crate) mod terms;
#[cfg(test)]
pub(crate) mod testing;
mod wallet;

pub use destination::DESTINATIONS;

use serde::{Deserialize, Serialize};

use super::check::Checks;
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::{Number, Text, currency_code};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape, Verb};

/// W-PAY-1. A question in spite of its verb.
pub static QUOTE: Policy = Policy {
    rpc: "qiwi.wallet.v1.PaymentService/QuoteCommission",
    operation: "W-PAY-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::NONE, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/sinap/providers/{provider}/onlineCommission",
        area: Area::Payment,
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// W-PAY-6. It names nothing that could be missing.
pub static RATES: Policy = Policy {
    rpc: "qiwi.wallet.v1.PaymentService/ListExchangeRates",
    operation: "W-PAY-6",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::NONE, information: false },
    route: Some(Route {
        path: "/sinap/crossRates",
        area: Area::Payment,
        not_found: NotFound::Is(&reason::UPSTREAM_REJECTED),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(60),
    ..Policy::BASE
};

/// The only currency of quotes, and the account they are paid from.
const ROUBLES: &str = "643";

impl Operation for pb::QuoteCommissionRequest {
    const POLICY: &'static Policy = &QUOTE;
    type Reply<'a> = Quote<'a>;
    type Response = pb::QuoteCommissionResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        checks.provider_id(&self.provider_id);
        checks.required(
            "account",
            &self.account,
            "Give the recipient as the provider wants it: a phone number, a card or an account.",
        );
        let amount = checks.roubles(self.amount.as_ref());
        checks.done()?;
        let body = QuoteBody {
            account: &self.account,
            payment_method: PaymentMethod { kind: "Account", account_id: ROUBLES },
            purchase_totals: PurchaseTotals { total: Total { amount, currency: ROUBLES } },
        };
        Ok(Call::new().path("provider", self.provider_id.as_str()).json(&body))
    }

    fn answer(
        &self,
        reply: Quote<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Quote {
            provider_id,
            withdraw_sum,
            enrollment_sum,
            qw_commission,
            funding_source_commission,
            withdraw_to_enrollment_rate,
        } = reply;
        let sum = |sum: Option<Sum<'_>>, at| sum.map(|sum| sum.into_money(at)).transpose();
        Ok(pb::QuoteCommissionResponse {
            commission_quote: Some(pb::CommissionQuote {
                // The path named the provider, so it is known even where QIWI leaves it out.
                provider_id: provider_id
                    .map_or_else(|| self.provider_id.clone(), Text::into_string),
                withdraw_amount: sum(withdraw_sum, "withdrawSum.amount")?,
                enrollment_amount: sum(enrollment_sum, "enrollmentSum.amount")?,
                commission: Some(qw_commission.into_money("qwCommission.amount")?),
                funding_source_commission: sum(
                    funding_source_commission,
                    "fundingSourceCommission.amount",
                )?,
                withdraw_to_enrollment_rate: withdraw_to_enrollment_rate
                    .map(|rate| rate.to_decimal()),
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::ListExchangeRatesRequest {
    const POLICY: &'static Policy = &RATES;
    type Reply<'a> = CrossRates<'a>;
    type Response = pb::ListExchangeRatesResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: CrossRates<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let CrossRates { result } = reply;
        Ok(pb::ListExchangeRatesResponse {
            exchange_rates: result.into_iter().map(Into::into).collect(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The body of W-PAY-1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct QuoteBody<'a> {
    account: &'a str,
    payment_method: PaymentMethod,
    purchase_totals: PurchaseTotals,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentMethod {
    #[serde(rename = "type")]
    kind: &'static str,
    account_id: &'static str,
}

#[derive(Serialize)]
struct PurchaseTotals {
    total: Total,
}

#[derive(Serialize)]
struct Total {
    // Absent only where the checks have refused the request.
    amount: Option<Number<'static>>,
    currency: &'static str,
}

/// The answer of W-PAY-1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quote<'a> {
    #[serde(borrow, default)]
    provider_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    withdraw_sum: Option<Sum<'a>>,
    #[serde(borrow, default)]
    enrollment_sum: Option<Sum<'a>>,
    // The fee is what was asked for: an answer without it is none.
    #[serde(borrow)]
    qw_commission: Sum<'a>,
    #[serde(borrow, default)]
    funding_source_commission: Option<Sum<'a>>,
    #[serde(borrow, default)]
    withdraw_to_enrollment_rate: Option<Number<'a>>,
}

#[derive(Debug, Deserialize)]
struct Sum<'a> {
    #[serde(borrow)]
    amount: Number<'a>,
    #[serde(borrow, default)]
    currency: Option<Text<'a>>,
}

/// The answer of W-PAY-6.
#[derive(Debug, Deserialize)]
pub struct CrossRates<'a> {
    #[serde(borrow)]
    result: Vec<CrossRate<'a>>,
}

#[derive(Debug, Deserialize)]
struct CrossRate<'a> {
    #[serde(borrow, default)]
    set: Option<Text<'a>>,
    #[serde(borrow, default)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    to: Option<Text<'a>>,
    #[serde(borrow, default)]
    rate: Option<Number<'a>>,
}

impl Sum<'_> {
    fn into_money(self, at: &'static str) -> Result<Money, Undocumented> {
        let Self { amount, currency } = self;
        let currency = currency.map(|currency| currency_code(currency.as_str()));
        amount.to_money(currency.unwrap_or_default(), at)
    }
}

impl From<CrossRate<'_>> for pb::ExchangeRate {
    fn from(rate: CrossRate<'_>) -> Self {
        let CrossRate { set, from, to, rate } = rate;
        let code = |code: Option<Text<'_>>| code.map(|code| currency_code(code.as_str()));
        Self {
            rate_set: set.map(Text::into_string).unwrap_or_default(),
            from_currency_code: code(from).unwrap_or_default(),
            to_currency_code: code(to).unwrap_or_default(),
            rate: rate.map(|rate| rate.to_decimal()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, try_map};
    use crate::pb::r#type::v1::Decimal;

    fn money(currency: &str, units: i64, nanos: i32) -> Money {
        Money { currency_code: currency.into(), units, nanos }
    }

    fn quote(amount: Money) -> pb::QuoteCommissionRequest {
        pb::QuoteCommissionRequest {
            provider_id: "99".into(),
            account: "380995238345".into(),
            amount: Some(amount),
        }
    }

    #[test]
    fn the_request_of_the_documents_leaves() {
        let request = ask(&quote(money("RUB", 10, 0))).unwrap();
        assert_eq!(request.line, "POST /sinap/providers/99/onlineCommission");
        let documented: serde_json::Value =
            serde_json::from_str(&fixture("payment/quote_request")).unwrap();
        assert_eq!(request.body, documented);
        let rates = ask(&pb::ListExchangeRatesRequest::default()).unwrap();
        assert_eq!((rates.line.as_str(), rates.body), ("GET /sinap/crossRates", ().into()));
    }

    #[test]
    fn kopeks_leave_as_they_are() {
        let amount = |units, nanos| {
            let body = ask(&quote(money("RUB", units, nanos))).unwrap().body;
            body["purchaseTotals"]["total"]["amount"].to_string()
        };
        assert_eq!(amount(8, 700_000_000), "8.70");
        assert_eq!(amount(0, 10_000_000), "0.01");
    }

    #[test]
    fn amounts_qiwi_would_round_are_refused() {
        for amount in [
            money("RUB", 0, 0),
            money("RUB", -1, 0),
            money("RUB", 1, 1_000_000),
            money("RUB", 1, -10_000_000),
        ] {
            assert_eq!(refused(&quote(amount)), ("AMOUNT_PRECISION", vec!["amount".into()]));
        }
        assert_eq!(
            refused(&quote(money("USD", 1, 0))),
            ("AMOUNT_PRECISION", vec!["amount.currency_code".into()])
        );
    }

    #[test]
    fn everything_wrong_with_a_request_is_told_at_once() {
        let (reason, fields) = refused(&pb::QuoteCommissionRequest::default());
        assert_eq!(reason, "REQUEST_INVALID");
        assert_eq!(fields, ["provider_id", "account", "amount"]);
        let request =
            pb::QuoteCommissionRequest { provider_id: "99/..".into(), ..quote(money("", 0, 1)) };
        let (reason, fields) = refused(&request);
        assert_eq!(reason, "REQUEST_INVALID");
        assert_eq!(fields, ["provider_id", "amount.currency_code", "amount"]);
    }

    #[test]
    fn every_field_of_a_quote_is_passed_on() {
        let response = map_clean(&quote(money("RUB", 1001, 0)), &fixture("payment/quote"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.commission_quote.unwrap(),
            pb::CommissionQuote {
                provider_id: "99".into(),
                withdraw_amount: Some(money("RUB", 1011, 10_000_000)),
                enrollment_amount: Some(money("RUB", 1001, 0)),
                commission: Some(money("RUB", 10, 10_000_000)),
                funding_source_commission: Some(money("RUB", 0, 0)),
                withdraw_to_enrollment_rate: Some(Decimal { value: "1".into() }),
            }
        );
    }

    #[test]
    fn a_quote_needs_its_fee_and_nothing_else() {
        let request = quote(money("RUB", 1, 0));
        let json = r#"{"withdrawSum":null,"qwCommission":{"amount":"50.5"},
            "enrollmentSum":{"amount":1e2,"currency":398}}"#;
        let quote = map(&request, json).response.commission_quote.unwrap();
        assert_eq!(
            quote,
            pb::CommissionQuote {
                provider_id: "99".into(),
                enrollment_amount: Some(money("KZT", 100, 0)),
                commission: Some(money("", 50, 500_000_000)),
                ..Default::default()
            }
        );
        for json in [
            "{}",
            r#"{"code":"QWPRC-4","message":"x"}"#,
            r#"{"providerId":99,"qwCommission":null}"#,
            r#"{"qwCommission":{"amount":"dear"}}"#,
            r#"{"qwCommission":{"amount":0.0000000001}}"#,
        ] {
            assert!(try_map(&request, json).is_err(), "{json}");
        }
    }

    #[test]
    fn every_rate_of_the_documents_is_passed_on() {
        let request = pb::ListExchangeRatesRequest::default();
        let response = map_clean(&request, &fixture("payment/rates"));
        assert_eq!(response.fetch_time, Some(NOW));
        let rate = |from: &str, to: &str, rate: &str| pb::ExchangeRate {
            rate_set: "General".into(),
            from_currency_code: from.into(),
            to_currency_code: to.into(),
            rate: Some(Decimal { value: rate.into() }),
        };
        assert_eq!(
            response.exchange_rates,
            [
                rate("KZT", "RUB", "6.22665"),
                rate("KZT", "CHF", "412.0174305"),
                rate("UAH", "EUR", "31.4680914"),
            ]
        );
    }

    #[test]
    fn unknown_currencies_and_missing_rates_pass() {
        let request = pb::ListExchangeRatesRequest::default();
        let json = r#"{"result":[{"set":"Other","from":51,"to":"999","rate":"0.0164270"},{}]}"#;
        let rates = map(&request, json).response.exchange_rates;
        assert_eq!(rates[0].rate_set, "Other");
        assert_eq!(rates[0].from_currency_code, "AMD");
        assert_eq!(rates[0].to_currency_code, "999");
        assert_eq!(rates[0].rate, Some(Decimal { value: "0.0164270".into() }));
        assert_eq!(rates[1], pb::ExchangeRate::default());
        assert!(try_map(&request, r#"{"errorCode":"x"}"#).is_err());
    }
}
