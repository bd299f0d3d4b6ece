//! How several gateways that serve the same wallets keep out of each other's way.
//!
//! A [`Coordination`] is what they share beside log and ledger: one small register for each wallet,
//! changed by compare-and-set, and words that all of them hear. Everything else stands on these:
//! [`turns`] paces requests for a wallet's history over all replicas by a state machine ([`pace`]),
//! [`team`] tells the others what became old and knows whether they can be heard. [`name`] says
//! what wallets and tokens are called on the way, [`word`] how words are written.
//!
//! Nothing here is needed for correctness but the pace, which holds in every partition. No clock is
//! ever compared with another one: replicas measure only how long ago they themselves saw something.

pub mod alone;
pub mod memory;
pub mod name;
pub mod pace;
pub mod share;
pub mod team;
pub mod turns;
pub mod word;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

pub use alone::Alone;
pub use memory::{Member, Table};
pub use name::{Name, Names};
pub use team::Team;

/// What is shared cannot be reached now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the other replicas cannot be reached: {0}")]
pub struct Away(pub String);

/// A register and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// Grows with each change; never 0, and never given twice to one name.
    pub version: u64,
    /// What it holds.
    pub value: Bytes,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// Done; the version now.
    Done(u64),
    /// The register has another version.
    Changed,
}

/// What comes from the others, and back from oneself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A word, as it was told or beaten.
    Word(Bytes),
    /// Somebody is changing a register to this value, or tries to.
    Tried(Name, Bytes),
}

/// What replicas share.
///
/// Registers are linearizable: a change that was answered is seen by every later reading, whoever
/// reads, and survives a minority of brokers. An error promises nothing either way, and dropping a
/// call does not undo it. A register nobody changes for longer than any pace lasts may go.
///
/// Words are heard at most once, by everybody who listens, the teller included, and those of one
/// teller in the order they were told; any of them may be lost. What is heard of a change is never
/// heard before somebody began it.
pub trait Coordination: Send + Sync + 'static {
    /// Whether there may be other replicas. Where not, nothing else is ever called.
    fn is_shared(&self) -> bool;

    /// Over which time QIWI counts requests. A coordination that may have lost registers says
    /// nothing of what it does not hold for at least so long.
    fn counts_over(&self, _window: Duration) {}

    /// The register of a name.
    fn get(&self, name: Name) -> BoxFuture<'_, Result<Option<Register>, Away>>;

    /// Changes a register that still has the expected version, which is 0 for none.
    fn swap(&self, name: Name, expected: u64, value: Bytes) -> BoxFuture<'_, Result<Swap, Away>>;

    /// Tells a word to everybody. Never waits.
    fn tell(&self, word: Bytes);

    /// Tells a word so that its arrival proves something: done when a majority of the brokers has
    /// taken it. It is heard like any other.
    fn beat(&self, word: Bytes) -> BoxFuture<'_, Result<(), Away>>;

    /// What is heard from now on. It ends with the coordination.
    fn hear(&self) -> BoxStream<'static, Heard>;
}
