//! What QIWI PAY has of an order (catalogue P-API-30), and the cards behind a token (P-API-40).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::answer::Listed;
use super::order::ORDER_ID_MAX;
use super::params::Params;
use super::{DIRECT, Opcode, check};
use crate::error::{Error, Undocumented};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen};
use crate::pb::pay::v1 as pb;
use crate::policy::{Access, Policy};
use crate::wallet::check::{Checks, is_digits};

/// P-API-30.
pub static GET: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/GetStatus",
    operation: "P-API-30",
    access: Access::Merchant,
    route: Some(DIRECT),
    ..Policy::BASE
};

/// P-API-40.
pub static CARDS: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/ListCards",
    operation: "P-API-40",
    access: Access::Merchant,
    route: Some(DIRECT),
    ..Policy::BASE
};

/// QIWI knows no such transaction.
const NOT_FOUND: &str = "8022";
/// Most digits of a transaction's number.
pub const TRANSACTION_ID_MAX: usize = 20;

/// Notes a number of a transaction that is none.
pub fn check_transaction_id(checks: &mut Checks, field: &'static str, id: &str) {
    if !(1..=TRANSACTION_ID_MAX).contains(&id.len()) || !is_digits(id) {
        checks.invalid(field, "Give QIWI's number of the transaction: 1 to 20 digits.");
    }
}

impl Operation for pb::GetStatusRequest {
    const POLICY: &'static Policy = &GET;
    type Reply<'a> = Listed<'a>;
    type Response = pb::GetStatusResponse;

    fn ask(&self, asking: &Asking<'_>) -> Result<Call, Error> {
        let Self { transaction_id, order_id } = self;
        let merchant = asking.merchant()?;
        let mut checks = Checks::default();
        if transaction_id.is_empty() && order_id.is_empty() {
            checks.invalid("order_id", "Name the order, or one of its transactions.");
        }
        if !transaction_id.is_empty() {
            check_transaction_id(&mut checks, "transaction_id", transaction_id);
        }
        check::short(&mut checks, "order_id", order_id, ORDER_ID_MAX);
        checks.done()?;
        let mut params = Params::new(Opcode::STATUS, &merchant.site);
        params.number("txn_id", transaction_id).text("order_id", order_id);
        Ok(Call::new().written(params.body(&merchant.key)))
    }

    fn refusal(&self, reply: &Listed<'_>) -> Option<Error> {
        let code = reply.error_code.as_ref()?.as_str();
        if matches!(code, "0" | NOT_FOUND) {
            return None;
        }
        Some(super::refused(code))
    }

    fn answer(
        &self,
        reply: Listed<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<pb::GetStatusResponse, Undocumented> {
        let Listed { error_code, transactions } = reply;
        let code = error_code.as_ref().map(Text::as_str);
        let transactions = match (code, transactions) {
            (Some(NOT_FOUND), _) => Vec::new(),
            (Some("0"), Some(transactions)) => transactions,
            _ => return Err(Undocumented::new("transactions", "error_code 0 and a list")),
        };
        Ok(pb::GetStatusResponse {
            transactions: transactions.into_iter().map(|of| of.into_transaction(seen)).collect(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// Whatever QIWI answers about cards, member by member.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Cards<'a>(#[serde(borrow)] BTreeMap<&'a str, &'a RawValue>);

impl Operation for pb::ListCardsRequest {
    const POLICY: &'static Policy = &CARDS;
    const SECRET: bool = true;
    type Reply<'a> = Cards<'a>;
    type Response = pb::ListCardsResponse;

    fn ask(&self, asking: &Asking<'_>) -> Result<Call, Error> {
        let Self { card_token, merchant_uid } = self;
        let merchant = asking.merchant()?;
        let mut checks = Checks::default();
        if card_token.is_empty() && merchant_uid.is_empty() {
            checks.invalid("card_token", "Give a card token, or `merchant_uid` of a customer.");
        }
        if card_token.chars().count() > 40 {
            checks.invalid("card_token", "Give a card token: at most 40 characters.");
        }
        if merchant_uid.chars().count() > 64 {
            checks.invalid("merchant_uid", "Give your id of the customer: at most 64 characters.");
        }
        checks.done()?;
        let mut params = Params::new(Opcode::CARDS, &merchant.site);
        params.text("card_token", card_token).text("merchant_uid", merchant_uid);
        Ok(Call::new().written(params.body(&merchant.key)))
    }

    fn refusal(&self, reply: &Cards<'_>) -> Option<Error> {
        let code: Text<'_> = serde_json::from_str(reply.0.get("error_code")?.get()).ok()?;
        (code.as_str() != "0").then(|| super::refused(code.as_str()))
    }

    fn answer(
        &self,
        reply: Cards<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<pb::ListCardsResponse, Undocumented> {
        let Cards(mut members) = reply;
        members.remove("error_code");
        // Raw JSON under text keys; writing it cannot fail.
        let answer_json = serde_json::to_string(&members).unwrap_or_default();
        debug_assert!(serde_json::from_str::<IgnoredAny>(&answer_json).is_ok());
        Ok(pb::ListCardsResponse { answer_json, fetch_time: Some(seen.fetch_time) })
    }

    fn wipe(&self, response: &mut pb::ListCardsResponse) {
        zeroize::Zeroize::zeroize(&mut response.answer_json);
    }
}
