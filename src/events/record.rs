//! One event, as it is given to the log and as it is kept.
//!
//! The log knows of an event what filters, orders and joins ask for. What clients are sent is the
//! payload, which is the caller's: encoded once, passed on as it is. Numbers of kinds, sources and
//! trust are stored: they are only added to.

use std::fmt;

use bytes::Bytes;

use super::id::{Chain, EventId, Owner};

macro_rules! numbered {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number it is stored under.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// What is stored under a number.
            pub fn from_number(number: u32) -> Option<Self> {
                Self::ALL.iter().copied().find(|of| u32::from(of.number()) == number)
            }
        }
    };
}
pub(super) use numbered;

numbered! {
    /// What an event is about.
    Kind {
        /// A wallet's transaction got a status.
        Transaction = 1,
        /// What QIWI's interface says about an earlier event.
        Confirmation = 2,
        /// An account's balance changed.
        Balance = 3,
        /// QIWI tried the webhook out.
        Test = 4,
        /// The gateway itself.
        System = 5,
        /// A P2P bill got a status.
        Bill = 6,
        /// A QIWI PAY transaction got a status.
        Payment = 7,
    }
}

numbered! {
    /// How the gateway came to know.
    Source {
        /// QIWI said so.
        Webhook = 1,
        /// The history was asked because the token has no webhook.
        HistoryPoll = 2,
        /// The history was asked because a notification may have been missed.
        Reconciled = 3,
        /// The balance was asked.
        BalancePoll = 4,
        /// A caller's own call brought it to light.
        Call = 5,
        /// The gateway itself.
        Gateway = 6,
    }
}

numbered! {
    /// How far an event is to be believed.
    Trust {
        /// Its signature is right, which says nothing about the status of a wallet's transaction.
        SignatureOnly = 1,
        /// QIWI's interface says the same.
        ApiConfirmed = 2,
        /// QIWI's interface says something else.
        Contradicted = 3,
        /// It is the gateway's own word.
        Own = 4,
    }
}

/// One event as it is given to the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is known by.
    pub id: EventId,
    /// What it is about.
    pub kind: Kind,
    /// How the gateway came to know.
    pub source: Source,
    /// How far it is to be believed.
    pub trust: Trust,
    /// Whose it is.
    pub owner: Owner,
    /// QIWI's word or number for the type of the transaction, where there is one.
    pub r#type: String,
    /// QIWI's number of the transaction or the bill's id, where there is one.
    pub transaction: String,
    /// QIWI's word or number for the status, where there is one.
    pub status: String,
    /// QIWI's number of the provider, where there is one.
    pub provider: String,
    /// The event that this one is about, or replaces.
    pub about: Option<EventId>,
    /// The chain that this event goes on.
    pub chain: Option<Chain>,
    /// When it happened, as QIWI says: Unix milliseconds.
    pub occurred_ms: Option<i64>,
    /// When the gateway came to know: Unix milliseconds.
    pub received_ms: i64,
    /// What clients are sent; nothing here looks into it.
    pub payload: Bytes,
}

impl Event {
    /// An event of which only this is known.
    pub fn new(id: EventId, kind: Kind, source: Source, trust: Trust, owner: Owner) -> Self {
        Self {
            id,
            kind,
            source,
            trust,
            owner,
            r#type: String::new(),
            transaction: String::new(),
            status: String::new(),
            provider: String::new(),
            about: None,
            chain: None,
            occurred_ms: None,
            received_ms: 0,
            payload: Bytes::new(),
        }
    }
}

impl fmt::Debug for Event {
    /// Says nothing of what the payload holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, source, trust, r#type, status, payload, .. } = self;
        write!(f, "{id} {kind:?} {type} {status} {source:?} {trust:?} {} bytes", payload.len())
    }
}

/// One event as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place: 1 is the first of a log, and none is left out.
    pub seq: u64,
    /// When it became part of the log, by the log's clock: Unix milliseconds.
    pub logged_ms: i64,
    /// Whether the log already had what comes after it.
    pub late: bool,
    /// The event.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable() {
        let numbers = |all: Vec<u8>| assert!(all.into_iter().eq(1..=7_u8));
        numbers(Kind::ALL.iter().map(|of| of.number()).collect());
        assert_eq!((Source::Gateway.number(), Trust::Own.number()), (6, 4));
        assert_eq!((Kind::from_number(0), Kind::from_number(8)), (None, None));
        assert_eq!(Source::from_number(257), None, "a number is not cut");
    }

    #[test]
    fn debug_hides_the_payload() {
        let owner = Owner::from_bytes([9; 16]);
        let id = EventId::bill(&owner, "b", "PAID");
        let mut event = Event::new(id, Kind::Bill, Source::Webhook, Trust::SignatureOnly, owner);
        event.payload = Bytes::from_static(b"79991112233");
        let text = format!("{event:?}");
        assert!(text.contains("11 bytes") && !text.contains("7999"), "{text}");
    }
}
