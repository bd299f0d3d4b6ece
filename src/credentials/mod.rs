//! The credentials the gateway holds or is lent, and the callers it knows.
//!
//! [`Credentials`] reads secrets from files and variables that the configuration names, renews
//! them without a restart and hands out immutable [`Credential`]s. [`Callers`] says who may use
//! them. Enforcing both, and telling a caller why not, is left to the edge and the gateway.

mod callers;
mod credential;
mod fingerprint;
mod health;
mod kind;
mod merchant;
mod peer;
mod read;
mod scope;
mod secret;
mod signing;
mod store;
mod wallet;

pub use callers::{Book, Caller, Callers, Group, Proof, Rate, Stranger};
pub use credential::{ClientIdentity, Credential, Hook, InvalidToken};
pub use fingerprint::{Fingerprint, Pepper};
pub use health::Status;
pub use kind::Kind;
pub use merchant::Merchant;
pub use peer::Peer;
pub use read::{Part, WEBHOOK_PATH_SECRET_MIN, certified};
pub use scope::Scopes;
pub use secret::{Content, Source, key_of};
pub use signing::SigningKey;
pub use store::{CredentialState, Credentials, Prepared, ReloadOutcome};
pub use wallet::Wallet;

#[cfg(test)]
mod tests;
