//! One holder, another one after it, and no harm by whoever wakes up late.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::events::Retention;
use crate::state::MemoryLog;

const TTL: Duration = Duration::from_secs(5);
const WORK: Work = Work::History(Owner::from_bytes([1; 16]));

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(Retention::DEFAULT).shared())
}

fn leases(log: &Arc<dyn EventLog>) -> Arc<Leases> {
    Arc::new(Leases::new(Arc::clone(log), TTL, Arc::new(Metrics::unread(&[]))))
}

/// Looks and asks for a while, as somebody does who wants to work; how long until it may.
async fn until_mine(leases: &Leases, at_most: Duration) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() <= at_most {
        if leases.is_mine(WORK) {
            return Some(begun.elapsed());
        }
        leases.step().await;
        tokio::time::sleep(TTL / RENEWALS).await;
    }
    None
}

#[tokio::test(start_paused = true)]
async fn one_holds_it_for_as_long_as_it_renews_and_asks() {
    let log = log();
    let (one, other) = (leases(&log), leases(&log));
    assert!(until_mine(&one, TTL).await.is_some());
    for _ in 0..40 {
        one.step().await;
        other.step().await;
        assert!(one.is_mine(WORK) && !other.is_mine(WORK));
        tokio::time::sleep(TTL / RENEWALS).await;
    }
    assert!(!other.is_mine(Work::Balances(Owner::from_bytes([1; 16]))));
    other.step().await;
    assert!(other.is_mine(Work::Balances(Owner::from_bytes([1; 16]))), "another work");
    // Nobody here wants it any more: it is given back.
    let begun = Instant::now();
    while !other.is_mine(WORK) {
        assert!(begun.elapsed() <= TTL + TTL / RENEWALS * 2);
        one.step().await;
        other.step().await;
        tokio::time::sleep(TTL / RENEWALS).await;
    }
    assert!(begun.elapsed() >= TTL, "wanted a moment ago");
    assert!(one.known.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_one_takes_over_when_the_holder_is_gone_and_the_holder_finds_out() {
    let log = log();
    let (one, other) = (leases(&log), leases(&log));
    assert!(until_mine(&one, TTL).await.is_some());
    assert!(!other.is_mine(WORK));
    other.step().await;
    // It stands still, without a goodbye.
    let took = until_mine(&other, TTL * 2).await.unwrap();
    assert!(took >= TTL * 3 / 4 && took <= TTL + TTL / RENEWALS * 2, "{took:?}");
    assert!(!one.is_mine(WORK), "its own time was over before");
    // It wakes and goes on as if nothing had been.
    let stale = one.known.lock().get(&WORK).copied().unwrap();
    one.step().await;
    assert!(!one.is_mine(WORK) && other.is_mine(WORK));
    // Even where it believes to hold it, the version says no.
    one.known.lock().insert(WORK, Known { held_until: Some(Instant::now() + TTL), ..stale });
    one.finish().await;
    other.step().await;
    assert!(other.is_mine(WORK));
}

#[tokio::test(start_paused = true)]
async fn who_stops_in_order_keeps_nobody_waiting() {
    let log = log();
    let (one, other) = (leases(&log), leases(&log));
    assert!(until_mine(&one, TTL).await.is_some());
    assert!(!other.is_mine(WORK));
    other.step().await;
    one.finish().await;
    other.step().await;
    assert!(other.is_mine(WORK));
}

#[tokio::test]
async fn over_a_log_of_its_own_a_replica_does_everything() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Retention::DEFAULT));
    let leases = leases(&log);
    assert!(leases.is_mine(WORK));
    leases.run().await;
}
