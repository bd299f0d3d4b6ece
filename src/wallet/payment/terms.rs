//! What every payment to a provider has in common, whichever method makes it: the object QIWI calls
//! Payment, what makes two of them the same, and QIWI's word that it took one (PaymentInfo).
//!
//! Whom a payment is for, field by field, is told by the files of its destinations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::error::{Error, reason};
use crate::ledger::Amount;
use crate::money::{Number, Text, currency_number, money_text};
use crate::operation::Call;
use crate::order::{Content, Found, Order, Taken};
use crate::pb::r#type::v1::Money;
use crate::policy::{Policy, Route};
use crate::wallet::check::is_digits;

/// Where nearly every payment goes.
pub(crate) const PATH: &str = "/sinap/api/v2/terms/{provider}/payments";
/// The account most payments are paid from: the one in roubles.
pub(crate) const ROUBLES: &str = "643";
/// QIWI's only word for a payment it took.
const ACCEPTED: &str = "Accepted";

/// The fields of a payment by QIWI's names. Any of them may be a card number, so they are wiped when
/// they go, and nothing shows them.
#[derive(Default)]
pub(crate) struct Fields<'a>(BTreeMap<&'a str, Zeroizing<String>>);

impl<'a> Fields<'a> {
    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.0.insert(name, Zeroizing::new(value.into()));
        self
    }

    /// Adds a field where there is something to say.
    #[must_use]
    pub(crate) fn maybe(self, name: &'a str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// By name, in the order of the names.
    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// A payment to a provider, checked.
pub(crate) struct Terms<'a> {
    /// QIWI's number of the provider; `None` where it has to be found first.
    pub(crate) provider: Option<&'a str>,
    /// How much, as the caller wrote it.
    pub(crate) money: &'a Money,
    /// How much, as QIWI wants it.
    pub(crate) amount: Number<'static>,
    /// The account it is paid from, by the number of its currency.
    pub(crate) account: &'static str,
    /// Whom it is for.
    pub(crate) fields: Fields<'a>,
    /// Empty when there is none.
    pub(crate) comment: &'a str,
}

impl<'a> Terms<'a> {
    /// The order, for the ledger.
    ///
    /// Its content is what QIWI is told, in one spelling. So a new spelling of what is sent for an
    /// old request would make that request a different one: constants in `fields` stay as they are.
    pub(crate) fn order(&self, policy: &Policy, id: &str) -> Result<Order, Error> {
        let Self { provider, money, amount: _, account, fields, comment } = self;
        let amount = money_text(money, 2).ok_or_else(unchecked)?;
        let mut content = Content::new(policy)
            .part("provider", provider.unwrap_or_default())
            .part("amount", &amount)
            .part("currency", &money.currency_code)
            .part("account", account)
            .part("comment", comment);
        for (name, value) in fields.iter() {
            content = content.part("field", name).part("value", value);
        }
        Ok(Order {
            id: id.to_owned(),
            provider: provider.map(str::to_owned),
            amount: Some(self.ledger_amount()),
            content,
            parent: None,
        })
    }

    /// The amount, for the ledger.
    pub(crate) fn ledger_amount(&self) -> Amount {
        let Money { currency_code, units, nanos } = self.money;
        Amount { currency: currency_code.clone(), units: *units, nanos: *nanos }
    }

    /// The call that pays. `found` brings the fields that had to be asked for, by these names.
    pub(crate) fn call(
        mut self,
        id: &str,
        provider: &str,
        found: &'a Found,
        names: &[&str],
    ) -> Result<Call, Error> {
        for (name, value) in &found.fields {
            self.fields = self.fields.with(name, value.as_str());
        }
        if names.iter().any(|name| self.fields.get(name).is_none_or(str::is_empty)) {
            return Err(Error::new(&reason::GATEWAY_PANIC)
                .log("a payment without the fields its preparation has to bring"));
        }
        let currency = currency_number(&self.money.currency_code).ok_or_else(unchecked)?;
        let body = Body {
            id,
            sum: Sum { amount: &self.amount, currency: &currency },
            payment_method: PaymentMethod { kind: "Account", account_id: self.account },
            comment: Some(self.comment).filter(|comment| !comment.is_empty()),
            fields: &self.fields,
        };
        Ok(Call::new().path("provider", provider).json(&body))
    }
}

/// The row's route.
pub(crate) fn route(policy: &'static Policy) -> Result<&'static Route, Error> {
    policy.route.as_ref().ok_or_else(|| {
        Error::new(&reason::GATEWAY_PANIC).log("a method that moves money without a route")
    })
}

/// The provider of an order: the one that was found, or that the request names.
pub(crate) fn provider<'a>(order: &'a Order, found: &'a Found) -> Option<&'a str> {
    found.provider.as_deref().or(order.provider.as_deref())
}

/// A payment without what its checks have to ensure: a defect of the area file.
pub(crate) fn unchecked() -> Error {
    Error::new(&reason::GATEWAY_PANIC).log("a payment was used that its checks have refused")
}

/// An answer to a preparation that cannot be used. Nothing of it is quoted: it may hold a card.
pub(crate) fn malformed(what: &'static str) -> Error {
    Error::new(&reason::UPSTREAM_MALFORMED).log(what)
}

/// The object Payment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: &'a str,
    sum: Sum<'a>,
    payment_method: PaymentMethod,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    fields: &'a Fields<'a>,
}

#[derive(Serialize)]
struct Sum<'a> {
    amount: &'a Number<'static>,
    currency: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentMethod {
    #[serde(rename = "type")]
    kind: &'static str,
    account_id: &'static str,
}

/// What of the object PaymentInfo tells whether QIWI took the payment.
#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    transaction: Transaction<'a>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    state: State<'a>,
}

#[derive(Deserialize)]
struct State<'a> {
    #[serde(borrow)]
    code: Text<'a>,
}

/// Reads a PaymentInfo; `None` when it does not say that QIWI took this payment.
pub(crate) fn taken(body: &[u8], id: &str) -> Option<Taken> {
    let Info { id: echo, transaction: Transaction { id: transaction, state } } =
        serde_json::from_slice(body).ok()?;
    let ours = echo.is_none_or(|echo| echo.as_str() == id);
    let numbered = !transaction.as_str().is_empty() && is_digits(transaction.as_str());
    (ours && numbered && state.code.as_str() == ACCEPTED).then(|| Taken {
        transaction_id: Some(transaction.into_string()),
        status: ACCEPTED.to_owned(),
        ..Taken::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::fixture;

    #[test]
    fn qiwi_took_what_it_calls_accepted_and_numbers() {
        let of = |transaction: &str| Taken {
            transaction_id: Some(transaction.to_owned()),
            status: "Accepted".to_owned(),
            ..Taken::default()
        };
        let body = fixture("payment/info");
        assert_eq!(taken(body.as_bytes(), "150217833198900"), Some(of("11155897070")));
        assert_eq!(taken(body.as_bytes(), "150217833198901"), None);
        let body = fixture("payment/info_masked");
        assert_eq!(taken(body.as_bytes(), "21131343"), Some(of("4969142201")));
        // The echo of the id may be a number, of twenty digits too, null, or missing.
        for id in [
            r#""id":12345678901234567890,"#,
            r#""id":"12345678901234567890","#,
            r#""id":null,"#,
            "",
        ] {
            let body = format!(r#"{{{id}"transaction":{{"id":5,"state":{{"code":"Accepted"}}}}}}"#);
            assert_eq!(taken(body.as_bytes(), "12345678901234567890"), Some(of("5")), "{id}");
        }
    }

    #[test]
    fn anything_else_proves_nothing() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "<html>",
            r#"{"id":"7"}"#,
            r#"{"id":"7","transaction":null}"#,
            r#"{"id":"7","transaction":{"id":"5"}}"#,
            r#"{"id":"7","transaction":{"id":"5","state":null}}"#,
            r#"{"id":"7","transaction":{"id":"5","state":{"code":"accepted"}}}"#,
            r#"{"id":"7","transaction":{"id":"5","state":{"code":"Declined"}}}"#,
            r#"{"id":"7","transaction":{"id":"","state":{"code":"Accepted"}}}"#,
            r#"{"id":"7","transaction":{"id":"x","state":{"code":"Accepted"}}}"#,
            r#"{"id":"7","transaction":{"id":null,"state":{"code":"Accepted"}}}"#,
            r#"{"id":"7","transaction":{"state":{"code":"Accepted"}}}"#,
            r#"{"id":"70","transaction":{"id":"5","state":{"code":"Accepted"}}}"#,
            r#"{"id":[],"transaction":{"id":"5","state":{"code":"Accepted"}}}"#,
            r#"{"code":"QWPRC-220","message":"x"}"#,
            r#"{"id":"7","transaction":{"id":"5","state":{"code":"Accepted"}}"#,
        ] {
            assert_eq!(taken(body.as_bytes(), "7"), None, "{body}");
        }
        assert_eq!(taken(b"\xff", "7"), None);
    }
}
