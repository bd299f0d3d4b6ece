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

#[tokio::test]
async fn payments_are_listed_page_by_page_newest_first() {
    let (_sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    for id in ["1", "2", "3", "4", "5"] {
        pay(&channel, transfer(id, 10)).await.unwrap();
        // Entries of one millisecond have no order a caller could expect.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let mut listed = Vec::new();
    let mut request = pb::ListPaymentsRequest { page_size: 2, ..Default::default() };
    loop {
        let page: pb::ListPaymentsResponse =
            Ask::with(&[DEMO]).unary(&channel, LIST, request.clone()).await.unwrap().into_inner();
        listed.extend(page.payments.into_iter().map(|payment| payment.payment_id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, ["5", "4", "3", "2", "1"]);

    // Another filter, another list.
    request.states = vec![pb::PaymentState::Uncertain.into()];
    let status = Ask::with(&[DEMO])
        .unary::<_, pb::ListPaymentsResponse>(&channel, LIST, request.clone())
        .await
        .unwrap_err();
    assert_eq!(told(&status).reason, "PAGE_TOKEN_INVALID");
    request.page_token.clear();
    let none: pb::ListPaymentsResponse =
        Ask::with(&[DEMO]).unary(&channel, LIST, request).await.unwrap().into_inner();
    assert!(none.payments.is_empty() && none.next_page_token.is_empty());
}

/// A wallet that pays much: the payment in doubt stands on a page that the pace has no turn for at
/// once, and pages read before it are not read in vain.
#[tokio::test]
async fn a_payment_is_found_behind_more_pages_than_the_pace_lets_through_at_once() {
    const FIRST: &str = "1700000000500";
    let sandbox = sandbox(|_| {}).await;
    let gateway = setup(&sandbox)
        .set(|config| {
            // Ten requests a second, and none of them beside another one.
            config.limit.period = Duration::from_secs(6);
            config.limit.history_per_minute = 60;
            config.limit.history_burst = 1;
            config.limit.wait_max = Duration::ZERO;
            config.payments.send_max = Duration::from_secs(2);
        })
        .start()
        .await;
    let channel = gateway.channel().await;
    let rule = serde_json::json!({"match": {"path_prefix": "/sinap/api"}, "times": 1,
        "fault": {"hang": "before_headers"}});
    sandbox.add_fault(rule).unwrap();
    let lost = {
        let channel = channel.clone();
        tokio::spawn(async move {
            let ask = Ask::with(&[DEMO]).within(Duration::from_secs(6));
            let reply: Result<Response<pb::CreatePaymentResponse>, Status> =
                ask.unary(&channel, CREATE, transfer(FIRST, 1)).await;
            reply
        })
    };
    while commits(&sandbox, FIRST) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Ten pages of newer ones.
    let newer = (0..500).map(|number| {
        let (channel, id) = (channel.clone(), (1_700_000_001_000_u64 + number).to_string());
        async move { pay(&channel, transfer(id, 1)).await.unwrap() }
    });
    let paid = futures_util::stream::iter(newer);
    let paid = futures_util::StreamExt::buffer_unordered(paid, 20);
    assert_eq!(futures_util::StreamExt::count(paid).await, 500);
    let _ = lost.await.unwrap();
    until(&channel, FIRST, pb::PaymentState::Succeeded).await;
    assert_eq!(commits(&sandbox, FIRST), 1);
}
