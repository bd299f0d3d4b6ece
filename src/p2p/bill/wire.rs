//! A bill as QIWI writes it, the same in the answers of W-INV-2, W-INV-3 and W-INV-4.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::error::Undocumented;
use crate::money::{Amount, Text, maybe_money};
use crate::operation::Seen;
use crate::pb::p2p::v1 as pb;
use crate::pb::r#type::v1::Money;

const STATUSES: &[(&str, pb::BillStatus)] = &[
    ("WAITING", pb::BillStatus::Waiting),
    ("PAID", pb::BillStatus::Paid),
    ("REJECTED", pb::BillStatus::Rejected),
    ("EXPIRED", pb::BillStatus::Expired),
];

/// A bill. Without its id an answer is none, and may be an error body.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bill<'a> {
    #[serde(borrow, default)]
    site_id: Option<Text<'a>>,
    #[serde(borrow)]
    bill_id: Text<'a>,
    #[serde(borrow, default)]
    amount: Option<Amount<'a>>,
    #[serde(borrow, default)]
    status: Option<Status<'a>>,
    #[serde(borrow, default)]
    customer: Option<Customer<'a>>,
    #[serde(default)]
    custom_fields: Option<HashMap<String, Free>>,
    #[serde(borrow, default)]
    comment: Option<Text<'a>>,
    #[serde(borrow, default)]
    creation_date_time: Option<Text<'a>>,
    #[serde(borrow, default)]
    expiration_date_time: Option<Text<'a>>,
    #[serde(borrow, default)]
    pay_url: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    // Samples of the documents have the second name.
    #[serde(borrow, default, rename = "changedDateTime", alias = "datetime")]
    changed: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Customer<'a> {
    #[serde(borrow, default)]
    phone: Option<Text<'a>>,
    #[serde(borrow, default)]
    email: Option<Text<'a>>,
    #[serde(borrow, default)]
    account: Option<Text<'a>>,
}

/// The value of a further field: the documents have texts only, but QIWI adds fields of its own. What
/// is no text is kept as JSON; null is nothing.
#[derive(Debug)]
struct Free(Option<String>);

impl<'de> Deserialize<'de> for Free {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        Ok(Self(match serde_json::from_str::<Text<'_>>(raw) {
            Ok(text) => Some(text.into_string()),
            Err(_) => Some(raw.to_owned()).filter(|raw| raw != "null"),
        }))
    }
}

impl Bill<'_> {
    /// The amount, where it is told and can be read.
    pub fn amount(&self) -> Option<Money> {
        self.amount.as_ref()?.to_money("amount.value").ok().flatten()
    }

    /// The comment, or nothing.
    pub fn comment(&self) -> &str {
        self.comment.as_ref().map_or("", Text::as_str)
    }

    /// Until when it can be paid, in Unix seconds, where that is told and can be read.
    pub fn expires(&self) -> Option<i64> {
        let time = crate::time::parse(self.expiration_date_time.as_ref()?.as_str());
        time.instant.map(|instant| instant.seconds)
    }

    /// The message of it.
    pub fn into_proto(self, seen: &mut Seen<'_>) -> Result<pb::Bill, Undocumented> {
        let Self {
            site_id,
            bill_id,
            amount,
            status,
            customer,
            custom_fields,
            comment,
            creation_date_time,
            expiration_date_time,
            pay_url,
        } = self;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        let (value, changed) = status.map_or((None, None), |of| (of.value, of.changed));
        let status_raw = text(value).unwrap_or_default();
        let status =
            seen.open_enum("bill.status", &status_raw, STATUSES, pb::BillStatus::Unspecified);
        let fields = custom_fields.into_iter().flatten();
        Ok(pb::Bill {
            bill_id: bill_id.into_string(),
            site_id: text(site_id),
            amount: maybe_money(amount.as_ref(), "amount.value")?,
            status: status.into(),
            status_raw,
            status_change_time: seen.time("bill.status_change_time", changed),
            customer: customer.and_then(Customer::into_proto),
            custom_fields: fields.filter_map(|(name, Free(value))| Some((name, value?))).collect(),
            comment: text(comment).filter(|comment| !comment.is_empty()),
            create_time: seen.time("bill.create_time", creation_date_time),
            expire_time: seen.time("bill.expire_time", expiration_date_time),
            pay_url: text(pay_url),
        })
    }
}

impl Customer<'_> {
    /// `None` where nothing is told.
    fn into_proto(self) -> Option<pb::BillCustomer> {
        let text = |text: Option<Text<'_>>| text.map(Text::into_string).unwrap_or_default();
        let customer = pb::BillCustomer {
            phone: text(self.phone),
            email: text(self.email),
            account: text(self.account),
        };
        (customer != pb::BillCustomer::default()).then_some(customer)
    }
}
