//! The listeners and their routes, and what a program does with a running sandbox.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{delete, get, patch, post, put};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::acquiring::{self, Authority, Gate};
use super::call::Shared;
use super::connection::accept;
use super::{
    AcquiringTransaction, Certificate, ClientFiles, CommittedPayment, Incoming, MerchantSite,
    SandboxConfig, admin, balances, bills, card_control, cards, detection, faults, history,
    identification, invoices, journal, kazakhstan, keys, limits, orders, payments, postman,
    profile, providers, receipts, tariffs, terms, webhooks,
};

/// A running sandbox. Dropping it stops it too; [`shutdown`](Sandbox::shutdown) also waits.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    acquiring: Option<Acquiring>,
    shared: Arc<Shared>,
    stop: DropGuard,
    accepting: JoinHandle<()>,
    delivering: JoinHandle<()>,
}

/// The listener of card acquiring.
#[derive(Debug)]
struct Acquiring {
    address: SocketAddr,
    authority: Authority,
    accepting: JoinHandle<()>,
}

impl Sandbox {
    /// Seeds the state, binds the listener and serves until told to stop.
    pub async fn start(config: SandboxConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared::new(config, address));
        let acquiring = Acquiring::start(&shared, &stop).await?;
        let router = router(Arc::clone(&shared));
        let accepting = tokio::spawn(accept(listener, None, router, stop.clone()));
        let delivering = tokio::spawn(postman::deliver(Arc::clone(&shared), stop.clone()));
        Ok(Self { address, acquiring, shared, stop: stop.drop_guard(), accepting, delivering })
    }

    /// Where the sandbox listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where operations of QIWI PAY are taken over TLS, if they are; the path is `/merchant/direct`.
    pub fn acquiring_address(&self) -> Option<SocketAddr> {
        self.acquiring.as_ref().map(|acquiring| acquiring.address)
    }

    /// The authority that the certificate of that listener comes from, in PEM.
    pub fn acquiring_authority(&self) -> Option<&str> {
        self.acquiring.as_ref().map(|acquiring| acquiring.authority.certificate_pem())
    }

    /// A new client certificate that the listener of QIWI PAY accepts.
    ///
    /// # Errors
    /// When there is no such listener, or a certificate cannot be made.
    pub fn client_certificate(&self, name: &str) -> io::Result<Certificate> {
        match &self.acquiring {
            Some(acquiring) => acquiring.authority.client(name),
            None => Err(io::Error::other("this sandbox has no acquiring listener")),
        }
    }

    /// Writes the authority and a new client certificate into a folder, or into a temporary one that
    /// is removed with what is returned.
    ///
    /// # Errors
    /// When there is no acquiring listener, or files cannot be written.
    pub fn client_files(&self, name: &str, folder: Option<&Path>) -> io::Result<ClientFiles> {
        let own = self.client_certificate(name)?;
        let authority = self.acquiring_authority().unwrap_or_default();
        match folder {
            Some(folder) => ClientFiles::write(folder, authority, &own),
            None => ClientFiles::temporary(authority, &own),
        }
    }

    /// Every transaction of every merchant site, oldest first.
    pub fn transactions(&self) -> Vec<AcquiringTransaction> {
        self.shared.world().acquiring.committed()
    }

    /// Adds a merchant site, or replaces the one with its number.
    pub fn put_site(&self, site: MerchantSite) {
        self.shared.world().acquiring.put_site(site);
    }

    /// Every payment carried out so far, oldest first.
    pub fn payments(&self) -> Vec<CommittedPayment> {
        self.shared.world().committed.clone()
    }

    /// Every request so far, as `GET /__sandbox/requests` tells it.
    pub fn requests(&self) -> serde_json::Value {
        self.shared.journal.to_json()
    }

    /// Puts money into a wallet from outside; the id of the transaction.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn incoming(&self, incoming: Incoming) -> Result<u64, String> {
        self.shared.world().top_up(incoming)
    }

    /// Pays a bill that a wallet has issued, as somebody does on its form who has no wallet here.
    ///
    /// # Errors
    /// When there is no such bill, or it is not unpaid.
    pub fn pay_bill(&self, issuer: &str, bill_id: &str) -> Result<(), String> {
        self.shared.world().pay_bill(issuer, bill_id)
    }

    /// Receipts by e-mail and notifications with their attempts, oldest first, as
    /// `GET /__sandbox/outbox` tells them.
    pub fn outbox(&self) -> serde_json::Value {
        self.shared.world().outbox.to_json()
    }

    /// Adds fault rules: one as an object or several as an array, in the form that
    /// `POST /__sandbox/faults` takes. The error says what is wrong with them; none is added then.
    pub fn add_fault(&self, rules: serde_json::Value) -> Result<(), String> {
        let rules = match rules {
            serde_json::Value::Array(rules) => rules,
            rule => vec![rule],
        };
        let rules = serde_json::from_value(serde_json::Value::Array(rules));
        self.shared.faults.add(rules.map_err(|error| error.to_string())?)
    }

    /// Removes every fault rule.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Stops listening, closes every connection and waits until that is done.
    pub async fn shutdown(self) {
        drop(self.stop);
        // The tasks end by themselves; an error could only be their own panic, and then they have.
        let _ended = self.accepting.await;
        let _ended = self.delivering.await;
        if let Some(acquiring) = self.acquiring {
            let _ended = acquiring.accepting.await;
        }
    }
}

impl Acquiring {
    /// Opens the listener, if there is to be one.
    async fn start(shared: &Arc<Shared>, stop: &CancellationToken) -> io::Result<Option<Self>> {
        let settings = &shared.config.acquiring;
        let Some(listen) = settings.listen else { return Ok(None) };
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let authority = Authority::new()?;
        let gate = Gate::new(&authority, address.ip(), settings.strangers)?;
        let router = layered(acquiring::operations(), shared).with_state(Arc::clone(shared));
        let accepting = tokio::spawn(accept(listener, Some(gate), router, stop.clone()));
        Ok(Some(Self { address, authority, accepting }))
    }
}

fn router(shared: Arc<Shared>) -> Router {
    let upstream = profile_routes()
        .merge(history_routes())
        .merge(money_routes())
        .merge(card_routes())
        .merge(invoice_routes())
        .merge(hook_routes())
        .merge(site_routes())
        .merge(acquiring::operations())
        .merge(acquiring::pages());
    layered(upstream, &shared).merge(admin::routes()).with_state(shared)
}

/// Routes with faults around them and the journal around those.
fn layered(routes: Router<Arc<Shared>>, shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    routes
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(middleware::from_fn_with_state(Arc::clone(shared), faults::apply))
        .layer(middleware::from_fn_with_state(Arc::clone(shared), journal::record))
}

fn profile_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/person-profile/v1/profile/current", get(profile::current))
        .route(
            "/person-profile/v1/persons/{wallet}/status/restrictions",
            get(profile::restrictions),
        )
        .route(
            "/qw-nicknames/v1/persons/{wallet}/nickname",
            get(profile::nickname),
        )
        .route(
            "/identification/v1/persons/{wallet}/identification",
            get(identification::data).post(identification::identify),
        )
        .route(
            "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations",
            post(identification::request_downgrade),
        )
        .route(
            "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations/{operation}/confirm",
            put(identification::confirm_downgrade),
        )
        .route(
            "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations/{operation}",
            get(identification::downgrade),
        )
        .route(
            "/qw-limits/v1/persons/{wallet}/actual-limits",
            get(limits::actual),
        )
        .route(
            "/qw-limits/v1/persons/{wallet}/p2p-payment-count-limit",
            get(limits::payments_to_persons),
        )
}

fn history_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/payment-history/v2/persons/{wallet}/payments", get(history::list))
        .route("/payment-history/v2/persons/{wallet}/payments/total", get(history::totals))
        .route("/payment-history/v2/transactions/{transaction}", get(history::transaction))
        .route("/payment-history/v1/transactions/{transaction}/cheque/file", get(receipts::file))
        .route("/payment-history/v1/transactions/{transaction}/cheque/send", post(receipts::send))
        .route("/payment-history/v1/persons/{wallet}/cards/{card}/statement", get(cards::statement))
}

fn money_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/funding-sources/v2/persons/{wallet}/accounts",
            get(balances::list).post(balances::create),
        )
        .route("/funding-sources/v2/persons/{wallet}/accounts/offer", get(balances::offer))
        .route(
            "/funding-sources/v2/persons/{wallet}/accounts/{alias}",
            patch(balances::make_default),
        )
        .route("/sinap/api/v2/terms/{provider}/payments", post(terms::pay))
        .route("/sinap/api/terms/27292/payments", post(kazakhstan::pay))
        .route(
            "/sinap/api/refs/a42ebc79-0584-4271-b8a0-15cb4ea8b340/containers",
            post(kazakhstan::prepare),
        )
        .route("/sinap/providers/{provider}/onlineCommission", post(payments::commission))
        .route("/sinap/providers/{provider}/form", get(tariffs::form))
        .route("/sinap/crossRates", get(payments::cross_rates))
        .route(
            "/sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers",
            post(providers::by_card),
        )
        .route("/qw-mobile-providers-resolver/v1/providers", get(providers::by_phone))
        .route("/search/v1/search", get(providers::search))
}

fn card_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/cards/v1/cards", get(cards::list))
        .route("/cards/v1/cards/", get(cards::list))
        .route("/cards/v1/cards/{card}/details", put(card_control::details))
        .route("/cards/v1/cards/{card}/alias", put(card_control::rename))
        .route("/cards/v2/persons/{wallet}/cards/{card}/block", put(card_control::block))
        .route("/cards/v2/persons/{wallet}/cards/{card}/unblock", put(card_control::unblock))
        .route("/cards/v2/persons/{wallet}/orders", post(orders::create))
        .route("/cards/v2/persons/{wallet}/orders/{order}/submit", put(orders::submit))
}

fn invoice_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/widgets-api/api/p2p/protected/keys/create", post(keys::create))
        .route("/partner/bill/v1/bills/{bill}", put(bills::issue).get(bills::status))
        .route("/partner/bill/v1/bills/{bill}/reject", post(bills::cancel))
        .route("/checkout-api/api/bill/search", get(invoices::unpaid))
        .route("/checkout-api/api/bill/reject", post(invoices::reject))
        .route("/checkout-api/invoice/pay/wallet", post(invoices::pay))
}

fn hook_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/payment-notifier/v1/hooks", put(webhooks::register))
        .route("/payment-notifier/v1/hooks/active", get(webhooks::active))
        .route("/payment-notifier/v1/hooks/test", get(webhooks::test))
        .route("/payment-notifier/v1/hooks/{hook}", delete(webhooks::remove))
        .route("/payment-notifier/v1/hooks/{hook}/key", get(webhooks::key))
        .route("/payment-notifier/v1/hooks/{hook}/newkey", post(webhooks::new_key))
}

fn site_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/mobile/detect.action", post(detection::mobile))
        .route("/card/detect.action", post(detection::card))
        .route("/search/results/json.action", post(detection::search))
}
