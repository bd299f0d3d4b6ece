//! Ending doubt: what a look into QIWI's history makes of a payment.
//!
//! Found is certain. Absent is not, because the history may show a payment late: only several complete
//! looks over some time together say that it was not executed, and even then the history is watched
//! for a day.

use std::sync::Arc;

use tokio::time::Instant;

use super::memo::Memo;
use super::search::{InvoiceTrace, Trace};
use super::{millis, now_ms};
use crate::call::Context;
use crate::config;
use crate::credentials::Wallet;
use crate::error::{Error, reason};
use crate::gateway::Gateway;
use crate::ledger::{OperationKind, Record, Settle, State};
use crate::pb::wallet::v1 as pb;
use crate::redact::mask_digits;

/// Looks that must have found nothing.
const LOOKS: u32 = 3;
/// The same, where QIWI itself answered with a code.
const LOOKS_ANSWERED: u32 = 2;
/// Each later look comes after this many times as long.
const GROWTH: u32 = 4;

/// What a look brought.
enum Look {
    Found(Box<pb::Transaction>),
    Differs,
    Absent { complete: bool },
}

impl Gateway {
    /// Looks once and writes down what it says. `fresh` is how young the reading has to be.
    ///
    /// # Errors
    /// When QIWI cannot be asked, or the ledger not be written: then nothing is learnt.
    pub(super) async fn look(
        self: &Arc<Self>,
        cx: &Context,
        wallet: &Wallet,
        record: Record,
        fresh: Instant,
    ) -> Result<Record, Error> {
        let look = match record.key.kind {
            OperationKind::Invoice => match self.invoice_trace(cx, wallet, &record, fresh).await? {
                InvoiceTrace::Unpaid => Look::Absent { complete: true },
                InvoiceTrace::Paid(payment) => Look::Found(payment),
                InvoiceTrace::Gone => Look::Absent { complete: false },
            },
            OperationKind::Payment | OperationKind::Check => {
                let since = since(&record);
                let reading = self.reading(cx, wallet, &record.key.owner, since, fresh).await?;
                match reading.trace(&record) {
                    Trace::Found(payment) => Look::Found(Box::new(payment.clone())),
                    Trace::Differs => Look::Differs,
                    Trace::Absent => Look::Absent { complete: reading.complete },
                }
            }
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
        let owner = Some((wallet, cx.credential.as_ref()));
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
        Look::Found(payment) => return adopt(record, payment, now),
        _ if record.state == State::Accepted => return false,
        Look::Absent { complete: true } => {
            let settle = &mut record.settle;
            settle.scans = settle.scans.saturating_add(1);
            settle.first_scan_ms.get_or_insert(now);
            settle.last_scan_ms = Some(now);
            if record.state == State::Uncertain && is_settled(settle, settings, now) {
                record.state = not_executed(record, settings, now);
            }
        }
        Look::Absent { complete: false } | Look::Differs => {}
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

/// What an entry becomes that was not executed: where QIWI said that it knows the payment already,
/// that is its refusal. But what QIWI knows may be an earlier attempt of ours that the history does
/// not show yet; that stays in doubt for as long as a payment may show late.
fn not_executed(record: &Record, settings: &config::Payments, now: i64) -> State {
    let duplicate = Memo::of(record)
        .error
        .is_some_and(|kept| *kept.error().reason() == reason::UPSTREAM_DUPLICATE);
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

/// Takes over what the history says about a payment; says whether that changes anything.
pub(super) fn adopt(record: &mut Record, payment: &pb::Transaction, now: i64) -> bool {
    let state = match payment.status() {
        pb::TransactionStatus::Success => State::Succeeded,
        pb::TransactionStatus::Error => State::Failed,
        // The transaction exists; a status nobody knows says no more than that.
        pb::TransactionStatus::Waiting | pb::TransactionStatus::Unspecified => State::Accepted,
    };
    if !record.state.may_become(state) {
        return false;
    }
    let memo = Memo {
        error: None,
        commission: payment.commission.clone(),
        transaction_time: payment.transaction_time.clone(),
        payment_error: payment.error.clone().filter(|_| state == State::Failed).map(|mut error| {
            // QIWI's text may name the recipient.
            error.message_ru = mask_digits(&error.message_ru);
            error
        }),
    };
    let reply = memo.bytes();
    let id = Some(payment.transaction_id.clone()).filter(|id| !id.is_empty());
    let same = record.state == state && record.reply == reply && record.transaction_id == id;
    record.state = state;
    record.reply = reply;
    record.transaction_id = id;
    record.upstream_status = Some(payment.status_raw.clone());
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
fn since(record: &Record) -> i64 {
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
    record.reply = error.filter(|_| answered).and_then(|error| Memo::refusal(error).bytes());
    record.settle.next_ms = next(record, settings, now);
    true
}

#[cfg(test)]
mod tests;
