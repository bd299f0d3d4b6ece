//! What replicas share over a real broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use qiwi_gateway::config::Config;
use qiwi_gateway::coordination::pace::Refused;
use qiwi_gateway::coordination::share::Shares;
use qiwi_gateway::coordination::turns::{Denied, Turns};
use qiwi_gateway::coordination::{Coordination, Heard, Name, Swap};
use qiwi_gateway::events::{EventLog, Retention};
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::state::MemoryLog;
use qiwi_gateway::state::nats::coordinate::{NatsCoordination, Settings};
use tonic::transport::Channel;

use super::broker::{Broker, Pipe, client, clients};
use super::gateways::balances;
use crate::support::*;

/// Longer than a busy machine takes to answer.
const PATIENCE: Duration = Duration::from_secs(10);

fn link(client: async_nats::Client, brokers: usize) -> Arc<NatsCoordination> {
    // A name of its own, so that a cluster can be used again and again.
    let settings = Settings::new(format!("t{:08x}", rand::random::<u32>()), brokers);
    NatsCoordination::new(client, settings)
}

/// Several links to one stream.
async fn links(broker: &Broker, count: usize) -> Vec<Arc<NatsCoordination>> {
    let (clients, brokers) = clients(broker, count).await;
    let mut settings = Settings::new(format!("t{:08x}", rand::random::<u32>()), brokers);
    settings.patience = PATIENCE;
    let links = clients.into_iter().map(|client| NatsCoordination::new(client, settings.clone()));
    let links: Vec<_> = links.collect();
    for link in &links {
        is_led(link).await;
    }
    links
}

/// Waits until a stream that was just made is led: until then brokers let questions go unanswered.
async fn is_led(link: &NatsCoordination) {
    let begun = Instant::now();
    let second = Duration::from_secs(1);
    loop {
        let asked = async {
            link.beat("led".into()).await?;
            link.get(Name::from_u128(0)).await
        };
        if matches!(tokio::time::timeout(second, asked).await, Ok(Ok(_))) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the stream is led");
    }
}

fn shares(replicas: u32) -> Shares {
    let mut limit = Config::default().limit;
    limit.replicas = replicas;
    // Nothing becomes permitted again while a slow machine goes through a test.
    limit.period = Duration::from_secs(3600);
    Shares::new(&limit, Duration::ZERO)
}

fn turns(link: &Arc<NatsCoordination>, patience: Duration) -> Turns {
    Turns::new(Arc::clone(link) as Arc<dyn Coordination>, shares(3), patience)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_and_six_hundred_requests_take_one_burst_exactly() {
    let broker = Broker::start().await;
    let links = links(&broker, 3).await;
    let all: Vec<_> = links.iter().map(|link| Arc::new(turns(link, PATIENCE))).collect();
    let name = Name::from_u128(0x1234);
    let asked = (0..600).map(|at| {
        let turns = Arc::clone(&all[at % 3]);
        tokio::spawn(async move { turns.take(name, false).await })
    });
    let asked: Vec<_> = asked.collect();
    let mut granted = 0;
    for taken in asked {
        match taken.await.unwrap() {
            Ok(_) => granted += 1,
            Err(Denied::Refused(Refused::Wait(_))) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(granted, shares(3).shared.common.burst);
    // The reserve of settling requests is shared as exactly.
    let asked = all.iter().cycle().take(30).map(|turns| turns.take(name, true));
    let taken = futures_util::future::join_all(asked).await;
    let reserve = shares(3).shared.reserve.unwrap().burst;
    assert_eq!(taken.iter().filter(|of| of.is_ok()).count(), reserve as usize);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registers_change_by_compare_and_set_only_and_say_so_to_everybody() {
    let broker = Broker::start().await;
    let links = links(&broker, 2).await;
    let (one, other) = (&links[0], &links[1]);
    let name = Name::from_u128(7);
    assert_eq!(one.get(name).await.unwrap(), None);
    let mut heard = other.hear();
    // Until the subscription is there, nothing is heard.
    let (listening, mut number) = (Instant::now(), 0u8);
    while tokio::time::timeout(Duration::from_millis(100), heard.next()).await.is_err() {
        assert!(listening.elapsed() < Duration::from_secs(20), "it listens");
        number += 1;
        one.tell(vec![number].into());
    }
    let Swap::Done(first) = one.swap(name, 0, "a".into()).await.unwrap() else { panic!("changed") };
    assert_eq!(other.swap(name, 0, "b".into()).await.unwrap(), Swap::Changed);
    let there = other.get(name).await.unwrap().unwrap();
    assert_eq!((there.version, &*there.value), (first, &b"a"[..]));
    let Swap::Done(second) = other.swap(name, first, "c".into()).await.unwrap() else { panic!() };
    assert!(second > first);
    assert_eq!(one.swap(name, first, "d".into()).await.unwrap(), Swap::Changed);
    one.beat("beat".into()).await.unwrap();
    let mut tried = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), heard.next()).await;
        match next.expect("in time").expect("it goes on") {
            Heard::Tried(of, value) => {
                assert_eq!(of, name);
                tried.push(value);
            }
            Heard::Word(word) if &*word == b"beat" => break,
            Heard::Word(_) => {}
        }
    }
    // The two clients' words may pass each other; each one's own are in order.
    tried.sort();
    assert_eq!(tried, ["a", "b", "c", "d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_is_given_up_in_time_and_used_again_when_it_is_back() {
    let mut broker = Broker::start().await;
    let link = link(client(broker.address()).await, 1);
    let patience = Duration::from_secs(1);
    let turns = turns(&link, patience);
    let name = Name::from_u128(7);
    turns.take(name, false).await.unwrap();
    let before = link.get(name).await.unwrap().unwrap();
    broker.down().await;
    let begun = Instant::now();
    assert_eq!(turns.take(name, false).await, Err(Denied::Away));
    assert!(begun.elapsed() < patience * 2, "{:?}", begun.elapsed());
    assert!(turns.take_own(&[name], false, false).is_ok());
    broker.up().await;
    let begun = Instant::now();
    while turns.take(name, false).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is used again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And it is the same register as before.
    assert!(link.get(name).await.unwrap().unwrap().version > before.version);
}

/// A gateway beside others over this link.
async fn beside(
    fake: &Fake,
    log: &Arc<dyn EventLog>,
    link: Arc<NatsCoordination>,
) -> (Gateway, Channel) {
    let setup = Setup::new(fake).set(|config| {
        config.cache.balance = Duration::from_secs(60);
        config.state.nats_beat = Duration::from_millis(400);
        config.limit.replicas = 2;
    });
    let gateway = setup.start_beside(Arc::clone(log), link).await;
    is_linked(&gateway, 1).await;
    let channel = gateway.channel().await;
    (gateway, channel)
}

async fn is_linked(gateway: &Gateway, up: u64) {
    let begun = Instant::now();
    while gateway.metric("qiwi_replica_link_up", &[]).await != up {
        assert!(begun.elapsed() < Duration::from_secs(30), "the link is {up}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn gateways_hear_each_other_over_a_broker_and_one_that_does_not_keeps_nothing() {
    let broker = Broker::start().await;
    let pipe = Pipe::to(broker.address()).await;
    let fake = Fake::by(|seen| match &*seen.method {
        "POST" => Answer::new(201, ""),
        _ => balance_answer(),
    })
    .await;
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Retention::DEFAULT).shared());
    let settings = Settings::new("qiwi", 1);
    let link = |client| NatsCoordination::new(client, settings.clone());
    let (one, one_channel) = beside(&fake, &log, link(client(broker.address()).await)).await;
    let (other, channel) = beside(&fake, &log, link(client(pipe.address()).await)).await;
    let heard = async |gateway: &Gateway| {
        let begun = Instant::now();
        while gateway.metric("qiwi_replicas", &[]).await < 2 {
            assert!(begun.elapsed() < Duration::from_secs(30), "they hear each other");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    heard(&one).await;
    heard(&other).await;
    // A stranger's first beat drops what is kept; from here on nothing does.
    while balances(&channel).await != "hit" {}
    let request =
        pb::CreateBalanceRequest { alias: "qw_wallet_usd".to_owned(), ..Default::default() };
    let _: tonic::Response<pb::CreateBalanceResponse> = Ask::with(MAIN)
        .unary(&one_channel, "qiwi.wallet.v1.BalanceService/CreateBalance", request)
        .await
        .unwrap();
    let begun = Instant::now();
    while other.metric("qiwi_replica_words_total", &["received", "forget"]).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the hint arrives");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(balances(&channel).await, "miss");
    assert_eq!(balances(&channel).await, "hit");
    pipe.swallow(true);
    is_linked(&other, 0).await;
    assert_eq!(balances(&channel).await, "miss");
    assert_eq!(balances(&channel).await, "miss");
    assert_eq!(one.metric("qiwi_replica_link_up", &[]).await, 1, "the other one is not concerned");
    pipe.swallow(false);
    is_linked(&other, 1).await;
    while balances(&channel).await != "hit" {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_swallows_everything_is_noticed_by_beats_and_turns() {
    let broker = Broker::start().await;
    let pipe = Pipe::to(broker.address()).await;
    let link = link(client(pipe.address()).await, 1);
    let patience = Duration::from_secs(1);
    let turns = turns(&link, patience);
    let name = Name::from_u128(7);
    turns.take(name, false).await.unwrap();
    link.beat("1".into()).await.unwrap();
    pipe.swallow(true);
    assert_eq!(turns.take(name, false).await, Err(Denied::Away));
    assert!(link.beat("2".into()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_register_of_a_new_stream_says_nothing() {
    let broker = Broker::start().await;
    let settings = Settings::new("qiwi", 1);
    let link = NatsCoordination::new(client(broker.address()).await, settings);
    link.counts_over(Duration::from_secs(60));
    let error = link.get(Name::from_u128(7)).await.unwrap_err();
    assert!(error.to_string().contains("the stream is new"), "{error}");
    assert_eq!(turns(&link, PATIENCE).take(Name::from_u128(7), false).await, Err(Denied::Away));
    assert_eq!(link.stream_name(), "qiwi_COORD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_keeps_no_promises_is_refused_by_name() {
    let broker = Broker::start().await;
    let client = client(broker.address()).await;
    let context = async_nats::jetstream::new(client.clone());
    type Change = fn(&mut async_nats::jetstream::stream::Config);
    let changes: [(&str, Change); 5] = [
        ("allow_direct", |config| config.allow_direct = true),
        ("max_msgs_per_subject", |config| config.max_messages_per_subject = 2),
        ("max_age", |config| config.max_age = Duration::from_secs(300)),
        ("subjects", |config| {
            config.subjects.pop();
        }),
        ("storage", |config| {
            config.storage = async_nats::jetstream::stream::StorageType::Memory;
        }),
    ];
    for (at, (key, change)) in changes.into_iter().enumerate() {
        let settings = Settings::new(format!("s{at}"), 1);
        let link = NatsCoordination::new(client.clone(), settings);
        let mut config = link.stream_config();
        change(&mut config);
        context.create_stream(config).await.unwrap();
        let error = link.beat("1".into()).await.unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(&link.stream_name()), "{error}");
    }
}
