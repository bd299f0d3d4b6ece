//! One payment from the first call to its end.

use std::time::Duration;

use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;

use super::*;
use crate::support::told;

const REPLAYED: &str = "x-idempotent-replayed";

/// Asks until the payment is in this state.
async fn until(channel: &Channel, id: &str, state: pb::PaymentState) -> pb::Payment {
    let patience = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let payment = get(channel, id).await.unwrap();
        if payment.state() == state {
            return payment;
        }
        assert!(tokio::time::Instant::now() < patience, "still {payment:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_payment_is_accepted_succeeds_and_is_never_made_again() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    // More than 64 bits.
    let id = "18446744073709551616";
    let reply = pay(&channel, transfer(id, 10)).await.unwrap();
    assert!(reply.metadata().get(REPLAYED).is_none());
    let paid = reply.into_inner().payment.unwrap();
    assert_eq!((paid.state(), paid.payment_id.as_str()), (pb::PaymentState::Accepted, id));
    assert_eq!((paid.attempt_count, paid.provider_id.as_str()), (1, "99"));
    assert!(paid.transaction_id.is_some() && paid.sent_time.is_some());

    let again = pay(&channel, transfer(id, 10)).await.unwrap();
    assert_eq!(again.metadata().get(REPLAYED).unwrap(), "1");
    assert_eq!(again.into_inner().payment.unwrap().transaction_id, paid.transaction_id);
    let done = until(&channel, id, pb::PaymentState::Succeeded).await;
    assert_eq!(done.transaction_id, paid.transaction_id);
    assert!(done.transaction_time.is_some() && done.commission.is_some());
    let again = pay(&channel, transfer(id, 10)).await.unwrap().into_inner().payment.unwrap();
    assert_eq!(again.state(), pb::PaymentState::Succeeded);
    assert_eq!(commits(&sandbox, id), 1);
}

#[tokio::test]
async fn the_same_id_for_something_else_is_refused() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    pay(&channel, transfer("1", 10)).await.unwrap();
    let status = pay(&channel, transfer("1", 11)).await.unwrap_err();
    let told = told(&status);
    assert_eq!((told.code, told.reason.as_str()), (Code::AlreadyExists, "PAYMENT_ID_REUSED"));
    assert_eq!(commits(&sandbox, "1"), 1);
}

#[tokio::test]
async fn an_answer_that_never_comes_is_found_in_the_history() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    sandbox
        .add_fault(serde_json::json!({"match": {"path_prefix": "/sinap/api"}, "fault": {"cut": "before_headers"}}))
        .unwrap();
    let reply = pay(&channel, transfer("7", 10)).await.unwrap();
    let paid = reply.into_inner().payment.unwrap();
    assert!(matches!(paid.state(), pb::PaymentState::Accepted | pb::PaymentState::Succeeded));
    assert_eq!(commits(&sandbox, "7"), 1);
    assert!(paid.reconcile_time.is_some());
}
