//! Where customers pass 3-D Secure, kept for callers who repeat.
//!
//! QIWI PAY tells it once, in its answer, and the ledger must not have it. A caller whose connection
//! broke just then would have an order nobody can pay, so it is kept in memory for as long as the
//! customer may use it. It names no card.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::ledger::{Key, Record, State};
use crate::order::Handover;

/// Most orders kept; the oldest go first.
const KEPT_MAX: usize = 10_000;

/// What was handed over lately, by entry.
pub struct Handovers {
    window: Duration,
    kept: Mutex<HashMap<Key, (Instant, Arc<Handover>)>>,
}

impl Handovers {
    /// Nothing yet; each is kept for this long.
    pub fn new(window: Duration) -> Self {
        Self { window, kept: Mutex::default() }
    }

    /// Keeps the part that a repeat may need. A card token is none: it is as good as the card.
    pub fn keep(&self, key: &Key, handover: &Handover) {
        if handover.three_ds.is_none() {
            return;
        }
        let part = Handover { three_ds: handover.three_ds.clone(), card_token: None };
        let mut kept = self.kept.lock();
        if kept.len() >= KEPT_MAX {
            kept.retain(|_, (since, _)| since.elapsed() < self.window);
            let oldest = kept.iter().min_by_key(|(_, (since, _))| *since);
            if let Some(oldest) = oldest.filter(|_| kept.len() >= KEPT_MAX).map(|(key, _)| key) {
                let oldest = oldest.clone();
                kept.remove(&oldest);
            }
        }
        kept.insert(key.clone(), (Instant::now(), Arc::new(part)));
    }

    /// What belongs to an entry that still waits for its customer.
    pub fn of(&self, record: &Record) -> Option<Arc<Handover>> {
        let mut kept = self.kept.lock();
        let (since, part) = kept.get(&record.key)?;
        if record.state == State::Accepted && since.elapsed() < self.window {
            return Some(Arc::clone(part));
        }
        kept.remove(&record.key);
        None
    }

    /// Forgets what nobody may use any more.
    pub fn tidy(&self) {
        self.kept.lock().retain(|_, (since, _)| since.elapsed() < self.window);
    }
}
