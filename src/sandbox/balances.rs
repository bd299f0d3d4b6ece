//! Balances: the accounts of a wallet (W-BAL-1), opening one (W-BAL-2), those it could open
//! (W-BAL-3), and the default one (W-BAL-4).

use axum::body::Bytes;
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

/// W-BAL-2. Only what W-BAL-3 offers can be opened.
pub(super) async fn create(call: Call, Path(wallet): Path<String>, body: Bytes) -> Reply {
    let number = call.admit_to(Access::Permission(Permission::Balance), &wallet)?;
    let body = call.json(&body)?;
    let alias = body.get("alias").and_then(Value::as_str).unwrap_or("");
    let opened = call.change_wallet(number, |wallet| {
        let offer = wallet.offers.iter().find(|(offered, _)| *offered == alias);
        let currency = offer.map(|(_, currency)| *currency);
        currency.map(|currency| wallet.open_account(currency))
    })?;
    opened.ok_or_else(|| Refusal::malformed("alias is one of those on offer"))?;
    answer::status(StatusCode::CREATED)
}

/// W-BAL-4. Only `true` is documented: another account takes the place, none gives it up.
pub(super) async fn make_default(
    call: Call,
    Path((wallet, alias)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let number = call.admit_to(Access::Permission(Permission::Balance), &wallet)?;
    if call.json(&body)?.get("defaultAccount") != Some(&Value::Bool(true)) {
        return Err(Refusal::malformed("defaultAccount must be true"));
    }
    let known = call.change_wallet(number, |wallet| {
        let known = wallet.accounts.iter().any(|account| account.alias == alias);
        if known {
            for account in &mut wallet.accounts {
                account.default = account.alias == alias;
            }
        }
        known
    })?;
    if !known {
        return Err(Refusal::empty(StatusCode::NOT_FOUND));
    }
    answer::status(StatusCode::NO_CONTENT)
}
