//! *plain*: an afternoon's gateway. tonic in, reqwest out, serde and prost between.
//!
//! No cache, no limits, no retries, no metrics, no deadlines, amounts through `f64`: what a team
//! writes before it meets its first incident. The client can be exchanged (`--client`) to see what
//! the HTTP library costs; the reference of the reports is the default, reqwest.

use std::io;
use std::sync::Arc;

use serde::Deserialize;
use tonic::codegen::BoxFuture;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::client::Client;
use crate::service::{Server, Unary};
use crate::wire;

#[derive(Deserialize)]
struct Accounts {
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    alias: String,
    fs_alias: String,
    bank_alias: String,
    title: String,
    r#type: AccountType,
    has_balance: bool,
    balance: Option<Amount>,
    currency: u16,
}

#[derive(Deserialize)]
struct AccountType {
    id: String,
    title: String,
}

#[derive(Deserialize)]
struct Amount {
    amount: f64,
    currency: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    txn_id: u64,
    person_id: u64,
    date: String,
    status: String,
    r#type: String,
    account: String,
    sum: Amount,
    commission: Amount,
    total: Amount,
    provider: Provider,
    comment: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    short_name: String,
}

fn currency(code: u16) -> String {
    match code {
        643 => "RUB".to_owned(),
        840 => "USD".to_owned(),
        978 => "EUR".to_owned(),
        other => format!("{other:03}"),
    }
}

fn money(amount: Amount) -> wire::Money {
    let units = amount.amount.trunc();
    let nanos = ((amount.amount - units) * 100.0).round() * 10_000_000.0;
    wire::Money {
        currency_code: currency(amount.currency),
        units: units as i64,
        nanos: nanos as i32,
    }
}

fn balance(account: Account) -> wire::Balance {
    wire::Balance {
        alias: account.alias,
        fs_alias: account.fs_alias,
        bank_alias: account.bank_alias,
        title: account.title,
        kind: Some(wire::BalanceType { id: account.r#type.id, title: account.r#type.title }),
        has_balance: account.has_balance,
        amount: account.balance.map(money),
        currency: currency(account.currency),
    }
}

fn bearer<T>(request: &Request<T>) -> Result<&str, Status> {
    request
        .metadata()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Status::unauthenticated("authorization is missing"))
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

struct ListBalances(Client);

impl Unary for ListBalances {
    const SERVICE: &'static str = "qiwi.wallet.v1.BalanceService";
    const PATH: &'static str = "/qiwi.wallet.v1.BalanceService/ListBalances";
    type Request = wire::ListBalancesRequest;
    type Reply = wire::ListBalancesResponse;

    fn call(
        self: Arc<Self>,
        request: Request<Self::Request>,
    ) -> BoxFuture<Response<Self::Reply>, Status> {
        Box::pin(async move {
            let wallet = &request.get_ref().wallet;
            let path = format!("/funding-sources/v2/persons/{wallet}/accounts");
            let body = self.0.get(&path, bearer(&request)?).await;
            let accounts: Accounts =
                serde_json::from_slice(&body.map_err(unavailable)?).map_err(unavailable)?;
            Ok(Response::new(wire::ListBalancesResponse {
                balances: accounts.accounts.into_iter().map(balance).collect(),
            }))
        })
    }
}

struct GetTransaction(Client);

impl Unary for GetTransaction {
    const SERVICE: &'static str = "qiwi.wallet.v1.HistoryService";
    const PATH: &'static str = "/qiwi.wallet.v1.HistoryService/GetTransaction";
    type Request = wire::GetTransactionRequest;
    type Reply = wire::GetTransactionResponse;

    fn call(
        self: Arc<Self>,
        request: Request<Self::Request>,
    ) -> BoxFuture<Response<Self::Reply>, Status> {
        Box::pin(async move {
            let id = &request.get_ref().transaction_id;
            let path = format!("/payment-history/v2/transactions/{id}");
            let body = self.0.get(&path, bearer(&request)?).await;
            let found: Transaction =
                serde_json::from_slice(&body.map_err(unavailable)?).map_err(unavailable)?;
            Ok(Response::new(wire::GetTransactionResponse {
                transaction_id: found.txn_id.to_string(),
                wallet: found.person_id.to_string(),
                date: found.date,
                status: found.status,
                direction: found.r#type,
                account: found.account,
                sum: Some(money(found.sum)),
                commission: Some(money(found.commission)),
                total: Some(money(found.total)),
                provider: found.provider.short_name,
                comment: found.comment,
            }))
        })
    }
}

/// Serves until the process ends.
pub(crate) async fn serve(upstream: &str, client: &str) -> io::Result<()> {
    let client = Client::named(client, upstream)?;
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
    crate::process::announce("grpc", incoming.local_addr()?);
    tonic::transport::Server::builder()
        .add_service(Server::new(ListBalances(client.clone())))
        .add_service(Server::new(GetTransaction(client)))
        .serve_with_incoming(incoming)
        .await
        .map_err(io::Error::other)
}
