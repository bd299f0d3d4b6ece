//! One entry of the ledger: what was asked, how far it got, and what was answered.
//!
//! Numbers of kinds and states are stored for more than a year: they are only added to.

use std::fmt;

use bytes::Bytes;
use uuid::Uuid;

use crate::redact;

/// What kind of thing the id of an entry names; part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum OperationKind {
    /// A payment from a wallet: its payment id.
    Payment = 1,
    /// A payment of an invoice: the invoice's id.
    Invoice = 2,
    /// No operation: the check of the ledger's key, see [`crate::ledger::seal`].
    Check = 31,
    /// A purchase in one step (opcode 1): its order id.
    Sale = 32,
    /// The first step of a purchase in two (3): its order id.
    Authorization = 33,
    /// The end of 3-D Secure (2): the transaction's number.
    Finish = 34,
    /// A capture (5): a request id.
    Capture = 35,
    /// A reversal (6): a request id.
    Reversal = 36,
    /// A refund (7): a request id.
    Refund = 37,
    /// A payout (20): its order id.
    Payout = 38,
    /// A purchase that begins a recurring agreement (10): its order id.
    RecurringSale = 39,
    /// The same in two steps (11): its order id.
    RecurringAuthorization = 40,
    /// A purchase in a merchant's app (51): its order id.
    MobileAuthorization = 41,
    /// The card of such a purchase (52): the transaction's number.
    MobileCard = 42,
    /// No operation: whose turn it is to change a transaction, see [`crate::payments::turn`].
    Turn = 63,
}

impl OperationKind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::Payment,
        Self::Invoice,
        Self::Check,
        Self::Sale,
        Self::Authorization,
        Self::Finish,
        Self::Capture,
        Self::Reversal,
        Self::Refund,
        Self::Payout,
        Self::RecurringSale,
        Self::RecurringAuthorization,
        Self::MobileAuthorization,
        Self::MobileCard,
        Self::Turn,
    ];

    /// The number it is stored under.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The kind stored under a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.number() == number)
    }
}

/// What an entry is found by: whose operation, of which kind, under which id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The wallet as [`crate::ledger::LedgerKey::owner`] names it, or the merchant site.
    pub owner: Box<str>,
    /// Kind of operation.
    pub kind: OperationKind,
    /// The caller's id, or QIWI's where the caller has none.
    pub id: Box<str>,
}

impl Key {
    /// A key of these parts.
    pub fn new(owner: impl Into<Box<str>>, kind: OperationKind, id: impl Into<Box<str>>) -> Self {
        Self { owner: owner.into(), kind, id: id.into() }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}/{}", redact::last4(&self.owner), self.kind, self.id)
    }
}

/// How far an operation got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// The id is taken, nothing was sent.
    Reserved = 1,
    /// It may be on the wire.
    Sending = 2,
    /// QIWI took it and has not finished it.
    Accepted = 3,
    /// Money moved.
    Succeeded = 4,
    /// QIWI has a transaction of it, which failed.
    Failed = 5,
    /// QIWI refused it; there is no transaction.
    Rejected = 6,
    /// It was sent and nobody knows what became of it.
    Uncertain = 7,
    /// It was sent, and QIWI's history says it never happened.
    NotExecuted = 8,
    /// It is certain that it never left the gateway.
    NotSent = 9,
}

impl State {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Reserved,
        Self::Sending,
        Self::Accepted,
        Self::Succeeded,
        Self::Failed,
        Self::Rejected,
        Self::Uncertain,
        Self::NotExecuted,
        Self::NotSent,
    ];

    /// The number it is stored under.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The state stored under a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.number() == number)
    }

    /// Whether nothing can change it any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Rejected)
    }

    /// Whether somebody still has to find out what became of the operation.
    pub const fn is_unsettled(self) -> bool {
        matches!(self, Self::Reserved | Self::Sending | Self::Uncertain)
    }

    /// Whether an entry in this state may go to the next one. Staying in a state is always allowed.
    ///
    /// Knowledge only grows: what is final stays, doubt ends and never comes back after an answer,
    /// and a new attempt starts only where the last one certainly moved no money.
    pub const fn may_become(self, next: Self) -> bool {
        use State::*;
        match self {
            // An attempt that was not sent leaves what an earlier one was.
            Reserved => matches!(next, Reserved | Sending | NotSent | NotExecuted),
            Sending => !matches!(next, Reserved),
            // Whoever sent it may come back with the answer after others began to doubt.
            Uncertain => !matches!(next, Reserved | Sending),
            Accepted => matches!(next, Accepted | Succeeded | Failed),
            // QIWI's history may show it late.
            NotExecuted => matches!(next, NotExecuted | Reserved | Accepted | Succeeded | Failed),
            NotSent => matches!(next, NotSent | Reserved),
            Succeeded => matches!(next, Succeeded),
            Failed => matches!(next, Failed),
            Rejected => matches!(next, Rejected),
        }
    }
}

/// Who works on an operation, and until when others leave it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The process.
    pub owner: Uuid,
    /// Unix milliseconds.
    pub until_ms: i64,
}

/// An amount as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amount {
    /// Alphabetic code.
    pub currency: String,
    /// Whole units.
    pub units: i64,
    /// Billionths of a unit.
    pub nanos: i32,
}

/// How far the search for an operation in QIWI's history got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settle {
    /// Complete scans that did not find it.
    pub scans: u32,
    /// Unix milliseconds of the first of them.
    pub first_scan_ms: Option<i64>,
    /// Whether QIWI itself answered with a technical code, which shortens the search.
    pub technical: bool,
    /// Unix milliseconds of the last complete scan, whatever it found.
    pub last_scan_ms: Option<i64>,
    /// Unix milliseconds of the next scan.
    pub next_ms: Option<i64>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is found by.
    pub key: Key,
    /// MAC over everything that makes two requests the same.
    pub body_mac: [u8; 32],
    /// How far it got.
    pub state: State,
    /// Attempts that may have reached QIWI, the present one included.
    pub attempt: u32,
    /// Who works on it.
    pub lease: Option<Lease>,
    /// Unix milliseconds; a store keeps those of the insert.
    pub created_ms: i64,
    /// Unix milliseconds of the last change.
    pub updated_ms: i64,
    /// Unix milliseconds of the moment before the last attempt was sent.
    pub sent_ms: Option<i64>,
    /// QIWI's number of the provider.
    pub provider: String,
    /// The amount asked for.
    pub amount: Amount,
    /// QIWI's number of the transaction.
    pub transaction_id: Option<String>,
    /// QIWI's own word for the state.
    pub upstream_status: Option<String>,
    /// What else is known, encoded: why it was refused, what the history says. Nothing personal
    /// beyond masks.
    pub reply: Option<Bytes>,
    /// The search for it.
    pub settle: Settle,
    /// Whether age has taken everything but key, MAC, state, times and transaction number.
    pub trimmed: bool,
    /// Counts changes from 1; stores set it, whatever the caller wrote.
    pub version: u64,
}

impl Record {
    /// A reserved entry of a first attempt.
    pub fn reserved(
        key: Key,
        body_mac: [u8; 32],
        provider: impl Into<String>,
        amount: Amount,
        now_ms: i64,
    ) -> Self {
        Self {
            key,
            body_mac,
            state: State::Reserved,
            attempt: 1,
            lease: None,
            created_ms: now_ms,
            updated_ms: now_ms,
            sent_ms: None,
            provider: provider.into(),
            amount,
            transaction_id: None,
            upstream_status: None,
            reply: None,
            settle: Settle::default(),
            trimmed: false,
            version: 0,
        }
    }

    /// Whether somebody still looks after it: its outcome is open, or it counts as not executed and
    /// QIWI's history may yet show it late.
    pub const fn is_watched(&self) -> bool {
        let late = matches!(self.state, State::NotExecuted) && self.settle.next_ms.is_some();
        self.state.is_unsettled() || late
    }

    /// What remains when the full entry has had its time: enough to know the id again, to tell
    /// another operation under it apart, and to say what became of this one.
    pub fn trim(&mut self) {
        self.lease = None;
        self.provider = String::new();
        self.amount = Amount::default();
        self.upstream_status = None;
        self.reply = None;
        self.settle = Settle::default();
        self.trimmed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable() {
        let numbers = OperationKind::ALL.map(OperationKind::number);
        assert_eq!(numbers, [1, 2, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 63]);
        assert_eq!(State::ALL.map(State::number), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(State::from_number(0), None);
        assert_eq!(OperationKind::from_number(7), None);
    }

    #[test]
    fn debug_hides_the_owner() {
        let key = Key::new("79991112233", OperationKind::Payment, "1500000000001");
        assert_eq!(format!("{key:?}"), "***2233/Payment/1500000000001");
    }

    #[test]
    fn knowledge_only_grows() {
        for state in State::ALL {
            assert!(state.may_become(state), "{state:?}");
            for next in State::ALL {
                if state.is_final() && next != state {
                    assert!(!state.may_become(next), "{state:?} to {next:?}");
                }
                // Back on the wire only by way of a new reservation.
                if next == State::Sending && next != state {
                    assert_eq!(state.may_become(next), state == State::Reserved, "{state:?}");
                }
                // Doubt never replaces an answer.
                if next == State::Uncertain && !state.is_unsettled() {
                    assert!(!state.may_become(next), "{state:?}");
                }
            }
        }
        let retried: Vec<_> =
            State::ALL.into_iter().filter(|of| of.may_become(State::Reserved)).collect();
        assert_eq!(retried, [State::Reserved, State::NotExecuted, State::NotSent]);
    }
}
