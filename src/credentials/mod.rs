//! Credentials.
mod callers;
mod kind;
mod scope;
mod wallet;

pub use callers::Group;
pub use kind::Kind;
pub use scope::Scopes;
pub use wallet::Wallet;
