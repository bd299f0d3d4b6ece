//! Money: paid at most once, and told truly, whatever fails.

/// Nothing private of a payment anywhere but on the wire.
pub mod canary;
/// Many calls at once; whose payment it is.
mod concurrency;
/// Killed at every step, and what the next process makes of it.
mod crash;
/// Random numbers that come again.
pub mod dice;
/// Balances after money has moved.
mod fresh;
/// Invoices, whose payments carry no id of ours.
mod invoice;
/// Whether what a caller is told is true.
pub mod judge;
/// A ledger that cannot be used.
mod ledger;
/// One payment from the first call to its end.
mod life;
/// Every fault in every phase.
mod matrix;
/// A wire that breaks where it is told to.
pub mod proxy;
/// Faults, phases and callers at random, many at once.
mod rounds;

use std::time::Duration;

use qiwi_gateway::config::Config;
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::sandbox::{Sandbox, SandboxConfig, demo};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::support::{Ask, Gateway, Setup};

pub const CREATE: &str = "qiwi.wallet.v1.PaymentService/CreatePayment";
pub const GET: &str = "qiwi.wallet.v1.PaymentService/GetPayment";
pub const LIST: &str = "qiwi.wallet.v1.PaymentService/ListPayments";
pub const DEMO: (&str, &str) = ("x-qiwi-credential", "demo");

/// A sandbox of its own, whose payments settle at once.
pub async fn sandbox(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = SandboxConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        settle_delay: Duration::from_millis(50),
        history_limit: 100_000,
        ..Default::default()
    };
    change(&mut config);
    Sandbox::start(config).await.unwrap()
}

/// A gateway in front of it, with the demo credentials and shortened times.
pub fn setup(sandbox: &Sandbox) -> Setup {
    Setup::at(&format!("http://{}", sandbox.address()))
        .credential("demo", Kind::Wallet, Some(demo::WALLET), demo::WALLET_TOKEN)
        .set(hasty)
}

/// Doubt is ended in seconds instead of minutes; nothing else differs.
pub fn hasty(config: &mut Config) {
    config.limit.period = Duration::from_millis(200);
    config.payments.look_first = Duration::from_millis(100);
    config.payments.look_later = Duration::from_millis(400);
    config.payments.settle_window = Duration::from_millis(1500);
    config.payments.settle_window_answered = Duration::from_millis(400);
    config.payments.refresh_pause = Duration::from_millis(20);
}

/// A transfer to another wallet.
pub fn transfer(id: impl Into<String>, roubles: i64) -> pb::CreatePaymentRequest {
    let to = pb::WalletDestination { wallet: demo::PROFESSIONAL_WALLET.into() };
    pb::CreatePaymentRequest {
        payment_id: id.into(),
        payment: Some(pb::PaymentSpec {
            amount: Some(Money { currency_code: "RUB".into(), units: roubles, nanos: 0 }),
            destination: Some(pb::payment_spec::Destination::Wallet(to)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Pays with the demo credential.
pub async fn pay(
    channel: &Channel,
    request: pb::CreatePaymentRequest,
) -> Result<Response<pb::CreatePaymentResponse>, Status> {
    Ask::with(&[DEMO]).unary(channel, CREATE, request).await
}

/// Asks for a payment of the demo wallet.
pub async fn get(channel: &Channel, id: &str) -> Result<pb::Payment, Status> {
    let request = pb::GetPaymentRequest { payment_id: id.into(), ..Default::default() };
    let reply = Ask::with(&[DEMO]).unary::<_, pb::GetPaymentResponse>(channel, GET, request).await;
    Ok(reply?.into_inner().payment.unwrap())
}

/// How often the sandbox carried an id out.
pub fn commits(sandbox: &Sandbox, id: &str) -> usize {
    sandbox.payments().iter().filter(|payment| payment.client_id == id).count()
}

/// A gateway and a sandbox.
pub async fn both() -> (Sandbox, Gateway) {
    let sandbox = sandbox(|_| {}).await;
    let gateway = setup(&sandbox).start().await;
    (sandbox, gateway)
}
