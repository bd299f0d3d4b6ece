//! The gateway between gRPC callers and QIWI's HTTP interfaces.

pub mod config;
pub mod credentials;
pub mod redact;
