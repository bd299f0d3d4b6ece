//! Disks that are full, fail, or forget; and how often they are asked.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::*;
use crate::state::disk::testing::{Orders, opener};

struct Bench {
    folder: Folder,
    orders: Arc<Orders>,
    log: Log,
}

impl Bench {
    fn new() -> Self {
        let (folder, orders) = (Folder::new(), Arc::new(Orders::default()));
        let log = Self::open(&folder, &orders);
        Self { folder, orders, log }
    }

    fn open(folder: &Folder, orders: &Arc<Orders>) -> Log {
        let log =
            EmbeddedLog::open_with(&folder.settings(), Retention::DEFAULT, opener(orders)).unwrap();
        Arc::new(log)
    }

    async fn recovers(&self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if self.log.health().is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// The events that were answered are there, in the places that were answered.
pub(super) async fn assert_kept(log: &Log, answered: u64) {
    let kept = all(log).await;
    assert!(kept.len() as u64 >= answered, "{} of {answered}", kept.len());
    for (number, stored) in (1..=answered).zip(kept) {
        assert_eq!((stored.seq, stored.event), (number, delivered(number).event));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_is_used_again_when_there_is_room() {
    let bench = Bench::new();
    add_some(&bench.log, 1..=5).await;
    *bench.orders.write.lock() = Some(io::ErrorKind::StorageFull);
    let refused = bench.log.append(delivered(6)).await;
    assert!(matches!(refused, Err(LogError::Unavailable(_))), "{refused:?}");
    assert!(matches!(bench.log.health(), Err(LogError::Unavailable(_))));
    assert!(bench.log.append(delivered(7)).await.is_err());
    assert_eq!(*bench.log.tail().borrow(), 5);
    *bench.orders.write.lock() = None;
    assert!(bench.recovers().await, "there is room again");
    assert_eq!(add(&bench.log, delivered(6)).await, 6);
    assert_kept(&bench.log, 6).await;
    drop(bench.log);
    assert_kept(&open(&bench.folder), 6).await;
}

#[tokio::test]
async fn a_failing_sync_is_not_tried_again() {
    let bench = Bench::new();
    add_some(&bench.log, 1..=3).await;
    *bench.orders.sync.lock() = Some(io::ErrorKind::Other);
    assert!(bench.log.append(delivered(4)).await.is_err());
    *bench.orders.sync.lock() = None;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let refused = bench.log.append(delivered(4)).await;
    assert!(matches!(refused, Err(LogError::Unavailable(text)) if text.contains("restart")));
    assert!(bench.log.read(0, Limit::events(1)).await.is_err());
    assert!(matches!(bench.log.health(), Err(LogError::Unavailable(_))), "it stays dead");
    drop(bench.log);
    let log = open(&bench.folder);
    let again = bench.orders.after_failure.load(Ordering::Relaxed);
    assert_eq!(again, 0, "the handle was used after its sync had failed");
    assert_kept(&log, 3).await;
    // QIWI asks again: it is there once, whatever became of the first attempt.
    log.append(delivered(4)).await.unwrap();
    assert_eq!(all(&log).await.len(), 4);
}

#[tokio::test]
async fn a_panic_inside_is_damage_and_stays() {
    let bench = Bench::new();
    add_some(&bench.log, 1..=3).await;
    bench.orders.panic.store(true, Ordering::Relaxed);
    assert!(matches!(bench.log.append(delivered(4)).await, Err(LogError::Damaged(_))));
    bench.orders.panic.store(false, Ordering::Relaxed);
    assert!(matches!(bench.log.append(delivered(4)).await, Err(LogError::Damaged(_))));
    drop(bench.log);
    assert_kept(&open(&bench.folder), 3).await;
}

/// Whoever comes while the disk is busy shares the next commit.
#[tokio::test]
async fn many_appends_share_few_syncs() {
    let bench = Bench::new();
    add(&bench.log, delivered(1)).await;
    let before = bench.orders.syncs.load(Ordering::Relaxed);
    add(&bench.log, delivered(2)).await;
    let of_one = bench.orders.syncs.load(Ordering::Relaxed) - before;
    assert!(of_one >= 1);

    bench.orders.stall.store(true, Ordering::Relaxed);
    let before = bench.orders.syncs.load(Ordering::Relaxed);
    let mut appends = join_all((3..=202).map(|number| bench.log.append(delivered(number))));
    // Now all of them wait: some in the commit that stands still, the others behind it.
    assert!(futures_util::poll!(&mut appends).is_pending());
    bench.orders.stall.store(false, Ordering::Relaxed);
    let outcomes = appends.await;
    for (number, outcome) in (3..).zip(outcomes) {
        assert_eq!(outcome, Ok(Outcome::Appended { seq: number }));
    }
    let syncs = bench.orders.syncs.load(Ordering::Relaxed) - before;
    assert!(syncs <= 2 * of_one, "{syncs} syncs for 200 appends, {of_one} for one");
}
