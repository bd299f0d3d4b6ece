//! Ending doubt: what a look into QIWI's history makes of a payment.
//!
//! Found is certain. Absent is not, because the history may show a payment late: only several complete
//! looks over some time together say that it was not executed, and even then the history is watched
//! for a day.

use std::sync::Arc;

use tokio::time::Instant;

use super::memo::Memo;
use super::verdict::DONE_ALREADY;
use super::{millis, now_ms};
use crate::call::Context;
use crate::config;
use crate::error::{Error, reason};
use crate::gateway::Gateway;
use crate::ledger::{OperationKind, Record, Settle, State};
use crate::order::Account;
use crate::pb::wallet::v1 as pb;
use crate::redact::mask_digits;

/// Looks that must have found nothing.
const LOOKS: u32 = 3;
/// The same, where QIWI itself answered with a code.
const LOOKS_ANSWERED: u32 = 2;
/// Each later look comes after this many times as long.
const GROWTH: u32 = 4;

/// What a look brought.
pub(super) enum Look {
    /// QIWI has it.
    Found(Box<Finding>),
    /// QIWI has something that may be it and does not fit, or more than one that fits. Never taken
    /// for it.
    Differs,
    /// QIWI has refused it because of another one, which is there and was there before it.
    Taken,
    /// QIWI does not have it.
    Absent {
        /// Whether all was seen where it would be.
        complete: bool,
        /// Whether QIWI itself permits to send it again, though one look says so only.
        again: bool,
    },
}

impl Look {
    /// Nothing was found.
    pub(super) const fn absent(complete: bool) -> Self {
        Self::Absent { complete, again: false }
    }
}

/// A transaction of QIWI's that is the payment.
pub(super) struct Finding {
    /// What it says about the money.
    pub state: State,
    /// Its number.
    pub transaction_id: Option<String>,
    /// QIWI's word for its state.
    pub status: String,
    /// What is remembered of it.
    pub memo: Memo,
}

impl From<&pb::Transaction> for Finding {
    fn from(payment: &pb::Transaction) -> Self {
        let state = match payment.status() {
            pb::TransactionStatus::Success => State::Succeeded,
            pb::TransactionStatus::Error => State::Failed,
            // The transaction exists; a status nobody knows says no more than that.
            pb::TransactionStatus::Waiting | pb::TransactionStatus::Unspecified => State::Accepted,
        };
        let failed = payment.error.clone().filter(|_| state == State::Failed);
        let memo = Memo {
            commission: payment.commission.clone(),
            transaction_time: payment.transaction_time.clone(),
            payment_error: failed.map(|mut error| {
                // QIWI's text may name the recipient.
                error.message_ru = mask_digits(&error.message_ru);
                error
            }),
            ..Memo::default()
        };
        Self {
            state,
            transaction_id: Some(payment.transaction_id.clone()).filter(|id| !id.is_empty()),
            status: payment.status_raw.clone(),
            memo,
        }
    }
}

impl Gateway {
    /// Looks once and writes down what it says. `fresh` is how young the reading has to be.
    ///
    /// # Errors
    /// When QIWI cannot be asked, or the ledger not be written: then nothing is learnt.
    pub(super) async fn look(
        self: &Arc<Self>,
        cx: &Context,
        account: &Account,
        record: Record,
        fresh: Instant,
    ) -> Result<Record, Error> {
        let look = match account {
            Account::Wallet(wallet) => self.look_in_history(cx, wallet, &record, fresh).await?,
            Account::Site(_) => self.look_at_order(cx, &record).await?,
        };
        let payments = self.payments();
        if matches!(look, Look::Differs) {
            payments.metrics.payments.alarm("differs");
            tracing::error!(
                payment = &*record.key.id,
                "QIWI's history has this payment's id with another provider or amount; it stays \
                 uncertain and a person must look"
            );
        }
        let before = record.state;
        let owner = Some((account, cx.credential.as_ref()));
        let settled = payments
            .update(record, owner, |record| apply(record, &look, &payments.settings, now_ms()))
            .await
            .map_err(|error| super::unavailable(&error))?;
        if before == State::NotExecuted && settled.state != before {
            payments.metrics.payments.alarm("late");
            tracing::error!(
                payment = &*settled.key.id,
                state = super::show::name(settled.state),
                "a payment that counted as not executed is in QIWI's history after all"
            );
        }
        if settled.state != before && matches!(settled.state, State::Accepted | State::Succeeded) {
            self.money_moved(cx).await;
        }
        Ok(settled)
    }
}

/// Writes a look into an entry that is in doubt; says whether anything is to be written.
fn apply(record: &mut Record, look: &Look, settings: &config::Payments, now: i64) -> bool {
    if !matches!(record.state, State::Uncertain | State::NotExecuted | State::Accepted) {
        return false;
    }
    match look {
        Look::Found(finding) => return adopt(record, finding, now),
        _ if record.state == State::Accepted => return false,
        Look::Absent { again: true, .. } if record.state == State::Uncertain => {
            record.state = State::NotExecuted;
        }
        Look::Taken if record.state == State::Uncertain => {
            record.state = match not_executed(record, settings, now) {
                State::NotSent => State::NotSent,
                _ => State::Rejected,
            };
        }
        Look::Absent { complete: true, .. } => {
            let settle = &mut record.settle;
            settle.scans = settle.scans.saturating_add(1);
            settle.first_scan_ms.get_or_insert(now);
            settle.last_scan_ms = Some(now);
            if record.state == State::Uncertain
                && (is_busy(record) || is_settled(&record.settle, settings, now))
            {
                record.state = not_executed(record, settings, now);
            }
        }
        Look::Absent { .. } | Look::Differs | Look::Taken => {}
    }
    if record.state == State::NotSent {
        record.attempt = 0;
        record.sent_ms = None;
    }
    record.settle.next_ms = next(record, settings, now);
    true
}

/// Whether nothing was found often and long enough.
fn is_settled(settle: &Settle, settings: &config::Payments, now: i64) -> bool {
    let (looks, window) = if settle.technical {
        (LOOKS_ANSWERED, settings.settle_window_answered)
    } else {
        (LOOKS, settings.settle_window)
    };
    let over = now.saturating_sub(settle.first_scan_ms.unwrap_or(now));
    settle.scans >= looks && over >= millis(window)
}

/// Whether QIWI said that it does not begin with this before it has ended something else: then one
/// look that finds nothing is enough, as long as QIWI itself would refuse a second one.
fn is_busy(record: &Record) -> bool {
    let twice = [OperationKind::Reversal, OperationKind::Refund, OperationKind::Payout];
    is_refused_for_another(record) && !twice.contains(&record.key.kind)
}

fn is_refused_for_another(record: &Record) -> bool {
    kept_reason(record).is_some_and(|of| *of == reason::OPERATION_IN_PROGRESS)
}

/// Why QIWI refused it, as far as that is no verdict.
pub(super) fn kept_reason(record: &Record) -> Option<&'static crate::error::reason::Reason> {
    Memo::of(record).error.map(|kept| kept.error().reason())
}

/// What an entry becomes that was not executed: where QIWI said that it knows the payment already,
/// that is its refusal. But what QIWI knows may be an earlier attempt of ours that the history does
/// not show yet; that stays in doubt for as long as a payment may show late.
fn not_executed(record: &Record, settings: &config::Payments, now: i64) -> State {
    if is_refused_for_another(record) && record.attempt <= 1 {
        return State::NotSent;
    }
    let duplicate = kept_reason(record)
        .is_some_and(|of| *of == reason::UPSTREAM_DUPLICATE || DONE_ALREADY.contains(&of));
    let sent = record.sent_ms.unwrap_or(record.created_ms);
    let is_late = now >= sent.saturating_add(millis(settings.watch));
    match (duplicate, record.attempt) {
        (false, _) => State::NotExecuted,
        (true, 2..) if !is_late => State::Uncertain,
        (true, _) => State::Rejected,
    }
}

/// When to look next; `None` when it is over.
pub(super) fn next(record: &Record, settings: &config::Payments, now: i64) -> Option<i64> {
    if !matches!(record.state, State::Uncertain | State::NotExecuted) {
        return None;
    }
    let sent = record.sent_ms.unwrap_or(record.created_ms);
    let end = sent.saturating_add(millis(settings.watch));
    if now >= end {
        // Doubt never ends by itself; a payment that counts as not executed is let go.
        let pause = millis(settings.watch / 24).max(1);
        return (record.state == State::Uncertain).then(|| now.saturating_add(pause));
    }
    let mut after = millis(settings.look_later).max(1);
    while sent.saturating_add(after) <= now {
        after = after.saturating_mul(i64::from(GROWTH));
    }
    let mut at = sent.saturating_add(after).min(end);
    if record.state == State::Uncertain
        && let Some(first) = record.settle.first_scan_ms
    {
        let window = if record.settle.technical {
            settings.settle_window_answered
        } else {
            settings.settle_window
        };
        // As soon as enough time is over, and not sooner by the grain of the clock.
        let settled = first.saturating_add(millis(window)).saturating_add(1);
        if settled > now {
            at = at.min(settled);
        }
    }
    Some(at)
}

/// Takes over what QIWI says about a payment; says whether that changes anything.
pub(super) fn adopt(record: &mut Record, finding: &Finding, now: i64) -> bool {
    let Finding { state, transaction_id, status, memo } = finding;
    if !record.state.may_become(*state) {
        return false;
    }
    let reply = memo.clone().beside(record).bytes();
    let same =
        record.state == *state && record.reply == reply && record.transaction_id == *transaction_id;
    record.state = *state;
    record.reply = reply;
    record.transaction_id.clone_from(transaction_id);
    record.upstream_status = Some(status.clone());
    record.settle.last_scan_ms = Some(now);
    record.settle.next_ms = None;
    record.lease = None;
    !same
}

/// Notes that an attempt was not sent. The ones before it stay what they were: not executed as far
/// as anybody knows, and watched.
pub(super) fn unsent(record: &mut Record, settings: &config::Payments, now: i64) -> bool {
    let earlier = record.attempt.saturating_sub(1);
    let state = if earlier == 0 { State::NotSent } else { State::NotExecuted };
    if record.state == state || !record.state.may_become(state) {
        return false;
    }
    record.state = state;
    record.attempt = earlier;
    record.lease = None;
    if earlier == 0 {
        record.sent_ms = None;
    }
    record.settle.next_ms = next(record, settings, now);
    true
}

/// From when on the history may show a payment, in any of its attempts.
pub(super) fn since(record: &Record) -> i64 {
    if record.attempt > 1 || record.state == State::NotExecuted {
        record.created_ms
    } else {
        record.sent_ms.unwrap_or(record.created_ms)
    }
}

/// Notes that a sent payment's outcome is not known.
pub(super) fn doubt(
    record: &mut Record,
    error: Option<&Error>,
    answered: bool,
    settings: &config::Payments,
    now: i64,
) -> bool {
    if !matches!(record.state, State::Sending) {
        return false;
    }
    record.state = State::Uncertain;
    record.lease = None;
    record.settle = Settle { technical: answered, ..Settle::default() };
    let memo = error.filter(|_| answered).map_or_else(Memo::default, Memo::refusal);
    record.reply = memo.beside(record).bytes();
    record.settle.next_ms = next(record, settings, now);
    true
}

#[cfg(test)]
mod tests;
