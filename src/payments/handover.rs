//! Where customers pass 3-D Secure, kept for callers who repeat.
//!
//! QIWI PAY tells it once, in its answer, and the ledger must not have it. A caller whose connection
//! broke just then would have an order nobody can pay, so it is kept in memory for as long as the
//! customer may use it. It names no card.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{Key, Record, State};
use crate::order::Handover;

/// Most orders kept; the oldest go first.
const KEPT_MAX: u64 = 10_000;

/// What was handed over lately, by entry.
pub struct Handovers(moka::sync::Cache<Key, Arc<Handover>>);

impl Handovers {
    /// Nothing yet; each is kept for this long.
    pub fn new(window: Duration) -> Self {
        Self(moka::sync::Cache::builder().max_capacity(KEPT_MAX).time_to_live(window).build())
    }

    /// Keeps the part that a repeat may need. A card token is none: it is as good as the card.
    pub fn keep(&self, key: &Key, handover: &Handover) {
        if handover.three_ds.is_some() {
            let kept = Handover { three_ds: handover.three_ds.clone(), card_token: None };
            self.0.insert(key.clone(), Arc::new(kept));
        }
    }

    /// What belongs to an entry that still waits for its customer.
    pub fn of(&self, record: &Record) -> Option<Arc<Handover>> {
        if record.state != State::Accepted {
            self.0.invalidate(&record.key);
            return None;
        }
        self.0.get(&record.key)
    }
}
