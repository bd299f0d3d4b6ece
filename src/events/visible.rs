//! Which events a call may see.
//!
//! That follows from its credential, as the contract of `EventService` says: a wallet token sees
//! its wallet, a P2P secret key its bills, a merchant its site, a token passed through the wallet that
//! the profile proves, and a call without any sees what all credentials of its caller see. What a filter
//! selects of it is left to [`super::filter`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hub::Hub;
use super::id::Owner;
use super::record::{Event, Kind};
use crate::call::Context;
use crate::credentials::{self, Credential, Scopes, Wallet};
use crate::error::{Error, Sent, reason};
use crate::gateway::Gateway;
use crate::policy::Access;

/// Whose events the gateway's word about its log as a whole is; everybody may see that.
pub const GATEWAY: Owner = Owner::from_bytes([0; 16]);

/// What may be seen of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// Transactions, what became of them, and tests.
    pub transactions: bool,
    /// Balances.
    pub balances: bool,
    /// Bills.
    pub bills: bool,
    /// Transactions of QIWI PAY, and what became of them.
    pub acquiring: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { transactions: true, balances: true, bills: true, acquiring: true };

    /// What a credential shows of whoever it stands for.
    pub fn of(credential: &Credential) -> Self {
        let Some(kind) = credential.kind else { return Self::ALL };
        if Access::Events.permits(Some(kind), credential.scopes).is_err() {
            return Self::default();
        }
        match kind {
            credentials::Kind::Wallet | credentials::Kind::Information => {
                let balances =
                    credential.scopes.is_none_or(|granted| granted.contains(Scopes::BALANCE));
                Self { transactions: true, balances, bills: true, ..Self::default() }
            }
            credentials::Kind::P2p => Self { bills: true, ..Self::default() },
            credentials::Kind::Merchant => Self { acquiring: true, ..Self::default() },
        }
    }

    const fn shows(self, kind: Kind) -> bool {
        match kind {
            Kind::Transaction | Kind::Test => self.transactions,
            Kind::Payment => self.acquiring,
            // An owner is a wallet or a site, so it has confirmations of one sort only.
            Kind::Confirmation => self.transactions || self.acquiring,
            Kind::Balance => self.balances,
            Kind::Bill => self.bills,
            Kind::System => true,
        }
    }

    const fn and(self, other: Self) -> Self {
        Self {
            transactions: self.transactions || other.transactions,
            balances: self.balances || other.balances,
            bills: self.bills || other.bills,
            acquiring: self.acquiring || other.acquiring,
        }
    }
}

/// Which events a call may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// Every one.
    All,
    /// Those of these owners.
    Of(Arc<BTreeMap<Owner, Rights>>),
}

impl Visible {
    /// Those of these owners.
    pub fn of(owners: impl IntoIterator<Item = (Owner, Rights)>) -> Self {
        let mut all = BTreeMap::<Owner, Rights>::new();
        for (owner, rights) in owners.into_iter().filter(|(_, of)| *of != Rights::default()) {
            let there = all.entry(owner).or_default();
            *there = there.and(rights);
        }
        Self::Of(Arc::new(all))
    }

    /// What may be seen of an owner.
    pub fn rights(&self, owner: &Owner) -> Option<Rights> {
        match self {
            Self::All => Some(Rights::ALL),
            Self::Of(owners) => owners.get(owner).copied(),
        }
    }

    /// Whether an event may be seen.
    pub fn shows(&self, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::Of(_) if event.owner == GATEWAY => event.kind == Kind::System,
            Self::Of(owners) => owners.get(&event.owner).is_some_and(|of| of.shows(event.kind)),
        }
    }

    /// A text that is the same for the same selection and for no other; digits of wallets are not
    /// in it.
    pub fn text(&self) -> String {
        let Self::Of(owners) = self else { return "all".to_owned() };
        owners.iter().fold(String::new(), |mut text, (owner, rights)| {
            let Rights { transactions, balances, bills, acquiring } = *rights;
            let rights = [transactions, balances, bills, acquiring].map(u8::from);
            // Writing into a text cannot fail.
            let _ = write!(text, "{owner}:{rights:?}");
            text
        })
    }
}

/// A credential, and whom it stood for when the call began.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The credential.
    pub credential: Arc<Credential>,
    /// Its wallet, where it has one.
    pub wallet: Option<Wallet>,
    /// What events call whoever it stands for.
    pub owner: Owner,
}

/// What a call may see, and on which of the gateway's credentials that rests.
#[derive(Debug, Clone)]
pub struct Sight {
    /// What it may see.
    pub visible: Visible,
    /// The credentials it rests on. Empty where everything may be seen.
    pub rests_on: Vec<Rest>,
    /// Whether it is the profile that proved it: a token was passed through.
    pub proven: bool,
}

impl Gateway {
    /// Which events a call may see.
    ///
    /// # Errors
    /// `WALLET_UNKNOWN` when nobody knows whose wallet the named credential is, what the profile
    /// call failed with, and `TOKEN_SCOPE_INSUFFICIENT` when a token passed through may not read it.
    pub async fn visible(&self, cx: &Context) -> Result<Visible, Error> {
        self.sight(cx).await.map(|sight| sight.visible)
    }

    /// Which events a call may see, and on what that rests.
    ///
    /// # Errors
    /// As [`Gateway::visible`].
    pub async fn sight(&self, cx: &Context) -> Result<Sight, Error> {
        let resting = |rest: Rest, proven| Sight {
            visible: Visible::of([(rest.owner, Rights::of(&rest.credential))]),
            rests_on: vec![rest],
            proven,
        };
        match (&cx.credential, &cx.caller) {
            (Some(credential), _) if credential.name.is_none() => {
                let wallet = self.proven_wallet(cx).await?;
                let owner = self.hub().owner(&wallet);
                let credential = Arc::clone(credential);
                Ok(resting(Rest { credential, wallet: Some(wallet), owner }, true))
            }
            (Some(credential), _) => Ok(resting(self.rest(cx, credential).await?, false)),
            (None, None) => {
                Ok(Sight { visible: Visible::All, rests_on: Vec::new(), proven: false })
            }
            (None, Some(caller)) => {
                let may_use = |of: &Arc<Credential>| {
                    of.name.as_deref().is_some_and(|name| caller.may_use(name))
                        && Rights::of(of) != Rights::default()
                };
                let mut rests_on = Vec::new();
                for credential in self.credentials().list().into_iter().filter(may_use) {
                    match self.rest(cx, &credential).await {
                        Ok(rest) => rests_on.push(rest),
                        // Nothing comes in for a wallet that nobody can name.
                        Err(error) if *error.reason() == reason::WALLET_UNKNOWN => {}
                        Err(error) => return Err(error),
                    }
                }
                let owners = rests_on.iter().map(|of| (of.owner, Rights::of(&of.credential)));
                Ok(Sight { visible: Visible::of(owners), rests_on, proven: false })
            }
        }
    }

    /// Whom a credential of the gateway's stands for.
    async fn rest(&self, cx: &Context, credential: &Arc<Credential>) -> Result<Rest, Error> {
        let stands_alone = [credentials::Kind::P2p, credentials::Kind::Merchant];
        let is_wallets = credential.kind.is_none_or(|kind| !stands_alone.contains(&kind));
        let wallet = match &credential.wallet {
            Some(wallet) => Some(wallet.clone()),
            None if is_wallets => {
                let asking = cx.with(Arc::clone(credential));
                Some(self.own_wallet(&asking).await.map_err(|error| error.sent(Sent::No))?)
            }
            None => None,
        };
        let owner = self.hub().owner_of(credential, wallet.as_ref());
        Ok(Rest { credential: Arc::clone(credential), wallet, owner })
    }

    /// The wallet of a token passed through, as its profile tells right now.
    ///
    /// # Errors
    /// As [`Gateway::visible`].
    pub(crate) async fn proven_wallet(&self, cx: &Context) -> Result<Wallet, Error> {
        self.asked_wallet(cx).await.map_err(|error| {
            let error = if *error.reason() == reason::WALLET_UNKNOWN {
                error.means(&reason::TOKEN_SCOPE_INSUFFICIENT)
            } else {
                error
            };
            error.sent(Sent::No)
        })
    }
}

/// How long a token passed through may take to prove its wallet again.
const PROOF_MAX: Duration = Duration::from_secs(15);

impl Gateway {
    /// Resolves when a right is withdrawn that a stream rests on.
    pub(crate) async fn withdrawn(&self, cx: &Context, sight: &Sight) -> Error {
        let denied = |detail| Error::new(&reason::CALLER_NOT_ALLOWED).log(detail);
        let settings = &self.hub().settings;
        // The caller's rights cost no question; a token's proof does.
        let every = if sight.proven {
            settings.rights_check.min(settings.token_check)
        } else {
            settings.rights_check
        };
        let mut proven = Instant::now();
        loop {
            tokio::time::sleep(every).await;
            if !self.caller_still_may(cx, sight) {
                return denied("the caller is known no longer, or lost a right it needs");
            }
            if sight.proven {
                if proven.elapsed() < settings.token_check {
                    continue;
                }
                if !self.still_proven(cx, sight).await {
                    return denied("the profile no longer proves the wallet of the token");
                }
                proven = Instant::now();
            } else {
                for rest in &sight.rests_on {
                    if !self.still_stands(cx, rest).await {
                        return denied("a credential the stream rests on is gone");
                    }
                }
            }
        }
    }

    /// Whether what proved the caller when the stream began still does, and what it needs is still
    /// granted: the policy may be another one by now.
    fn caller_still_may(&self, cx: &Context, sight: &Sight) -> bool {
        let callers = self.callers();
        let (Some(before), Some(proof)) = (&cx.caller, &cx.proof) else {
            // It began without a policy, when everybody was let in.
            return callers.is_empty();
        };
        let Ok(caller) = callers.identify(proof) else { return false };
        let may_use = |of: &Credential| match of.name.as_deref() {
            Some(name) => caller.may_use(name),
            None => caller.may_pass_through(),
        };
        caller.name == before.name
            && caller.may_call(cx.method).is_ok()
            && sight.rests_on.iter().all(|rest| may_use(&rest.credential))
    }

    async fn still_stands(&self, cx: &Context, rest: &Rest) -> bool {
        let before = &rest.credential;
        let now = before.name.as_deref().and_then(|name| self.credentials().named(name));
        let Some(now) = now else { return false };
        if now.wallet != before.wallet
            || now.merchant_site != before.merchant_site
            || Rights::of(&now) != Rights::of(before)
        {
            return false;
        }
        if rest.wallet == now.wallet || now.fingerprint == before.fingerprint {
            return true;
        }
        // Its secret was replaced, and which wallet that is of is QIWI's word alone. Where QIWI
        // cannot be asked for a while, nothing is withdrawn.
        let mut asking = cx.with(now);
        asking.deadline = Instant::now() + PROOF_MAX;
        self.own_wallet(&asking).await.map_or(true, |wallet| Some(wallet) == rest.wallet)
    }

    /// A profile that cannot be asked for a while withdraws nothing.
    async fn still_proven(&self, cx: &Context, sight: &Sight) -> bool {
        let Some(rest) = sight.rests_on.first() else { return true };
        let mut asking = cx.with(Arc::clone(&rest.credential));
        asking.deadline = Instant::now() + PROOF_MAX;
        match self.proven_wallet(&asking).await {
            Ok(wallet) => Some(wallet) == rest.wallet,
            Err(error) => {
                let no = [&reason::TOKEN_REJECTED, &reason::TOKEN_SCOPE_INSUFFICIENT];
                !no.contains(&error.reason())
            }
        }
    }
}

/// The wallet of a filter as events name it.
pub(super) fn wallet(hub: &Hub, text: &str) -> Option<Owner> {
    Wallet::parse(text).map(|wallet| hub.owner(&wallet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::id::EventId;
    use crate::events::record::{Source, Trust};

    fn event(owner: Owner, kind: Kind) -> Event {
        let id = EventId::bill(&owner, "1", "PAID");
        Event::new(id, kind, Source::Webhook, Trust::SignatureOnly, owner)
    }

    #[test]
    fn a_p2p_key_sees_the_bills_of_its_wallet_and_nothing_else() {
        let (own, other) = (Owner::from_bytes([1; 16]), Owner::from_bytes([2; 16]));
        let bills = Rights { bills: true, ..Rights::default() };
        let visible = Visible::of([(own, bills)]);
        for kind in Kind::ALL {
            let expected = matches!(kind, Kind::Bill | Kind::System);
            assert_eq!(visible.shows(&event(own, *kind)), expected, "{kind:?}");
            assert!(!visible.shows(&event(other, *kind)), "{kind:?}");
            let of_gateway = visible.shows(&event(GATEWAY, *kind));
            assert_eq!(of_gateway, *kind == Kind::System, "{kind:?}");
            assert!(Visible::All.shows(&event(other, *kind)));
        }
    }

    #[test]
    fn a_merchant_sees_the_transactions_of_its_site_and_nothing_else() {
        let (own, other) = (Owner::from_bytes([1; 16]), Owner::from_bytes([2; 16]));
        let visible = Visible::of([(own, Rights { acquiring: true, ..Rights::default() })]);
        for kind in Kind::ALL {
            let expected = matches!(kind, Kind::Payment | Kind::Confirmation | Kind::System);
            assert_eq!(visible.shows(&event(own, *kind)), expected, "{kind:?}");
            assert!(!visible.shows(&event(other, *kind)), "{kind:?}");
        }
    }

    #[test]
    fn two_credentials_of_a_wallet_add_up_and_one_without_rights_adds_nothing() {
        let (own, other) = (Owner::from_bytes([1; 16]), Owner::from_bytes([2; 16]));
        let money = Rights { transactions: true, ..Rights::default() };
        let bills = Rights { bills: true, ..Rights::default() };
        let visible = Visible::of([(own, money), (own, bills), (other, Rights::default())]);
        assert!(visible.shows(&event(own, Kind::Bill)));
        assert!(visible.shows(&event(own, Kind::Transaction)));
        assert!(!visible.shows(&event(own, Kind::Balance)));
        assert_eq!(visible.rights(&other), None);
        assert_ne!(visible.text(), Visible::of([(own, money)]).text());
        assert_ne!(visible.text(), Visible::All.text());
    }
}
