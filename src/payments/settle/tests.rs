//! Settling: what is certain, what is not, and when to look again.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::error::Sent;
use crate::ledger::{Amount, Key, OperationKind};
use crate::pb::r#type::v1::PaymentError;

const SENT: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

fn settings() -> config::Payments {
    Config::default().payments
}

fn uncertain() -> Record {
    let key = Key::new("owner", OperationKind::Payment, "1");
    let mut record = Record::reserved(key, [0; 32], "99", Amount::default(), SENT - 10);
    record.state = State::Sending;
    record.sent_ms = Some(SENT);
    assert!(doubt(&mut record, None, false, &settings(), SENT + 100));
    record
}

fn absent() -> Look {
    Look::absent(true)
}

fn found(status: pb::TransactionStatus, raw: &str) -> Look {
    Look::Found(Box::new(Finding::from(&pb::Transaction {
        transaction_id: "11".into(),
        status: status.into(),
        status_raw: raw.into(),
        error: Some(PaymentError {
            code: 5,
            message_ru: "79991112233".into(),
            ..Default::default()
        }),
        ..Default::default()
    })))
}

#[test]
fn three_complete_looks_over_the_window_and_not_before() {
    let settings = settings();
    let mut record = uncertain();
    for at in [1_000, 3_000, 8_000, 15_000, 5 * MINUTE, 15 * MINUTE + 999] {
        assert!(apply(&mut record, &absent(), &settings, SENT + at));
        assert_eq!(record.state, State::Uncertain, "{at}");
    }
    // Fifteen minutes after the first look.
    assert!(apply(&mut record, &absent(), &settings, SENT + 15 * MINUTE + 1_000));
    assert_eq!(record.state, State::NotExecuted);
    assert!(record.is_watched());
}

#[test]
fn many_looks_at_once_are_not_enough_and_two_far_apart_neither() {
    let settings = settings();
    let mut record = uncertain();
    for _ in 0..100 {
        apply(&mut record, &absent(), &settings, SENT + 1_000);
    }
    assert_eq!(record.state, State::Uncertain);
    let mut record = uncertain();
    apply(&mut record, &absent(), &settings, SENT + 1_000);
    apply(&mut record, &absent(), &settings, SENT + 60 * MINUTE);
    assert_eq!(record.state, State::Uncertain);
}

#[test]
fn incomplete_looks_and_foreign_payments_say_nothing() {
    let settings = settings();
    let mut record = uncertain();
    for at in 1..1000 {
        let look = if at % 2 == 0 { Look::Differs } else { Look::absent(false) };
        apply(&mut record, &look, &settings, SENT + at * MINUTE);
    }
    assert_eq!((record.state, record.settle.scans), (State::Uncertain, 0));
}

#[test]
fn an_answer_of_qiwi_shortens_the_search_and_a_duplicate_ends_it_as_refused() {
    let settings = settings();
    for (reason, end) in [
        (&reason::UPSTREAM_TECHNICAL, State::NotExecuted),
        (&reason::UPSTREAM_DECLINED, State::NotExecuted),
        (&reason::UPSTREAM_DUPLICATE, State::Rejected),
    ] {
        let mut record = uncertain();
        record.state = State::Sending;
        let error = Error::new(reason).sent(Sent::Yes).upstream_code("QWPRC-1");
        assert!(doubt(&mut record, Some(&error), true, &settings, SENT + 100));
        apply(&mut record, &absent(), &settings, SENT + 1_000);
        apply(&mut record, &absent(), &settings, SENT + 60_000);
        assert_eq!(record.state, State::Uncertain);
        apply(&mut record, &absent(), &settings, SENT + 61_000);
        assert_eq!(record.state, end, "{}", reason.name);
        let told = super::super::show::taken(&record);
        assert_eq!(told.map_err(|error| error.reason().name), Err(reason.name));
    }
}

#[test]
fn what_the_history_says_is_taken_over_without_digits_of_others() {
    for (status, raw, state) in [
        (pb::TransactionStatus::Waiting, "WAITING", State::Accepted),
        (pb::TransactionStatus::Success, "SUCCESS", State::Succeeded),
        (pb::TransactionStatus::Error, "ERROR", State::Failed),
        (pb::TransactionStatus::Unspecified, "NEW_WORD", State::Accepted),
    ] {
        for before in [State::Uncertain, State::NotExecuted] {
            let mut record = uncertain();
            record.state = before;
            assert!(apply(&mut record, &found(status, raw), &settings(), SENT + 5_000));
            assert_eq!((record.state, record.is_watched()), (state, false), "{raw}");
            assert_eq!(record.upstream_status.as_deref(), Some(raw));
            assert_eq!(record.transaction_id.as_deref(), Some("11"));
            let shown = super::super::show::payment(&record);
            assert_eq!(shown.error.is_some(), state == State::Failed);
            assert!(shown.error.is_none_or(|error| !error.message_ru.contains("1112233")));
        }
    }
}

#[test]
fn an_attempt_that_was_not_sent_leaves_the_earlier_one_watched() {
    let settings = settings();
    for before in [State::Reserved, State::Sending] {
        let mut record = uncertain();
        record.state = before;
        record.attempt = 1;
        assert!(unsent(&mut record, &settings, SENT + 100));
        assert_eq!((record.state, record.attempt, record.sent_ms), (State::NotSent, 0, None));
        assert!(!record.is_watched());
        let mut record = uncertain();
        record.state = before;
        record.attempt = 2;
        assert!(unsent(&mut record, &settings, SENT + 100));
        assert_eq!((record.state, record.attempt), (State::NotExecuted, 1));
        assert!(record.is_watched() && record.sent_ms.is_some());
        assert_eq!(since(&record), record.created_ms, "the earlier attempt is looked for as well");
    }
}

#[test]
fn a_duplicate_of_an_earlier_attempt_is_no_refusal_for_a_day() {
    let settings = settings();
    let mut record = uncertain();
    record.state = State::Sending;
    record.attempt = 2;
    let error = Error::new(&reason::UPSTREAM_DUPLICATE).sent(Sent::Yes).upstream_code("QWPRC-408");
    assert!(doubt(&mut record, Some(&error), true, &settings, SENT + 100));
    for at in 1..24 * 60 {
        apply(&mut record, &absent(), &settings, SENT + at * MINUTE);
    }
    assert_eq!(record.state, State::Uncertain);
    let mut late = record.clone();
    apply(&mut late, &absent(), &settings, SENT + 24 * 60 * MINUTE);
    assert_eq!(late.state, State::Rejected);
    apply(&mut record, &found(pb::TransactionStatus::Success, "SUCCESS"), &settings, SENT + 1);
    assert_eq!(record.state, State::Succeeded);
}

#[test]
fn what_is_certain_stays() {
    for state in [State::Succeeded, State::Failed, State::Rejected, State::NotSent] {
        let mut record = uncertain();
        record.state = state;
        let waiting = found(pb::TransactionStatus::Waiting, "WAITING");
        for look in [absent(), waiting, Look::Differs] {
            assert!(!apply(&mut record, &look, &settings(), SENT + 5_000), "{state:?}");
        }
        assert_eq!(record.state, state);
    }
}

proptest! {
    /// Whatever was looked at when: the next look lies ahead, and doubt never goes unwatched.
    #[test]
    fn the_next_look_lies_ahead(first in 0i64..100_000, step in 1i64..30_000_000, scans in 0u32..5) {
        let settings = settings();
        let mut record = uncertain();
        record.settle.scans = scans;
        record.settle.first_scan_ms = (scans > 0).then_some(SENT + first);
        let mut now = SENT;
        for _ in 0..200 {
            let next = next(&record, &settings, now);
            prop_assert!(next.is_some_and(|next| next > now), "{next:?} {now}");
            now += step;
        }
        record.state = State::NotExecuted;
        prop_assert_eq!(next(&record, &settings, SENT + millis(settings.watch)), None);
    }

    /// From the first look on, always looking when it is time: settled within an hour.
    #[test]
    fn always_looking_when_it_is_time_ends_doubt(late in 0i64..5_000) {
        let settings = settings();
        let mut record = uncertain();
        let mut looks = 0;
        while let Some(due) = record.settle.next_ms.filter(|_| record.state == State::Uncertain) {
            apply(&mut record, &absent(), &settings, due + late);
            looks += 1;
            prop_assert!(looks < 20);
        }
        prop_assert_eq!(record.state, State::NotExecuted);
        let took = record.settle.last_scan_ms.unwrap_or(0) - SENT;
        prop_assert!((15 * MINUTE..60 * MINUTE).contains(&took), "{took}");
        prop_assert!(Duration::from_millis(took as u64) >= settings.settle_window);
    }
}
