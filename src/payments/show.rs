//! How an entry of the ledger is answered.

use std::time::Duration;

use prost_types::Timestamp;

use super::memo::Memo;
use crate::error::{Error, Sent, reason};
use crate::ledger::{Amount, OperationKind, Record, State};
use crate::order::{Shown, Told};
use crate::pb::r#type::v1::{Money, PaymentError};
use crate::pb::wallet::v1 as pb;

/// What callers wait before they ask again what became of a payment.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// What callers wait before they join a payment that is being sent again.
const JOIN_AGAIN: Duration = Duration::from_secs(1);

/// QIWI's numbers of the provider that sells the Master package, and of the one that sells cards.
const PACKAGE: &str = "28004";
const CARD: &str = "32064";

/// The states an entry and a caller know, and the name that errors use.
static STATES: &[(State, pb::PaymentState, &str)] = &[
    (State::Reserved, pb::PaymentState::InProgress, "IN_PROGRESS"),
    (State::Sending, pb::PaymentState::InProgress, "IN_PROGRESS"),
    (State::Accepted, pb::PaymentState::Accepted, "ACCEPTED"),
    (State::Succeeded, pb::PaymentState::Succeeded, "SUCCEEDED"),
    (State::Failed, pb::PaymentState::Failed, "FAILED"),
    (State::Rejected, pb::PaymentState::Rejected, "REJECTED"),
    (State::Uncertain, pb::PaymentState::Uncertain, "UNCERTAIN"),
    (State::NotExecuted, pb::PaymentState::NotExecuted, "NOT_EXECUTED"),
    (State::NotSent, pb::PaymentState::NotSent, "NOT_SENT"),
];

fn row(state: State) -> (pb::PaymentState, &'static str) {
    let row = STATES.iter().find(|(of, ..)| *of == state);
    row.map_or((pb::PaymentState::Uncertain, "UNCERTAIN"), |(_, shown, name)| (*shown, name))
}

/// The name errors and metrics use for a state.
pub fn name(state: State) -> &'static str {
    row(state).1
}

/// The states of entries that callers know under one.
pub fn states(shown: pb::PaymentState) -> impl Iterator<Item = State> {
    STATES.iter().filter(move |(_, of, _)| *of == shown).map(|(state, ..)| *state)
}

/// Which method made a payment.
pub fn kind(record: &Record) -> pb::PaymentKind {
    match (record.key.kind, record.provider.as_str()) {
        (OperationKind::Invoice, _) => pb::PaymentKind::Invoice,
        (OperationKind::Payment, PACKAGE) => pb::PaymentKind::MasterPackage,
        (OperationKind::Payment, CARD) => pb::PaymentKind::MasterCard,
        (OperationKind::Payment, _) => pb::PaymentKind::Payment,
        // These are no payments of a wallet.
        _ => pb::PaymentKind::Unspecified,
    }
}

/// The payment as callers see it.
pub fn payment(record: &Record) -> pb::Payment {
    let memo = Memo::of(record);
    let refusal = memo.error.as_ref().filter(|_| record.state == State::Rejected);
    let error =
        memo.payment_error.or_else(|| refusal.and_then(|kept| as_data(&kept.clone().error())));
    pb::Payment {
        payment_id: record.key.id.to_string(),
        transaction_id: record.transaction_id.clone(),
        provider_id: record.provider.clone(),
        amount: money(&record.amount),
        commission: memo.commission,
        state: row(record.state).0.into(),
        upstream_status_raw: record.upstream_status.clone().unwrap_or_default(),
        error,
        attempt_count: i32::try_from(record.attempt).unwrap_or(i32::MAX),
        create_time: Some(time(record.created_ms)),
        reconcile_time: record.settle.last_scan_ms.map(time),
        sent_time: record.sent_ms.map(time),
        transaction_time: memo.transaction_time,
        kind: kind(record).into(),
    }
}

impl Shown for pb::Payment {
    fn of(told: &Told) -> Result<Self, Error> {
        taken(&told.record).map(|()| payment(&told.record))
    }

    fn checked(record: &Record, commission: Option<Money>) -> Option<Self> {
        Some(Self {
            state: pb::PaymentState::Unspecified.into(),
            attempt_count: 0,
            create_time: None,
            commission,
            ..payment(record)
        })
    }
}

/// Whether an entry is a payment QIWI took.
///
/// # Errors
/// For every other state, what a method that pays answers.
pub fn taken(record: &Record) -> Result<(), Error> {
    let kept = || Memo::of(record).error.map(crate::error::kept::Kept::error);
    let error = match record.state {
        State::Accepted | State::Succeeded | State::Failed => return Ok(()),
        State::Rejected => kept().unwrap_or_else(|| {
            // Age has taken the details of the refusal.
            Error::new(&reason::UPSTREAM_REJECTED).sent(Sent::Yes)
        }),
        State::NotExecuted => match kept() {
            // QIWI had said so, and its history agrees.
            Some(error)
                if *error.reason() == reason::UPSTREAM_TECHNICAL
                    || *error.reason() == reason::UPSTREAM_DECLINED =>
            {
                error
            }
            _ => Error::new(&reason::PAYMENT_NOT_EXECUTED).sent(Sent::Yes),
        },
        State::Uncertain => {
            let mut error = Error::new(&reason::PAYMENT_OUTCOME_UNKNOWN);
            if let Some(code) = kept().and_then(|of| of.code_of_upstream().map(str::to_owned)) {
                error = error.upstream_code(code);
            }
            error.sent(Sent::Unknown).retry_after(ASK_AGAIN)
        }
        State::Sending => {
            Error::new(&reason::PAYMENT_IN_PROGRESS).sent(Sent::Unknown).retry_after(JOIN_AGAIN)
        }
        // QIWI had something else to end first.
        State::NotSent if kept().is_some() => {
            kept().unwrap_or_else(|| unknown(record)).retry_after(ASK_AGAIN)
        }
        State::Reserved | State::NotSent => {
            Error::new(&reason::PAYMENT_IN_PROGRESS).sent(Sent::No).retry_after(JOIN_AGAIN)
        }
    };
    Err(about(error, record))
}

/// What a method that pays answers when its time is over while the payment is on its way.
pub fn unknown(record: &Record) -> Error {
    let error = Error::new(&reason::PAYMENT_OUTCOME_UNKNOWN)
        .sent(Sent::Unknown)
        .retry_after(ASK_AGAIN)
        .attempts(record.attempt)
        .payment(&record.key.id, name(State::Uncertain));
    error.log("the call's time was over before the outcome was known")
}

/// What a call answers whose id another call is working on.
pub fn in_progress(id: &str) -> Error {
    Error::new(&reason::PAYMENT_IN_PROGRESS)
        .sent(Sent::Unknown)
        .retry_after(JOIN_AGAIN)
        .payment(id, name(State::Sending))
}

/// What a call answers whose id belongs to something else.
pub fn reused(record: &Record) -> Error {
    Error::new(&reason::PAYMENT_ID_REUSED)
        .sent(Sent::No)
        .payment(&record.key.id, name(record.state))
}

/// An error with the payment it is about.
pub fn about(error: Error, record: &Record) -> Error {
    error.attempts(record.attempt).payment(&record.key.id, name(record.state))
}

/// A refusal as data, for those who ask for the payment later.
fn as_data(error: &Error) -> Option<PaymentError> {
    crate::error::code::payment_error(error.code_of_upstream()?, None)
}

/// An amount as callers see it; none where there is none.
pub fn money(amount: &Amount) -> Option<Money> {
    let Amount { currency, units, nanos } = amount.clone();
    (!currency.is_empty()).then_some(Money { currency_code: currency, units, nanos })
}

/// Unix milliseconds as a time.
pub fn time(ms: i64) -> Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    Timestamp { seconds: ms.div_euclid(1000), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Key;

    fn record(state: State) -> Record {
        let key = Key::new("owner", OperationKind::Payment, "18446744073709551616");
        let amount = Amount { currency: "RUB".into(), units: 10, nanos: 500_000_000 };
        Record { state, ..Record::reserved(key, [0; 32], "99", amount, 1_500_000_000_123) }
    }

    #[test]
    fn every_state_has_a_row_and_an_answer() {
        for state in State::ALL {
            assert!(STATES.iter().any(|(of, ..)| *of == state), "{state:?}");
            let shown = payment(&record(state));
            assert!(states(shown.state()).any(|of| of == state));
            match taken(&record(state)) {
                Ok(_) => {
                    assert!(matches!(state, State::Accepted | State::Succeeded | State::Failed))
                }
                Err(error) => {
                    let text = format!("{:?}", error.to_status(&Default::default()));
                    assert!(text.contains(name(state)), "{state:?}: {text}");
                }
            }
        }
    }

    #[test]
    fn ids_of_twenty_digits_amounts_and_times_survive() {
        let payment = payment(&record(State::Accepted));
        assert_eq!(payment.payment_id, "18446744073709551616");
        assert_eq!(payment.amount.map(|of| (of.units, of.nanos)), Some((10, 500_000_000)));
        let time = payment.create_time.map(|of| (of.seconds, of.nanos));
        assert_eq!(time, Some((1_500_000_000, 123_000_000)));
    }
}
