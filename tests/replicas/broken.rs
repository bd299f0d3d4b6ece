//! Brokers that fail, and what callers of the gateways see of it.

use super::*;
use crate::events::letter::{Letter, try_post};
use crate::money::judge::{self, Said};
use crate::money::{DEMO, commits, pay, transfer};

/// Sends a notification until it is taken; answers how often it was refused.
async fn comes_again(world: &World, at: usize, letter: &Letter) -> usize {
    let begun = Instant::now();
    for refused in 0.. {
        let to = world.addresses(at).notifications;
        match try_post(to, "/notifications/wallet/main", &[], &letter.body()).await {
            Some((200, _)) => return refused,
            Some((503, _)) => {}
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < LONG, "nobody takes it");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    0
}

/// Without a majority nothing that matters is believed, and everything else goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_of_three_brokers_down_money_and_notifications_wait_and_streams_stay_honest() {
    const ID: &str = "1700000000003";
    let world = Arc::new(World::start("heartbeat = \"200ms\"").await);
    comes_again(&world, 0, &Letter::incoming(1)).await;
    let channel = world.channel(0).await;
    let mut stream = subscribe(&world, 0, None).await.unwrap();
    world.brokers.lock().kill(0);
    world.brokers.lock().kill(1);
    let begun = Instant::now();
    while http_get(world.addresses(0).admin, "/readyz/notifications").await.0 == 200 {
        assert!(begun.elapsed() < Duration::from_secs(15), "nobody notices");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Refused at once, and nothing is sent.
    let posted = Instant::now();
    let body = Letter::incoming(2).body();
    let to = world.addresses(0).notifications;
    let answer = try_post(to, "/notifications/wallet/main", &[], &body).await.expect("an answer");
    assert_eq!(answer.0, 503, "{}", answer.1);
    assert!(posted.elapsed() < Duration::from_secs(2), "{:?}", posted.elapsed());
    let said = Said::read(&pay(&channel, transfer(ID, 10)).await).expect("an answer");
    assert_eq!(
        (said.reason.as_str(), said.sent.as_str()),
        ("LEDGER_UNAVAILABLE", "no"),
        "{said:?}"
    );
    assert_eq!(judge::posts(&world.sandbox), 0);
    // Calls that need neither go on, and so does the gateway itself.
    assert_eq!(http_get(world.addresses(0).admin, "/readyz").await.0, 200);
    let balances = qiwi_gateway::pb::wallet::v1::ListBalancesRequest::default();
    let read = Ask::with(&[DEMO])
        .raw(&channel, "qiwi.wallet.v1.BalanceService/ListBalances", balances.encode_to_vec())
        .await;
    assert!(read.is_ok(), "{read:?}");
    // The stream says how old its word of the log is. A leader without followers believes in itself
    // for a while.
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < LONG, "heartbeats pretend to know how the log is");
        let bytes = stream.message().await.unwrap().expect("the stream goes on");
        let message = pb::SubscribeResponse::decode(bytes).unwrap();
        let time = message.head_time.expect("when the log was heard of");
        let time_ms = time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000;
        if jiff::Timestamp::now().as_millisecond() - time_ms > 1_500 {
            break;
        }
    }
    world.brokers.lock().begin(0);
    world.brokers.lock().begin(1);
    for at in 0..GATEWAYS {
        world.is_ready(at).await;
    }
    comes_again(&world, 1, &Letter::incoming(2)).await;
    loop {
        let said = Said::read(&pay(&channel, transfer(ID, 10)).await).expect("an answer");
        judge::is_true(&said, commits(&world.sandbox, ID), "after the outage");
        if said.is_settled() {
            break;
        }
    }
    assert_eq!(commits(&world.sandbox, ID), 1);
    let follower = Follower::start(&world, 2);
    let opened = world.open().await;
    assert_eq!(told_of(&everything(&*opened.log).await), [1, 2]);
    follower.has_exactly(&*opened.log).await;
}
