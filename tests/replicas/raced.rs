//! The same thing everywhere at once: one event, one payment.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde_json::json;

use super::*;
use crate::events::letter::{Letter, post, try_post};
use crate::money::judge::{self, Said};
use crate::money::{commits, pay, transfer};

const COPIES: usize = 1_000;
const AT_ONCE: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_that_comes_everywhere_a_thousand_times_is_one_event() {
    let world = World::start("").await;
    let body = Letter::incoming(1).body();
    let posts = (0..COPIES).map(|copy| {
        let (to, body) = (world.addresses(copy % GATEWAYS).notifications, body.clone());
        async move {
            // What is refused because the machine is busy comes again, as QIWI's do.
            loop {
                match try_post(to, "/notifications/wallet/main", &[], &body).await {
                    Some((200, _)) => return,
                    Some((503, _)) => tokio::time::sleep(Duration::from_millis(50)).await,
                    other => panic!("{other:?}"),
                }
            }
        }
    });
    let all = futures_util::stream::iter(posts).buffer_unordered(AT_ONCE).count();
    assert_eq!(tokio::time::timeout(LONG, all).await.expect("in time"), COPIES);
    let opened = world.open().await;
    assert_eq!(everything(&*opened.log).await.len(), 1);
    // Another content under the same message is nobody's event, whoever is told.
    let letter = Letter::incoming(2);
    let forged = Letter { amount: "1000", ..letter.clone() };
    let paths = "/notifications/wallet/main";
    assert_eq!(post(world.addresses(0).notifications, paths, &[], &letter.body()).await.0, 200);
    assert_eq!(post(world.addresses(1).notifications, paths, &[], &forged.body()).await.0, 200);
    let events = everything(&*opened.log).await;
    assert_eq!(events.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_is_asked_for_everywhere_a_thousand_times_is_made_once() {
    const ID: &str = "1700000000001";
    let world = World::start("").await;
    let mut channels = Vec::new();
    for at in 0..GATEWAYS {
        channels.push(world.channel(at).await);
    }
    let calls = (0..COPIES).map(|copy| {
        let channel = channels[copy % GATEWAYS].clone();
        async move {
            loop {
                let outcome = pay(&channel, transfer(ID, 10)).await;
                let said = Said::read(&outcome).unwrap_or_else(|| panic!("{outcome:?}"));
                if said.is_settled() {
                    return said;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let all = futures_util::stream::iter(calls).buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let all = tokio::time::timeout(LONG, all).await.expect("in time");
    let mut counted: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for said in &all {
        judge::is_true(said, commits(&world.sandbox, ID), "raced");
        assert_eq!(said.attempts, 1, "{said:?}");
        *counted.entry((said.reason.clone(), said.replayed)).or_default() += 1;
    }
    assert_eq!((commits(&world.sandbox, ID), judge::posts(&world.sandbox)), (1, 1), "{counted:?}");
    assert!(counted.keys().all(|(reason, _)| reason.is_empty()), "{counted:?}");
}

/// Whoever sends it dies after QIWI has it: the others find out and nobody sends it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_sender_dies_is_settled_by_the_others() {
    const ID: &str = "1700000000002";
    let hasty = "[payments]\nlook_first = \"100ms\"\nlook_later = \"400ms\"\n\
                 settle_window = \"3s\"\nsettle_window_answered = \"2s\"\nsend_max = \"4s\"\n";
    let world = World::start(hasty).await;
    let rule = json!({"match": {"path_prefix": "/sinap/api"}, "times": 1,
        "fault": {"hang": "before_headers"}});
    world.sandbox.add_fault(rule).unwrap();
    let channel = world.channel(0).await;
    let call = tokio::spawn(async move { pay(&channel, transfer(ID, 10)).await });
    let begun = Instant::now();
    while commits(&world.sandbox, ID) == 0 {
        assert!(begun.elapsed() < LONG, "it is not paid");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    world.kill(0).await;
    assert_eq!(Said::read(&call.await.unwrap()), None, "the dead answer nothing");
    let mut last = None;
    for at in [1, 2].into_iter().cycle() {
        assert!(begun.elapsed() < LONG, "it is not settled: {last:?}");
        let outcome = pay(&world.channel(at).await, transfer(ID, 10)).await;
        let said = Said::read(&outcome).unwrap_or_else(|| panic!("{outcome:?}"));
        judge::is_true(&said, 1, "after the sender's death");
        let is_settled = said.is_settled();
        last = Some(said);
        if is_settled {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = last.unwrap();
    assert_eq!((said.reason.as_str(), said.replayed, said.attempts), ("", true, 1), "{said:?}");
    assert_eq!((commits(&world.sandbox, ID), judge::posts(&world.sandbox)), (1, 1));
}
