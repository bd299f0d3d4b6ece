//! The system's clock is set while deliveries are in somebody's hands.

use super::*;
use crate::events::testing::set_clock;

const HOUR_MS: i64 = 3_600_000;

#[tokio::test(start_paused = true)]
async fn deadlines_pass_evenly_whatever_happens_to_the_clock() {
    for step in [HOUR_MS, -HOUR_MS] {
        let hub = hub();
        group(&hub, false, 10).await;
        bill(&hub, 1, 1).await;
        let mut seat = join(&hub, 64).await;
        let first = seat.take(1, SOON).await;
        assert_eq!(first.len(), 1);
        set_clock(step);
        let begun = tokio::time::Instant::now();
        let early = seat.take(1, DEADLINE - SOON).await;
        assert_eq!(early.len(), 0, "not before the deadline, with the clock set by {step} ms");
        let again = seat.take(1, DEADLINE).await;
        assert_eq!((again.len(), again[0].attempt), (1, 2), "after it, set by {step} ms");
        assert!(begun.elapsed() < DEADLINE + 3 * SOON, "{:?}", begun.elapsed());
        // Late word counts on any day.
        assert_eq!(seat.ack(&first[0]).await, Done);
        assert_eq!(seat.ack(&again[0]).await, AlreadyDone);
        set_clock(0);
    }
}

/// The process that held a delivery is gone, and the clock was set back before the next one came.
#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_makes_no_delivery_wait_for_an_hour() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Retention::DEFAULT));
    let before = over(&log);
    group(&before, false, 10).await;
    bill(&before, 1, 1).await;
    let mut gone = join(&before, 64).await;
    assert_eq!(gone.take(1, SOON).await.len(), 1);
    drop(gone);
    tokio::time::sleep(3 * SOON).await;
    drop(before);
    set_clock(-HOUR_MS);
    let after = over(&log);
    let begun = tokio::time::Instant::now();
    let mut seat = join(&after, 64).await;
    let again = seat.take(1, 2 * DEADLINE).await;
    assert_eq!(again.len(), 1, "it waits for the clock to come back");
    assert_eq!(again[0].attempt, 2);
    assert!(begun.elapsed() <= DEADLINE + 3 * SOON, "{:?}", begun.elapsed());
    assert_eq!(seat.ack(&again[0]).await, Done);
    set_clock(0);
}
