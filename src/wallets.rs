//! Which wallet a token belongs to, once QIWI has told.
//!
//! A token is bound to one wallet for its whole life, so the answer never changes; it is kept in
//! memory under the token's fingerprint.

use std::time::Duration;

use crate::call::Context;
use crate::credentials::{Fingerprint, Wallet};
use crate::error::{Error, Sent, reason};
use crate::gateway::Gateway;
use crate::pb::wallet::v1::GetProfileRequest;
use crate::wallet::profile;

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

/// Asks the profile which wallet a call's token belongs to.
///
/// # Errors
/// `WALLET_UNKNOWN` when the token may not read the profile, else what the profile call failed with.
pub async fn owner(gateway: &Gateway, cx: &Context) -> Result<Wallet, Error> {
    let unknown = || {
        Error::new(&reason::WALLET_UNKNOWN)
            .field("wallet", "Name the wallet: the token may not read the profile that would tell.")
    };
    let credential = cx.credential.as_ref().ok_or_else(unknown)?;
    if profile::GET.access.permits(credential.kind, credential.scopes).is_err() {
        return Err(unknown().sent(Sent::No));
    }
    let request = GetProfileRequest {
        auth_info_enabled: Some(true),
        contract_info_enabled: Some(true),
        user_info_enabled: Some(false),
        ..Default::default()
    };
    let profile = match gateway.aside(cx, &request).await {
        Ok(response) => response.profile,
        Err(error) if *error.reason() == reason::TOKEN_SCOPE_INSUFFICIENT => {
            return Err(unknown());
        }
        Err(error) => return Err(error),
    };
    profile
        .and_then(|profile| {
            let contract = profile.contract_info.map(|info| info.contract_id);
            let person = profile.auth_info.map(|info| info.wallet);
            [contract, person].into_iter().flatten().find_map(|text| Wallet::parse(&text))
        })
        .ok_or_else(unknown)
}
