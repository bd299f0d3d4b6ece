//! Questions to QIWI that nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::budget::Budgets;
use super::targets::{Need, Target, Targets};
use crate::call::Context;
use crate::credentials::{Credential, Kind};
use crate::error::{Error, reason};
use crate::events::hub::Hub;
use crate::events::lease::Work;
use crate::events::{LogError, Owner};
use crate::gateway::{Gateway, route};
use crate::method::Method;
use crate::operations;
use crate::pay::status;
use crate::pb::pay::v1 as pay;
use crate::pb::wallet::v1 as pb;
use crate::telemetry::Metrics;
use crate::wallet::{balance, history};

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why something was not found out.
#[derive(Debug)]
pub(super) enum Trouble {
    /// QIWI could not be asked.
    Qiwi(Error),
    /// The log could not be used.
    Log(LogError),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

/// A wallet's owner among the named credentials.
pub(super) enum Found {
    /// This one may ask.
    Target(Target),
    /// The wallets of some are not known yet.
    Perhaps,
    /// None will.
    Nobody,
}

/// Asks QIWI on the gateway's own account.
pub(super) struct Asker {
    pub(super) gateway: Arc<Gateway>,
    pub(super) budgets: Budgets,
    targets: Targets,
    list: &'static Method,
    transaction: &'static Method,
    balances: &'static Method,
    status: &'static Method,
}

impl Asker {
    pub(super) fn new(gateway: Arc<Gateway>) -> Option<Self> {
        Some(Self {
            budgets: Budgets::new(&gateway.config().limit, gateway.hub().leases.is_shared()),
            targets: Targets::default(),
            list: operations::find("/qiwi.wallet.v1.HistoryService/ListTransactions")?,
            transaction: operations::find("/qiwi.wallet.v1.HistoryService/GetTransaction")?,
            balances: operations::find("/qiwi.wallet.v1.BalanceService/ListBalances")?,
            status: operations::find("/qiwi.pay.v1.AcquiringService/GetStatus")?,
            gateway,
        })
    }

    pub(super) fn hub(&self) -> &Hub {
        self.gateway.hub()
    }

    pub(super) fn metrics(&self) -> &Metrics {
        self.gateway.metrics()
    }

    /// Whether what is asked about an owner's transactions is this replica's to ask.
    pub(super) fn is_mine(&self, owner: &Owner) -> bool {
        self.hub().leases.is_mine(Work::History(*owner))
    }

    /// The target of a named credential, if it meets a need and its wallet is known.
    pub(super) async fn target(&self, name: &str, need: Need) -> Option<Target> {
        let credential = self.gateway.credentials().named(name)?;
        if !need.met_by(&credential) {
            return None;
        }
        self.targets.of(&self.gateway, self.list, credential).await
    }

    /// Every wallet that is known, once, with a credential that meets a need.
    pub(super) async fn all(&self, need: Need) -> Vec<Target> {
        let mut all: Vec<Target> = Vec::new();
        for credential in self.gateway.credentials().list() {
            if !need.met_by(&credential) {
                continue;
            }
            let target = self.targets.of(&self.gateway, self.list, credential).await;
            if let Some(target) = target
                && all.iter().all(|of| of.owner != target.owner)
            {
                all.push(target);
            }
        }
        all
    }

    /// Who may ask about an owner's wallet.
    pub(super) async fn who(&self, owner: &Owner, need: Need) -> Found {
        let mut unknown = false;
        for credential in self.gateway.credentials().list() {
            if !need.met_by(&credential) {
                continue;
            }
            match self.targets.of(&self.gateway, self.list, credential).await {
                Some(target) if target.owner == *owner => return Found::Target(target),
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown { Found::Perhaps } else { Found::Nobody }
    }

    /// A credential that may ask about a merchant site: one with the certificate QIWI PAY demands,
    /// where its host takes one.
    pub(super) fn merchant(&self, site: &Owner) -> Option<Arc<Credential>> {
        let demands = self.gateway.config().upstream.direct_url.is_https();
        self.gateway.credentials().list().into_iter().find(|credential| {
            credential.kind == Some(Kind::Merchant)
                && self.hub().owner_of(credential, None) == *site
                && (credential.identity().is_some() || !demands)
        })
    }

    /// The current token of a target: a reload may have replaced it.
    fn context(&self, method: &'static Method, target: &Target) -> Context {
        let current = self.gateway.credentials().named(&target.name);
        let credential = current.unwrap_or_else(|| Arc::clone(&target.credential));
        Self::of_credential(method, credential)
    }

    fn of_credential(method: &'static Method, credential: Arc<Credential>) -> Context {
        Context {
            // That part of the quota is for payments.
            settling: false,
            single_attempt: true,
            ..Context::own(method, Some(credential), Instant::now() + PATIENCE)
        }
    }

    /// One transaction; `None` when QIWI does not know it. Whoever calls has taken a turn.
    pub(super) async fn transaction(
        &self,
        target: &Target,
        id: &str,
        kind: pb::TransactionType,
    ) -> Result<Option<pb::Transaction>, Trouble> {
        let request = pb::GetTransactionRequest {
            transaction_id: id.to_owned(),
            r#type: kind.into(),
            ..Default::default()
        };
        let cx = self.context(self.transaction, target);
        let asked = async {
            let route = route(&history::TRANSACTION)?;
            self.gateway.aside(&cx, route, &request, Some(&target.wallet)).await
        };
        match asked.await {
            Ok(answer) => Ok(answer.transaction),
            Err(error) if *error.reason() == reason::TRANSACTION_NOT_FOUND => Ok(None),
            Err(error) => Err(self.failed(&target.owner, error)),
        }
    }

    /// The transactions of the order that one of QIWI PAY belongs to; none when QIWI does not know it.
    /// Whoever calls has taken a turn.
    pub(super) async fn order(
        &self,
        credential: Arc<Credential>,
        site: &Owner,
        transaction_id: &str,
    ) -> Result<Vec<pay::Transaction>, Trouble> {
        let transaction_id = transaction_id.to_owned();
        let request = pay::GetStatusRequest { transaction_id, ..Default::default() };
        let cx = Self::of_credential(self.status, credential);
        let asked = async {
            let route = route(&status::GET)?;
            self.gateway.aside(&cx, route, &request, None).await
        };
        match asked.await {
            Ok(answer) => Ok(answer.transactions),
            Err(error) if *error.reason() == reason::TRANSACTION_NOT_FOUND => Ok(Vec::new()),
            Err(error) => Err(self.failed(site, error)),
        }
    }

    /// A page of the history. Whoever calls has taken a turn.
    pub(super) async fn page(
        &self,
        target: &Target,
        request: &pb::ListTransactionsRequest,
    ) -> Result<pb::ListTransactionsResponse, Trouble> {
        let cx = self.context(self.list, target);
        let asked = async {
            let route = route(&history::LIST)?;
            self.gateway.aside(&cx, route, request, Some(&target.wallet)).await
        };
        asked.await.map_err(|error| self.failed(&target.owner, error))
    }

    /// All balances of a wallet, what QIWI left out asked for again.
    pub(super) async fn balances(&self, target: &Target) -> Result<Vec<pb::Balance>, Error> {
        let cx = self.context(self.balances, target);
        let request = pb::ListBalancesRequest::default();
        let route = route(&balance::LIST)?;
        let answer = self.gateway.aside_whole(&cx, route, &request, Some(&target.wallet)).await?;
        Ok(answer.balances)
    }

    fn failed(&self, owner: &Owner, error: Error) -> Trouble {
        self.budgets.failed(owner, &error);
        Trouble::Qiwi(error)
    }
}
