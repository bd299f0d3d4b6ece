//! The event log: what QIWI told the gateway, once each, in the order in which it became durable.
//!
//! [`record`] says what an event is, [`id`] what makes two of them the same, [`encode`] how one is
//! written down, [`store`] what a place that keeps them must promise. [`cursor`] is what clients
//! hold. [`cell`] is what changes beside the log, by compare-and-set: the state of consumer groups
//! ([`group`]), dead letters ([`dead`]) and the watermarks of reconciliation ([`watermark`]). The
//! engines are in [`crate::state`].
//!
//! Reading: [`visible`] says what a call may see, [`filter`] what it selects of that, [`place`]
//! where it begins. [`feed`] has the newest events ready for everybody, [`stream`] streams
//! them, [`list`] pages them, and [`rpc`] answers the methods. Receiving and trusting are left to
//! others.

pub mod cell;
pub mod cipher;
pub mod consume;
pub mod cursor;
pub mod dead;
pub mod encode;
pub mod feed;
pub mod filter;
pub mod group;
pub mod groups;
pub mod hooks;
pub mod hub;
pub mod id;
pub mod inbox;
pub mod ingress;
pub mod intake;
pub mod interest;
pub mod lag;
pub mod learn;
pub mod lease;
pub mod list;
pub mod managed;
pub mod missed;
pub mod outlet;
pub mod place;
pub mod poll;
pub mod record;
pub mod rpc;
pub mod seats;
pub mod store;
pub mod stream;
#[cfg(test)]
pub mod testing;
pub mod tidy;
pub mod visible;
pub mod watermark;
pub mod wire;

pub use cell::{Cell, CellKey, CellKind, Cells, Put, Value};
pub use cursor::{CursorError, Cursors, Position};
pub use dead::{Cause, DeadLetter};
pub use filter::Filter;
pub use group::{Claim, Gap, Group, Settled, Token};
pub use id::{Chain, Delivery, EventId, Owner};
pub use record::{Event, Kind, Source, Stored, Trust};
pub use store::{
    Append, Durability, EventLog, Info, Limit, LogError, Outcome, ReadError, Retention, Tidied,
    Tier,
};
pub use visible::Visible;
pub use watermark::Watermark;
