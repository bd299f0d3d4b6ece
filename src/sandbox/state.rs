//! What the sandbox remembers: wallets with their accounts, operations, cards, invoices and hooks.
//!
//! The state lives behind one mutex, so that a payment moves a balance and writes its operation
//! in one step. What happens by itself later is `agenda.rs`. Seeding is `seed.rs`; what the outside sees of it is each area's own.

use std::collections::BTreeMap;

use super::acquiring::Book;
use super::agenda::Agenda;
use super::bills::Bill;
use super::committed::CommittedPayment;
use super::money::Money;
use super::operation::Operation;
use super::outbox::Outbox;

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) wallets: BTreeMap<String, Wallet>,
    /// The moment the data is relative to, in Unix seconds.
    pub(super) seeded_at: i64,
    /// Every payment carried out, oldest first.
    pub(super) committed: Vec<CommittedPayment>,
    /// What goes out by itself: receipts by e-mail and notifications.
    pub(super) outbox: Outbox,
    pub(super) agenda: Agenda,
    /// Merchant sites and their transactions.
    pub(super) acquiring: Book,
    last_id: u64,
}

impl World {
    pub(super) fn new(
        wallets: impl IntoIterator<Item = Wallet>,
        seeded_at: i64,
        acquiring: Book,
    ) -> Self {
        let wallets = wallets.into_iter().map(|wallet| (wallet.number.clone(), wallet));
        Self {
            wallets: wallets.collect(),
            seeded_at,
            committed: Vec::new(),
            outbox: Outbox::default(),
            agenda: Agenda::default(),
            acquiring,
            last_id: 40_000_000_000,
        }
    }

    /// A number that no transaction, invoice or card has yet.
    pub(super) fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

/// One wallet. The number is the key of [`World::wallets`] too.
#[derive(Debug)]
pub(super) struct Wallet {
    pub(super) number: String,
    pub(super) registered_at: i64,
    pub(super) email: Option<&'static str>,
    pub(super) identification: Identification,
    pub(super) downgrades: BTreeMap<String, &'static str>,
    pub(super) limits: Vec<Limit>,
    pub(super) payments_to_persons: u32,
    pub(super) outgoing_blocked: bool,
    pub(super) nickname: Option<&'static str>,
    pub(super) accounts: Vec<Account>,
    pub(super) offers: Vec<(&'static str, u16)>,
    /// Newest first: by date, then by id, both descending.
    pub(super) operations: Vec<Operation>,
    pub(super) cards: Vec<Card>,
    pub(super) orders: BTreeMap<String, CardOrder>,
    /// Newest first.
    pub(super) invoices: Vec<Invoice>,
    pub(super) hook: Option<Hook>,
    /// Bills the wallet has issued, by their `billId`.
    pub(super) bills: BTreeMap<String, Bill>,
    /// The P2P keys whose bills are notified about; one pair can have an address.
    pub(super) notified_pair: Option<KeyPair>,
    /// Card numbers by the token that W-PAY-14 gave out for them.
    pub(super) prepared_cards: BTreeMap<String, String>,
}

impl Wallet {
    /// The wallet number as the JSON number some answers print.
    pub(super) fn person_id(&self) -> serde_json::Value {
        super::money::exactly(&self.number)
    }

    /// The wallet's own account in a currency; accounts of other kinds pay for nothing here.
    pub(super) fn account(&mut self, currency: u16) -> Option<&mut i64> {
        self.accounts
            .iter_mut()
            .find(|account| account.currency == currency && account.balance.is_some())
            .and_then(|account| account.balance.as_mut())
    }

    /// Puts money in, into a new account when there is none in its currency.
    pub(super) fn credit(&mut self, sum: Money) {
        if self.account(sum.currency).is_none() {
            self.open_account(sum.currency);
        }
        if let Some(balance) = self.account(sum.currency) {
            *balance += sum.minor;
        }
    }

    /// Opens the account on offer in a currency, if there is such an offer.
    pub(super) fn open_account(&mut self, currency: u16) {
        let offer = self.offers.iter().position(|(_, offered)| *offered == currency);
        if let Some(offer) = offer {
            let (alias, currency) = self.offers.remove(offer);
            self.accounts.push(Account::of_wallet(alias, currency, 0, false));
        }
    }

    /// Writes an operation where its date and id belong.
    pub(super) fn write(&mut self, operation: Operation) {
        let key = (operation.date, operation.txn_id);
        let place = self.operations.partition_point(|known| (known.date, known.txn_id) > key);
        self.operations.insert(place, operation);
    }
}

/// Personal data. Only the masked form of it ever leaves a read.
#[derive(Debug)]
pub(super) struct Identification {
    pub(super) level: &'static str,
    pub(super) birth_date: String,
    pub(super) first_name: String,
    pub(super) middle_name: String,
    pub(super) last_name: String,
    pub(super) passport: Option<String>,
    pub(super) inn: Option<String>,
    pub(super) snils: Option<String>,
    pub(super) oms: Option<String>,
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

impl Account {
    /// An account of the wallet itself.
    pub(super) fn of_wallet(alias: &'static str, currency: u16, minor: i64, default: bool) -> Self {
        Self {
            alias,
            bank_side_alias: "qb_wallet",
            title: "WALLET",
            type_title: "QIWI Wallet",
            currency,
            balance: Some(minor),
            default,
        }
    }
}

/// A virtual card of the Master package.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) id: u64,
    pub(super) last_digits: String,
    pub(super) status: &'static str,
    pub(super) name: Option<String>,
    pub(super) product: &'static str,
    pub(super) activated_at: Option<i64>,
    pub(super) blocked_at: Option<i64>,
    pub(super) expires_at: i64,
    pub(super) issuing_txn: u64,
    pub(super) limit: Option<i64>,
}

/// An order for a card.
#[derive(Debug)]
pub(super) struct CardOrder {
    pub(super) product: &'static str,
    pub(super) state: OrderState,
}

/// How far an order for a card has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderState {
    Draft,
    PaymentRequired,
    /// A paid card has no place for its id in the answer.
    Completed(Option<u64>),
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
    /// Who issued it through the bill interface, and the `billId`.
    pub(super) bill: Option<(String, String)>,
}

/// A registered webhook.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) direction: &'static str,
    /// Base64 of 32 bytes.
    pub(super) key: String,
    /// The key before the last change.
    pub(super) previous_key: Option<String>,
}

/// A P2P key pair with an address for notifications.
#[derive(Debug)]
pub(super) struct KeyPair {
    pub(super) secret: String,
    pub(super) url: String,
    /// The secret of the pair that had the address before.
    pub(super) previous: Option<String>,
}
