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
use crate::error::{Error, reason};
use crate::events::consume::rpc as consume;
use crate::events::groups::{self, letters};
use crate::events::rpc as events;
use crate::gateway::Gateway;
use crate::method::Method;
use crate::operation::{Download, Local, Operation};
use crate::order::Payment;
use crate::payments::{acquiring, rpc};
use crate::pb::{admin::v1 as admin, p2p::v1 as p2p, pay::v1 as pay, wallet::v1 as wallet};
use crate::policy::Policy;

/// A method under way.
pub type Running = Pin<Box<dyn Future<Output = Result<Outbound, Error>> + Send>>;
type Handler = fn(Arc<Gateway>, Inbound) -> Running;

/// One RPC and what runs it.
pub struct Row {
    method: Method,
    handler: Handler,
}

impl std::ops::Deref for Row {
    type Target = Method;

    fn deref(&self) -> &Method {
        &self.method
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

/// The method of an HTTP path such as `/qiwi.wallet.v1.BalanceService/ListBalances`.
pub fn find(path: &str) -> Option<&'static Method> {
    let table: &'static Table = &TABLE;
    table.rows.get(*table.by_path.get(path)?).map(|row| &row.method)
}

/// Runs a call's method.
pub fn run(gateway: Arc<Gateway>, call: Inbound) -> Running {
    match TABLE.rows.get(call.method.index()) {
        Some(row) => (row.handler)(gateway, call),
        // Methods are made with the table, so each has its row.
        None => Box::pin(std::future::ready(Err(Error::new(&reason::METHOD_UNKNOWN)))),
    }
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

fn payment<P: Payment>() -> (&'static Policy, Handler) {
    (P::POLICY, |gateway, call| Box::pin(gateway.pay::<P>(call)))
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
        unary::<wallet::CreateIdentificationRequest>(),
        unary::<wallet::CreateDowngradeOperationRequest>(),
        unary::<wallet::ConfirmDowngradeOperationRequest>(),
        // Limits
        unary::<wallet::ListLimitsRequest>(),
        unary::<wallet::GetP2pPaymentCountLimitRequest>(),
        // Balances
        unary::<wallet::ListBalancesRequest>(),
        unary::<wallet::ListBalanceOffersRequest>(),
        unary::<wallet::CreateBalanceRequest>(),
        unary::<wallet::SetDefaultBalanceRequest>(),
        // History
        unary::<wallet::ListTransactionsRequest>(),
        unary::<wallet::GetTransactionRequest>(),
        unary::<wallet::GetStatisticsRequest>(),
        download::<wallet::DownloadReceiptRequest>(),
        unary::<wallet::SendReceiptRequest>(),
        // Payments
        unary::<wallet::QuoteCommissionRequest>(),
        payment::<wallet::CreatePaymentRequest>(),
        (&rpc::GET, |gateway, call| Box::pin(gateway.get_payment(call))),
        (&rpc::LIST, |gateway, call| Box::pin(gateway.list_payments(call))),
        unary::<wallet::ListExchangeRatesRequest>(),
        // Providers
        unary::<wallet::SearchProvidersRequest>(),
        unary::<wallet::ResolveMobileProviderRequest>(),
        unary::<wallet::ResolveCardProviderRequest>(),
        unary::<wallet::GetTariffRequest>(),
        local::<wallet::BuildPaymentFormLinkRequest>(),
        unary::<wallet::DetectMobileProviderRequest>(),
        unary::<wallet::DetectCardProviderRequest>(),
        unary::<wallet::SearchProvidersLegacyRequest>(),
        // Invoices
        unary::<wallet::ListInvoicesRequest>(),
        unary::<wallet::RejectInvoiceRequest>(),
        payment::<wallet::PayInvoiceRequest>(),
        unary::<wallet::CreateP2pKeysRequest>(),
        // Webhooks
        unary::<wallet::GetActiveWebhookRequest>(),
        unary::<wallet::RegisterWebhookRequest>(),
        unary::<wallet::DeleteWebhookRequest>(),
        unary::<wallet::GetWebhookKeyRequest>(),
        unary::<wallet::RotateWebhookKeyRequest>(),
        unary::<wallet::SendTestNotificationRequest>(),
        // Master cards
        payment::<wallet::BuyPackageRequest>(),
        payment::<wallet::BuyCardRequest>(),
        unary::<wallet::ListCardsRequest>(),
        download::<wallet::DownloadCardStatementRequest>(),
        unary::<wallet::CreateCardOrderRequest>(),
        unary::<wallet::ConfirmCardOrderRequest>(),
        unary::<wallet::BlockCardRequest>(),
        unary::<wallet::UnblockCardRequest>(),
        unary::<wallet::RenameCardRequest>(),
        unary::<wallet::GetCardDetailsRequest>(),
        // Bills
        unary::<p2p::CreateBillRequest>(),
        unary::<p2p::GetBillRequest>(),
        unary::<p2p::CancelBillRequest>(),
        local::<p2p::BuildBillFormLinkRequest>(),
        local::<p2p::DecoratePayUrlRequest>(),
        // QIWI PAY
        payment::<pay::SaleRequest>(),
        payment::<pay::AuthorizeRequest>(),
        payment::<pay::Finish3dsRequest>(),
        payment::<pay::CaptureRequest>(),
        payment::<pay::ReverseRequest>(),
        payment::<pay::RefundRequest>(),
        payment::<pay::PayoutRequest>(),
        unary::<pay::GetStatusRequest>(),
        (&acquiring::GET, |gateway, call| Box::pin(gateway.get_operation(call))),
        unary::<pay::ListCardsRequest>(),
        payment::<pay::InitRecurringSaleRequest>(),
        payment::<pay::InitRecurringAuthorizationRequest>(),
        payment::<pay::InitMobileAuthorizationRequest>(),
        payment::<pay::SendMobileCardDataRequest>(),
        // Forms of QIWI PAY
        local::<pay::BuildPaymentFormRequest>(),
        local::<pay::Build3dsFormRequest>(),
        // Events
        (&consume::CONSUME, |gateway, call| Box::pin(gateway.consume(call))),
        (&events::SUBSCRIBE, |gateway, call| Box::pin(gateway.subscribe(call))),
        (&events::LIST, |gateway, call| Box::pin(gateway.list_events(call))),
        (&events::GET, |gateway, call| Box::pin(gateway.get_event(call))),
        (&events::INFO, |gateway, call| Box::pin(gateway.get_log_info(call))),
        // Consumer groups
        (&groups::CREATE, |gateway, call| Box::pin(gateway.create_group(call))),
        (&groups::GET, |gateway, call| Box::pin(gateway.get_group(call))),
        (&groups::LIST, |gateway, call| Box::pin(gateway.list_groups(call))),
        (&groups::SEEK, |gateway, call| Box::pin(gateway.seek_group(call))),
        (&groups::PAUSE, |gateway, call| Box::pin(gateway.pause_group(call))),
        (&groups::RESUME, |gateway, call| Box::pin(gateway.resume_group(call))),
        (&groups::DELETE, |gateway, call| Box::pin(gateway.delete_group(call))),
        (&letters::LIST, |gateway, call| Box::pin(gateway.list_dead_letters(call))),
        (&letters::REDRIVE, |gateway, call| Box::pin(gateway.redrive_dead_letters(call))),
        (&letters::DISCARD, |gateway, call| Box::pin(gateway.discard_dead_letters(call))),
        // The gateway itself
        local::<admin::GetCredentialRequest>(),
        local::<admin::ListCredentialsRequest>(),
    ];
    let numbered = rows.into_iter().zip(0u16..);
    numbered
        .map(|((policy, handler), index)| Row { method: Method::new(policy, index), handler })
        .collect()
}
