//! Who may change a transaction, and who has changed it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::ledger::LedgerKey;
use crate::state::MemoryLedger;
use crate::telemetry::Metrics;

fn payments() -> Payments {
    let settings = Config::default().payments;
    let key = Arc::new(LedgerKey::new(&[7; 32]));
    Payments::new(Arc::new(MemoryLedger::new()), key, settings, Arc::new(Metrics::unread(&[])))
}

fn key(kind: OperationKind, id: &str) -> Key {
    Key::new("site", kind, id)
}

fn refund(id: &str) -> Key {
    key(OperationKind::Refund, id)
}

/// Puts the operation of a key into this state.
async fn put(payments: &Payments, key: &Key, state: State) {
    let found = payments.store.get(key).await.unwrap();
    let mut record = match found {
        Some(record) => record,
        None => {
            let fresh = Record::reserved(key.clone(), [0; 32], "7", Amount::default(), 1);
            match payments.store.insert(fresh).await.unwrap() {
                Insert::Inserted(record) => record,
                Insert::Exists(_) => panic!("nobody else is here"),
            }
        }
    };
    record.state = state;
    let done = payments.store.replace(record.version, record.clone()).await.unwrap();
    assert!(matches!(done, Replace::Done(_)));
}

async fn is_refused(payments: &Payments, key: &Key) -> bool {
    match take(payments, key, "1").await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(*error.reason(), reason::OPERATION_IN_PROGRESS);
            assert_eq!(error.was_sent(), Some(Sent::No));
            true
        }
    }
}

#[tokio::test]
async fn the_turn_is_held_for_as_long_as_the_outcome_is_open() {
    for state in State::ALL {
        let payments = payments();
        take(&payments, &refund("a"), "1").await.unwrap();
        put(&payments, &refund("a"), state).await;
        let held = matches!(state, State::Reserved | State::Sending | State::Uncertain);
        assert_eq!(is_refused(&payments, &refund("b")).await, held, "{state:?}");
        // Whoever has it may take it again, and other purchases are free.
        if held {
            assert!(!is_refused(&payments, &refund("a")).await, "{state:?}");
        }
        assert!(take(&payments, &refund("b"), "2").await.is_ok());
    }
}

#[tokio::test]
async fn a_turn_that_was_taken_away_is_not_kept() {
    let payments = payments();
    let first = take(&payments, &refund("a"), "1").await.unwrap();
    // The first has not reserved its operation yet, so nothing speaks against the second.
    let second = take(&payments, &key(OperationKind::Reversal, "b"), "1").await.unwrap();
    put(&payments, &refund("a"), State::Reserved).await;
    put(&payments, &key(OperationKind::Reversal, "b"), State::Reserved).await;
    let lost = first.keep(&payments).await.unwrap_err();
    assert_eq!((lost.reason().name, lost.was_sent()), ("OPERATION_IN_PROGRESS", Some(Sent::No)));
    second.keep(&payments).await.unwrap();
}

#[tokio::test]
async fn of_many_at_once_one_keeps_the_turn() {
    for _ in 0..20 {
        let payments = Arc::new(payments());
        let mut all = tokio::task::JoinSet::new();
        for number in 0..20 {
            let payments = Arc::clone(&payments);
            all.spawn(async move {
                let key = refund(&number.to_string());
                let Ok(turn) = take(&payments, &key, "1").await else { return false };
                tokio::task::yield_now().await;
                put(&payments, &key, State::Reserved).await;
                turn.keep(&payments).await.is_ok()
            });
        }
        let kept = all.join_all().await.into_iter().filter(|kept| *kept).count();
        assert!(kept <= 1, "{kept} go on");
    }
}

#[tokio::test]
async fn who_has_had_the_turn_is_remembered() {
    let payments = payments();
    assert!(others(&payments, &refund("a"), "1").await.unwrap().is_empty());
    for id in ["a", "b", "a", "c"] {
        take(&payments, &refund(id), "1").await.unwrap();
        put(&payments, &refund(id), State::Succeeded).await;
    }
    let named = async |id: &str| {
        let others = others(&payments, &refund(id), "1").await.unwrap();
        others.into_iter().map(|of| of.key.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(named("a").await, ["b", "c"]);
    assert_eq!(named("c").await, ["b", "a"]);
    assert_eq!(named("x").await, ["b", "a", "c"]);
    for number in 0..HOLDERS_MAX {
        let id = format!("n{number}");
        take(&payments, &refund(&id), "1").await.unwrap();
        put(&payments, &refund(&id), State::Succeeded).await;
    }
    let all = named("x").await;
    assert_eq!((all.len(), all.first().map(String::as_str)), (HOLDERS_MAX, Some("n0")));
}
