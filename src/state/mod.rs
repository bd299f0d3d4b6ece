//! Where the gateway's memory is kept: the engines behind [`crate::ledger::store`].
//!
//! [`MemoryLedger`] forgets with the process and is for trials and tests. [`EmbeddedLedger`] keeps
//! files that one process may use at a time. [`Refusing`] stands in for an engine that could not
//! be opened: money is refused, everything else goes on. Who works on what, and what an entry
//! means, is left to the ledger.

mod disk;
mod embedded;
mod memory;
mod refusing;
mod rules;

pub use disk::Settings;
pub use embedded::EmbeddedLedger;
pub use memory::MemoryLedger;
pub use refusing::Refusing;

#[cfg(test)]
mod conformance;
