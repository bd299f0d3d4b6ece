//! Every RPC, one row each: the gateway's table of contents.
//!
//! A row ties a method's [`Policy`] to the generic handler that runs it. `tests/policy.rs` walks
//! this table and the compiled descriptors together, so a method can be neither forgotten nor
//! half-added.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use crate::call::Inbound;
use crate::edge::Outbound;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::operation::{Download, Local, Operation};
use crate::pb::{admin::v1 as admin, wallet::v1 as wallet};
use crate::policy::Policy;

type Running = Pin<Box<dyn Future<Output = Result<Outbound, Error>> + Send>>;
type Handler = fn(Arc<Gateway>, Inbound) -> Running;

/// One RPC.
pub struct Row {
    /// What the method is.
    pub policy: &'static Policy,
    handler: Handler,
    index: u16,
    service_end: usize,
    api: &'static str,
}

impl Row {
    /// Runs the method.
    pub fn run(&self, gateway: Arc<Gateway>, call: Inbound) -> Running {
        (self.handler)(gateway, call)
    }

    /// The row's place in [`all`].
    pub fn index(&self) -> usize {
        usize::from(self.index)
    }

    /// As [`Row::index`], for keys.
    pub fn index_u16(&self) -> u16 {
        self.index
    }

    /// The method's name without its service.
    pub fn method(&self) -> &'static str {
        self.policy.rpc.get(self.service_end + 1..).unwrap_or(self.policy.rpc)
    }

    /// The service's full name.
    pub fn service(&self) -> &'static str {
        self.policy.rpc.get(..self.service_end).unwrap_or(self.policy.rpc)
    }

    /// The upstream interface: `wallet`, `p2p`, `pay`, or `admin` for the gateway's own.
    pub fn api(&self) -> &'static str {
        self.api
    }
}

struct Table {
    rows: Vec<Row>,
    by_path: HashMap<String, usize, foldhash::fast::FixedState>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let rows = table();
    let by_path = rows
        .iter()
        .enumerate()
        .map(|(index, row)| (format!("/{}", row.policy.rpc), index))
        .collect();
    Table { rows, by_path }
});

/// Every row.
pub fn all() -> &'static [Row] {
    &TABLE.rows
}

/// The row of an HTTP path such as `/qiwi.wallet.v1.BalanceService/ListBalances`.
pub fn find(path: &str) -> Option<&'static Row> {
    let table: &'static Table = &TABLE;
    table.rows.get(*table.by_path.get(path)?)
}

fn unary<O: Operation>() -> (&'static Policy, Handler) {
    (O::POLICY, |gateway, call| Box::pin(gateway.unary::<O>(call)))
}

fn download<D: Download>() -> (&'static Policy, Handler) {
    (D::POLICY, |gateway, call| Box::pin(gateway.download::<D>(call)))
}

fn local<L: Local>() -> (&'static Policy, Handler) {
    (L::POLICY, |gateway, call| Box::pin(gateway.local::<L>(call)))
}

fn table() -> Vec<Row> {
    let rows = [
        // Profile
        unary::<wallet::GetProfileRequest>(),
        unary::<wallet::GetNicknameRequest>(),
        unary::<wallet::ListRestrictionsRequest>(),
        // Identification
        unary::<wallet::GetIdentificationRequest>(),
        unary::<wallet::GetDowngradeOperationRequest>(),
        // Limits
        unary::<wallet::ListLimitsRequest>(),
        unary::<wallet::GetP2pPaymentCountLimitRequest>(),
        // Balances
        unary::<wallet::ListBalancesRequest>(),
        unary::<wallet::ListBalanceOffersRequest>(),
        // History
        unary::<wallet::ListTransactionsRequest>(),
        unary::<wallet::GetTransactionRequest>(),
        unary::<wallet::GetStatisticsRequest>(),
        download::<wallet::DownloadReceiptRequest>(),
        // Payments
        unary::<wallet::QuoteCommissionRequest>(),
        unary::<wallet::ListExchangeRatesRequest>(),
        // Providers
        unary::<wallet::SearchProvidersRequest>(),
        unary::<wallet::ResolveMobileProviderRequest>(),
        unary::<wallet::ResolveCardProviderRequest>(),
        unary::<wallet::GetTariffRequest>(),
        // Invoices
        unary::<wallet::ListInvoicesRequest>(),
        // Webhooks
        unary::<wallet::GetActiveWebhookRequest>(),
        // Master cards
        unary::<wallet::ListCardsRequest>(),
        download::<wallet::DownloadCardStatementRequest>(),
        // The gateway itself
        local::<admin::GetCredentialRequest>(),
        local::<admin::ListCredentialsRequest>(),
    ];
    let numbered = rows.into_iter().zip(0u16..);
    numbered.map(|((policy, handler), index)| row(policy, handler, index)).collect()
}

fn row(policy: &'static Policy, handler: Handler, index: u16) -> Row {
    let api = policy
        .rpc
        .strip_prefix("qiwi.")
        .and_then(|rest| rest.split('.').next())
        .unwrap_or("gateway");
    Row {
        policy,
        handler,
        index,
        service_end: policy.rpc.find('/').unwrap_or(policy.rpc.len()),
        api,
    }
}
