//! Groups whose members are at several gateways, and retention that overtakes readers.

use pb::DeliveryOutcome::{AlreadyDone, Ok as Done};
use pb::consume_response::Response;

use super::*;
use crate::events::groups::{Member, open, terms};
use crate::events::letter::{Letter, post};

async fn send(world: &World, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let to = world.addresses(number as usize % GATEWAYS).notifications;
        let begun = Instant::now();
        let body = Letter::incoming(number).body();
        while post(to, "/notifications/wallet/main", &[], &body).await.0 != 200 {
            assert!(begun.elapsed() < LONG, "nobody takes it");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn numbers(deliveries: &[pb::Delivery]) -> Vec<u64> {
    let number = |of: &pb::Delivery| match &of.event.as_ref().unwrap().payload {
        Some(pb::event::Payload::Transaction(of)) => of.transaction_id.parse().unwrap(),
        _ => panic!("an event without its transaction"),
    };
    deliveries.iter().map(number).collect()
}

/// A gateway stands still while its member holds a delivery: another one takes over, in order, and
/// what the first one says when it wakes counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_is_replaced_and_nothing_is_lost_or_out_of_order() {
    let short = "ack_deadline = \"1s\"\nack_deadline_min = \"100ms\"\n";
    let world = World::start(short).await;
    send(&world, 1..=6).await;
    let ordered = open(Some(terms(pb::DeliveryOrdering::PerWallet, 10)));
    let mut first = Member::join(&world.channel(0).await, ordered).await.unwrap();
    let held = first.take(1).await;
    assert_eq!(numbers(&held), [1], "one of a wallet at a time");
    assert_eq!(first.ack(&held).await, [Done]);
    let held = first.take(1).await;
    world.signal(0, "STOP");
    let mut second = Member::join(&world.channel(1).await, open(None)).await.unwrap();
    let mut done = Vec::new();
    for _ in 0..3 {
        let next = second.take(1).await;
        done.extend(numbers(&next));
        assert_eq!(second.ack(&next).await, [Done]);
    }
    assert_eq!(done, [2, 3, 4], "in order, from the one that was held");
    world.signal(0, "CONT");
    assert_eq!(first.ack(&held).await, [AlreadyDone], "late word is heard");
    // Both go on: each of the rest is delivered, and nothing before it.
    let mut rest = Vec::new();
    let begun = Instant::now();
    while rest.len() < 2 {
        assert!(begun.elapsed() < LONG, "{rest:?}");
        for member in [&mut first, &mut second] {
            let said = member.next(Duration::from_millis(300)).await;
            if let Ok(Some(Response::Deliveries(of))) = said {
                rest.extend(numbers(&of.deliveries));
                member.ack(&of.deliveries).await;
            }
        }
    }
    rest.dedup();
    assert_eq!(rest, [5, 6]);
}

/// What is gone is told, to streams and to groups, and never skipped in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_that_overtakes_a_reader_is_told() {
    let world = World::start("keep = \"2s\"\n").await;
    send(&world, 1..=3).await;
    let group = open(Some(terms(pb::DeliveryOrdering::None, 10)));
    let member = Member::join(&world.channel(0).await, group).await.unwrap();
    drop(member);
    let ask = Ask::with(&[("x-qiwi-credential", "main")]);
    let path = "qiwi.events.v1.EventService/Subscribe";
    let subscribe = async |at: usize, position: pb::log_position::Position| {
        let start = Some(pb::LogPosition { position: Some(position) });
        let request = pb::SubscribeRequest { start, ..Default::default() };
        let channel = world.channel(at).await;
        let mut stream = ask.stream(&channel, path, request.encode_to_vec()).await?.into_inner();
        let bytes = stream.message().await?.expect("a message");
        Ok::<_, tonic::Status>(pb::SubscribeResponse::decode(bytes).unwrap())
    };
    let earliest = pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into());
    let cursor = subscribe(0, earliest).await.unwrap().cursor;
    let opened = world.open().await;
    let begun = Instant::now();
    while opened.log.info().await.unwrap().first <= 3 {
        assert!(begun.elapsed() < LONG, "nothing goes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    send(&world, 4..=4).await;
    // The cursor is good at every gateway, and leads to what is gone.
    for at in 0..GATEWAYS {
        let from = pb::log_position::Position::Cursor(cursor.clone());
        let status = subscribe(at, from).await.expect_err("it is gone");
        assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
    }
    let mut member = Member::join(&world.channel(1).await, open(None)).await.unwrap();
    let begun = Instant::now();
    let gap = loop {
        assert!(begun.elapsed() < LONG, "the group is told nothing");
        let said = member.hear.message().await.unwrap().expect("it goes on").response;
        if let Some(Response::Gap(gap)) = said {
            break gap;
        }
    };
    assert!(gap.last_sequence >= 3, "{gap:?}");
}
