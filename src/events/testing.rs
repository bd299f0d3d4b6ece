//! What unit tests about events share: everything about events, over a log in memory.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::hub::Hub;
use super::store::{EventLog, Retention};
use crate::config::{self, Config};
use crate::ledger::LedgerKey;
use crate::state::MemoryLog;
use crate::telemetry::Metrics;

/// Everything about events, over a log in memory.
pub fn hub() -> Hub {
    hub_of(Arc::new(MemoryLog::new(Retention::DEFAULT)), Config::default().events)
}

/// Everything about events, over this log.
pub fn hub_of(log: Arc<dyn EventLog>, settings: config::Events) -> Hub {
    let meter = opentelemetry::global::meter("test");
    let metrics = Arc::new(Metrics::new(&meter, &[], "0", &Arc::default()));
    let key = Arc::new(LedgerKey::new(&[7; 32]));
    Hub::new(log, key, settings, Config::default().notifications, metrics).unwrap()
}
