//! What makes two notifications the same.
//!
//! A transition is what happened: a wallet's transaction got a status. A delivery is one attempt of
//! QIWI to tell it. The identity of an event is a digest of its transition and of nothing else, so
//! that webhook, resend, poll and another copy of the log all give it the same one.

use std::fmt;

use ring::digest::{Context, SHA256, digest};

/// Bytes of a tag.
const TAG: usize = 16;

macro_rules! tag {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; TAG]);

        impl $name {
            /// The tag of these bytes.
            pub const fn from_bytes(bytes: [u8; TAG]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; TAG] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }
    };
}

tag! {
    /// Whose event it is: a keyed tag of the wallet or merchant site, which its maker alone can
    /// tell. Digits of a wallet never come here.
    Owner
}

tag! {
    /// What an event is known by, everywhere and for ever.
    EventId
}

tag! {
    /// Events of which each says what replaced the one before, such as the balances of an account.
    Chain
}

/// The digest of parts; none can be mistaken for another one's piece.
fn of_parts(what: &str, parts: &[&[u8]]) -> [u8; TAG] {
    let mut context = Context::new(&SHA256);
    for part in std::iter::once(&what.as_bytes()).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let digest = context.finish();
    let mut tag = [0; TAG];
    for (to, from) in tag.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    tag
}

impl EventId {
    /// A wallet's transaction got a status. `kind` is QIWI's word, `transaction` its number as
    /// text. The history's QIWI_CARD is an outgoing payment to the webhook.
    pub fn transaction(owner: &Owner, transaction: &str, kind: &str, status: &str) -> Self {
        let kind = if kind == "QIWI_CARD" { "OUT" } else { kind };
        let parts = [&owner.0[..], transaction.as_bytes(), kind.as_bytes(), status.as_bytes()];
        Self(of_parts("transaction", &parts))
    }

    /// A P2P bill of a site got a status.
    pub fn bill(site: &Owner, bill: &str, status: &str) -> Self {
        Self(of_parts("bill", &[&site.0, bill.as_bytes(), status.as_bytes()]))
    }

    /// A QIWI PAY transaction of a merchant site got a status.
    pub fn payment(site: &Owner, transaction: &str, kind: &str, status: &str) -> Self {
        let parts = [&site.0[..], transaction.as_bytes(), kind.as_bytes(), status.as_bytes()];
        Self(of_parts("payment", &parts))
    }

    /// An account's balance became this, where the log had that before.
    pub fn balance(account: &Chain, amount: &str, currency: &str, before: Option<&Self>) -> Self {
        let before = before.map_or(&[][..], |id| &id.0);
        Self(of_parts("balance", &[&account.0, amount.as_bytes(), currency.as_bytes(), before]))
    }

    /// QIWI tried the webhook out.
    pub fn test(owner: &Owner, delivery: &Delivery) -> Self {
        Self(of_parts("test", &[&owner.0, &delivery.key]))
    }

    /// What was found out about another event: an outcome in the gateway's own words.
    pub fn confirmation(of: &Self, outcome: &str) -> Self {
        Self(of_parts("confirmation", &[&of.0, outcome.as_bytes()]))
    }

    /// Something the gateway itself has to say.
    pub fn system(parts: &[&[u8]]) -> Self {
        Self(of_parts("system", parts))
    }
}

impl Chain {
    /// The balances of one account of a wallet.
    pub fn balance(owner: &Owner, alias: &str) -> Self {
        Self(of_parts("account", &[&owner.0, alias.as_bytes()]))
    }
}

/// One attempt of QIWI to tell something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// What it is known by.
    pub key: [u8; TAG],
    /// What it said; under one key it must not change.
    pub digest: [u8; 32],
}

impl Delivery {
    /// A message of a webhook. Without a number of its own it is known by its body.
    pub fn new(hook: &str, message: Option<&str>, body: &[u8]) -> Self {
        let sum = digest(&SHA256, body);
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(sum.as_ref()) {
            *to = *from;
        }
        let key = match message {
            Some(message) => of_parts("message", &[hook.as_bytes(), message.as_bytes()]),
            None => of_parts("body", &[hook.as_bytes(), &digest]),
        };
        Self { key, digest }
    }

    /// A message without a number that tells of a transition: that is what it is known by, so that
    /// whatever comes about it has to say the same. `digest` is one of what it has to say.
    pub fn of_transition(id: &EventId, digest: [u8; 32]) -> Self {
        Self { key: of_parts("transition", &[&id.0]), digest }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_differs_in_any_part_is_another_event() {
        let (owner, other) = (Owner::from_bytes([1; 16]), Owner::from_bytes([2; 16]));
        let first = EventId::transaction(&owner, "12", "IN", "SUCCESS");
        let account = Chain::balance(&owner, "qw_wallet_rub");
        let ids = [
            first,
            EventId::transaction(&other, "12", "IN", "SUCCESS"),
            EventId::transaction(&owner, "1", "2IN", "SUCCESS"),
            EventId::transaction(&owner, "12", "OUT", "SUCCESS"),
            EventId::transaction(&owner, "12", "IN", "WAITING"),
            EventId::payment(&owner, "12", "IN", "SUCCESS"),
            EventId::bill(&owner, "12", "PAID"),
            EventId::balance(&account, "1.00", "643", None),
            EventId::balance(&account, "1.00", "643", Some(&first)),
            EventId::confirmation(&first, "CONFIRMED"),
            EventId::test(&owner, &Delivery::new("hook", None, b"{}")),
            EventId::test(&owner, &Delivery::new("hook", Some(""), b"{}")),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert_eq!(
            EventId::transaction(&owner, "12", "QIWI_CARD", "SUCCESS"),
            EventId::transaction(&owner, "12", "OUT", "SUCCESS"),
        );
    }

    /// Clients keep identities: they may never change.
    #[test]
    fn identities_are_stable() {
        let id = EventId::transaction(&Owner::from_bytes([1; 16]), "12", "IN", "SUCCESS");
        assert_eq!(id.to_string(), "1d92048875041f4e0959cc29fe230b3c");
    }

    #[test]
    fn a_delivery_is_known_by_its_number_and_told_apart_by_its_body() {
        let (one, two) = (Delivery::new("h", Some("m"), b"1"), Delivery::new("h", Some("m"), b"2"));
        assert_eq!(one.key, two.key);
        assert_ne!(one.digest, two.digest);
        assert_ne!(one.key, Delivery::new("hm", Some(""), b"1").key);
    }
}
