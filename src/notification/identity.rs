//! By what notifications and events are recognised: pure functions of what they say.
//!
//! A transition is one state of one transaction, bill or balance. Its key is the same whether it
//! was learnt from a webhook, from a repeat of it under another id, or from the history, on every
//! replica and after every loss; the event's id follows from it. A delivery is one notification as
//! sent, by which plain repeats are recognised.
//!
//! Keys are digests: a store that holds them holds no wallet number in clear.

use std::fmt;

use ring::digest::{self, SHA256};
use uuid::Uuid;

use crate::credentials::Wallet;

/// Changes when the way keys are made changes, which makes every event a new one.
const VERSION: &[u8] = b"qiwi-gateway transition 1";

/// The identity of a transition, for deduplication.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransitionKey([u8; 32]);

/// The identity of an event, for its consumers: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

/// The identity of one notification as sent: webhook and message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryKey([u8; 32]);

/// The content of a body, by which a repeat is told from another body under the same ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodyDigest([u8; 32]);

impl TransitionKey {
    /// A wallet's transaction in a status, both type and status as QIWI writes them.
    ///
    /// The history's `QIWI_CARD` is what a webhook calls `OUT`. The status of a webhook is not
    /// signed: undocumented ones count as a single one, so that nobody who holds one signature can
    /// make more than four transitions of it.
    #[must_use]
    pub fn transaction(wallet: &Wallet, txn_id: &str, kind: &str, status: &str) -> Self {
        let kind = if kind == "QIWI_CARD" { "OUT" } else { kind };
        let status = match status {
            "WAITING" | "SUCCESS" | "ERROR" => status,
            _ => "",
        };
        Self::of("transaction", &[wallet.digits(), txn_id, kind, status])
    }

    /// A P2P bill in a status.
    #[must_use]
    pub fn bill(site_id: &str, bill_id: &str, status: &str) -> Self {
        Self::of("bill", &[site_id, bill_id, status])
    }

    /// A transaction of a QIWI PAY merchant in a status.
    #[must_use]
    pub fn pay(merchant_site: &str, txn_id: &str, txn_type: &str, txn_status: &str) -> Self {
        Self::of("pay", &[merchant_site, txn_id, txn_type, txn_status])
    }

    /// A balance, after the event that told of the one before.
    #[must_use]
    pub fn balance(
        wallet: &Wallet,
        alias: &str,
        amount: &str,
        currency: &str,
        previous: Option<u64>,
    ) -> Self {
        let previous = previous.map(|seq| seq.to_string()).unwrap_or_default();
        Self::of("balance", &[wallet.digits(), alias, amount, currency, &previous])
    }

    /// A test notification, by its ids or else by its body.
    #[must_use]
    pub fn test(delivery: Option<DeliveryKey>, body: BodyDigest) -> Self {
        match delivery {
            Some(DeliveryKey(ids)) => Self::of("test", &[ids]),
            None => Self::of("test body", &[body.0]),
        }
    }

    fn of<P: AsRef<[u8]>>(domain: &str, parts: &[P]) -> Self {
        let mut context = digest::Context::new(&SHA256);
        let parts = parts.iter().map(AsRef::as_ref);
        for part in [VERSION, domain.as_bytes()].into_iter().chain(parts) {
            // The length keeps neighbours apart.
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Self(array(context.finish().as_ref()))
    }

    /// The key, for stores.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the event that tells of this transition.
    #[must_use]
    pub fn event_id(&self) -> EventId {
        EventId(array(&self.0))
    }
}

impl DeliveryKey {
    /// The key of a message of a webhook.
    #[must_use]
    pub fn new(hook_id: Uuid, message_id: Uuid) -> Self {
        let both = hook_id.as_bytes().iter().chain(message_id.as_bytes());
        let mut key = [0; 32];
        key.iter_mut().zip(both).for_each(|(to, from)| *to = *from);
        Self(key)
    }

    /// The key, for stores.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl BodyDigest {
    /// The digest of a body as received.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(array(digest::digest(&SHA256, body).as_ref()))
    }

    /// The digest, for stores.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The first bytes of a digest.
fn array<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    bytes
}

impl EventId {
    /// The id, for stores.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl fmt::Debug for TransitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransitionKey(")?;
        hex(&self.0, f)?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    fn wallet() -> Wallet {
        Wallet::parse("79000000001").unwrap()
    }

    #[test]
    fn an_event_keeps_its_id_for_ever() {
        // Computed apart from this code; consumers keep these ids across versions.
        let key = TransitionKey::transaction(&wallet(), "13353941550", "IN", "SUCCESS");
        assert_eq!(key.event_id().to_string(), "b99b1f89731f4682f66c4df8bf857369");
        assert_eq!(key.as_bytes()[..16], key.event_id().as_bytes()[..]);
        assert_eq!(format!("{:?}", key.event_id()), format!("EventId({})", key.event_id()));
    }

    #[test]
    fn the_webhook_and_the_history_name_a_transition_alike() {
        let key = |kind, status| TransitionKey::transaction(&wallet(), "1", kind, status);
        assert_eq!(key("QIWI_CARD", "SUCCESS"), key("OUT", "SUCCESS"));
        assert_ne!(key("IN", "SUCCESS"), key("OUT", "SUCCESS"));
        let plus = Wallet::parse("+79000000001").unwrap();
        assert_eq!(TransitionKey::transaction(&plus, "1", "IN", "ERROR"), key("IN", "ERROR"));
    }

    #[test]
    fn one_signature_makes_four_transitions_at_most() {
        let statuses = ["WAITING", "SUCCESS", "ERROR", "", "success", "HOLD", "SUCCESS "];
        let keys: HashSet<_> = statuses
            .iter()
            .map(|status| TransitionKey::transaction(&wallet(), "1", "IN", status))
            .collect();
        assert_eq!(keys.len(), 4);
    }

    #[test]
    fn whatever_differs_has_another_key() {
        let other = Wallet::parse("79000000002").unwrap();
        let delivery = DeliveryKey::new(Uuid::from_u128(1), Uuid::from_u128(2));
        let keys = [
            TransitionKey::transaction(&wallet(), "1", "IN", "SUCCESS"),
            TransitionKey::transaction(&other, "1", "IN", "SUCCESS"),
            TransitionKey::transaction(&wallet(), "1I", "N", "SUCCESS"),
            TransitionKey::bill("ab", "c", "PAID"),
            TransitionKey::bill("a", "bc", "PAID"),
            TransitionKey::pay("a", "bc", "PAID", ""),
            TransitionKey::pay("a", "b", "c", "PAID"),
            TransitionKey::balance(&wallet(), "a", "1", "RUB", None),
            TransitionKey::balance(&wallet(), "a", "1", "RUB", Some(0)),
            TransitionKey::test(None, BodyDigest::of(b"x")),
            TransitionKey::test(None, BodyDigest::of(b"y")),
            TransitionKey::test(Some(delivery), BodyDigest::of(b"x")),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        let again = TransitionKey::test(Some(delivery), BodyDigest::of(b"y"));
        assert_eq!(keys.last(), Some(&again), "ids go before the body");
    }

    #[test]
    fn a_delivery_is_its_webhook_and_its_message() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_ne!(DeliveryKey::new(one, two), DeliveryKey::new(two, one));
        let key = DeliveryKey::new(one, two);
        assert_eq!((key.as_bytes()[15], key.as_bytes()[31]), (1, 2));
    }
}
