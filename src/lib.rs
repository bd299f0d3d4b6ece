//! A gRPC gateway in front of the QIWI Wallet, P2P invoice and QIWI PAY interfaces.

pub mod sandbox;
