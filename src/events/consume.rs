//! Consumer groups at work: members of this process, and the one runtime they share.
//!
//! [`runtime`] runs a group for as long as it has members here, one [`round`] after the other: it
//! takes what members said, looks at what the log has, decides who gets what, and puts all of it
//! into the group's cell with one compare-and-set; only then is anybody told. Another process may
//! do the same with the same group: whoever comes second begins its round anew. [`shelf`] holds
//! the events that are under way, [`member`] is what the runtime knows of a stream, [`registry`]
//! finds the runtime of a group, [`terms`] is what members agree on. [`talk`] reads requests,
//! [`body`] is the response stream, [`rpc`] ties them to a call.

pub mod body;
pub mod member;
pub mod registry;
pub mod round;
pub mod rpc;
pub mod runtime;
pub mod shelf;
pub mod talk;
pub mod terms;

#[cfg(test)]
mod tests;

pub use registry::Groups;
