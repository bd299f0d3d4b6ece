//! The answers of QIWI PAY as they are on the wire (catalogue, section 17).
//!
//! Numbers and texts mix, so every member is read as the text it is written in.

use std::sync::Arc;

use prost::Message as _;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::transaction::{Noted, Notes, Told};
use crate::error::acquiring::is_decline;
use crate::money::{Number, Text, currency_code};
use crate::order::{Handover, Taken, ThreeDs};
use crate::pb::pay::v1 as pb;
use crate::pb::r#type::v1::Money;

/// The answer to a status query.
#[derive(Deserialize)]
pub struct Listed<'a> {
    /// 0 for success.
    #[serde(borrow, default)]
    pub error_code: Option<Text<'a>>,
    /// One for each operation of the order.
    #[serde(borrow, default)]
    pub transactions: Option<Vec<Transaction<'a>>>,
}

macro_rules! members {
    ($($name:ident),+ $(,)?) => {
        /// The members of a transaction: of an answer, or of one in a list. Those that are secret
        /// never leave this file but in a [`Handover`].
        #[derive(Deserialize, Default)]
        pub struct Transaction<'a> {
            $(#[serde(borrow, default)] #[allow(missing_docs)] pub $name: Option<Text<'a>>,)+
        }
    };
}

members! {
    txn_id, txn_status, txn_type, txn_date, error_code, error_message, is_test, pan, amount,
    currency, auth_code, eci, card_name, card_bank, issuer_name, issuer_country, merchant_site,
    acs_url, pareq, card_token, card_token_expire, order_id, ip, email, country, city, region,
    address, phone, cf1, cf2, cf3, cf4, cf5, product_name,
}

impl Transaction<'_> {
    /// The transaction as callers see it.
    pub fn into_transaction(self, notes: &mut impl Notes) -> pb::Transaction {
        let text = |of: Option<Text<'_>>| of.map(Text::into_string).filter(|text| !text.is_empty());
        let amount = match (&self.amount, &self.currency) {
            (Some(amount), Some(currency)) => read_amount(amount.as_str(), currency.as_str()),
            _ => None,
        };
        let custom = [
            ("cf1", self.cf1),
            ("cf2", self.cf2),
            ("cf3", self.cf3),
            ("cf4", self.cf4),
            ("cf5", self.cf5),
        ];
        let told = Told {
            txn_id: text(self.txn_id).unwrap_or_default(),
            txn_type: text(self.txn_type).unwrap_or_default(),
            txn_status: text(self.txn_status).unwrap_or_default(),
            txn_date: text(self.txn_date),
            error_code: text(self.error_code),
            error_message: text(self.error_message),
            amount,
            order_id: text(self.order_id),
            merchant_site: text(self.merchant_site),
            is_test: self.is_test.is_some_and(|of| of.as_str() == "true"),
            pan: text(self.pan),
            card_name: text(self.card_name),
            issuer_name: text(self.issuer_name).or_else(|| text(self.card_bank)),
            issuer_country: text(self.issuer_country),
            auth_code: text(self.auth_code),
            eci: text(self.eci),
            customer: pb::TransactionCustomer {
                ip: text(self.ip).unwrap_or_default(),
                email: text(self.email).unwrap_or_default(),
                country: text(self.country).unwrap_or_default(),
                city: text(self.city).unwrap_or_default(),
                region: text(self.region).unwrap_or_default(),
                address: text(self.address).unwrap_or_default(),
                phone: text(self.phone).unwrap_or_default(),
            },
            custom_fields: custom
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), text(value)?)))
                .collect(),
            product_name: text(self.product_name),
        };
        told.into_transaction(notes)
    }
}

/// An amount with its currency, which QIWI writes as a number. One that cannot be read is left out:
/// an answer about money is never lost to a detail.
fn read_amount(amount: &str, currency: &str) -> Option<Money> {
    Number::parse(amount)?.to_money(currency_code(currency), "amount").ok()
}

/// What a transaction says about an operation that made or changed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is decided.
    Open,
    /// Declined.
    Declined,
    /// Done.
    Done,
    /// A status outside the documents.
    Unknown,
}

/// How far a transaction is.
pub fn progress(transaction: &pb::Transaction) -> Progress {
    use pb::TransactionStatus as Status;
    match transaction.status() {
        Status::Init => Progress::Open,
        Status::Declined => Progress::Declined,
        Status::Authorized | Status::Captured | Status::Reconciled | Status::Settled => {
            Progress::Done
        }
        Status::Unspecified => Progress::Unknown,
    }
}

/// What the ledger keeps of a transaction: nothing secret, nothing personal beyond masks.
pub fn details(transaction: &pb::Transaction) -> bytes::Bytes {
    let kept = pb::Transaction {
        customer: None,
        custom_fields: Default::default(),
        product_name: None,
        card: transaction
            .card
            .clone()
            .map(|card| pb::CardInfo { holder_name: None, ..card })
            .filter(|card| *card != pb::CardInfo::default()),
        ..transaction.clone()
    };
    kept.encode_to_vec().into()
}

/// Reads an answer to an operation; `None` when there is no transaction of it. A decline is one,
/// where it has a number.
pub fn taken(body: &[u8]) -> Option<Taken> {
    let mut transaction: Transaction<'_> = serde_json::from_slice(body).ok()?;
    let number = transaction.error_code.as_ref()?.as_str().parse::<i32>().ok()?;
    let id = transaction.txn_id.as_ref().map_or("", Text::as_str);
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if number != 0 && !is_decline(number) {
        return None;
    }
    let text = |of: &mut Option<Text<'_>>| {
        of.take().map(Text::into_string).filter(|text| !text.is_empty())
    };
    let three_ds = match (text(&mut transaction.acs_url), text(&mut transaction.pareq)) {
        (Some(acs_url), Some(pareq)) => Some(ThreeDs { acs_url, pareq: Zeroizing::new(pareq) }),
        _ => None,
    };
    let expire = text(&mut transaction.card_token_expire).unwrap_or_default();
    let token = text(&mut transaction.card_token);
    let handover =
        Handover { three_ds, card_token: token.map(|token| (Zeroizing::new(token), expire)) };
    let transaction = transaction.into_transaction(&mut Noted::default());
    let progress = if number == 0 { progress(&transaction) } else { Progress::Declined };
    Some(Taken {
        transaction_id: Some(transaction.transaction_id.clone()),
        status: transaction.status_raw.clone(),
        done: progress == Progress::Done,
        declined: progress == Progress::Declined,
        details: Some(details(&transaction)),
        handover: (handover != Handover::default()).then(|| Arc::new(handover)),
    })
}

#[cfg(test)]
mod tests;
