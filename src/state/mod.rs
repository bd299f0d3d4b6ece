//! Where the gateway's memory is kept: the engines behind [`crate::ledger::store`] and
//! [`crate::events::store`].
//!
//! [`MemoryLedger`] and [`MemoryLog`] forget with the process and are for trials and tests.
//! [`EmbeddedLedger`] and [`EmbeddedLog`] keep files that one process may use at a time, each its
//! own, in one folder and by one machinery. [`Refusing`] and [`RefusingLog`] stand in for an engine
//! that could not be opened: money or notifications are refused, everything else goes on. Who works
//! on what, and what an entry or event means, is left to ledger and log.

mod disk;
mod embedded;
mod events;
mod memory;
pub mod nats;
pub mod open;
mod refusing;
mod rules;

pub use disk::Settings;
pub use embedded::EmbeddedLedger;
pub use events::{EmbeddedLog, MemoryLog, RefusingLog};
pub use memory::MemoryLedger;
pub use nats::{NatsLedger, NatsLog};
pub use refusing::Refusing;

#[cfg(test)]
mod conformance;
