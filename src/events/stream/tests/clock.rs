//! The system's clock is set, forward and back, while the log goes on.

use super::*;
use crate::events::place;
use crate::events::testing::{Slow, set_clock};
use crate::events::{Durability, Limit, Outcome, Stored};

const HOUR_MS: i64 = 3_600_000;

async fn logged(hub: &Hub) -> Vec<Stored> {
    hub.log.read(0, Limit::events(1000)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn order_cursors_and_what_is_known_do_not_depend_on_the_clock() {
    let (hub, _feed) = running(settings(|_| {}));
    let begin = order(start(&hub).await, everything(), Duration::from_secs(15));
    let mut outlet = stream(&hub, begin, std::future::pending());
    let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
    let mut place = start(&hub).await;
    for (round, step) in (0..).zip([0, HOUR_MS, -HOUR_MS, 300_000, -300_000, 0]) {
        set_clock(step);
        for number in round * 10..round * 10 + 10 {
            append(&hub, number).await;
        }
        while client.got.len() < usize::try_from(round + 1).unwrap() * 10 {
            let message = next(&mut outlet).await.unwrap();
            client.take(&message);
            place = hub.cursors.open(&message.cursor).unwrap();
        }
        // What came is known again, and the cursor leads on, on whatever day it is.
        for number in round * 10..round * 10 + 10 {
            let known = hub.append(testing::event(&hub, number)).await.unwrap();
            assert!(matches!(known, Outcome::Duplicate { .. }), "{known:?}");
        }
        assert_eq!(crate::events::cursor::resume(&*hub.log, &place).await, Ok(place.seq));
    }
    assert_eq!(client.got, (1..=60).collect::<Vec<_>>());
    assert!(logged(&hub).await.is_sorted_by_key(|of| of.logged_ms), "the log's clock is even");
    set_clock(0);
}

fn at(time_ms: i64) -> Option<pb::LogPosition> {
    let position = pb::log_position::Position::Time(wire::time(time_ms));
    Some(pb::LogPosition { position: Some(position) })
}

#[tokio::test(start_paused = true)]
async fn a_time_is_one_of_the_logs_clock_also_when_the_systems_was_set_back() {
    let hub = testing::hub();
    for number in 0..5 {
        append(&hub, number).await;
    }
    set_clock(HOUR_MS);
    for number in 5..10 {
        append(&hub, number).await;
    }
    let sixth = logged(&hub).await[5].logged_ms;
    for step in [HOUR_MS, 0, -HOUR_MS] {
        set_clock(step);
        let found = place::find(&hub, at(sixth).as_ref(), "start").await.unwrap();
        assert_eq!(found.seq, 5, "with the clock set by {step} ms");
        let later = place::find(&hub, at(sixth + 2 * HOUR_MS).as_ref(), "start").await.unwrap();
        assert_eq!(later.seq, 10);
    }
    set_clock(0);
}

/// A replica that is behind is waited for, and given up when it stays so.
#[tokio::test(start_paused = true)]
async fn a_cursor_ahead_of_a_shared_log_is_waited_for() {
    let log = Slow {
        durability: Some(Durability::Quorum),
        ..Slow::new(Arc::new(MemoryLog::new(Retention::DEFAULT)))
    };
    let hub = Arc::new(testing::hub_of(Arc::new(log), settings(|_| {})));
    for number in 0..3 {
        append(&hub, number).await;
    }
    let last = Position::behind(start(&hub).await.epoch, &logged(&hub).await[2]);
    let next = Position { seq: 4, piece: [0; 8], ..last };
    let begun = Instant::now();
    let refused = place::resumed(&hub, &next).await.unwrap_err();
    assert_eq!(status(&refused).code(), Code::Unavailable);
    assert_eq!(info_of(&status(&refused))["reason"], "REPLICA_BEHIND");
    let waited = begun.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(4)).contains(&waited), "{waited:?}");
    // It comes while it is waited for.
    let append = testing::event(&hub, 3);
    let piece = *append.event.id.as_bytes().first_chunk().unwrap();
    let hub_ = Arc::clone(&hub);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        hub_.append(append).await.unwrap();
    });
    place::resumed(&hub, &Position { seq: 4, piece, ..last }).await.unwrap();
}
