//! A transaction of QIWI PAY: its numbers, and the one mapping of what answers and notifications
//! tell of it (catalogue 19, P-API-30, P-CBK-1).
//!
//! QIWI writes type, status and error as numbers. They are compared as text, because a notification
//! signs the text; what the documents do not name is passed on raw and noted.

mod shown;
#[cfg(test)]
mod tests;

pub use shown::{holder_name, masked_pan};

use crate::error::acquiring::transaction_error;
use crate::operation::Seen;
use crate::pb::pay::v1 as pb;
use crate::pb::r#type::v1::{Money, OffsetTime};

/// Types of transactions (catalogue 19.1); 5 to 7 are of older documents.
const TYPES: &[(&str, pb::TransactionType)] = &[
    ("0", pb::TransactionType::Unspecified),
    ("1", pb::TransactionType::Purchase),
    ("2", pb::TransactionType::Authorization),
    ("3", pb::TransactionType::Refund),
    ("4", pb::TransactionType::Reversal),
    ("5", pb::TransactionType::Recurring),
    ("6", pb::TransactionType::RecurringInitPurchase),
    ("7", pb::TransactionType::RecurringInitAuthorization),
    ("8", pb::TransactionType::Payout),
];

/// Statuses of transactions (catalogue 19.2), with the ones that may still follow each.
const STATUSES: &[(&str, pb::TransactionStatus, &[&str])] = &[
    ("0", pb::TransactionStatus::Init, &["1", "2", "3", "4", "5"]),
    ("1", pb::TransactionStatus::Declined, &[]),
    ("2", pb::TransactionStatus::Authorized, &["3", "4", "5"]),
    ("3", pb::TransactionStatus::Captured, &["4", "5"]),
    ("4", pb::TransactionStatus::Reconciled, &["5"]),
    ("5", pb::TransactionStatus::Settled, &[]),
];

/// Takes note of what is outside the documents.
pub trait Notes {
    /// A field has a value that the documents do not name.
    fn unknown_enum(&mut self, field: &'static str);
    /// A field holds a time that cannot be read.
    fn unreadable_time(&mut self, field: &'static str);
}

impl Notes for Seen<'_> {
    fn unknown_enum(&mut self, field: &'static str) {
        self.unknown_enums.push(field);
    }

    fn unreadable_time(&mut self, field: &'static str) {
        self.unreadable_times.push(field);
    }
}

/// What was noted where there is no [`Seen`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// As [`Seen::unknown_enums`].
    pub unknown_enums: Vec<&'static str>,
    /// As [`Seen::unreadable_times`].
    pub unreadable_times: Vec<&'static str>,
}

impl Notes for Noted {
    fn unknown_enum(&mut self, field: &'static str) {
        self.unknown_enums.push(field);
    }

    fn unreadable_time(&mut self, field: &'static str) {
        self.unreadable_times.push(field);
    }
}

/// Reads `txn_type`.
pub fn kind(raw: &str, seen: &mut impl Notes) -> pb::TransactionType {
    let known = TYPES.iter().find(|(number, _)| *number == raw).map(|(_, of)| *of);
    if known.is_none() && !raw.is_empty() {
        seen.unknown_enum("transaction.type");
    }
    known.unwrap_or_default()
}

/// Reads `txn_status`.
pub fn status(raw: &str, seen: &mut impl Notes) -> pb::TransactionStatus {
    let known = STATUSES.iter().find(|(number, ..)| *number == raw).map(|(_, of, _)| *of);
    if known.is_none() && !raw.is_empty() {
        seen.unknown_enum("transaction.status");
    }
    known.unwrap_or_default()
}

/// The statuses, as QIWI writes them, that a transaction of this one may still get. None for those
/// outside the documents.
#[must_use]
pub fn may_become(status_raw: &str) -> &'static [&'static str] {
    let found = STATUSES.iter().find(|(number, ..)| *number == status_raw);
    found.map_or(&[], |(.., next)| next)
}

/// Which operations may follow (catalogue 19.2). Only purchases have any: a refund, a reversal and
/// a payout are transactions of their own and end with themselves.
#[must_use]
pub fn next_operations(
    kind: pb::TransactionType,
    status: pb::TransactionStatus,
) -> &'static [pb::OperationKind] {
    use pb::{OperationKind as Op, TransactionStatus as Status, TransactionType as Type};
    let is_purchase = match kind {
        Type::Purchase
        | Type::Authorization
        | Type::Recurring
        | Type::RecurringInitPurchase
        | Type::RecurringInitAuthorization => true,
        Type::Unspecified | Type::Refund | Type::Reversal | Type::Payout => false,
    };
    match status {
        _ if !is_purchase => &[],
        // The documents call the transaction of a capture by either type, so both are held alike.
        Status::Authorized => &[Op::Capture, Op::Reverse],
        Status::Captured => &[Op::Reverse],
        Status::Reconciled | Status::Settled => &[Op::Refund],
        Status::Unspecified | Status::Init | Status::Declined => &[],
    }
}

/// What QIWI tells of a transaction, each member as the text it is written in. Absent and empty mean
/// the same; card tokens have no place here.
#[derive(Clone, Default)]
pub struct Told {
    /// `txn_id`.
    pub txn_id: String,
    /// `txn_type`.
    pub txn_type: String,
    /// `txn_status`.
    pub txn_status: String,
    /// `txn_date`.
    pub txn_date: Option<String>,
    /// `error_code`.
    pub error_code: Option<String>,
    /// QIWI's text about the error.
    pub error_message: Option<String>,
    /// `amount` with `currency`.
    pub amount: Option<Money>,
    /// `order_id`.
    pub order_id: Option<String>,
    /// `merchant_site`.
    pub merchant_site: Option<String>,
    /// `is_test`.
    pub is_test: bool,
    /// `pan`, masked here as far as QIWI has not.
    pub pan: Option<String>,
    /// `card_name`, unescaped here.
    pub card_name: Option<String>,
    /// `issuer_name`, or `card_bank` of status answers.
    pub issuer_name: Option<String>,
    /// `issuer_country`.
    pub issuer_country: Option<String>,
    /// `auth_code`.
    pub auth_code: Option<String>,
    /// `eci`.
    pub eci: Option<String>,
    /// The customer.
    pub customer: pb::TransactionCustomer,
    /// `cf1` to `cf5` by name.
    pub custom_fields: Vec<(String, String)>,
    /// `product_name`.
    pub product_name: Option<String>,
}

impl Told {
    /// The transaction as callers are told it.
    pub fn into_transaction(self, seen: &mut impl Notes) -> pb::Transaction {
        let Self {
            txn_id,
            txn_type,
            txn_status,
            txn_date,
            error_code,
            error_message,
            amount,
            order_id,
            merchant_site,
            is_test,
            pan,
            card_name,
            issuer_name,
            issuer_country,
            auth_code,
            eci,
            customer,
            custom_fields,
            product_name,
        } = self;
        let kind = kind(&txn_type, seen);
        let status = status(&txn_status, seen);
        let card = pb::CardInfo {
            masked_pan: pan.as_deref().map(masked_pan).unwrap_or_default(),
            holder_name: some(card_name).map(|name| holder_name(&name)),
            issuer_name: some(issuer_name),
            issuer_country: some(issuer_country),
            auth_code: some(auth_code),
            eci: some(eci),
        };
        let next = next_operations(kind, status);
        pb::Transaction {
            transaction_id: txn_id,
            r#type: kind.into(),
            type_raw: txn_type,
            status: status.into(),
            status_raw: txn_status,
            transaction_time: some(txn_date).map(|date| time(&date, seen)),
            error: error_code.and_then(|code| transaction_error(&code, error_message.as_deref())),
            amount,
            order_id: some(order_id),
            merchant_site: some(merchant_site),
            next_operations: next.iter().map(|of| (*of).into()).collect(),
            is_test,
            card: (card != pb::CardInfo::default()).then_some(card),
            customer: (customer != pb::TransactionCustomer::default()).then_some(customer),
            custom_fields: custom_fields.into_iter().filter(|(_, of)| !of.is_empty()).collect(),
            product_name: some(product_name),
        }
    }
}

fn some(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn time(raw: &str, seen: &mut impl Notes) -> OffsetTime {
    let time = crate::time::parse(raw);
    if time.instant.is_none() {
        seen.unreadable_time("transaction.time");
    }
    time
}
