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
mod read;
mod scope;
mod secret;
mod signing;
mod store;
mod wallet;

pub use callers::{Caller, Callers, Group};
pub use credential::{ClientIdentity, Credential, Hook, InvalidToken};
pub use fingerprint::{Fingerprint, Pepper};
pub use health::Status;
pub use kind::Kind;
pub use merchant::Merchant;
pub use read::WEBHOOK_PATH_SECRET_MIN;
pub use scope::Scopes;
pub use secret::key_of;
pub use signing::SigningKey;
pub use store::{CredentialState, Credentials, ReloadOutcome};
pub use wallet::Wallet;

#[cfg(test)]
mod tests;
