//! Repeats: of reads only, within a budget, and at one level of the system only.

use std::time::Duration;

use qiwi_gateway::config::Config;
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::transport::Channel;

use crate::support::*;

async fn balances(channel: &Channel, ask: &Ask<'_>) -> Result<(), Told> {
    let reply = ask.unary::<_, pb::ListBalancesResponse>(channel, BALANCES, fresh_balances());
    reply.await.map(|_| ()).map_err(|status| told(&status))
}

#[tokio::test]
async fn a_read_is_repeated_until_it_succeeds_and_three_times_at_most() {
    let fake = Fake::sequence([
        Answer::new(503, ""),
        Answer::raw("").and_close(),
        balance_answer(),
        Answer::new(500, ""),
    ])
    .await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    balances(&channel, &Ask::with(MAIN)).await.expect("the third attempt succeeds");
    assert_eq!(fake.count(), 3);
    let told = balances(&channel, &Ask::with(MAIN)).await.unwrap_err();
    assert_eq!((&*told.reason, told.info("attempts")), ("UPSTREAM_ERROR", Some("3")));
    assert_eq!(fake.count(), 6);
}

#[tokio::test]
async fn an_answer_that_will_not_change_is_never_asked_for_again() {
    let fake = Fake::always(Answer::new(400, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let statuses = [301, 400, 401, 403, 404, 405, 408, 409, 415, 422, 423, 425, 429, 451, 501];
    for (number, status) in statuses.into_iter().enumerate() {
        fake.now_always(Answer::new(status, ""));
        let before = fake.count();
        let token = format!("Bearer token-{number}");
        let wallet = format!("7999000{number:04}");
        let request = pb::ListBalancesRequest { wallet, ..fresh_balances() };
        let ask = Ask::with(&[("authorization", &token)]);
        let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
        reply.unwrap_err();
        assert_eq!(fake.count() - before, 1, "{status}");
    }
    // Neither is an answer that cannot be read.
    fake.now_always(Answer::json("nonsense"));
    let before = fake.count();
    balances(&channel, &Ask::with(MAIN)).await.unwrap_err();
    assert_eq!(fake.count() - before, 1);
}

#[tokio::test]
async fn a_caller_that_repeats_by_itself_gets_one_attempt() {
    let fake = Fake::always(Answer::new(503, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("grpc-previous-rpc-attempts", "1");
    let told = balances(&channel, &ask).await.unwrap_err();
    assert_eq!((&*told.reason, told.info("attempts")), ("UPSTREAM_ERROR", Some("1")));
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_dead_upstream_gets_a_tenth_more_than_the_calls_and_the_floor() {
    const CALLS: usize = 300;
    let fake = Fake::always(Answer::new(503, "")).await;
    let budget = |config: &mut Config| {
        config.retry.budget_floor_per_second = 1;
        config.retry.budget_window = Duration::from_secs(10);
    };
    let gateway = Setup::new(&fake).set(budget).start().await;
    let channel = gateway.channel().await;
    for _ in 0..CALLS {
        balances(&channel, &Ask::with(MAIN)).await.unwrap_err();
    }
    // The floor is one a second over the ten seconds of the window.
    let most = CALLS + CALLS / 10 + 10;
    let count = fake.count();
    assert!(count <= most, "{count} requests for {CALLS} calls");
    assert!(count > CALLS, "{count}: nothing was repeated at all");
    let refused = gateway.metric("qiwi_retry_budget_refused_total", &[]).await;
    assert!(refused as usize > CALLS / 2, "{refused}");
}

#[tokio::test]
async fn without_any_budget_nothing_is_repeated() {
    let fake = Fake::always(Answer::new(503, "")).await;
    let none = |config: &mut Config| {
        config.retry.budget_floor_per_second = 0;
        config.retry.budget_percent = qiwi_gateway::config::Percent(0);
    };
    let gateway = Setup::new(&fake).set(none).start().await;
    let channel = gateway.channel().await;
    for _ in 0..20 {
        let told = balances(&channel, &Ask::with(MAIN)).await.unwrap_err();
        assert_eq!(told.reason, "UPSTREAM_ERROR", "the first error, unchanged");
    }
    assert_eq!(fake.count(), 20);
}

#[tokio::test]
async fn every_repeat_asks_the_same_thing_with_the_same_rights() {
    let fake = Fake::always(Answer::new(502, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    balances(&channel, &Ask::with(MAIN)).await.unwrap_err();
    let seen = fake.seen();
    assert_eq!(seen.len(), 3);
    for repeat in &seen {
        assert_eq!((&repeat.method, &repeat.target), (&seen[0].method, &seen[0].target));
        assert_eq!(repeat.headers, seen[0].headers);
        assert_eq!(repeat.token(), Some(TOKEN));
    }
}
