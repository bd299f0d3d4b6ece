//! The engine against its promise: as every engine, reopened, damaged, killed, out of room.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod damage;
mod disk;
mod kill;
mod power;

use super::*;
use crate::events::Tier;
use crate::state::disk::testing::Folder;
use crate::state::events::conformance::{
    self, Log, Place, add, add_some, all, conformance, delivered,
};

/// What opens a log, again and again.
pub trait Opens {
    fn open(&self, retention: Retention) -> Log;
}

impl Opens for Folder {
    fn open(&self, retention: Retention) -> Log {
        Arc::new(EmbeddedLog::open(&self.settings(), retention).unwrap())
    }
}

impl Place for Folder {
    async fn begin(&self, retention: Retention) -> Log {
        self.open(retention)
    }
}

/// Opens the log of a folder.
fn open(folder: &Folder) -> Log {
    folder.open(Retention::DEFAULT)
}

conformance!(Folder::new());

#[tokio::test]
async fn room_is_made_of_the_old() {
    conformance::room_is_made_of_the_old(&Folder::new()).await;
}

#[tokio::test]
async fn tidying_counts_what_went() {
    let folder = Folder::new();
    let log = folder.open(Retention { age_ms: -1, keep_ms: -1, ..Retention::DEFAULT });
    add_some(&log, 1..=3).await;
    let cell = Value { expires_ms: Some(5), ..Value::new("x") };
    log.put(CellKey::new(CellKind::Inbox, *b"a"), 0, Some(cell)).await.unwrap();
    assert_eq!(log.tidy(4).await, Ok(Tidied::default()), "the clock went back");
    assert_eq!(log.tidy(5).await, Ok(Tidied { events: 0, cells: 1 }));
    assert_eq!(log.tidy(i64::MAX).await, Ok(Tidied { events: 3, cells: 0 }));
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = Folder::new();
    let key = CellKey::new(CellKind::Group, *b"g");
    let (mut version, mut epoch) = (0, None);
    for round in 0..4 {
        let log = open(&folder);
        let info = log.info().await.unwrap();
        assert_eq!((info.last, *log.tail().borrow()), (round * 10, round * 10));
        assert_eq!(*epoch.get_or_insert(info.epoch), info.epoch);
        add_some(&log, round * 10 + 1..=round * 10 + 10).await;
        let known = Outcome::Duplicate { seq: 3, tier: Tier::Delivery };
        assert_eq!(log.append(delivered(3)).await, Ok(known));
        let put = log.put(key.clone(), version, Some(Value::new("state"))).await;
        let Ok(Put::Done(next)) = put else { panic!("{put:?}") };
        version = next;
    }
    let log = open(&folder);
    assert_eq!(all(&log).await.len(), 40);
    assert_eq!(log.cell(&key).await.unwrap().unwrap().version, version);
}

#[tokio::test]
async fn sequences_go_on_after_everything_went() {
    let folder = Folder::new();
    let gone = Retention { age_ms: -1, keep_ms: -1, ..Retention::DEFAULT };
    let log = folder.open(gone);
    add_some(&log, 1..=5).await;
    log.tidy(i64::MAX).await.unwrap();
    drop(log);
    let log = folder.open(gone);
    assert_eq!(log.info().await.unwrap().first, 6);
    assert_eq!(add(&log, delivered(1)).await, 6);
}

/// Between a commit and its mark the database is ahead of what anybody was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_that_the_log_does_not_know_of_itself() {
    let folder = Folder::new();
    let log = open(&folder);
    let writing = tokio::spawn({
        let log = log.clone();
        async move { add_some(&log, 1..=150).await }
    });
    let (mut at, mut reads) = (0, 0);
    while at < 150 {
        let read = log.read(at, Limit::events(100)).await.unwrap();
        let last = log.info().await.unwrap().last;
        if let Some(shown) = read.last() {
            assert!(shown.seq <= last, "{} is shown of {last}", shown.seq);
            let place = crate::events::Position::behind(log.info().await.unwrap().epoch, shown);
            let resumed = crate::events::cursor::resume(&*log, &place).await;
            assert_eq!(resumed, Ok(shown.seq));
            at = shown.seq;
        }
        reads += 1;
    }
    writing.await.unwrap();
    assert!(reads > 150, "{reads} reads");
}

#[tokio::test]
async fn ledger_and_log_share_a_folder() {
    let folder = Folder::new();
    let log = open(&folder);
    let ledger = crate::state::EmbeddedLedger::open(&folder.settings()).unwrap();
    add(&log, delivered(1)).await;
    assert_eq!(crate::ledger::LedgerStore::health(&ledger), Ok(()));
    assert!(folder.file("events.redb").exists() && folder.file("ledger.redb").exists());
}

#[tokio::test]
async fn one_process_uses_it_at_a_time() {
    let folder = Folder::new();
    let _log = open(&folder);
    let settings =
        Settings { lock_wait: std::time::Duration::from_millis(100), ..folder.settings() };
    let refused = EmbeddedLog::open(&settings, Retention::DEFAULT).err().unwrap();
    let LogError::Unavailable(text) = refused else { panic!("{refused}") };
    assert!(text.contains("events.lock"), "{text}");
}
