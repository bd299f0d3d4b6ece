//! Disks that are full, fail, or forget.

use std::io;
use std::sync::atomic::Ordering;

use rand::RngExt;

use super::*;
use crate::ledger::Insert;
use crate::state::disk::testing::{Journal, Orders, opener};

struct Bench {
    folder: Folder,
    orders: Arc<Orders>,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let (folder, orders) = (Folder::new(), Arc::new(Orders::default()));
        let settings = Settings { answer_within: Duration::from_secs(2), ..folder.settings() };
        let store = EmbeddedLedger::open_with(&settings, opener(&orders)).unwrap();
        Self { folder, orders, store: Arc::new(store) }
    }

    async fn recovers(&self) -> bool {
        for _ in 0..60 {
            if self.store.health().is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    }

    /// Adds entries until told to stop and returns those that were answered.
    async fn add_all(&self, ids: std::ops::Range<u64>) -> Vec<u64> {
        let mut answered = Vec::new();
        for id in ids {
            if let Ok(Insert::Inserted(_)) = self.store.insert(record(id)).await {
                answered.push(id);
            }
        }
        answered
    }
}

async fn assert_kept(store: &Store, ids: &[u64]) {
    for id in ids {
        let kept = store.get(&key(*id)).await.unwrap();
        assert_eq!(kept, Some(Record { version: 1, ..record(*id) }));
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_is_used_again_when_there_is_room() {
    for (kind, at_sync) in
        [(io::ErrorKind::StorageFull, false), (io::ErrorKind::QuotaExceeded, true)]
    {
        let bench = Bench::new();
        let mut answered = bench.add_all(0..5).await;
        let order = if at_sync { &bench.orders.sync } else { &bench.orders.write };
        *order.lock() = Some(kind);
        let text = kind.to_string();
        let begun = std::time::Instant::now();
        let refused = bench.store.insert(record(5)).await.err().unwrap();
        assert!(begun.elapsed() < Duration::from_millis(800));
        assert!(matches!(&refused, StoreError::Unavailable(of) if of.contains(&text)), "{refused}");
        assert!(matches!(bench.store.health(), Err(StoreError::Unavailable(_))));
        assert_eq!(bench.add_all(5..10).await, [0; 0]);
        *order.lock() = None;
        assert!(bench.recovers().await, "there is room again");
        answered.extend(bench.add_all(10..15).await);
        assert_eq!(answered.len(), 10);
        assert_kept(&bench.store, &answered).await;
        drop(bench.store);
        assert_kept(&bench.folder.open(), &answered).await;
    }
}

#[tokio::test]
async fn a_disk_that_is_full_at_start_is_waited_for() {
    let (folder, orders) = (Folder::new(), Arc::new(Orders::default()));
    *orders.write.lock() = Some(io::ErrorKind::StorageFull);
    let store = EmbeddedLedger::open_with(&folder.settings(), opener(&orders)).unwrap();
    let bench = Bench { folder, orders, store: Arc::new(store) };
    assert!(matches!(bench.store.health(), Err(StoreError::Unavailable(_))));
    assert!(matches!(bench.store.get(&key(1)).await, Err(StoreError::Unavailable(_))));
    *bench.orders.write.lock() = None;
    assert!(bench.recovers().await);
    add(&bench.store, record(1)).await;
}

#[tokio::test]
async fn a_failing_sync_is_not_tried_again() {
    let bench = Bench::new();
    let answered = bench.add_all(0..3).await;
    *bench.orders.sync.lock() = Some(io::ErrorKind::Other);
    assert!(bench.store.insert(record(3)).await.is_err());
    *bench.orders.sync.lock() = None;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let Err(StoreError::Unavailable(text)) = bench.store.health() else { panic!("it came back") };
    assert!(text.contains("restart"), "{text}");
    assert!(bench.store.get(&key(1)).await.is_err());
    drop(bench.store);
    assert_kept(&bench.folder.open(), &answered).await;
}

#[tokio::test]
async fn a_panic_inside_is_damage_and_stays() {
    let bench = Bench::new();
    let answered = bench.add_all(0..3).await;
    bench.orders.panic.store(true, Ordering::Relaxed);
    let refused = bench.store.insert(record(3)).await.err().unwrap();
    assert!(
        matches!(&refused, StoreError::Damaged(of) if of.contains("told to panic")),
        "{refused}"
    );
    bench.orders.panic.store(false, Ordering::Relaxed);
    assert!(matches!(bench.store.insert(record(3)).await, Err(StoreError::Damaged(_))));
    assert!(matches!(bench.store.health(), Err(StoreError::Damaged(_))));
    drop(bench.store);
    assert_kept(&bench.folder.open(), &answered).await;
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_not_waited_for() {
    let bench = Bench::new();
    bench.orders.stall.store(true, Ordering::Relaxed);
    let begun = std::time::Instant::now();
    assert!(matches!(bench.store.insert(record(1)).await, Err(StoreError::Unavailable(_))));
    assert!(begun.elapsed() < Duration::from_secs(20), "the caller waited for the disk");
    // The word about it is spread by the thread that is stuck no longer than the call waited.
    while bench.store.health().is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never told to be unavailable");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(matches!(bench.store.health(), Err(StoreError::Unavailable(_))));
    assert!(bench.store.insert(record(2)).await.is_err());
    bench.orders.stall.store(false, Ordering::Relaxed);
    assert!(bench.recovers().await);
    // It may have happened, and here it did.
    assert!(matches!(bench.store.insert(record(1)).await, Ok(Insert::Exists(_))));
}

/// The power goes at every kind of moment: after each of many syncs, with any of the writes since.
#[tokio::test]
async fn a_power_cut_takes_nothing_that_was_answered() {
    let bench = Bench::new();
    drop(bench.store);
    *bench.orders.journal.lock() = Some(Journal::default());
    let settings = bench.folder.settings();
    let store = EmbeddedLedger::open_with(&settings, opener(&bench.orders)).unwrap();
    let store: Store = Arc::new(store);
    let mut cuts = Vec::new();
    let mut answered = Vec::new();
    for id in 0..40 {
        let change = tokio::spawn({
            let store = store.clone();
            async move { add(&store, record(id)).await }
        });
        // Somewhere within the change, and right after it.
        for _ in 0..3 {
            let pause = rand::rng().random_range(0..3_000);
            tokio::time::sleep(Duration::from_micros(pause)).await;
            // The mark first: it never runs ahead of the database, whatever comes between.
            let mark = std::fs::read(bench.folder.file("ledger.mark")).unwrap();
            let database = bench.orders.journal.lock().as_ref().unwrap().cut();
            cuts.push((answered.clone(), database, mark));
        }
        change.await.unwrap();
        answered.push(id);
        let mark = std::fs::read(bench.folder.file("ledger.mark")).unwrap();
        let database = bench.orders.journal.lock().as_ref().unwrap().cut();
        cuts.push((answered.clone(), database, mark));
    }
    assert!(bench.orders.syncs.load(Ordering::Relaxed) >= 80, "two syncs for each commit");
    drop(store);
    for (answered, database, mark) in cuts {
        let folder = Folder::new();
        std::fs::write(folder.file("ledger.redb"), database).unwrap();
        std::fs::write(folder.file("ledger.mark"), mark).unwrap();
        assert_kept(&folder.open(), &answered).await;
    }
}
