//! Files that are not what they were.
//!
//! Whatever happens to them: no panic gets out, and either the ledger says that it is damaged or
//! every entry that was answered is there as it was.

use std::fs;

use super::*;
use crate::ledger::Insert;
use crate::state::disk::testing::Closed;

const ENTRIES: u64 = 120;

/// A closed ledger of some entries.
async fn closed() -> Closed {
    let folder = Folder::new();
    let store = folder.open();
    for id in 0..ENTRIES {
        add(&store, record(id)).await;
    }
    drop(store);
    Closed::of(folder, "ledger")
}

impl Closed {
    /// Opens it; says whether it was refused.
    async fn is_refused(&self, what: &str) -> bool {
        let settings = Settings { lock_wait: Duration::from_secs(10), ..self.folder.settings() };
        self.is_refused_with(&settings, what).await
    }

    async fn is_refused_with(&self, settings: &Settings, what: &str) -> bool {
        let store = match EmbeddedLedger::open(settings) {
            Err(StoreError::Damaged(text)) => {
                assert!(text.contains("put back"), "{what}: {text} does not say what to do");
                return true;
            }
            Err(other) => panic!("{what}: {other}"),
            Ok(store) => store,
        };
        for id in 0..ENTRIES {
            match store.get(&key(id)).await {
                Ok(Some(kept)) => {
                    assert_eq!(kept, Record { version: 1, ..record(id) }, "{what}");
                }
                Ok(None) => panic!("{what}: {id} is forgotten"),
                Err(StoreError::Damaged(_)) => {
                    assert!(matches!(store.health(), Err(StoreError::Damaged(_))), "{what}");
                    assert!(store.insert(record(ENTRIES)).await.is_err(), "{what}");
                    return true;
                }
                Err(other) => panic!("{what}: {other}"),
            }
        }
        match store.insert(record(7)).await {
            Ok(Insert::Exists(_)) => false,
            Err(StoreError::Damaged(_)) => true,
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_database_cut_short_is_refused() {
    let closed = self::closed().await;
    let whole = closed.database.len();
    let cuts = [0, 1, 63, 64, 319, 320, 4095, 4096, whole / 3, whole / 2, whole - 4096, whole - 1];
    for cut in cuts {
        closed.put(&closed.database[..cut], &closed.mark);
        assert!(closed.is_refused(&format!("cut to {cut} of {whole}")).await, "cut to {cut}");
        let left = fs::read(closed.folder.file("ledger.redb")).unwrap();
        assert!(!left.is_empty() || cut == 0, "the damaged file stays");
    }
    closed.put(&closed.database, &closed.mark);
    assert!(!closed.is_refused("whole again").await);
}

#[tokio::test]
async fn a_database_with_a_zeroed_tail_is_never_believed() {
    let closed = self::closed().await;
    let whole = closed.database.len();
    for zeroed in [512, 4096, 65_536, whole / 2, whole - 4096, whole] {
        let mut database = closed.database.clone();
        database[whole - zeroed..].fill(0);
        closed.put(&database, &closed.mark);
        let refused = closed.is_refused(&format!("{zeroed} of {whole} bytes zeroed")).await;
        assert!(refused || zeroed < whole / 2, "{zeroed} zeroed");
    }
}

#[tokio::test]
async fn flipped_bits_are_never_believed() {
    let closed = self::closed().await;
    let mut refused = 0;
    for block in 0..closed.database.len() / 4096 {
        // Another place in each block; what is all zeroes is not in use.
        let bytes = &closed.database[block * 4096..][..4096];
        let Some(used) = bytes.iter().rposition(|byte| *byte != 0) else { continue };
        for at in [block * 37 % (used + 1), used] {
            let mut database = closed.database.clone();
            database[block * 4096 + at] ^= 1 << (block % 8);
            closed.put(&database, &closed.mark);
            let what = format!("a bit at {at} of block {block}");
            refused += u32::from(closed.is_refused(&what).await);
        }
    }
    assert!(refused >= 10, "only {refused} flips were noticed");
}

/// As in a database too large to be read when it is opened.
#[tokio::test]
async fn flipped_bits_of_entries_are_noticed_when_they_are_read() {
    let closed = self::closed().await;
    let settings = Settings { check_below_bytes: 0, ..closed.folder.settings() };
    let reply = [7; 200];
    let mut refused = 0;
    let windows: Vec<_> = (0..closed.database.len() - reply.len())
        .filter(|at| closed.database[*at..].starts_with(&reply) && closed.database[at - 1] != 7)
        .collect();
    assert!(windows.len() >= 100);
    for at in windows.into_iter().step_by(10) {
        let mut database = closed.database.clone();
        database[at + 50] ^= 16;
        closed.put(&database, &closed.mark);
        let what = format!("a bit at {at}");
        refused += u32::from(closed.is_refused_with(&settings, &what).await);
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_missing_file_is_not_taken_for_a_new_ledger() {
    let closed = self::closed().await;
    for (gone, kept) in [("ledger.redb", "ledger.mark"), ("ledger.mark", "ledger.redb")] {
        closed.put(&closed.database, &closed.mark);
        fs::remove_file(closed.folder.file(gone)).unwrap();
        assert!(closed.is_refused(gone).await, "without {gone}");
        assert!(!closed.folder.file(gone).exists(), "{gone} came back");
        assert!(closed.folder.file(kept).exists());
    }
}

#[tokio::test]
async fn an_older_or_another_copy_is_refused() {
    let old = closed().await;
    let store = old.folder.open();
    add(&store, record(ENTRIES)).await;
    add(&store, record(ENTRIES + 1)).await;
    drop(store);
    let new = Closed::of(old.folder, "ledger");
    for (what, database, mark, refused) in [
        ("an old database", &old.database, &new.mark, true),
        ("an old mark", &new.database, &old.mark, true),
        ("both new", &new.database, &new.mark, false),
    ] {
        new.put(database, mark);
        assert_eq!(new.is_refused(what).await, refused, "{what}");
    }

    // Two histories of one length.
    new.put(&old.database, &old.mark);
    let store = new.folder.open();
    add(&store, record(ENTRIES + 5)).await;
    add(&store, record(ENTRIES + 6)).await;
    drop(store);
    let fork = Closed::of(new.folder, "ledger");
    fork.put(&new.database, &fork.mark);
    assert!(fork.is_refused("another history").await);

    let other = closed().await;
    fork.put(&other.database, &fork.mark);
    assert!(fork.is_refused("another ledger").await);
}

#[tokio::test]
async fn one_commit_ahead_of_the_mark_is_a_crash_and_made_good() {
    let before = closed().await;
    let store = before.folder.open();
    add(&store, record(ENTRIES)).await;
    drop(store);
    let after = Closed::of(before.folder, "ledger");
    after.put(&after.database, &before.mark);
    assert!(!after.is_refused("one ahead").await);
    let again = Closed::of(after.folder, "ledger");
    assert_eq!(again.mark, after.mark.clone(), "the mark was written again");
}

#[tokio::test]
async fn a_damaged_mark_is_refused_unless_one_slot_tells_enough() {
    let closed = self::closed().await;
    for (what, mark) in [("empty", vec![]), ("zeroes", vec![0; 8192]), ("noise", vec![0xA5; 8192])]
    {
        closed.put(&closed.database, &mark);
        assert!(closed.is_refused(what).await, "{what}");
    }
    // ENTRIES commits: the newest mark is in the first slot. A torn write leaves the other one.
    let mut torn = closed.mark.clone();
    torn[20] ^= 1;
    closed.put(&closed.database, &torn);
    assert!(!closed.is_refused("the newest slot is torn").await);
    let mut stale = closed.mark.clone();
    stale[4096 + 20] ^= 1;
    closed.put(&closed.database, &stale);
    assert!(!closed.is_refused("the other slot is torn").await);
}
