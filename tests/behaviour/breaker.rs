//! The circuit breaker as callers meet it: a failing upstream is left alone, and found again.

use std::time::Duration;

use qiwi_gateway::config::{Config, Percent};
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

const OPEN: Duration = Duration::from_millis(250);

fn sensitive(config: &mut Config) {
    config.retry.attempts_max = 1;
    config.breaker.consecutive_failures = 5;
    config.breaker.open_min = OPEN;
    config.breaker.open_max = OPEN * 8;
    config.breaker.open_jitter_percent = Percent(0);
    config.breaker.ramp = Duration::from_millis(150);
}

async fn balances(channel: &Channel) -> Result<(), Told> {
    let ask = Ask::with(MAIN);
    let reply = ask.unary::<_, pb::ListBalancesResponse>(channel, BALANCES, fresh_balances());
    reply.await.map(|_| ()).map_err(|status| told(&status))
}

#[tokio::test]
async fn a_burst_of_5xx_opens_it_and_a_good_probe_brings_everything_back() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).set(sensitive).start().await;
    let channel = gateway.channel().await;
    for _ in 0..5 {
        assert_eq!(balances(&channel).await.unwrap_err().reason, "UPSTREAM_ERROR");
    }
    for _ in 0..20 {
        let told = balances(&channel).await.unwrap_err();
        assert_eq!((told.code, &*told.reason), (Code::Unavailable, "UPSTREAM_CIRCUIT_OPEN"));
        assert_eq!(told.info("upstreamSent"), Some("no"));
        assert!(told.retry().unwrap() <= OPEN, "{:?}", told.retry());
    }
    assert_eq!(fake.count(), 5, "nothing is sent while it is open");
    assert_eq!(
        gateway.metric("qiwi_breaker_state", &["area=\"balance\"", "host=\"edge\""]).await,
        2
    );

    // Another area of the same host is not concerned.
    let nickname = "qiwi.wallet.v1.ProfileService/GetNickname";
    fake.now_always(Answer::json(samples::of(nickname).reply.unwrap()));
    Ask::with(MAIN).raw(&channel, nickname, Vec::new()).await.unwrap();

    fake.now_always(balance_answer());
    tokio::time::sleep(OPEN + Duration::from_millis(30)).await;
    balances(&channel).await.expect("the probe");
    tokio::time::sleep(Duration::from_millis(180)).await;
    for _ in 0..20 {
        balances(&channel).await.unwrap();
    }
    assert_eq!(
        gateway.metric("qiwi_breaker_state", &["area=\"balance\"", "host=\"edge\""]).await,
        0
    );
}

#[tokio::test]
async fn one_probe_at_a_time_and_a_failed_one_prolongs_the_rest() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).set(sensitive).start().await;
    let channel = gateway.channel().await;
    for _ in 0..5 {
        balances(&channel).await.unwrap_err();
    }
    fake.now_always(Answer::new(500, "").after(Duration::from_millis(50)));
    tokio::time::sleep(OPEN + Duration::from_millis(30)).await;
    let calls = (0..10).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move { balances(&channel).await.unwrap_err().reason })
    });
    let mut reasons = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        reasons.push(call.await.unwrap());
    }
    let sent = reasons.iter().filter(|reason| *reason == "UPSTREAM_ERROR").count();
    assert_eq!(sent, 1, "{reasons:?}");
    assert_eq!(fake.count(), 6);
    let told = balances(&channel).await.unwrap_err();
    assert!(told.retry().unwrap() > OPEN, "twice as long now: {:?}", told.retry());
}

#[tokio::test]
async fn refusals_of_one_token_say_nothing_about_the_host() {
    let fake = Fake::always(Answer::new(403, "")).await;
    let gateway = Setup::new(&fake).set(sensitive).start().await;
    let channel = gateway.channel().await;
    for _ in 0..30 {
        assert_eq!(balances(&channel).await.unwrap_err().reason, "TOKEN_SCOPE_INSUFFICIENT");
    }
    fake.now_always(balance_answer());
    balances(&channel).await.unwrap();
}

#[tokio::test]
async fn the_callers_mistakes_do_not_open_it() {
    let fake = Fake::always(Answer::new(400, "")).await;
    let gateway = Setup::new(&fake).set(sensitive).start().await;
    let channel = gateway.channel().await;
    for _ in 0..30 {
        assert_eq!(balances(&channel).await.unwrap_err().reason, "UPSTREAM_INVALID_REQUEST");
    }
    fake.now_always(balance_answer());
    balances(&channel).await.unwrap();
}
