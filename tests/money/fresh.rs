//! Whoever was told of a payment sees it in the balances.

use serde_json::json;

use super::judge::PATIENCE;
use super::*;
use crate::support::BALANCES;

/// Ten roubles and the commission of the sandbox, in hundredths.
const PAID: i64 = 1010;

/// The roubles of the demo wallet in hundredths, and where the answer came from.
async fn roubles(channel: &Channel) -> (i64, String) {
    let request = pb::ListBalancesRequest::default();
    let ask = Ask::with(&[DEMO]);
    let reply = ask.unary::<_, pb::ListBalancesResponse>(channel, BALANCES, request).await.unwrap();
    let from = reply.metadata().get("x-qiwi-cache").unwrap().to_str().unwrap().to_owned();
    let balances = reply.into_inner().balances;
    let account = balances.iter().find(|of| of.alias == "qw_wallet_rub").unwrap();
    let Money { units, nanos, .. } = account.amount.clone().unwrap();
    (units * 100 + i64::from(nanos) / 10_000_000, from)
}

/// A gateway that keeps balances for long, with some of them kept.
async fn kept(sandbox: &Sandbox) -> (Gateway, Channel, i64) {
    let long = |config: &mut Config| config.cache.balance = Duration::from_secs(300);
    let gateway = setup(sandbox).set(long).start().await;
    let channel = gateway.channel().await;
    let (before, _) = roubles(&channel).await;
    assert_eq!(roubles(&channel).await, (before, "hit".to_owned()));
    (gateway, channel, before)
}

#[tokio::test]
async fn after_a_payment_that_was_answered() {
    let sandbox = sandbox(|_| {}).await;
    let (_gateway, channel, before) = kept(&sandbox).await;
    pay(&channel, transfer("1", 10)).await.unwrap();
    let (after, from) = roubles(&channel).await;
    assert_eq!((before - after, from.as_str()), (PAID, "miss"));
    // A replay moves nothing, so what is kept stays.
    pay(&channel, transfer("1", 10)).await.unwrap();
    assert_eq!(roubles(&channel).await, (after, "hit".to_owned()));
    // A refusal neither.
    let refusal = json!({"match": {"path_prefix": "/sinap"}, "fault": {"payment_code": 220}});
    sandbox.add_fault(refusal).unwrap();
    pay(&channel, transfer("2", 10)).await.unwrap_err();
    assert_eq!(roubles(&channel).await, (after, "hit".to_owned()));
}

#[tokio::test]
async fn after_a_payment_that_its_caller_finds_in_the_history() {
    let sandbox = sandbox(|_| {}).await;
    let (_gateway, channel, before) = kept(&sandbox).await;
    let fault = json!({"match": {"path_prefix": "/sinap"}, "fault": {"cut": "before_headers"}});
    sandbox.add_fault(fault).unwrap();
    let begun = tokio::time::Instant::now();
    while pay(&channel, transfer("1", 10)).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
    let (after, from) = roubles(&channel).await;
    assert_eq!((before - after, from.as_str()), (PAID, "miss"));
}

#[tokio::test]
async fn after_a_payment_that_the_gateway_finds_by_itself() {
    let sandbox = sandbox(|_| {}).await;
    let (_gateway, channel, before) = kept(&sandbox).await;
    let fault = json!({"cut": "before_headers", "late_history_ms": 1000});
    sandbox.add_fault(json!({"match": {"path_prefix": "/sinap"}, "fault": fault})).unwrap();
    // The caller leaves while the payment is on its way.
    let patience = Duration::from_millis(50);
    let left = tokio::time::timeout(patience, pay(&channel, transfer("1", 10))).await;
    assert!(!matches!(left, Ok(Ok(_))), "{left:?}");
    let begun = tokio::time::Instant::now();
    // The list is answered from the ledger alone and looks nothing up.
    let listed = async || {
        let ask = Ask::with(&[DEMO]);
        let request = pb::ListPaymentsRequest::default();
        let reply = ask.unary::<_, pb::ListPaymentsResponse>(&channel, LIST, request).await;
        reply.unwrap().into_inner().payments.first().map(pb::Payment::state)
    };
    let found = [Some(pb::PaymentState::Accepted), Some(pb::PaymentState::Succeeded)];
    while !found.contains(&listed().await) {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The entry is written a moment before what is kept is forgotten.
    while roubles(&channel).await.0 == before {
        assert!(begun.elapsed() < PATIENCE, "the old balance is still told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(before - roubles(&channel).await.0, PAID);
}
