//! Paying an invoice (catalogue W-INV-6). The list of unpaid ones (W-INV-5) tells before how much
//! it is and in which currency, for QIWI's call names neither amount nor merchant.

use serde::{Deserialize, Serialize};

use super::{Bill, Bills, LIST};
use crate::credentials::{Scopes, Wallet};
use crate::error::{Error, reason};
use crate::ledger::{Amount, OperationKind};
use crate::money::{Text, currency_code, currency_number};
use crate::operation::Call;
use crate::order::{Content, Found, Order, Payment, Preparation, Sending, Taken};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::balance;
use crate::wallet::check::{Checks, is_digits, is_provider_id};
use crate::wallet::payment::terms::{self, malformed, unchecked};

/// W-INV-6.
pub static PAY: Policy = Policy {
    rpc: "qiwi.wallet.v1.InvoiceService/PayInvoice",
    operation: "W-INV-6",
    class: Class::Money,
    access: Access::P2pOrWallet { wallet_scopes: Scopes::PAYMENTS },
    route: Some(Route {
        verb: Verb::Post,
        path: "/checkout-api/invoice/pay/wallet",
        area: Area::Invoice,
        not_found: NotFound::Is(&reason::INVOICE_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    forgets: &[&balance::LIST],
    ..Policy::BASE
};

/// QIWI's words for an invoice that is paid, and for one that is about to be. The documents know
/// the first only, and call anything else no success.
const PAID: &str = "PAID_STATUS";
const PAYING: &str = "PAYING_STATUS";

#[derive(Serialize)]
struct Body<'a> {
    invoice_uid: &'a str,
    currency: &'a str,
}

#[derive(Deserialize)]
struct Paid<'a> {
    #[serde(borrow)]
    invoice_status: Text<'a>,
}

impl pb::PayInvoiceRequest {
    /// The number of the currency.
    fn checked(&self) -> Result<String, Error> {
        let mut checks = Checks::default();
        // One spelling for each invoice, because the ledger tells payments apart by it.
        let number = self.invoice_id.parse::<i64>().ok().filter(|_| is_digits(&self.invoice_id));
        if number.is_none() || self.invoice_id.starts_with('0') {
            checks.invalid(
                "invoice_id",
                "Give the id of an invoice: a positive number of at most 19 digits.",
            );
        }
        let currency = currency_number(&self.currency_code);
        if currency.is_none() {
            checks.invalid("currency_code", "Give the currency of the invoice, such as RUB.");
        }
        checks.done()?;
        currency.ok_or_else(unchecked)
    }
}

impl Payment for pb::PayInvoiceRequest {
    const POLICY: &'static Policy = &PAY;
    const KIND: OperationKind = OperationKind::Invoice;
    type Payer = Wallet;
    type Shown = pb::Payment;
    type Response = pb::PayInvoiceResponse;

    fn wallet(&self) -> &str {
        &self.wallet
    }

    fn order(&self, _: &Wallet) -> Result<Order, Error> {
        let currency = self.checked()?;
        Ok(Order {
            id: self.invoice_id.clone(),
            provider: None,
            amount: None,
            content: Content::new(&PAY)
                .part("invoice", &self.invoice_id)
                .part("currency", &currency),
            parent: None,
        })
    }

    /// Always: an invoice that is not open any more must not be paid again.
    fn preparation(&self, _: &Wallet, _: Option<&str>) -> Option<Preparation> {
        let id = self.invoice_id.clone();
        // What QIWI writes as a number in its list is the same as its name.
        let currency = currency_code(&self.currency_code);
        Some(Preparation {
            policy: &LIST,
            // The list goes on from this one, and includes it.
            call: Call::new().query("rows", "1").query("next_id", &id),
            read: Box::new(move |body| open(body, &id, &currency)),
            then: None,
        })
    }

    fn sending(&self, _: &Wallet, order: &Order, found: &Found) -> Result<Sending, Error> {
        let currency = self.checked()?;
        let body = Body { invoice_uid: &order.id, currency: &currency };
        Ok(Sending {
            route: terms::route(&PAY)?,
            call: Call::new().json(&body),
            provider: found.provider.clone().unwrap_or_default(),
            amount: found.amount.clone().ok_or_else(unchecked)?,
        })
    }

    fn taken(body: &[u8], _: &str) -> Option<Taken> {
        let Paid { invoice_status } = serde_json::from_slice(body).ok()?;
        let done = match invoice_status.as_str() {
            PAID => true,
            PAYING => false,
            _ => return None,
        };
        Some(Taken { status: invoice_status.into_string(), done, ..Taken::default() })
    }

    fn reattempt(&self) -> bool {
        self.reattempt
    }

    fn respond(payment: pb::Payment) -> Self::Response {
        pb::PayInvoiceResponse { payment: Some(payment) }
    }
}

/// What the list says about the invoice, when it is open and in this currency.
fn open(body: &[u8], id: &str, currency: &str) -> Result<Found, Error> {
    let Bills { bills } = serde_json::from_slice(body)
        .map_err(|_| malformed("the list of unpaid invoices cannot be read"))?;
    let first = bills.into_iter().next().filter(|bill| bill.id.as_str() == id);
    let Bill { sum, provider, .. } = first.ok_or_else(|| Error::new(&reason::INVOICE_NOT_FOUND))?;
    let sum = sum.and_then(|sum| sum.to_money("bills.sum.amount").ok().flatten());
    let Money { currency_code, units, nanos } = sum
        .filter(|sum| !sum.currency_code.is_empty() && (sum.units > 0 || sum.nanos > 0))
        .ok_or_else(|| malformed("the sum of an unpaid invoice cannot be read"))?;
    if currency_code != currency {
        return Err(Error::invalid("currency_code", "Give the currency of the invoice."));
    }
    Ok(Found {
        provider: provider
            .and_then(|provider| provider.id)
            .map(Text::into_string)
            .filter(|id| is_provider_id(id)),
        amount: Some(Amount { currency: currency_code, units, nanos }),
        ..Found::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;
    use crate::operation::testing::{fixture, wallet};
    use crate::wallet::payment::testing::{
        asked, content, document, found, refused, sent_with, unusable,
    };

    const INVOICE: &str = "1063702405";

    fn pay(invoice_id: &str, currency_code: &str) -> pb::PayInvoiceRequest {
        pb::PayInvoiceRequest {
            invoice_id: invoice_id.into(),
            currency_code: currency_code.into(),
            ..Default::default()
        }
    }

    #[test]
    fn the_invoice_of_the_documents_is_looked_at_and_paid() {
        let request = pay(INVOICE, "RUB");
        for known in [None, Some("480706")] {
            let question = asked(&request, known).unwrap();
            assert_eq!(
                question.line,
                "GET /checkout-api/api/bill/search?statuses=READY_FOR_PAY&rows=1&next_id=1063702405"
            );
            assert_eq!(question.body, Value::Null);
        }
        let open = found(&request, &fixture("invoice/bills")).unwrap();
        let (sent, sending) = sent_with(&request, &open);
        assert_eq!(sent.line, "POST /checkout-api/invoice/pay/wallet");
        assert_eq!(sent.body, document("invoice/pay_request"));
        assert_eq!(sending.provider, "480706");
        let amount = Amount { currency: "RUB".into(), units: 100, nanos: 0 };
        assert_eq!(sending.amount, amount);
    }

    #[test]
    fn the_order_knows_the_invoice_only() {
        let order = pay(INVOICE, "RUB").order(&wallet()).unwrap();
        assert_eq!((order.id.as_str(), order.provider, order.amount), (INVOICE, None, None));
        assert_eq!(content(&pay(INVOICE, "RUB")), content(&pay(INVOICE, "643")));
        assert_ne!(content(&pay(INVOICE, "RUB")), content(&pay(INVOICE, "USD")));
        assert_ne!(content(&pay(INVOICE, "RUB")), content(&pay("1063702406", "RUB")));
        let order = pay(INVOICE, "RUB").order(&wallet()).unwrap();
        let unseen = pay(INVOICE, "RUB").sending(&wallet(), &order, &Found::default());
        assert!(unseen.is_err(), "nothing is paid whose amount nobody saw");
    }

    #[test]
    fn only_an_open_invoice_in_its_currency_is_paid() {
        let request = pay(INVOICE, "RUB");
        for none in [r#"{"bills":[]}"#, r#"{"bills":[{"id":1063702404}]}"#] {
            assert_eq!(unusable(&request, none).0, "INVOICE_NOT_FOUND", "{none}");
        }
        let told = ("REQUEST_INVALID", vec!["currency_code".to_owned()]);
        assert_eq!(unusable(&pay(INVOICE, "USD"), &fixture("invoice/bills")), told);
        let bill = |rest: &str| format!(r#"{{"bills":[{{"id":"1063702405"{rest}}}]}}"#);
        let named = found(&request, &bill(r#","sum":{"amount":"1.5","currency":"RUB"}"#)).unwrap();
        assert_eq!(named.provider, None);
        assert_eq!(named.amount.unwrap().nanos, 500_000_000);
        for odd in [
            bill(""),
            bill(r#","sum":null"#),
            bill(r#","sum":{"currency":643}"#),
            bill(r#","sum":{"amount":1}"#),
            bill(r#","sum":{"amount":0,"currency":643}"#),
            bill(r#","sum":{"amount":"dear","currency":643}"#),
            r#"{"bills":null}"#.to_owned(),
            r#"{"errorCode":"x"}"#.to_owned(),
            String::new(),
        ] {
            assert_eq!(unusable(&request, &odd).0, "UPSTREAM_MALFORMED", "{odd}");
        }
    }

    #[test]
    fn an_invoice_has_one_spelling() {
        for id in ["", "0", "01063702405", "+1063702405", "-1", "1e3", "9223372036854775808"] {
            assert_eq!(refused(&pay(id, "RUB")), ("REQUEST_INVALID", vec!["invoice_id".into()]));
        }
        for currency in ["", "rub", "ROUBLE", "64"] {
            let told = ("REQUEST_INVALID", vec!["currency_code".to_owned()]);
            assert_eq!(refused(&pay(INVOICE, currency)), told);
        }
        assert_eq!(refused(&pay("x", "x")).1, ["invoice_id", "currency_code"]);
    }

    #[test]
    fn only_two_words_mean_that_qiwi_took_it() {
        let taken = |body: &str| {
            let taken = pb::PayInvoiceRequest::taken(body.as_bytes(), INVOICE)?;
            assert!(taken.transaction_id.is_none() && !taken.declined);
            Some((taken.status, taken.done))
        };
        let of = |status: &str, done| Some((status.to_owned(), done));
        assert_eq!(taken(&fixture("invoice/paid")), of("PAID_STATUS", true));
        assert_eq!(taken(r#"{"invoice_status":"PAYING_STATUS"}"#), of("PAYING_STATUS", false));
        for other in [
            "",
            "{}",
            "null",
            r#"{"invoice_status":null}"#,
            r#"{"invoice_status":"ERROR_STATUS"}"#,
            r#"{"invoice_status":"paid_status"}"#,
            r#"{"invoice_status":["PAID_STATUS"]}"#,
            r#"{"errorCode":"api.invoice.not.found"}"#,
        ] {
            assert_eq!(taken(other), None, "{other}");
        }
    }
}
