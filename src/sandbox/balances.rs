//! Balances: the accounts of a wallet (W-BAL-1) and those it could open (W-BAL-3).

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::faults::BalanceFault;
use super::money::Money;
use super::state::Account;

/// W-BAL-1. With `timeout` and `alias` it is the repeated question about one account.
pub(super) async fn list(call: Call, Path(wallet): Path<String>) -> Reply {
    let access = Access::PermissionOrInformation(Permission::Balance);
    let number = call.admit_to(access, &wallet)?;
    let repeated = call.query.number("timeout")?.is_some();
    let alias = call.query.get("alias");
    let fault = if repeated && alias.is_some() { None } else { call.balance_fault };
    let accounts = call.with_wallet(number, |wallet, _| {
        let chosen = wallet
            .accounts
            .iter()
            .filter(|account| alias.is_none_or(|alias| account.alias == alias));
        chosen.map(|account| account_json(account, fault)).collect::<Vec<Value>>()
    })?;
    if accounts.is_empty() && alias.is_some() {
        return Err(Refusal::empty(StatusCode::NOT_FOUND));
    }
    answer::ok(&json!({ "accounts": accounts }))
}

fn account_json(account: &Account, fault: Option<BalanceFault>) -> Value {
    let balance = match (account.balance, fault) {
        (None, _) | (Some(_), Some(BalanceFault::Null)) => Value::Null,
        (Some(_), Some(BalanceFault::EmptyObject)) => json!({}),
        (Some(minor), None) => Money::new(minor, account.currency).to_json(),
    };
    // `defaultAccount` is in no table; real answers carry it.
    json!({
        "alias": account.alias,
        "fsAlias": account.bank_side_alias,
        "bankAlias": "QIWI",
        "title": account.title,
        "type": { "id": account.title, "title": account.type_title },
        "hasBalance": account.balance.is_some(),
        "balance": balance,
        "currency": account.currency,
        "defaultAccount": account.default,
    })
}

/// W-BAL-3. The list ends in an empty object, as the documents' example does.
pub(super) async fn offer(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(Access::Permission(Permission::Balance), &wallet)?;
    let mut offers = call.with_wallet(number, |wallet, _| {
        let offers = wallet.offers.iter();
        offers
            .map(|(alias, currency)| json!({ "alias": alias, "currency": currency }))
            .collect::<Vec<Value>>()
    })?;
    offers.push(json!({}));
    answer::ok(&Value::Array(offers))
}
