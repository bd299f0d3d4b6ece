//! History: the list (W-HIS-1), its totals (W-STA-1) and one transaction (W-TXN-1).
//!
//! The continuation pair points into the whole list. Filters apply when a request names them and
//! are not remembered between requests, so a caller who drops them continues unfiltered.
//! Without dates the list is the whole history, as in the documents' "last 10 payments".

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::history_filter::Filter;
use super::moment::{self, MOSCOW};
use super::money::Money;
use super::operation::{Kind, Operation, Status};

const ACCESS: Access = Access::Permission(Permission::History);

/// W-HIS-1.
pub(super) async fn list(call: Call, Path(wallet): Path<String>) -> Reply {
    let access = Access::PermissionOrInformation(Permission::History);
    let number = call.admit_to(access, &wallet)?;
    call.count_history(number)?;
    let rows = rows(&call)?;
    let filter = Filter::parse(&call.query)?;
    let start = starting_point(&call)?;
    let (page, next) = call.with_wallet(number, |wallet, _| {
        let person_id = wallet.person_id();
        let mut matching = wallet.operations.iter().filter(|operation| {
            start.is_none_or(|start| (operation.date, operation.txn_id) <= start)
                && filter.admits(operation)
        });
        let page: Vec<Value> = matching
            .by_ref()
            .take(rows)
            .map(|operation| operation.to_item(&person_id, filter.offset()))
            .collect();
        let next = matching.next();
        (page, next.map(|next| (next.txn_id, next.date)))
    })?;
    if page.is_empty() && call.shared.config.empty_history_is_not_found {
        return Err(not_found());
    }
    answer::ok(&json!({
        "data": page,
        "nextTxnId": next.map(|(id, _)| id),
        "nextTxnDate": next.map(|(_, date)| moment::with_offset(date, MOSCOW)),
    }))
}

fn rows(call: &Call) -> Result<usize, Refusal> {
    match call.query.number("rows")? {
        Some(rows @ 1..=50) => usize::try_from(rows).map_err(|_| Refusal::malformed("rows")),
        _ => Err(Refusal::malformed("rows must be 1 to 50")),
    }
}

/// The date and id to continue from: both or neither.
fn starting_point(call: &Call) -> Result<Option<(i64, u64)>, Refusal> {
    let id = call.query.number("nextTxnId")?;
    let date = call.query.moment("nextTxnDate")?;
    match (date, id.map(u64::try_from)) {
        (None, None) => Ok(None),
        (Some(date), Some(Ok(id))) => Ok(Some((date.seconds, id))),
        _ => Err(Refusal::malformed("nextTxnId and nextTxnDate go together")),
    }
}

/// W-STA-1. Only successful operations have moved money.
pub(super) async fn totals(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    call.count_history(number)?;
    let filter = Filter::parse(&call.query)?;
    if !filter.has_window() {
        return Err(Refusal::malformed("startDate and endDate are required"));
    }
    let mut incoming = BTreeMap::<u16, i64>::new();
    let mut outgoing = BTreeMap::<u16, i64>::new();
    call.with_wallet(number, |wallet, _| {
        let counted = wallet
            .operations
            .iter()
            .filter(|operation| operation.status == Status::Success && filter.admits(operation));
        for operation in counted {
            let side = match operation.kind {
                Kind::In => &mut incoming,
                Kind::Out | Kind::QiwiCard => &mut outgoing,
            };
            let total = operation.total();
            *side.entry(total.currency).or_default() += total.minor;
        }
    })?;
    answer::ok(&json!({
        "incomingTotal": sums(&incoming),
        "outgoingTotal": sums(&outgoing),
    }))
}

fn sums(by_currency: &BTreeMap<u16, i64>) -> Vec<Value> {
    by_currency.iter().map(|(currency, minor)| Money::new(*minor, *currency).to_json()).collect()
}

/// W-TXN-1.
pub(super) async fn transaction(call: Call, Path(id): Path<u64>) -> Reply {
    let number = call.admit(ACCESS)?;
    let kind = requested_kind(&call)?;
    let found = call.with_wallet(number, |wallet, _| {
        let operation = find(&wallet.operations, id, kind)?;
        Some(operation.to_transaction(&wallet.person_id()))
    })?;
    answer::ok(&found.ok_or_else(not_found)?)
}

/// The `type` parameter, if it is there.
pub(super) fn requested_kind(call: &Call) -> Result<Option<Kind>, Refusal> {
    call.query
        .get("type")
        .map(|text| Kind::parse(text).ok_or_else(|| Refusal::malformed("unknown type")))
        .transpose()
}

/// An operation by its id, of the given kind when one is given.
pub(super) fn find(operations: &[Operation], id: u64, kind: Option<Kind>) -> Option<&Operation> {
    operations
        .iter()
        .find(|operation| operation.txn_id == id && kind.is_none_or(|kind| operation.kind == kind))
}

/// No such transaction, or no payment that meets the conditions.
pub(super) fn not_found() -> Refusal {
    Refusal::service(
        StatusCode::NOT_FOUND,
        "payment-history",
        "payment.history.not.found",
        "Payment history not found",
    )
}
