//! The caller's deadline, and ours, which ends a little earlier so that our answer still arrives.

use std::time::{Duration, Instant};

use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;

use crate::support::*;

const SLOW: Duration = Duration::from_secs(5);

async fn refused(
    gateway: &Gateway,
    ask: &Ask<'_>,
    request: pb::ListBalancesRequest,
) -> (Told, Duration) {
    let channel = gateway.channel().await;
    let begun = Instant::now();
    let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
    (told(&reply.expect_err("the upstream is too slow")), begun.elapsed())
}

/// 200 ms of a caller leave 160 ms to the gateway; the answer is with the caller before its own
/// 200 ms are over, or it would not be ours. The bound of 250 ms is for a machine under
/// load: a client that gives up by itself reports CANCELLED without details.
#[tokio::test]
async fn a_deadline_of_200_ms_against_5_s_ends_with_our_details_in_time() {
    let fake = Fake::always(balance_answer().after(SLOW)).await;
    let gateway = Setup::new(&fake).start().await;
    let ask = Ask::with(MAIN).within(Duration::from_millis(200));
    for request in [pb::ListBalancesRequest::default(), fresh_balances()] {
        let (told, took) = refused(&gateway, &ask, request).await;
        assert_eq!((told.code, &*told.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert_eq!(told.info("upstreamSent"), Some("unknown"), "it may have arrived");
        assert_eq!(told.pushback, None, "clients of Java would repeat until their own deadline");
        assert!(took < Duration::from_millis(250), "{took:?}");
        assert!(took > Duration::from_millis(120), "{took:?}: the caller's time was not used");
    }
}

#[tokio::test]
async fn without_a_deadline_the_default_holds() {
    let fake = Fake::always(balance_answer().after(SLOW)).await;
    let gateway = Setup::new(&fake)
        .set(|config| config.deadline.read_default = Duration::from_millis(100))
        .start()
        .await;
    let (told, took) = refused(&gateway, &Ask::with(MAIN), fresh_balances()).await;
    assert_eq!(told.reason, "DEADLINE_EXCEEDED");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_malformed_deadline_is_counted_and_the_default_holds() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for text in ["soon", "5", "-1S", "123456789S"] {
        let ask = Ask::with(MAIN).and("grpc-timeout", text);
        let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
        reply.await.unwrap_or_else(|status| panic!("{text}: {status}"));
    }
    assert_eq!(gateway.metric("qiwi_deadline_header_malformed_total", &[]).await, 4);
}

#[tokio::test]
async fn a_longer_deadline_than_the_cap_is_cut_to_it() {
    let fake = Fake::always(balance_answer().after(SLOW)).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.deadline.read_default = Duration::from_millis(50);
            config.deadline.read_max = Duration::from_millis(300);
        })
        .start()
        .await;
    let ask = Ask::with(MAIN).within(Duration::from_secs(3600));
    let (told, took) = refused(&gateway, &ask, fresh_balances()).await;
    assert_eq!(told.reason, "DEADLINE_EXCEEDED");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_caller_with_time_gets_an_answer_that_takes_longer_than_the_default() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(300))).await;
    let gateway = Setup::new(&fake)
        .set(|config| config.deadline.read_default = Duration::from_millis(100))
        .start()
        .await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).within(Duration::from_secs(5));
    for request in [pb::ListBalancesRequest::default(), fresh_balances()] {
        let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
        reply.unwrap();
    }
}

#[tokio::test]
async fn no_attempt_begins_that_cannot_end_in_time() {
    let fake = Fake::always(Answer::new(503, "").after(Duration::from_millis(60))).await;
    let gateway = Setup::new(&fake).start().await;
    let ask = Ask::with(MAIN).within(Duration::from_millis(100));
    let (told, _) = refused(&gateway, &ask, fresh_balances()).await;
    // 80 ms are ours, 60 were spent: the rest is less than an attempt needs.
    assert!(["UPSTREAM_ERROR", "DEADLINE_EXCEEDED"].contains(&&*told.reason), "{}", told.reason);
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_read_nobody_waits_for_any_more_is_dropped() {
    let fake = Fake::always(balance_answer().after(SLOW)).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let call = tokio::spawn(async move {
        let ask = Ask::with(MAIN);
        ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances()).await
    });
    until("the question is on its way", || fake.in_flight() == 1).await;
    call.abort();
    let cancelled = || gateway.summaries().iter().any(|line| line["code"] == "CANCELLED");
    until("the call is logged as cancelled", cancelled).await;
}
