//! The engine against its promise: as every engine, reopened, damaged, killed, out of room.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod damage;
mod disk;
mod kill;

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::ledger::State;
use crate::state::conformance::{Store, add, conformance, key, record};
use crate::state::disk::testing::Folder;

/// Opens the ledger of a folder.
pub trait Ledger {
    fn try_open(&self) -> Result<Store, StoreError>;

    fn open(&self) -> Store {
        self.try_open().unwrap()
    }
}

impl Ledger for Folder {
    fn try_open(&self) -> Result<Store, StoreError> {
        Ok(Arc::new(EmbeddedLedger::open(&self.settings())?))
    }
}

conformance!(Folder::new());

#[tokio::test]
async fn what_was_answered_is_there_after_opening_again() {
    let folder = Folder::new();
    let mut expected = Vec::new();
    for round in 0..5 {
        let store = folder.open();
        for id in round * 10..round * 10 + 10 {
            let kept = add(&store, record(id)).await;
            let next = Record { state: State::Sending, ..kept };
            assert_eq!(store.replace(1, next.clone()).await, Ok(Replace::Done(2)));
            expected.push(Record { version: 2, ..next });
        }
        drop(store);
    }
    let store = folder.open();
    for record in &expected {
        assert_eq!(store.get(&record.key).await, Ok(Some(record.clone())));
    }
    assert_eq!(store.unsettled(100).await.unwrap().len(), expected.len());
}

/// A page that is read is not given to the writer; debug builds of redb check that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_read_while_it_changes_is_whole() {
    let folder = Folder::new();
    let store = folder.open();
    for id in 0..20 {
        add(&store, record(id)).await;
    }
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let readers = (0..6).map(|reader| {
        let (store, done) = (store.clone(), done.clone());
        tokio::spawn(async move {
            let mut last = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let kept = store.get(&key(reader)).await.unwrap().unwrap();
                assert!(kept.version >= last);
                last = kept.version;
                assert_eq!(store.unsettled(100).await.unwrap().len(), 20);
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let begun = std::time::Instant::now();
    let mut version = 1;
    while begun.elapsed() < Duration::from_secs(3) {
        let changes = (0..20).map(|id| store.replace(version, record(id)));
        for replaced in futures_util::future::join_all(changes).await {
            assert_eq!(replaced, Ok(Replace::Done(version + 1)));
        }
        version += 1;
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    store.health().unwrap();
}

#[tokio::test]
async fn a_change_whose_caller_left_is_still_made() {
    let folder = Folder::new();
    let store = folder.open();
    let mut insert = store.insert(record(1));
    assert!(futures_util::poll!(&mut insert).is_pending());
    drop(insert);
    // One writer: the next change comes after it.
    add(&store, record(2)).await;
    assert!(store.get(&key(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_second_one_is_told_which_file_is_held() {
    let folder = Folder::new();
    let store = folder.open();
    let settings = Settings { lock_wait: Duration::from_millis(300), ..folder.settings() };
    let begun = std::time::Instant::now();
    let refused = EmbeddedLedger::open(&settings).err().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300), "it waits");
    let StoreError::Unavailable(text) = refused else { panic!("{refused}") };
    assert!(text.contains(folder.file("ledger.lock").to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    add(&store, record(1)).await;

    // It takes over when the first one lets go.
    let path = folder.path().to_owned();
    let second = tokio::task::spawn_blocking(move || EmbeddedLedger::open(&Settings::new(path)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(store);
    let store: Store = Arc::new(second.await.unwrap().unwrap());
    assert!(store.get(&key(1)).await.unwrap().is_some());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Folder::new();
    // The superuser may write anywhere but below a file.
    let file = folder.file("file");
    std::fs::write(&file, "").unwrap();
    let mut paths = vec![file.join("state")];
    let read_only = folder.file("read-only");
    std::fs::create_dir(&read_only).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    std::fs::set_permissions(&read_only, mode).unwrap();
    if std::fs::write(read_only.join("probe"), "").is_err() {
        paths.push(read_only);
    }
    for path in paths {
        let refused = EmbeddedLedger::open(&Settings::new(&path)).err().unwrap();
        let StoreError::Unavailable(text) = refused else { panic!("{refused}") };
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[tokio::test]
async fn an_interrupted_creation_is_taken_up() {
    let folder = Folder::new();
    std::fs::write(folder.file("ledger.redb.new"), "half of a database").unwrap();
    drop(folder.open());
    // Between database and mark.
    std::fs::remove_file(folder.file("ledger.mark")).unwrap();
    let store = folder.open();
    add(&store, record(1)).await;
    drop(store);
    assert!(folder.open().get(&key(1)).await.unwrap().is_some());
}
