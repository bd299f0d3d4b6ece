//! Tokens: whose they are, what they permit, and how they are refused.

use std::collections::HashMap;

use axum::http::{HeaderMap, StatusCode, header};
use parking_lot::RwLock;

use super::answer::Refusal;
use super::demo;

/// A permission a wallet token can carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    Profile,
    Balance,
    History,
    Payments,
    Cards,
}

/// What a call demands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    /// Any valid token of a wallet.
    AnyWalletToken,
    /// A wallet token with this permission.
    Permission(Permission),
    /// The same, or an information token.
    PermissionOrInformation(Permission),
    /// A wallet token with the card permission and the three it builds on.
    MasterCards,
    /// The P2P secret key, or a wallet token that may pay: the documents name both.
    Invoices,
    /// A wallet token that may pay, or the P2P secret key: transfers to wallets and cards.
    Transfers,
    /// The P2P secret key alone.
    P2pKey,
}

#[derive(Debug)]
enum Grant {
    Wallet(&'static [Permission]),
    Information,
    P2p,
    Expired,
}

/// The sandbox's tokens.
#[derive(Debug)]
pub(super) struct Tokens(RwLock<HashMap<String, (&'static str, Grant)>>);

impl Tokens {
    /// The tokens of `demo`.
    pub(super) fn demo() -> Self {
        Self(RwLock::new(seeded()))
    }

    /// Forgets every issued key.
    pub(super) fn reset(&self) {
        *self.0.write() = seeded();
    }

    /// Lets a new secret key of a wallet in.
    pub(super) fn issue_p2p_key(&self, key: String, wallet: &'static str) {
        self.0.write().insert(key, (wallet, Grant::P2p));
    }

    /// The wallet a request's token belongs to, whatever it permits.
    pub(super) fn wallet(&self, headers: &HeaderMap) -> Option<&'static str> {
        Some(self.0.read().get(bearer(headers)?)?.0)
    }

    /// 401 for an unknown or expired token; otherwise its wallet and whether it permits the call.
    pub(super) fn judge(
        &self,
        headers: &HeaderMap,
        access: Access,
    ) -> Result<(&'static str, bool), Refusal> {
        let tokens = self.0.read();
        let known = bearer(headers).and_then(|token| tokens.get(token));
        match known {
            None | Some((_, Grant::Expired)) => Err(Refusal::empty(StatusCode::UNAUTHORIZED)),
            Some((wallet, grant)) => Ok((*wallet, grant.permits(access))),
        }
    }
}

fn seeded() -> HashMap<String, (&'static str, Grant)> {
    use Permission::{Balance, Cards, History, Payments, Profile};
    const ALL: &[Permission] = &[Profile, Balance, History, Payments, Cards];
    let of_demo_wallet = [
        (demo::WALLET_TOKEN, Grant::Wallet(ALL)),
        (demo::INFORMATION_TOKEN, Grant::Information),
        (demo::PROFILE_TOKEN, Grant::Wallet(&[Profile])),
        (demo::BALANCE_TOKEN, Grant::Wallet(&[Balance])),
        (demo::HISTORY_TOKEN, Grant::Wallet(&[History])),
        (demo::PAYMENTS_TOKEN, Grant::Wallet(&[Payments])),
        (demo::CARDS_TOKEN, Grant::Wallet(&[Cards])),
        (demo::EXPIRED_TOKEN, Grant::Expired),
        (demo::P2P_SECRET_KEY, Grant::P2p),
    ];
    let mut tokens: HashMap<_, _> = of_demo_wallet
        .into_iter()
        .map(|(token, grant)| (token.to_owned(), (demo::WALLET, grant)))
        .collect();
    for (token, wallet) in [
        (demo::SECOND_WALLET_TOKEN, demo::SECOND_WALLET),
        (demo::PROFESSIONAL_WALLET_TOKEN, demo::PROFESSIONAL_WALLET),
    ] {
        tokens.insert(token.to_owned(), (wallet, Grant::Wallet(ALL)));
    }
    tokens
}
impl Grant {
    fn permits(&self, access: Access) -> bool {
        match (self, access) {
            (Self::Expired, _) => false,
            (Self::P2p, access) => {
                matches!(access, Access::Invoices | Access::Transfers | Access::P2pKey)
            }
            (Self::Information, access) => {
                matches!(access, Access::AnyWalletToken | Access::PermissionOrInformation(_))
            }
            (Self::Wallet(held), access) => match access {
                Access::AnyWalletToken => true,
                Access::Permission(one) | Access::PermissionOrInformation(one) => {
                    held.contains(&one)
                }
                Access::MasterCards => [
                    Permission::Cards,
                    Permission::Profile,
                    Permission::History,
                    Permission::Payments,
                ]
                .iter()
                .all(|one| held.contains(one)),
                Access::Invoices | Access::Transfers => held.contains(&Permission::Payments),
                Access::P2pKey => false,
            },
        }
    }
}

/// The token of an `Authorization: Bearer …` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
