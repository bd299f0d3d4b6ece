//! Issuing a bill under an id of the caller's (catalogue W-INV-2).
//!
//! The documents do not tell what QIWI answers when the id is in use. So whatever it answers is
//! compared with the request, and after an unclear outcome the bill is looked up: see [`LOOKUP`].

use std::collections::BTreeMap;

use serde::Serialize;

use super::wire::Bill;
use super::{BILL, GET, check};
use crate::error::{Error, Undocumented, reason};
use crate::money::money_text;
use crate::operation::{Asking, Became, Call, Operation, Seen};
use crate::pb::p2p::v1 as pb;
use crate::pb::r#type::v1::Money;
use crate::policy::{Access, Class, Lookup, Policy, Route, Verb};
use crate::time;
use crate::wallet::check::Checks;

/// W-INV-2.
pub static CREATE: Policy = Policy {
    rpc: "qiwi.p2p.v1.BillService/CreateBill",
    operation: "W-INV-2",
    class: Class::Write,
    access: Access::P2p,
    route: Some(Route { verb: Verb::Put, lookup: Some(&LOOKUP), ..BILL }),
    ..Policy::BASE
};

/// The bill that has the id, whoever issued it and when.
static LOOKUP: Lookup = Lookup { look: &GET, otherwise: &reason::PAYMENT_ID_REUSED };

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wish<'a> {
    amount: Price<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
    expiration_date_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Customer<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom_fields: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Price<'a> {
    currency: &'a str,
    value: String,
}

#[derive(Serialize)]
struct Customer<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    phone: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    email: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
}

impl Operation for pb::CreateBillRequest {
    const POLICY: &'static Policy = &CREATE;
    type Reply<'a> = Bill<'a>;
    type Response = pb::CreateBillResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        check::chosen(&mut checks, &self.bill_id);
        let amount = price(&mut checks, self.amount.as_ref());
        let expires = self.expires(&mut checks);
        check::short(&mut checks, "comment", &self.comment);
        let custom_fields = self.fields(&mut checks);
        checks.done()?;
        // Whatever is missing here has been refused above.
        let (Some(amount), Some(expiration_date_time)) = (amount, expires) else {
            return Err(Error::new(&reason::REQUEST_INVALID));
        };
        let customer = self.customer.as_ref().filter(|of| **of != pb::BillCustomer::default());
        Ok(Call::new().path("id", self.bill_id.as_str()).json(&Wish {
            amount,
            comment: &self.comment,
            expiration_date_time,
            customer: customer.map(|pb::BillCustomer { phone, email, account }| Customer {
                phone,
                email,
                account,
            }),
            custom_fields,
        }))
    }

    /// A bill of another amount, time or comment is one that had the id before. Customers and fields
    /// are left to [`became`](Self::became): QIWI has just written down those of a new bill, and may
    /// do so in a form of its own.
    fn refusal(&self, bill: &Bill<'_>) -> Option<Error> {
        let amount = bill.amount();
        let seconds = self.expire_time.as_ref().map(|time| time.seconds);
        let differs = (amount.is_some() && amount != self.amount)
            || (bill.expires().is_some() && bill.expires() != seconds)
            || bill.comment().trim() != self.comment.trim();
        differs.then(|| Error::new(&reason::PAYMENT_ID_REUSED))
    }

    fn answer(&self, reply: Bill<'_>, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        let bill = Some(reply.into_proto(seen)?);
        Ok(pb::CreateBillResponse { bill, fetch_time: Some(seen.fetch_time) })
    }

    fn became(&self, response: &Self::Response) -> Became {
        let Some(bill) = &response.bill else { return Became::Untold };
        // Compared already, as far as they are told.
        let expires = bill.expire_time.as_ref().and_then(|time| time.instant);
        if bill.amount.is_none() || expires.is_none() {
            return Became::Untold;
        }
        let theirs = bill.customer.clone().unwrap_or_default();
        let customer = self.customer.as_ref().is_none_or(|ours| is_of(ours, &theirs));
        let fields = self.fields(&mut Checks::default()).into_iter().all(|(name, ours)| {
            // An empty field may have been left out.
            bill.custom_fields.get(&name).map_or("", String::as_str) == ours
        });
        if customer && fields { Became::AsAsked } else { Became::Otherwise }
    }
}

impl pb::CreateBillRequest {
    fn fields(&self, checks: &mut Checks) -> BTreeMap<String, String> {
        check::fields(checks, &self.pay_sources, &self.theme_code, &self.custom_fields)
    }

    /// Whether the time lies in the future is QIWI's to say: a repeat of the request must find its
    /// bill also when that has run out.
    fn expires(&self, checks: &mut Checks) -> Option<String> {
        let time = self.expire_time.as_ref().filter(|time| time.seconds > 0);
        let text = time.and_then(|time| time::to_moscow(time, "expire_time").ok());
        if text.is_none() {
            checks.invalid("expire_time", "Tell until when the bill can be paid.");
        }
        text
    }
}

/// A positive amount with two decimals, as the documents write it: `1.00`.
fn price<'a>(checks: &mut Checks, amount: Option<&'a Money>) -> Option<Price<'a>> {
    let Some(amount) = amount else {
        checks.invalid("amount", "Give the amount of the bill.");
        return None;
    };
    if !matches!(amount.currency_code.as_str(), "RUB" | "KZT") {
        checks.imprecise("amount.currency_code", "Give RUB or KZT: QIWI takes no other currency.");
    }
    checks.amount(amount);
    check::size(checks, amount);
    Some(Price { currency: &amount.currency_code, value: money_text(amount, 2)? })
}

/// Whether everything we told of a payer is what QIWI tells. It need not repeat a phone number or an
/// address as we wrote it.
fn is_of(ours: &pb::BillCustomer, theirs: &pb::BillCustomer) -> bool {
    let digits = |phone: &str| phone.chars().filter(char::is_ascii_digit).collect::<String>();
    let phone = digits(&ours.phone) == digits(&theirs.phone);
    let email = ours.email.trim().to_lowercase() == theirs.email.trim().to_lowercase();
    (ours.phone.is_empty() || phone)
        && (ours.email.is_empty() || email)
        && (ours.account.is_empty() || ours.account == theirs.account)
}
