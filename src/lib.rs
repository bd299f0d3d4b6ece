//! `qiwi-gateway`: a gRPC gateway in front of the QIWI Wallet, P2P invoice and QIWI PAY interfaces.
//!
//! The modules in reading order: what a method is ([`policy`], [`operations`], [`operation`]), how a
//! call travels ([`server`], [`edge`], [`gateway`], [`cache`], [`upstream`]), what it maps
//! ([`wallet`], [`p2p`], [`pay`], [`admin_api`]), what comes in by itself ([`notification`],
//! [`events`]), and what all of them share. `ARCHITECTURE.md` has the map and walkthroughs.

pub mod config;

pub mod method;
pub mod operation;
pub mod operations;
pub mod order;
pub mod policy;

pub mod coordination;
pub mod events;
pub mod ledger;
pub mod state;

pub mod cache;
pub mod call;
pub mod edge;
pub mod gateway;
pub mod page;
pub mod payments;
pub mod server;
pub mod upstream;
pub mod wallets;

pub mod admin_api;
pub mod notification;
pub mod p2p;
pub mod pay;
pub mod wallet;

pub mod credentials;
pub mod error;
pub mod money;
pub mod redact;
pub mod sealed;
pub mod time;

pub mod admin;
pub mod telemetry;

pub mod health;
pub mod sandbox;
pub mod tail;

/// Messages and clients generated from `proto/`; their documentation is the protos' own.
#[allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    rustdoc::all
)]
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/pb.rs"));
    pub use qiwi::{admin, events, p2p, pay, r#type, wallet};
    // Debug that hides what `sensitivity` marks PERSONAL or SECRET.
    include!(concat!(env!("OUT_DIR"), "/debug.rs"));

    /// The compiled descriptors of all files, for reflection and tests that walk the contract.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
