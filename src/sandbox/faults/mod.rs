//! Misbehaviour on request: what can go wrong, and the rules that say when.
//!
//! A fault comes with the request itself (`x-sandbox-fault`) or from a rule set beforehand.
//! Everything that applies to a request is merged: the header first, then the rules in the order
//! they were set; of two values for the same field the earlier one wins.

mod effect;
mod rules;

pub(super) use effect::{BalanceFault, CutConnection, apply};
pub(super) use rules::{Faults, Rule};

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
    /// Whether the request is carried out although `status` or `redirect` replaces its answer.
    pub(super) process: bool,
    /// Close the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cut: Option<Cut>,
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
}

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cut {
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
        Ok(())
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
        self.garbage |= other.garbage;
        self.wrong_length = self.wrong_length.or(other.wrong_length);
        self.slow_body = self.slow_body.or(other.slow_body);
        self.null_balance |= other.null_balance;
        self.empty_balance |= other.empty_balance;
        self.empty |= other.empty;
        self.redirect = self.redirect.take().or(other.redirect);
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
