//! Which wallet a token belongs to, once QIWI has told.
//!
//! A token is bound to one wallet for its whole life, so the answer never changes; it is kept in
//! memory under the token's fingerprint.

use std::time::Duration;

use crate::credentials::{Fingerprint, Wallet};

/// Most tokens remembered at once; the least used go first.
const TOKENS_MAX: u64 = 100_000;
/// Unused entries go after this long.
const IDLE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Wallets by token.
pub struct Wallets(moka::sync::Cache<Fingerprint, Wallet>);

impl Wallets {
    /// Nothing known yet.
    pub fn new() -> Self {
        let cache =
            moka::sync::Cache::builder().max_capacity(TOKENS_MAX).time_to_idle(IDLE_MAX).build();
        Self(cache)
    }

    /// The wallet of a token, where it is known.
    pub fn get(&self, token: &Fingerprint) -> Option<Wallet> {
        self.0.get(token)
    }

    /// Remembers it.
    pub fn learn(&self, token: Fingerprint, wallet: Wallet) {
        self.0.insert(token, wallet);
    }
}

impl Default for Wallets {
    fn default() -> Self {
        Self::new()
    }
}
