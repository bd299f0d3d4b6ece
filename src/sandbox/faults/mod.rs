//! Misbehaviour on request: what can go wrong, and the rules that say when.
//!
//! A fault comes with the request itself (`x-sandbox-fault`) or from a rule set beforehand.
//! Everything that applies to a request is merged: the header first, then the rules in the order
//! they were set; of two values for the same field the earlier one wins. Rules may also be about the
//! notifications that the sandbox sends.

mod effect;
mod mischief;
mod rules;

pub(super) use effect::{BalanceFault, CutConnection, ResetConnection, apply};
pub(super) use mischief::{Mischief, WrongSignature};
pub(super) use rules::{Faults, Rule};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The header that asks for a fault: a JSON object or `name=value` pairs split by commas.
pub(super) const HEADER: &str = "x-sandbox-fault";

/// What happens to a request. Fields combine freely; an empty fault changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Fault {
    /// Wait before the request is carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency_ms: Option<u64>,
    /// Wait after it was carried out and before the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer_latency_ms: Option<u64>,
    /// Answer with this status, 200 to 599, and no body unless `body` gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// Answer with this body: a string as it is, anything else as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Value>,
    /// Add a `Retry-After` header with this many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after: Option<u64>,
    /// Whether the request is carried out although `status`, `redirect` or `error_code` replaces its
    /// answer.
    pub(super) process: bool,
    /// Close the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cut: Option<Place>,
    /// Reset the connection where `cut` would close it.
    pub(super) reset: bool,
    /// Say nothing more from there on, until the client goes away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hang: Option<Place>,
    /// Answer 200 with something that is not JSON.
    pub(super) garbage: bool,
    /// Announce this many bytes more (or fewer) than follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wrong_length: Option<i64>,
    /// Send the body in small pieces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slow_body: Option<SlowBody>,
    /// Leave every balance null unless the request asks for one alias.
    pub(super) null_balance: bool,
    /// As `null_balance`, with an empty object in place of null.
    pub(super) empty_balance: bool,
    /// Send no body.
    pub(super) empty: bool,
    /// Answer 302 to this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) redirect: Option<String>,
    /// Refuse the payment with this code of QIWI's table, and do not carry it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_code: Option<u16>,
    /// Answer a card operation with this code of QIWI PAY's table. It is carried out only with
    /// `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<u32>,
    /// Let the issuer decline a card operation with this code of QIWI PAY's table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decline_code: Option<u32>,
    /// Carry the payment out but leave `transaction` out of its answer.
    pub(super) no_transaction: bool,
    /// Let the history show the payment, or the status query of cards the operation, only so much
    /// later. The money is gone at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) late_history_ms: Option<u64>,
    /// Let the payment reach its final status after this time in place of the configured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) settle_ms: Option<u64>,
    /// Let the accepted payment fail with this code when it settles; the money comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) settle_code: Option<u16>,
    /// Never let the payment reach a final status.
    pub(super) stays_waiting: bool,
}

/// What a payment is to suffer; made of the fault that strikes its request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct PaymentFault {
    pub(super) refusal: Option<u16>,
    pub(super) error_code: Option<u32>,
    pub(super) decline_code: Option<u32>,
    /// Whether it is carried out although `error_code` is answered.
    pub(super) process: bool,
    pub(super) no_transaction: bool,
    pub(super) late_history: Duration,
    pub(super) settle_after: Option<Duration>,
    pub(super) settle_code: Option<u16>,
    pub(super) stays_waiting: bool,
}

/// Where a connection is cut or falls silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// The request is not carried out and nothing is answered.
    BeforeProcessing,
    /// The request is carried out and nothing is answered.
    BeforeHeaders,
    /// Only the status line and headers are sent.
    AfterHeaders,
    /// Half the body is sent.
    MidBody,
}

/// The pace of a slow body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlowBody {
    pub(super) bytes: usize,
    pub(super) interval_ms: u64,
}

impl Fault {
    /// Reads the header's value.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| error.to_string())?
        } else {
            Value::Object(pairs(text))
        };
        let fault: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        fault.check()?;
        Ok(fault)
    }

    /// What the types cannot express.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.status.is_some_and(|status| !(200..600).contains(&status)) {
            return Err("status must be 200 to 599".to_owned());
        }
        if self.slow_body.is_some_and(|slow| slow.bytes == 0) {
            return Err("slow_body.bytes must be positive".to_owned());
        }
        if self.reset && self.cut.is_none() {
            return Err("reset needs a cut to say where".to_owned());
        }
        Ok(())
    }

    /// The part of it that the payment's own handler carries out.
    fn for_payment(&self) -> PaymentFault {
        PaymentFault {
            refusal: self.payment_code,
            error_code: self.error_code,
            decline_code: self.decline_code,
            process: self.process,
            no_transaction: self.no_transaction,
            late_history: Duration::from_millis(self.late_history_ms.unwrap_or(0)),
            settle_after: self.settle_ms.map(Duration::from_millis),
            settle_code: self.settle_code,
            stays_waiting: self.stays_waiting,
        }
    }

    /// Takes from the other what this one leaves open.
    pub(super) fn merge(&mut self, other: Self) {
        self.latency_ms = self.latency_ms.or(other.latency_ms);
        self.answer_latency_ms = self.answer_latency_ms.or(other.answer_latency_ms);
        self.status = self.status.or(other.status);
        self.body = self.body.take().or(other.body);
        self.retry_after = self.retry_after.or(other.retry_after);
        self.process |= other.process;
        self.cut = self.cut.or(other.cut);
        self.reset |= other.reset;
        self.hang = self.hang.or(other.hang);
        self.garbage |= other.garbage;
        self.wrong_length = self.wrong_length.or(other.wrong_length);
        self.slow_body = self.slow_body.or(other.slow_body);
        self.null_balance |= other.null_balance;
        self.empty_balance |= other.empty_balance;
        self.empty |= other.empty;
        self.redirect = self.redirect.take().or(other.redirect);
        self.payment_code = self.payment_code.or(other.payment_code);
        self.error_code = self.error_code.or(other.error_code);
        self.decline_code = self.decline_code.or(other.decline_code);
        self.no_transaction |= other.no_transaction;
        self.late_history_ms = self.late_history_ms.or(other.late_history_ms);
        self.settle_ms = self.settle_ms.or(other.settle_ms);
        self.settle_code = self.settle_code.or(other.settle_code);
        self.stays_waiting |= other.stays_waiting;
    }
}

/// `latency_ms=200,status=503,garbage` and `slow_body=10/50` (bytes / milliseconds).
fn pairs(text: &str) -> Map<String, Value> {
    text.split([',', ';'])
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            let value = match (name, value.split_once('/')) {
                ("slow_body", Some((bytes, interval))) => {
                    json!({ "bytes": plain(bytes), "interval_ms": plain(interval) })
                }
                _ => plain(value),
            };
            (name.trim().to_owned(), value)
        })
        .collect()
}

fn plain(text: &str) -> Value {
    let text = text.trim();
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
