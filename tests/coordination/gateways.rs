//! Several gateways of one process that share a log and a coordination.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qiwi_gateway::config::{Config, Percent, Poll};
use qiwi_gateway::coordination::{Member, Table};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::events::{EventLog, Limit, Retention};
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::state::MemoryLog;
use tonic::transport::Channel;

use crate::events::poll::world::{World, incoming};
use crate::events::shared::Between;
use crate::support::*;

/// Nothing takes longer, on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_millis(200);

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(Retention::DEFAULT).shared())
}

fn replica(config: &mut Config) {
    config.limit.replicas = 3;
    config.state.nats_beat = BEAT;
    config.state.nats_lease = Duration::from_secs(1);
    config.cooldown.jitter_percent = Percent(0);
}

async fn beside(
    setup: Setup,
    log: &Arc<dyn EventLog>,
    table: &Arc<Table>,
) -> (Gateway, Arc<Member>) {
    let member = table.member();
    let gateway = setup.set(replica).start_beside(Arc::clone(log), member.clone()).await;
    soon(LONG, "the others can be heard", async || {
        gateway.metric("qiwi_replica_link_up", &[]).await == 1
    })
    .await;
    (gateway, member)
}

async fn list(channel: &Channel) -> Result<(), tonic::Status> {
    Ask::with(MAIN).raw(channel, TRANSACTIONS, Vec::new()).await.map(drop)
}

pub async fn balances(channel: &Channel) -> String {
    let request = pb::ListBalancesRequest::default();
    let reply: tonic::Response<pb::ListBalancesResponse> =
        Ask::with(MAIN).unary(channel, BALANCES, request).await.unwrap();
    reply.metadata().get("x-qiwi-cache").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn all_gateways_together_send_one_burst_and_the_next_hears_of_a_refusal() {
    let sample = samples::of(TRANSACTIONS);
    let fake = Fake::always(Answer::json(sample.reply.unwrap())).await;
    let (log, table) = (log(), Table::new());
    let hour = |config: &mut Config| {
        config.limit.period = Duration::from_secs(3600);
        config.retry.attempts_max = 1;
    };
    let mut channels = Vec::new();
    let mut gateways = Vec::new();
    for _ in 0..3 {
        let (gateway, _) = beside(Setup::new(&fake).set(hour), &log, &table).await;
        channels.push(gateway.channel().await);
        gateways.push(gateway);
    }
    let calls = (0..60).map(|at| list(&channels[at % 3]));
    let answers = futures_util::future::join_all(calls).await;
    let sent = answers.iter().filter(|answer| answer.is_ok()).count();
    // Four fifths of the configured burst of ten.
    assert_eq!((sent, fake.count()), (8, 8));
    for answer in answers.into_iter().filter_map(Result::err) {
        assert_eq!(told(&answer).reason, "RATE_LIMITED_LOCAL");
    }
    let shared = ["source=\"shared\""];
    let mut turns = 0;
    for gateway in &gateways {
        turns += gateway.metric("qiwi_history_turns_total", &shared).await;
    }
    assert_eq!(turns, 8);
}

#[tokio::test]
async fn a_refusal_of_one_gateway_stops_all_of_them() {
    for (rpc, code) in [(TRANSACTIONS, 423), (BALANCES, 423)] {
        let fake = Fake::always(Answer::new(code, "")).await;
        let (log, table) = (log(), Table::new());
        let (one, _) = beside(Setup::new(&fake), &log, &table).await;
        let (other, _) = beside(Setup::new(&fake), &log, &table).await;
        let (one, other) = (one.channel().await, other.channel().await);
        let refused = Ask::with(MAIN).raw(&one, rpc, Vec::new()).await.unwrap_err();
        assert_eq!(told(&refused).reason, "RATE_LIMITED_UPSTREAM");
        // A hint takes a moment; the history's pace says so itself.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let refused = Ask::with(MAIN).raw(&other, rpc, Vec::new()).await.unwrap_err();
        assert_eq!(told(&refused).reason, "RATE_LIMITED_UPSTREAM");
        assert_eq!(fake.count(), 1, "{rpc}");
    }
}

#[tokio::test]
async fn what_one_gateway_changes_all_forget() {
    let fake = Fake::by(|seen| match &*seen.method {
        "POST" => Answer::new(201, ""),
        _ => balance_answer(),
    })
    .await;
    let (log, table) = (log(), Table::new());
    let minute = |config: &mut Config| config.cache.balance = Duration::from_secs(60);
    let (one, _) = beside(Setup::new(&fake).set(minute), &log, &table).await;
    let (other, _) = beside(Setup::new(&fake).set(minute), &log, &table).await;
    let (one_channel, other_channel) = (one.channel().await, other.channel().await);
    assert_eq!(balances(&other_channel).await, "miss");
    assert_eq!(balances(&other_channel).await, "hit");
    // Another balance is made, and shown by the list.
    let request =
        pb::CreateBalanceRequest { alias: "qw_wallet_usd".to_owned(), ..Default::default() };
    let _: tonic::Response<pb::CreateBalanceResponse> = Ask::with(MAIN)
        .unary(&one_channel, "qiwi.wallet.v1.BalanceService/CreateBalance", request)
        .await
        .unwrap();
    soon(LONG, "the word is heard", async || {
        other.metric("qiwi_replica_words_total", &["received", "forget"]).await == 1
    })
    .await;
    assert_eq!(balances(&other_channel).await, "miss");
    assert_eq!(balances(&other_channel).await, "hit");
    drop(one);
}

#[tokio::test]
async fn a_gateway_that_cannot_hear_the_others_keeps_nothing_and_starts_anew_when_it_can() {
    let fake = Fake::always(balance_answer()).await;
    let (log, table) = (log(), Table::new());
    let minute = |config: &mut Config| config.cache.balance = Duration::from_secs(60);
    let (gateway, member) = beside(Setup::new(&fake).set(minute), &log, &table).await;
    let channel = gateway.channel().await;
    assert_eq!(balances(&channel).await, "miss");
    assert_eq!(balances(&channel).await, "hit");
    member.cut(true);
    soon(LONG, "it is cut off", async || gateway.metric("qiwi_replica_link_up", &[]).await == 0)
        .await;
    assert_eq!(balances(&channel).await, "miss");
    assert_eq!(balances(&channel).await, "miss");
    // Many at once are still one question.
    let asked = fake.count();
    let calls = (0..50).map(|_| balances(&channel));
    futures_util::future::join_all(calls).await;
    assert!(fake.count() - asked < 25, "{}", fake.count() - asked);
    member.cut(false);
    soon(LONG, "it is back", async || gateway.metric("qiwi_replica_link_up", &[]).await == 1).await;
    assert_eq!(balances(&channel).await, "miss", "what was kept before is gone");
    assert_eq!(balances(&channel).await, "hit");
}

#[tokio::test]
async fn one_of_two_gateways_polls_and_the_other_takes_over_when_it_is_gone() {
    let (log, table) = (log(), Table::new());
    let polling = |fake: &Fake| {
        Setup::at(&fake.url()).credential("main", Kind::Wallet, Some(WALLET), TOKEN).set(
            |config: &mut Config| {
                config.events.poll_fastest = Duration::from_millis(50);
                config.events.poll_slowest = Duration::from_millis(100);
                config.limit.period = Duration::from_secs(2);
                config.credentials.get_mut("main").unwrap().poll = Poll::History;
            },
        )
    };
    let (first, world) = World::start().await;
    let shared = world.clone();
    let second = Fake::by(move |seen| shared.lock().answer(seen)).await;
    let between = Arc::new(Between::over(log.clone()));
    let faulty: Arc<dyn EventLog> = between.clone();
    let (one, _) = beside(polling(&first), &faulty, &table).await;
    soon(LONG, "the first one polls", async || first.count() > 0).await;
    let (other, _) = beside(polling(&second), &log, &table).await;
    let logged = async || log.read(0, Limit::events(1000)).await.unwrap().len();
    world.lock().items = (1..=10).map(incoming).collect();
    soon(LONG, "ten events", async || logged().await == 10).await;
    let polls = first.count();
    soon(LONG, "it goes on", async || first.count() >= polls + 5).await;
    assert_eq!(second.count(), 0, "one asks for both");
    // Without a goodbye: it reaches nothing any more, and its lease stays where it was.
    between.fails.store(true, Ordering::SeqCst);
    world.lock().items.extend((11..=20).map(incoming));
    soon(LONG, "the other one takes over", async || logged().await == 20).await;
    assert!(second.count() > 0);
    let asked = first.count();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(first.count() <= asked + 1, "the first one is gone");
    // It wakes, and leaves the work where it is; nothing was doubled in between.
    between.fails.store(false, Ordering::SeqCst);
    let (asked, polls) = (first.count(), second.count());
    soon(LONG, "the other one goes on", async || second.count() >= polls + 10).await;
    assert!(first.count() <= asked + 1, "{}", first.count() - asked);
    assert_eq!(logged().await, 20);
    one.stop().await;
    // In order: who comes next does not have to wait for the lease to end.
    other.stop().await;
    let (third, _) = beside(polling(&first), &log, &table).await;
    world.lock().items.extend((21..=25).map(incoming));
    soon(LONG, "the third one polls", async || logged().await == 25).await;
    drop(third);
}
