//! A transaction: what it is, how it stands, and how answers show it.

use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Map, Value, json};

use super::super::moment;
use super::amount;
use super::card::Card;
use super::deal::Parts;
use super::refusal;

/// What a transaction is; its number is the documents' `txn_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sale,
    Auth,
    Refund,
    Reversal,
    /// Begins a recurring agreement, until 2020.
    RecurringSale,
    RecurringAuth,
    Payout,
}

impl Kind {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Sale => 1,
            Self::Auth => 2,
            Self::Refund => 3,
            Self::Reversal => 4,
            Self::RecurringSale => 6,
            Self::RecurringAuth => 7,
            Self::Payout => 8,
        }
    }

    /// Whether the customer pays with it.
    pub(super) fn is_purchase(self) -> bool {
        self.holds() || matches!(self, Self::Sale | Self::RecurringSale)
    }

    /// Whether it holds money until a capture.
    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Auth | Self::RecurringAuth)
    }
}

/// How a transaction stands, in the order of the documents' numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum State {
    Init,
    Declined,
    Authorized,
    Completed,
    Reconciled,
}

impl State {
    pub(super) fn number(self) -> u8 {
        self as u8
    }
}

/// What becomes of a transaction that began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Approved,
    /// With a code.
    Declined(u32),
}

/// A customer's way to the issuer and back.
#[derive(Debug, Clone)]
pub(super) struct Hop {
    pub(super) pareq: String,
    pub(super) passed: String,
    pub(super) failed: String,
}

/// One transaction.
#[derive(Debug, Clone)]
pub(super) struct Transaction {
    pub(super) id: u64,
    pub(super) site: u64,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) error_code: u32,
    /// Hundredths.
    pub(super) amount: i64,
    pub(super) currency: u16,
    /// The transaction it belongs to.
    pub(super) parent: Option<u64>,
    pub(super) order_id: Option<String>,
    pub(super) date: Timestamp,
    pub(super) card: Card,
    pub(super) card_name: Option<String>,
    /// The token that purchases return, and when it ends, in Unix seconds.
    pub(super) token: Option<(String, Option<i64>)>,
    /// What was sent about the customer and the order, shown again as it was.
    pub(super) details: Map<String, Value>,
    pub(super) deal: Option<Parts>,
    /// The wallet a safe deal pays.
    pub(super) wallet: Option<String>,
    pub(super) callback_url: Option<String>,
    /// What the issuer will say, and how long that takes.
    pub(super) verdict: Verdict,
    pub(super) delay: std::time::Duration,
    /// Where the customer has to go, while it is waited for.
    pub(super) hop: Option<Hop>,
    pub(super) authenticated: bool,
    /// How often it was captured, by whomever.
    pub(super) captures: u32,
    pub(super) is_test: bool,
    /// Not shown by status queries before.
    pub(super) hidden_until: Option<Instant>,
    /// Shown by status queries with this state before.
    pub(super) earlier: Option<(State, Instant)>,
}

impl Transaction {
    /// The fields that every answer has.
    fn common(&self) -> Map<String, Value> {
        let mut shown = Map::new();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("txn_id", json!(self.id));
        put("txn_status", json!(self.state.number()));
        put("txn_type", json!(self.kind.number()));
        put("txn_date", json!(moment::with_offset(self.date.as_second(), Offset::UTC)));
        put("error_code", json!(self.error_code));
        if self.is_test {
            put("is_test", json!("true"));
        }
        if self.state == State::Declined {
            put("error_message", json!(refusal::message(self.error_code)));
        }
        shown
    }

    /// The answer to a purchase, with the way to the issuer while the customer has to go there.
    pub(super) fn as_purchase(&self, acs_url: &str) -> Value {
        let mut shown = self.common();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        if let Some(hop) = &self.hop {
            put("acs_url", json!(acs_url));
            put("pareq", json!(hop.pareq));
            return Value::Object(shown);
        }
        put("pan", json!(self.card.masked));
        put("amount", amount::printed(self.amount));
        put("currency", json!(self.currency));
        self.put_issuer(&mut put);
        if self.state != State::Declined {
            put("auth_code", json!(self.auth_code()));
            put("eci", json!(self.eci()));
            self.put_token(&mut put);
        }
        Value::Object(shown)
    }

    /// The answer to a capture, with the type it is documented with.
    pub(super) fn as_capture(&self, kind: u8) -> Value {
        let mut shown = self.common();
        shown.insert("txn_type".to_owned(), json!(kind));
        Value::Object(shown)
    }

    /// The answer to a reversal or refund.
    pub(super) fn as_correction(&self) -> Value {
        let mut shown = self.common();
        shown.insert("amount".to_owned(), amount::printed(self.amount));
        Value::Object(shown)
    }

    /// The answer to a payout.
    pub(super) fn as_payout(&self) -> Value {
        let mut shown = self.common();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("pan", json!(self.card.masked));
        put("amount", amount::printed(self.amount));
        put("currency", json!(self.currency));
        if self.state != State::Declined {
            put("auth_code", json!(self.auth_code()));
        }
        Value::Object(shown)
    }

    /// An entry of the answer to a status query, or nothing while it is not shown yet.
    pub(super) fn as_entry(&self, now: Instant) -> Option<Value> {
        if self.hidden_until.is_some_and(|until| now < until) {
            return None;
        }
        if let Some((state, until)) = self.earlier
            && now < until
        {
            return Self { state, error_code: 0, earlier: None, ..self.clone() }.as_entry(now);
        }
        let mut shown = self.common();
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("pan", json!(self.card.masked));
        put("amount", amount::printed(self.amount));
        put("currency", json!(self.currency));
        put("merchant_site", json!(self.site));
        put("card_name", json!(self.card_name.as_deref().unwrap_or("")));
        put("card_bank", json!(""));
        if let Some(order) = &self.order_id {
            put("order_id", json!(order));
        }
        if self.state >= State::Authorized && (self.kind.is_purchase() || self.kind == Kind::Payout)
        {
            put("auth_code", json!(self.auth_code()));
        }
        if self.state >= State::Authorized && self.kind.is_purchase() {
            put("eci", json!(self.eci()));
        }
        shown.extend(self.details.clone());
        Some(Value::Object(shown))
    }

    /// The body of a notification, without its signature.
    pub(super) fn as_notification(&self) -> Value {
        let mut shown = self.common();
        shown.remove("is_test");
        shown.remove("error_message");
        let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        put("request_id", json!(uuid::Uuid::new_v4().simple().to_string()));
        put("pan", json!(self.card.masked));
        put("amount", amount::printed(self.amount));
        put("currency", json!(self.currency));
        self.put_issuer(&mut put);
        if self.state != State::Declined {
            put("auth_code", json!(self.auth_code()));
            put("eci", json!(if self.kind.is_purchase() { self.eci() } else { "" }));
        }
        if let Some(name) = &self.card_name {
            // As in the sample: `cardholder+name`.
            let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
            put("card_name", json!(name));
        }
        if let Some(order) = &self.order_id {
            put("order_id", json!(order));
        }
        if self.kind.is_purchase() && self.state >= State::Authorized {
            self.put_token(&mut put);
        }
        shown.extend(self.details.clone());
        Value::Object(shown)
    }

    fn put_issuer(&self, put: &mut dyn FnMut(&str, Value) -> Option<Value>) {
        put("issuer_name", json!("QIWI BANK (JSC)"));
        put("issuer_country", json!("RUS"));
    }

    fn put_token(&self, put: &mut dyn FnMut(&str, Value) -> Option<Value>) {
        if let Some((token, expires)) = &self.token {
            put("card_token", json!(token));
            if let Some(expires) = expires {
                put("card_token_expire", json!(moment::with_offset(*expires, Offset::UTC)));
            }
        }
    }

    fn auth_code(&self) -> String {
        format!("{:06}", self.id % 1_000_000)
    }

    fn eci(&self) -> &'static str {
        if self.authenticated { "5" } else { "7" }
    }

    /// Whether the customer's money is held or taken.
    pub(super) fn is_good(&self) -> bool {
        self.state >= State::Authorized
    }
}
