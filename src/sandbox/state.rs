//! What the sandbox remembers: wallets with their accounts, operations, cards, invoices and hooks.
//!
//! The state lives behind one mutex, so that a payment can later move a balance and write its
//! operation in one step. Seeding is `seed.rs`; what the outside sees of it is each area's own.

use std::collections::BTreeMap;

use super::money::Money;
use super::operation::Operation;

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) wallets: BTreeMap<String, Wallet>,
    /// The moment the data is relative to, in Unix seconds.
    pub(super) seeded_at: i64,
}

/// One wallet. The number is the key of [`World::wallets`] too.
#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) number: String,
    pub(super) registered_at: i64,
    pub(super) email: Option<&'static str>,
    pub(super) identification: Identification,
    pub(super) downgrades: BTreeMap<&'static str, &'static str>,
    pub(super) limits: Vec<Limit>,
    pub(super) payments_to_persons: u32,
    pub(super) outgoing_blocked: bool,
    pub(super) nickname: Option<&'static str>,
    pub(super) accounts: Vec<Account>,
    pub(super) offers: Vec<(&'static str, u16)>,
    /// Newest first: by date, then by id, both descending.
    pub(super) operations: Vec<Operation>,
    pub(super) cards: Vec<Card>,
    /// Newest first.
    pub(super) invoices: Vec<Invoice>,
    pub(super) hook: Option<Hook>,
}

impl Wallet {
    /// The wallet number as the JSON number some answers print.
    pub(super) fn person_id(&self) -> serde_json::Value {
        super::money::exactly(&self.number)
    }
}

/// Personal data. Only the masked form of it ever leaves a read.
#[derive(Debug)]
pub(super) struct Identification {
    pub(super) level: &'static str,
    pub(super) birth_date: &'static str,
    pub(super) first_name: &'static str,
    pub(super) middle_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) passport: Option<&'static str>,
    pub(super) inn: Option<&'static str>,
    pub(super) snils: Option<&'static str>,
    pub(super) oms: Option<&'static str>,
}

/// One limit of operations per month, in hundredths of a rouble.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) kind: &'static str,
    pub(super) max: i64,
    pub(super) spent: i64,
    pub(super) form: LimitForm,
}

/// How a limit's amounts are typed; the documents' table and example disagree.
#[derive(Debug, Clone, Copy)]
pub(super) enum LimitForm {
    /// As in the example: numbers.
    Numbers,
    /// As in the table: strings.
    Strings,
    /// As in the table throughout: strings, and the rest as a truth value.
    TruthValue,
}

/// A source of funds.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) alias: &'static str,
    pub(super) bank_side_alias: &'static str,
    pub(super) title: &'static str,
    pub(super) type_title: &'static str,
    pub(super) currency: u16,
    /// Hundredths; `None` is an account without a balance of its own, such as a phone's.
    pub(super) balance: Option<i64>,
    pub(super) default: bool,
}

/// A virtual card of the Master package.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) id: u64,
    pub(super) last_digits: &'static str,
    pub(super) status: &'static str,
    pub(super) name: Option<&'static str>,
    pub(super) product: &'static str,
    pub(super) activated_at: Option<i64>,
    pub(super) blocked_at: Option<i64>,
    pub(super) expires_at: i64,
    pub(super) issuing_txn: u64,
    pub(super) limit: Option<i64>,
}

/// An unpaid invoice.
#[derive(Debug)]
pub(super) struct Invoice {
    pub(super) id: u64,
    pub(super) external_id: String,
    pub(super) created_ms: i64,
    pub(super) expires_ms: i64,
    pub(super) sum: Money,
    pub(super) comment: String,
}

/// A registered webhook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) id: &'static str,
    pub(super) url: &'static str,
    pub(super) direction: &'static str,
}
