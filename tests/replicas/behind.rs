//! Readers at a gateway that hears nothing of the brokers, with cursors of one that does.

use super::*;
use crate::events::letter::{Letter, post};

/// The gateway that is behind.
const BEHIND: usize = 2;

/// Logs an event by another gateway.
async fn send(world: &World, number: u64) {
    let to = world.addresses(0).notifications;
    let body = Letter::incoming(number).body();
    soon(LONG, "it is taken", async || {
        post(to, "/notifications/wallet/main", &[], &body).await.0 == 200
    })
    .await;
}

/// The next event of a stream, by its number, and the cursor behind it.
async fn next(stream: &mut tonic::Streaming<bytes::Bytes>) -> (u64, bytes::Bytes) {
    loop {
        let message = tokio::time::timeout(LONG, stream.message()).await.expect("it goes on");
        let bytes = message.unwrap().expect("the stream has no end");
        let message = pb::SubscribeResponse::decode(bytes).unwrap();
        match message.events.as_slice() {
            [] => {}
            [event] => match &event.payload {
                Some(pb::event::Payload::Transaction(of)) => {
                    return (of.transaction_id.parse().unwrap(), message.cursor);
                }
                _ => panic!("an event without its transaction"),
            },
            more => panic!("{} events at once", more.len()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_another_gateway_is_waited_for_and_nothing_behind_it_is_left_out() {
    let main = "poll = \"off\"";
    let setup = Setup { main, wired: Some(BEHIND), ..Setup::default() };
    let world = Arc::new(World::start_as(setup).await);
    let wire = world.wire.as_ref().unwrap();
    send(&world, 1).await;
    let mut ahead = subscribe(&world, 0, None).await.unwrap();
    assert_eq!(next(&mut ahead).await.0, 1);
    // Behind for a moment: the reader waits, and goes on from its place.
    wire.hold(true);
    send(&world, 2).await;
    let (number, cursor) = next(&mut ahead).await;
    assert_eq!(number, 2);
    let resumed = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { subscribe(&world, BEHIND, Some(&cursor)).await })
    };
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!resumed.is_finished(), "nobody can know yet whether there is such a place");
    wire.hold(false);
    let mut behind = resumed.await.unwrap().unwrap();
    send(&world, 3).await;
    assert_eq!(next(&mut behind).await.0, 3);
    drop(behind);
    // For long: the reader is sent elsewhere, and its cursor stays good.
    let (_, _) = next(&mut ahead).await;
    wire.hold(true);
    send(&world, 4).await;
    let (number, cursor) = next(&mut ahead).await;
    assert_eq!(number, 4);
    let refused = subscribe(&world, BEHIND, Some(&cursor)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    let reason = told(&refused).reason;
    assert!(["REPLICA_BEHIND", "EVENT_LOG_UNAVAILABLE"].contains(&&*reason), "{reason}");
    let mut elsewhere = subscribe(&world, 1, Some(&cursor)).await.unwrap();
    wire.hold(false);
    world.is_ready(BEHIND).await;
    let mut behind = subscribe(&world, BEHIND, Some(&cursor)).await.unwrap();
    send(&world, 5).await;
    assert_eq!(next(&mut elsewhere).await.0, 5);
    assert_eq!(next(&mut behind).await.0, 5);
}
