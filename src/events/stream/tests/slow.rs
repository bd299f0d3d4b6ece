//! Clients that take little, nothing, or nothing of what there is, on a clock that passes when
//! everybody waits.

use super::*;
use crate::config::Size;

/// Appends so many events a second, for so many seconds.
fn writer(hub: &Arc<Hub>, rate: u32, seconds: u32) -> tokio::task::JoinHandle<()> {
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        for number in 0..rate * seconds {
            append(&hub, number).await;
            tokio::time::sleep(Duration::from_secs(1) / rate).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_is_borne_and_one_that_stops_is_ended_after_a_minute() {
    let (hub, _feed) = running(settings(|of| of.ring = Size::kib(64)));
    let beat = Duration::from_secs(15);
    let begin = order(start(&hub).await, everything(), beat);
    let mut slow = stream(&hub, begin, std::future::pending());
    let begin = order(start(&hub).await, everything(), beat);
    let mut quick = stream(&hub, begin, std::future::pending());
    let writing = writer(&hub, 20, 600);
    let quick = tokio::spawn({
        let hub = Arc::clone(&hub);
        async move {
            let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
            let mut late = Duration::ZERO;
            while client.got.len() < 12_000 {
                let message = next(&mut quick).await.unwrap();
                client.take(&message);
                if !message.events.is_empty() {
                    // Twenty a second, the first at once.
                    let due =
                        Duration::from_millis(50) * u32::try_from(client.reached - 1).unwrap();
                    late = late.max(begun().elapsed().saturating_sub(due));
                }
            }
            late
        }
    });
    begun();
    let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let message = next(&mut slow).await.expect("whoever takes something is not too slow");
        client.take(&message);
    }
    let stopped = Instant::now();
    while !slow.is_ended() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(stopped.elapsed() < Duration::from_secs(300), "the one that stopped is ended");
    }
    let taken = stopped.elapsed().as_secs();
    assert!((60..=76).contains(&taken), "after {taken} s");
    let ended = next(&mut slow).await.unwrap_err();
    assert_eq!(info_of(&ended)["reason"], "SLOW_CONSUMER");
    let place = hub.cursors.open(&decode(&info_of(&ended)["lastCursor"])).unwrap();
    assert_eq!(place.seq, client.reached, "what it did not take does not count");
    writing.await.unwrap();
    let late = quick.await.unwrap();
    assert!(late < Duration::from_millis(100), "the other one waited for {late:?}");
    // It goes on where it was, without a gap.
    let again = order(place, everything(), beat);
    let mut again = stream(&hub, again, std::future::pending());
    while client.got.len() < 12_000 {
        client.take(&next(&mut again).await.unwrap());
    }
    assert_eq!(client.got, (1..=12_000).collect::<Vec<_>>());
}

/// The moment of the first call, on this thread's clock.
fn begun() -> Instant {
    thread_local! {
        static BEGUN: std::cell::OnceCell<Instant> = const { std::cell::OnceCell::new() };
    }
    BEGUN.with(|begun| *begun.get_or_init(Instant::now))
}

/// Nothing is selected for longer than events are kept: the last heartbeat is as good a place as
/// ever, and an older one is not.
#[tokio::test(start_paused = true)]
async fn a_quiet_stream_outlives_retention_by_its_heartbeats() {
    let nothing_kept = Retention { age_ms: -1, keep_ms: -1, ..Retention::DEFAULT };
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(nothing_kept));
    let (hub, _feed) = running_over(log, settings(|of| of.ring = Size::kib(64)));
    let filter = of_kind(&hub, pb::EventKind::Balance);
    let begin = order(start(&hub).await, filter.clone(), Duration::from_secs(15));
    let mut quiet = stream(&hub, begin, std::future::pending());
    let first = next(&mut quiet).await.unwrap();
    let mut place = hub.cursors.open(&first.cursor).unwrap();
    for round in 0..40 {
        for number in 0..50 {
            append(&hub, round * 50 + number).await;
        }
        while place.seq < u64::from(round + 1) * 50 {
            let message = next(&mut quiet).await.unwrap();
            assert!(message.events.is_empty());
            place = hub.cursors.open(&message.cursor).unwrap();
        }
        hub.log.tidy(i64::MAX).await.unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    drop(quiet);
    // Others went on meanwhile; what was kept of them is gone as well.
    hub.feed.forget();
    assert_eq!(crate::events::cursor::resume(&*hub.log, &place).await, Ok(2_000));
    let again = order(place, everything(), Duration::from_secs(15));
    let mut again = stream(&hub, again, std::future::pending());
    append(&hub, 2_000).await;
    let mut got = Vec::new();
    while got.is_empty() {
        let message = next(&mut again).await.unwrap();
        got.extend(message.events.iter().map(|of| of.sequence));
    }
    assert_eq!(got, [2_001]);
    let old = hub.cursors.open(&first.cursor).unwrap();
    let old = crate::events::cursor::resume(&*hub.log, &old).await;
    assert_eq!(old, Err(crate::events::CursorError::Expired { first: 2_001 }));
}
