//! Taking turns: calls of one process with the same id.
//!
//! The first one leads, the others wait for what comes of it. A leader that leaves without a word,
//! because its caller went away before anything was written, hands the turn to one of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::Error;
use crate::ledger::Key;
use crate::order::Told;

/// What came of a payment: an entry of the ledger, or why there is none.
pub type Outcome = Result<Told, Error>;

/// Who works on which payment.
#[derive(Default)]
pub struct Desk(Mutex<HashMap<Key, watch::Receiver<Option<Outcome>>>>);

/// What a call is to do.
pub enum Turn {
    /// Work on the payment.
    Lead(Seat),
    /// Wait for whoever does.
    Wait(Waiting),
}

impl Desk {
    /// Takes the turn of a payment, or a place behind it.
    pub fn enter(self: &Arc<Self>, key: &Key) -> Turn {
        match self.0.lock().entry(key.clone()) {
            Entry::Occupied(taken) => Turn::Wait(Waiting(taken.get().clone())),
            Entry::Vacant(free) => {
                let (tell, hear) = watch::channel(None);
                free.insert(hear);
                Turn::Lead(Seat { desk: Arc::clone(self), key: key.clone(), tell })
            }
        }
    }

    /// Whether somebody works on a payment.
    pub fn is_busy(&self, key: &Key) -> bool {
        self.0.lock().contains_key(key)
    }
}

/// The turn of a payment; free again when this is dropped.
pub struct Seat {
    desk: Arc<Desk>,
    key: Key,
    tell: watch::Sender<Option<Outcome>>,
}

impl Seat {
    /// Tells everybody who waits.
    pub fn publish(&self, outcome: Outcome) {
        self.tell.send_replace(Some(outcome));
    }

    /// A place behind this turn.
    pub fn listen(&self) -> Waiting {
        Waiting(self.tell.subscribe())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.desk.0.lock().remove(&self.key);
    }
}

/// A place behind a turn.
pub struct Waiting(watch::Receiver<Option<Outcome>>);

impl Waiting {
    /// What came of the payment; `None` when the turn is free again instead.
    pub async fn outcome(&mut self) -> Option<Outcome> {
        let told = self.0.wait_for(Option::is_some).await.ok()?;
        told.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::error::reason;
    use crate::ledger::OperationKind;

    fn key(id: &str) -> Key {
        Key::new("owner", OperationKind::Payment, id)
    }

    #[tokio::test]
    async fn one_leads_the_others_hear_of_it_and_then_the_turn_is_free() {
        let desk = Arc::new(Desk::default());
        let Turn::Lead(seat) = desk.enter(&key("1")) else { panic!("nobody was there") };
        let Turn::Wait(mut waiting) = desk.enter(&key("1")) else { panic!("two lead") };
        assert!(matches!(desk.enter(&key("2")), Turn::Lead(_)));
        assert!(desk.is_busy(&key("1")) && !desk.is_busy(&key("2")));
        seat.publish(Err(Error::new(&reason::UPSTREAM_UNREACHABLE)));
        drop(seat);
        let error = waiting.outcome().await.unwrap().unwrap_err();
        assert_eq!(error.reason().name, "UPSTREAM_UNREACHABLE");
        assert!(matches!(desk.enter(&key("1")), Turn::Lead(_)));
    }

    #[tokio::test]
    async fn a_leader_that_leaves_silently_hands_the_turn_on() {
        let desk = Arc::new(Desk::default());
        let Turn::Lead(seat) = desk.enter(&key("1")) else { panic!("nobody was there") };
        let mut waiting = seat.listen();
        drop(seat);
        assert!(waiting.outcome().await.is_none());
        assert!(!desk.is_busy(&key("1")));
    }
}
