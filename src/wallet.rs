//! QIWI Wallet: one file per area, named as its proto.
//!
//! An area file holds three things: the rows of its methods, the JSON QIWI sends, and the mapping
//! between that and the messages. It does no IO.

pub(crate) mod check;
mod rejected;
mod secret;

pub mod balance;
pub mod file;
pub mod history;
pub mod identification;
pub mod invoice;
pub mod limit;
pub mod master;
pub mod payment;
pub mod profile;
pub mod provider;
pub mod webhook;
