//! Operations of QIWI PAY: how they are answered, and how QIWI's status query tells what became of
//! them (catalogue, section 23).
//!
//! Sales, authorisations and payouts are found by their order id. The end of 3-D Secure and a capture
//! show in the status of the transaction they change. A reversal and a refund make a transaction that
//! carries no id of ours: it is the one that was not there before.

use std::sync::Arc;

use prost::Message as _;

use super::memo::{Before, Memo};
use super::settle::{Finding, Look, kept_reason};
use super::{now_ms, show, turn, unavailable};
use crate::call::{Context, Inbound};
use crate::credentials::Merchant;
use crate::edge::{Outbound, frame};
use crate::error::acquiring::transaction_error;
use crate::error::{Error, reason};
use crate::gateway::{Gateway, route};
use crate::ledger::{Amount, Key, OperationKind, Record, State};
use crate::order::{Account, Shown, Told};
use crate::pay::answer::{Progress, details, progress};
use crate::pay::order::ORDER_ID_MAX;
use crate::pay::outcome::{Outcome, ledger_kind, shown_kind, types};
use crate::pay::status;
use crate::pb::pay::v1 as pb;
use crate::policy::{Access, Policy};

/// Answered from the ledger.
pub static GET: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/GetOperation",
    operation: "GetOperation",
    access: Access::Merchant,
    ..Policy::BASE
};

impl Gateway {
    /// One operation of a merchant.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn get_operation(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::GetOperationRequest>(call).await?;
        let id = &request.operation_id;
        if !(1..=ORDER_ID_MAX).contains(&id.chars().count()) {
            let what = "Give the order id, request id or transaction id of the operation.";
            return Err(Error::invalid("operation_id", what));
        }
        let Some(kind) = ledger_kind(request.kind()) else {
            return Err(Error::invalid("kind", "Say which method made the operation."));
        };
        let merchant = Merchant::required(cx.credential.as_deref())?;
        let account = Account::Site(merchant);
        let payments = self.payments();
        let key = Key::new(payments.owner(&account), kind, id.as_str());
        let found = payments.store.get(&key).await.map_err(|error| unavailable(&error))?;
        let Some(record) = found else {
            return Err(Error::new(&reason::PAYMENT_NOT_FOUND).resource("operation", ""));
        };
        let record = self.refreshed(&cx, &account, record).await;
        let operation = Some(operation(&record));
        let frame = frame::encode(&pb::GetOperationResponse { operation });
        Ok(frame::reply(self.compression(&headers), frame))
    }

    /// Looks for what became of an operation where QIWI shows it.
    pub(super) async fn look_at_order(&self, cx: &Context, record: &Record) -> Result<Look, Error> {
        let before = Memo::of(record).before.unwrap_or_default();
        let question = question(record, &before);
        let answer = self.aside(cx, route(&status::GET)?, &question, None).await?;
        let may_repeat = now_ms() >= self.payments().repeat_from(record);
        let rivals = self.rivals(record, &before).await?;
        let sight = Sight { record, before: &before, rivals: &rivals, may_repeat };
        Ok(sight.of(&answer.transactions))
    }

    /// Operations whose transactions could be taken for this one's: those that have changed the same
    /// purchase, or the purchases of other kinds under the same order id.
    async fn rivals(&self, record: &Record, before: &Before) -> Result<Vec<Record>, Error> {
        let Key { owner, kind, id } = &record.key;
        let payments = self.payments();
        if record.transaction_id.is_some() {
            return Ok(Vec::new());
        }
        match (kind, &before.parent) {
            (OperationKind::Reversal | OperationKind::Refund, Some(parent)) => {
                turn::others(payments, &record.key, parent).await
            }
            (kind, _) if PURCHASES.contains(kind) => {
                let mut rivals = Vec::new();
                for other in PURCHASES.into_iter().filter(|of| of != kind) {
                    let key = Key::new(owner.clone(), other, id.clone());
                    let found = payments.store.get(&key).await;
                    rivals.extend(found.map_err(|error| unavailable(&error))?);
                }
                Ok(rivals)
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Kinds whose transactions look alike.
const PURCHASES: [OperationKind; 5] = [
    OperationKind::Sale,
    OperationKind::Authorization,
    OperationKind::RecurringSale,
    OperationKind::RecurringAuthorization,
    OperationKind::MobileAuthorization,
];

/// How long before it was sent a transaction may be dated, in seconds: clocks differ.
const BEFORE: i64 = 60;

/// What to ask about an operation.
fn question(record: &Record, before: &Before) -> pb::GetStatusRequest {
    let id = record.key.id.to_string();
    let mut question = pb::GetStatusRequest::default();
    match record.key.kind {
        OperationKind::Finish | OperationKind::MobileCard => question.transaction_id = id,
        OperationKind::Capture | OperationKind::Reversal | OperationKind::Refund => {
            // By the order, because nothing promises that a question about one transaction is
            // answered with the others of its order.
            match (&before.order_id, &before.parent) {
                (Some(order), _) if record.key.kind != OperationKind::Capture => {
                    question.order_id.clone_from(order);
                }
                (_, Some(parent)) => question.transaction_id.clone_from(parent),
                (Some(order), None) => question.order_id.clone_from(order),
                (None, None) => {}
            }
        }
        _ => question.order_id = id,
    }
    question
}

/// An operation before a list of transactions.
struct Sight<'a> {
    record: &'a Record,
    before: &'a Before,
    /// Operations whose transactions could be taken for this one's.
    rivals: &'a [Record],
    /// Whether a capture may be sent again if the money is still held.
    may_repeat: bool,
}

impl Sight<'_> {
    fn of(&self, list: &[pb::Transaction]) -> Look {
        match self.record.key.kind {
            OperationKind::Finish | OperationKind::MobileCard => {
                self.changed(list, &self.record.key.id)
            }
            OperationKind::Capture => {
                self.captured(list, self.before.parent.as_deref().unwrap_or_default())
            }
            _ => self.made(list),
        }
    }

    /// What an operation came to that decides about a transaction.
    fn changed(&self, list: &[pb::Transaction], id: &str) -> Look {
        let Some(found) = list.iter().find(|of| of.transaction_id == id) else {
            return Look::absent(false);
        };
        match progress(found) {
            // It waits for what this operation brings.
            Progress::Open => Look::absent(true),
            Progress::Unknown => Look::absent(false),
            Progress::Declined | Progress::Done => found_as(found),
        }
    }

    fn captured(&self, list: &[pb::Transaction], id: &str) -> Look {
        let Some(found) = list.iter().find(|of| of.transaction_id == id) else {
            return Look::absent(false);
        };
        match found.status() {
            pb::TransactionStatus::Captured
            | pb::TransactionStatus::Reconciled
            | pb::TransactionStatus::Settled => found_as(found),
            pb::TransactionStatus::Authorized => {
                Look::Absent { complete: true, again: self.may_repeat }
            }
            // What is not held was not captured, and it never was ours to say why.
            _ => Look::absent(false),
        }
    }

    /// What became of an operation that makes a transaction of its own.
    fn made(&self, list: &[pb::Transaction]) -> Look {
        let Record { key, amount, attempt, transaction_id, .. } = self.record;
        let is_child = matches!(key.kind, OperationKind::Reversal | OperationKind::Refund);
        let of_type = |of: &&pb::Transaction| types(key.kind).contains(&of.r#type());
        // Once it has a number, it is that one and no other.
        if let Some(known) = transaction_id {
            let found = list.iter().find(|of| of.transaction_id == *known);
            return found.map_or(Look::absent(false), found_as);
        }
        // What was there before and what others have made is not ours; nor is what belongs to
        // another order, which the question about one of a family of orders brings along.
        let fresh = |of: &&pb::Transaction| {
            let named = of.order_id.as_deref();
            let claimed =
                |rival: &Record| rival.transaction_id.as_ref() == Some(&of.transaction_id);
            !self.before.transactions.contains(&of.transaction_id)
                && !self.rivals.iter().any(claimed)
                && (is_child || named.is_none_or(|named| *named == *key.id))
        };
        let fits = |of: &&pb::Transaction| match &of.amount {
            Some(found) if !amount.currency.is_empty() => {
                found.currency_code == amount.currency
                    && (found.units, found.nanos) == (amount.units, amount.nanos)
            }
            // Neither side names one: nothing speaks against it.
            _ => true,
        };
        let (older, fresh): (Vec<_>, Vec<_>) =
            list.iter().filter(of_type).filter(fresh).partition(|of| self.is_older(of));
        let (ours, others): (Vec<_>, Vec<_>) = fresh.into_iter().partition(fits);
        let undeclined: Vec<_> =
            ours.iter().filter(|of| progress(of) != Progress::Declined).collect();
        match undeclined.as_slice() {
            // Nobody can tell whose it is.
            [_, ..] if self.rivals.iter().any(|rival| self.is_open(rival)) => return Look::Differs,
            [only] => return found_as(only),
            [] if self.is_of_another(list, &older) => return Look::Taken,
            [] => {}
            // Two that may be it: a person must look.
            _ => return Look::Differs,
        }
        // A decline is this attempt's only when all the attempts before it are accounted for.
        if let Some(last) = ours.last()
            && ours.len() >= usize::try_from(*attempt).unwrap_or(usize::MAX)
        {
            return found_as(last);
        }
        if others.iter().any(|of| progress(of) != Progress::Declined) {
            return Look::Differs;
        }
        let sees_all = !is_child
            || self.before.order_id.is_some()
                && list.iter().any(|of| Some(&of.transaction_id) == self.before.parent.as_ref());
        Look::absent(sees_all)
    }

    /// Whether QIWI has refused this operation because of another one's transaction.
    fn is_of_another(&self, list: &[pb::Transaction], older: &[&pb::Transaction]) -> bool {
        let paid = kept_reason(self.record).is_some_and(|of| *of == reason::ORDER_ALREADY_PAID);
        let rivals = self.rivals.iter().filter_map(|rival| rival.transaction_id.as_ref());
        let claimed = rivals.filter_map(|id| list.iter().find(|of| of.transaction_id == *id));
        let good = |of: &pb::Transaction| progress(of) != Progress::Declined;
        older.iter().any(|of| good(of)) || paid && claimed.into_iter().any(good)
    }

    /// Whether a transaction was there before this operation, which QIWI has refused because of one.
    fn is_older(&self, found: &pb::Transaction) -> bool {
        let reasons = [&reason::ORDER_ALREADY_PAID, &reason::OPERATION_IN_PROGRESS];
        let refused = kept_reason(self.record).is_some_and(|of| reasons.contains(&of));
        let sent = self.record.sent_ms.unwrap_or(self.record.created_ms).div_euclid(1000);
        let dated = found.transaction_time.as_ref().and_then(|time| time.instant);
        let older = dated.is_some_and(|dated| dated.seconds < sent - BEFORE);
        refused && older && self.record.attempt <= 1
    }

    /// Whether a transaction like this one's may yet turn out to be a rival's.
    fn is_open(&self, rival: &Record) -> bool {
        // One without an amount is about all that is left, which may be any amount.
        let ours = &self.record.amount;
        let whole = |amount: &Amount| amount.currency.is_empty();
        let alike = (rival.amount == *ours || whole(&rival.amount) || whole(ours))
            && types(rival.key.kind) == types(self.record.key.kind);
        alike
            && rival.transaction_id.is_none()
            && rival.attempt > 0
            && match rival.state {
                State::Sending | State::Uncertain => true,
                // It may show late.
                State::NotExecuted => rival.is_watched(),
                _ => false,
            }
    }
}

fn found_as(found: &pb::Transaction) -> Look {
    let state = match progress(found) {
        Progress::Done => State::Succeeded,
        Progress::Declined => State::Failed,
        Progress::Open | Progress::Unknown => State::Accepted,
    };
    Look::Found(Box::new(Finding {
        state,
        transaction_id: Some(found.transaction_id.clone()).filter(|id| !id.is_empty()),
        status: found.status_raw.clone(),
        memo: Memo { transaction: Some(details(found)), ..Memo::default() },
    }))
}

impl Shown for Outcome {
    fn of(told: &Told) -> Result<Self, Error> {
        show::taken(&told.record)?;
        let mut outcome = Self { operation: Some(operation(&told.record)), ..Self::default() };
        if let Some(handover) = &told.handover {
            outcome.three_ds = handover
                .three_ds
                .as_ref()
                .map(|of| pb::ThreeDs { acs_url: of.acs_url.clone(), pareq: of.pareq.to_string() });
            outcome.card_token =
                handover.card_token.as_ref().map(|(token, expire)| pb::IssuedCardToken {
                    card_token: token.to_string(),
                    expire_time: (!expire.is_empty()).then(|| crate::time::parse(expire)),
                });
        }
        Ok(outcome)
    }
}

/// An entry as callers see it.
fn operation(record: &Record) -> pb::Operation {
    let memo = Memo::of(record);
    let transaction =
        memo.transaction.as_ref().and_then(|bytes| pb::Transaction::decode(&**bytes).ok());
    let refusal = memo.error.as_ref().filter(|_| record.state == State::Rejected);
    let refusal = refusal.and_then(|kept| {
        let error = kept.clone().error();
        transaction_error(error.code_of_upstream()?, None)
    });
    let declined = transaction.as_ref().filter(|_| record.state == State::Failed);
    pb::Operation {
        operation_id: record.key.id.to_string(),
        kind: shown_kind(record.key.kind).into(),
        state: state(record.state).into(),
        amount: show::money(&record.amount),
        error: refusal.or_else(|| declined.and_then(|of| of.error.clone())),
        transaction,
        attempt_count: i32::try_from(record.attempt).unwrap_or(i32::MAX),
        create_time: Some(show::time(record.created_ms)),
        sent_time: record.sent_ms.map(show::time),
        reconcile_time: record.settle.last_scan_ms.map(show::time),
    }
}

fn state(state: State) -> pb::OperationState {
    match state {
        State::Reserved | State::Sending => pb::OperationState::InProgress,
        State::Accepted => pb::OperationState::Accepted,
        State::Succeeded => pb::OperationState::Succeeded,
        State::Failed => pb::OperationState::Failed,
        State::Rejected => pb::OperationState::Rejected,
        State::Uncertain => pb::OperationState::Uncertain,
        State::NotExecuted => pb::OperationState::NotExecuted,
        State::NotSent => pb::OperationState::NotSent,
    }
}

#[cfg(test)]
mod tests;
