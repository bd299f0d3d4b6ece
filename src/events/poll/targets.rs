//! Which credential asks about which wallet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::call::Context;
use crate::config::{Poll, Webhook};
use crate::credentials::{Credential, Kind, Scopes, Wallet};
use crate::events::Owner;
use crate::gateway::Gateway;
use crate::method::Method;

/// The pause after a token's wallet could not be found out.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A wallet, and a credential that may ask about it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) credential: Arc<Credential>,
    pub(super) name: Arc<str>,
    pub(super) wallet: Wallet,
    pub(super) owner: Owner,
}

enum Known {
    Is(Wallet, Owner),
    NotBefore(Instant),
}

/// The wallets of the named credentials, as far as they are known.
#[derive(Default)]
pub(super) struct Targets(Mutex<HashMap<Arc<str>, Known>>);

/// What a credential has to be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The list of payments.
    History,
    /// One transaction, which information tokens are not said to open.
    Transaction,
    /// The balances.
    Balances,
}

impl Need {
    pub(super) fn met_by(self, credential: &Credential) -> bool {
        let kind = match (self, credential.kind) {
            (_, Some(Kind::Wallet)) => true,
            (Self::History | Self::Balances, Some(Kind::Information)) => true,
            (_, _) => false,
        };
        let scope = match self {
            Self::History | Self::Transaction => Scopes::HISTORY,
            Self::Balances => Scopes::BALANCE,
        };
        kind && credential.scopes.is_none_or(|scopes| scopes.contains(scope))
    }
}

/// What a wallet's history is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Poll,
    Reconcile,
    Nothing,
}

impl Mode {
    pub(super) fn of(credential: &Credential) -> Self {
        if !Need::History.met_by(credential) {
            return Self::Nothing;
        }
        match (credential.poll, credential.hook().webhook) {
            (Poll::Off, _) => Self::Nothing,
            (Poll::Auto, Webhook::Managed | Webhook::Static) => Self::Reconcile,
            (Poll::Auto, Webhook::Off) | (Poll::History, _) => Self::Poll,
        }
    }
}

impl Targets {
    /// The target of a credential; `None` while its wallet is not known.
    pub(super) async fn of(
        &self,
        gateway: &Gateway,
        method: &'static Method,
        credential: Arc<Credential>,
    ) -> Option<Target> {
        let name = credential.name.clone()?;
        match self.0.lock().get(&name) {
            Some(Known::Is(wallet, owner)) => {
                let (wallet, owner) = (wallet.clone(), *owner);
                return Some(Target { credential, name, wallet, owner });
            }
            Some(Known::NotBefore(at)) if *at > Instant::now() => return None,
            _ => {}
        }
        let deadline = Instant::now() + PATIENCE;
        let cx = Context {
            settling: false,
            single_attempt: true,
            ..Context::own(method, Some(Arc::clone(&credential)), deadline)
        };
        let known = match gateway.own_wallet(&cx).await {
            Ok(wallet) => {
                let owner = gateway.hub().owner(&wallet);
                Known::Is(wallet, owner)
            }
            Err(error) => {
                tracing::warn!(
                    credential = &*name,
                    reason = error.reason().name,
                    "the wallet of a credential could not be found out; again later"
                );
                Known::NotBefore(Instant::now() + UNKNOWN_PAUSE)
            }
        };
        let target = match &known {
            Known::Is(wallet, owner) => Some(Target {
                credential,
                name: Arc::clone(&name),
                wallet: wallet.clone(),
                owner: *owner,
            }),
            Known::NotBefore(_) => None,
        };
        self.0.lock().insert(name, known);
        target
    }
}
