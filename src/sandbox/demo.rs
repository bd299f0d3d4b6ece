//! Names of what the sandbox is seeded with: wallets, tokens, keys.
//!
//! None of them is a secret; they open nothing but a sandbox.

use super::{MerchantSite, SafeDeal};

/// The wallet with the rich history.
pub const WALLET: &str = "79990000001";
/// Token of [`WALLET`] with every permission.
pub const WALLET_TOKEN: &str = "sandbox-wallet-token";
/// Read-only information token of [`WALLET`]: profile, payment list, balance list.
pub const INFORMATION_TOKEN: &str = "sandbox-information-token";
/// Token of [`WALLET`] with the `PROFILE` permission only.
pub const PROFILE_TOKEN: &str = "sandbox-profile-token";
/// Token of [`WALLET`] with the `BALANCE` permission only.
pub const BALANCE_TOKEN: &str = "sandbox-balance-token";
/// Token of [`WALLET`] with the `HISTORY` permission only.
pub const HISTORY_TOKEN: &str = "sandbox-history-token";
/// Token of [`WALLET`] with the `PAYMENTS` permission only.
pub const PAYMENTS_TOKEN: &str = "sandbox-payments-token";
/// Token of [`WALLET`] with the `CARDS` permission only, which is not enough for any card call.
pub const CARDS_TOKEN: &str = "sandbox-cards-token";
/// A token that was valid once and now answers 401.
pub const EXPIRED_TOKEN: &str = "sandbox-expired-token";
/// Secret key of [`WALLET`] for P2P invoices.
pub const P2P_SECRET_KEY: &str = "sandbox-p2p-secret";

/// A wallet with little data: one balance, a few operations, no card, no webhook, restricted.
pub const SECOND_WALLET: &str = "79990000002";
/// Token of [`SECOND_WALLET`] with every permission.
pub const SECOND_WALLET_TOKEN: &str = "sandbox-second-wallet-token";

/// A fully identified wallet with roubles and tenge and no history.
pub const PROFESSIONAL_WALLET: &str = "79990000003";
/// Token of [`PROFESSIONAL_WALLET`] with every permission.
pub const PROFESSIONAL_WALLET_TOKEN: &str = "sandbox-professional-wallet-token";

/// A downgrade of [`WALLET`] that succeeded.
pub const DOWNGRADE_SUCCEEDED: &str = "1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a01";
/// A downgrade of [`WALLET`] that is still being processed.
pub const DOWNGRADE_IN_PROGRESS: &str = "1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a02";
/// A downgrade of [`WALLET`] that failed.
pub const DOWNGRADE_FAILED: &str = "1f0e8c52-7b7d-4c8e-9a55-2d1c6f3b0a03";

/// The active webhook of [`WALLET`].
pub const HOOK_ID: &str = "5e2027d1-f5f3-4ad1-b409-058b8b8a8c22";
/// The key that checks the notifications of [`HOOK_ID`]: Base64 of 32 bytes.
pub const HOOK_KEY: &str = "c2FuZGJveC1kZW1vLXdlYmhvb2stc2lnbmluZy1rZXk=";
/// An active card of [`WALLET`].
pub const CARD_ID: u64 = 133_789_472;

/// A merchant site of QIWI PAY in test mode: both scenarios, tokens, 3-D Secure for cardholders
/// called `unknown name`, an acquirer that confirms at once.
pub const MERCHANT_SITE: u64 = 99;
/// Secret key of every seeded merchant site.
pub const MERCHANT_SECRET: &str = "sandbox-merchant-secret";
/// A site outside test mode whose acquirer confirms later: status 3, and 4 after a while.
pub const DEFERRED_SITE: u64 = 555;
/// A site outside test mode whose acquirer confirms at once.
pub const ONLINE_SITE: u64 = 556;
/// A site whose safe deals are paid out to cards, outside test mode.
pub const CARD_DEAL_SITE: u64 = 10_001;
/// A site whose safe deals pay QIWI wallets, outside test mode.
pub const WALLET_DEAL_SITE: u64 = 10_002;
/// A site of a merchant that is not active.
pub const DISABLED_SITE: u64 = 1_000;

/// The merchant sites a sandbox has unless it is told otherwise.
#[must_use]
pub fn merchant_sites() -> Vec<MerchantSite> {
    let site = |id| MerchantSite::new(id, MERCHANT_SECRET);
    vec![
        MerchantSite { test_mode: true, ..site(MERCHANT_SITE) },
        MerchantSite { online: false, ..site(DEFERRED_SITE) },
        site(ONLINE_SITE),
        MerchantSite { safe_deal: SafeDeal::ToCard, ..site(CARD_DEAL_SITE) },
        MerchantSite { safe_deal: SafeDeal::ToWallet, ..site(WALLET_DEAL_SITE) },
        MerchantSite { active: false, ..site(DISABLED_SITE) },
    ]
}
