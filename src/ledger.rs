//! The payment ledger: what the gateway remembers about every operation that moves money, so that
//! none of them can happen twice.
//!
//! [`record`] says what is remembered, [`encode`] how it is written down, [`store`] what a place to keep it
//! must promise, [`seal`] how it hides whose payments it holds. The engines that keep the promise are in [`crate::state`].

pub mod encode;
pub mod record;
pub mod seal;
pub mod store;

pub use record::{Amount, Key, Lease, OperationKind, Record, Settle, State};
pub use seal::LedgerKey;
pub use store::{Cursor, Insert, LedgerStore, Page, Query, Replace, StoreError, Tidied};
