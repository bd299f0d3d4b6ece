//! Kept answers: one question for many callers, the caller's own bound, and never across rights.

use std::time::{Duration, SystemTime};

use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Response;
use tonic::transport::Channel;

use crate::support::*;

type Reply = Response<pb::ListBalancesResponse>;

async fn balances(
    channel: &Channel,
    metadata: &[(&str, &str)],
    max_staleness: Option<Duration>,
    allow_stale_on_error: bool,
) -> Result<Reply, tonic::Status> {
    let max_staleness = max_staleness.map(|age| age.try_into().unwrap());
    let request =
        pb::ListBalancesRequest { max_staleness, allow_stale_on_error, ..Default::default() };
    Ask::with(metadata).unary(channel, BALANCES, request).await
}

fn outcome(reply: &Reply) -> &str {
    reply.metadata().get("x-qiwi-cache").expect("told where it is from").to_str().unwrap()
}

fn fetched(reply: &Reply) -> SystemTime {
    SystemTime::try_from(reply.get_ref().fetch_time.unwrap()).unwrap()
}

#[tokio::test]
async fn five_hundred_callers_with_one_question_ask_qiwi_once() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(150))).await;
    let gateway = Setup::new(&fake).set(|config| config.grpc.streams_max = 512).start().await;
    let channel = gateway.channel().await;
    let calls = (0..500).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move { balances(&channel, MAIN, None, false).await })
    });
    for call in calls.collect::<Vec<_>>() {
        let reply = call.await.unwrap().unwrap();
        assert_eq!(reply.get_ref().balances.len(), 1);
    }
    assert_eq!(fake.count(), 1);
    // And what came is kept for the next one.
    assert_eq!(outcome(&balances(&channel, MAIN, None, false).await.unwrap()), "hit");
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_reply_tells_whether_and_when_qiwi_was_asked() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let before = SystemTime::now();
    let first = balances(&channel, MAIN, None, false).await.unwrap();
    assert_eq!(outcome(&first), "miss");
    assert!(fetched(&first) >= before - Duration::from_millis(1));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let second = balances(&channel, MAIN, None, false).await.unwrap();
    assert_eq!(outcome(&second), "hit");
    assert_eq!(fetched(&second), fetched(&first), "the age of the answer, not of the reply");
    assert_eq!(second.get_ref(), first.get_ref());
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn zero_staleness_always_asks_and_never_joins_an_older_question() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(100))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let patient = {
        let channel = channel.clone();
        tokio::spawn(async move { balances(&channel, MAIN, None, false).await })
    };
    until("the first question is on its way", || fake.count() == 1).await;
    let now = balances(&channel, MAIN, Some(Duration::ZERO), false).await.unwrap();
    assert_eq!(outcome(&now), "miss");
    patient.await.unwrap().unwrap();
    assert_eq!(fake.count(), 2);
    balances(&channel, MAIN, Some(Duration::ZERO), false).await.unwrap();
    assert_eq!(fake.count(), 3);
}

#[tokio::test]
async fn a_caller_can_narrow_the_lifetime_and_not_widen_it() {
    let fake = Fake::always(balance_answer()).await;
    let short = |config: &mut qiwi_gateway::config::Config| {
        config.cache.balance = Duration::from_millis(300);
    };
    let gateway = Setup::new(&fake).set(short).start().await;
    let channel = gateway.channel().await;
    let within = |ms| Some(Duration::from_millis(ms));
    balances(&channel, MAIN, None, false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(outcome(&balances(&channel, MAIN, within(50), false).await.unwrap()), "miss");
    assert_eq!(outcome(&balances(&channel, MAIN, within(200), false).await.unwrap()), "hit");
    tokio::time::sleep(Duration::from_millis(320)).await;
    assert_eq!(outcome(&balances(&channel, MAIN, within(60_000), false).await.unwrap()), "miss");
    assert_eq!(fake.count(), 3);
}

#[tokio::test]
async fn an_old_answer_replaces_an_outage_only_by_consent() {
    let fake = Fake::always(balance_answer()).await;
    let short = |config: &mut qiwi_gateway::config::Config| {
        config.cache.balance = Duration::from_millis(1);
    };
    let gateway = Setup::new(&fake).set(short).start().await;
    let channel = gateway.channel().await;
    let first = balances(&channel, MAIN, None, false).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    fake.now_always(Answer::new(503, ""));
    let strict = balances(&channel, MAIN, None, false).await.unwrap_err();
    assert_eq!(told(&strict).reason, "UPSTREAM_ERROR");
    let lenient = balances(&channel, MAIN, None, true).await.unwrap();
    assert_eq!(outcome(&lenient), "stale");
    assert_eq!(fetched(&lenient), fetched(&first));
    // A refusal is an answer, not an outage: consent does not cover it.
    fake.now_always(Answer::new(403, ""));
    let refused = balances(&channel, MAIN, None, true).await.unwrap_err();
    assert_eq!(told(&refused).reason, "TOKEN_SCOPE_INSUFFICIENT");
}

#[tokio::test]
async fn nobody_gets_an_answer_that_was_fetched_with_other_rights() {
    let fake = Fake::by(|seen| {
        let amount = if seen.token() == Some(TOKEN) { 1 } else { 2 };
        Answer::json(format!(
            r#"{{"accounts":[{{"alias":"a","hasBalance":true,"balance":{{"amount":{amount},"currency":643}}}}]}}"#
        ))
    })
    .await;
    // Two credentials of one wallet, and a third token brought by the caller.
    let gateway = Setup::new(&fake)
        .credential("other", Kind::Wallet, Some(WALLET), "token-of-other")
        .start()
        .await;
    let channel = gateway.channel().await;
    let units = |reply: &Reply| reply.get_ref().balances[0].amount.as_ref().unwrap().units;
    for _ in 0..2 {
        assert_eq!(units(&balances(&channel, MAIN, None, false).await.unwrap()), 1);
        let other = [("x-qiwi-credential", "other")];
        assert_eq!(units(&balances(&channel, &other, None, false).await.unwrap()), 2);
    }
    assert_eq!(fake.count(), 2, "one question for each");
    let lent = [("authorization", "Bearer lent-token")];
    let request = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..Default::default() };
    let ask = Ask::with(&lent);
    let reply: Reply = ask.unary(&channel, BALANCES, request).await.unwrap();
    assert_eq!((outcome(&reply), units(&reply)), ("miss", 2));
    // The same token, lent or held, has the same rights and shares the answer.
    let held = [("authorization", "Bearer token-of-main")];
    let request = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..Default::default() };
    let reply: Reply = Ask::with(&held).unary(&channel, BALANCES, request).await.unwrap();
    assert_eq!((outcome(&reply), units(&reply)), ("hit", 1));
}

#[tokio::test]
async fn errors_are_not_kept() {
    let fake = Fake::sequence([Answer::new(404, ""), balance_answer()]).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    balances(&channel, MAIN, None, false).await.unwrap_err();
    balances(&channel, MAIN, None, false).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_leaves_takes_nobodys_answer_away() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(150))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let leaver = {
        let channel = channel.clone();
        tokio::spawn(async move { balances(&channel, MAIN, None, false).await })
    };
    until("the question is on its way", || fake.count() == 1).await;
    let stayer = {
        let channel = channel.clone();
        tokio::spawn(async move { balances(&channel, MAIN, None, false).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    leaver.abort();
    stayer.await.unwrap().unwrap();
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_negative_staleness_is_refused() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = pb::ListBalancesRequest {
        max_staleness: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
        ..Default::default()
    };
    let reply: Result<Reply, _> = Ask::with(MAIN).unary(&channel, BALANCES, request).await;
    let told = told(&reply.unwrap_err());
    assert_eq!((&*told.reason, told.fields()), ("REQUEST_INVALID", vec!["max_staleness".into()]));
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_switched_off_cache_keeps_nothing() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).set(|config| config.cache.enabled = false).start().await;
    let channel = gateway.channel().await;
    for _ in 0..3 {
        assert_eq!(outcome(&balances(&channel, MAIN, None, false).await.unwrap()), "miss");
    }
    assert_eq!(fake.count(), 3);
}
