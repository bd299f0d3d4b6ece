//! Engines behind [`crate::events::EventLog`]: memory, files of one process, and none at all.

mod embedded;
mod memory;
mod refusing;
mod rules;

pub use embedded::EmbeddedLog;
pub use memory::MemoryLog;
pub use refusing::RefusingLog;

#[cfg(test)]
pub(crate) mod conformance;
