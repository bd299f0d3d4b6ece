//! Files that are not what they were.
//!
//! Whatever happens to them: no panic gets out, and either the log says that it is damaged or
//! every event that was answered is there as it was.

use std::fs;

use super::*;
use crate::events::cursor::resume;
use crate::events::{CursorError, Position};
use crate::state::disk::testing::Closed;
use crate::state::events::conformance::event;

const EVENTS: u64 = 120;

/// A closed log of some events.
async fn closed() -> Closed {
    let folder = Folder::new();
    let log = open(&folder);
    add_some(&log, 1..=EVENTS).await;
    drop(log);
    Closed::of(folder, "events")
}

/// Opens it; says whether it was refused, in words that say what to do.
async fn is_refused(settings: &Settings, what: &str) -> bool {
    let damaged = |error: &LogError| match error {
        LogError::Damaged(text) => {
            assert!(text.contains("put back"), "{what}: {text} does not say what to do");
        }
        other => panic!("{what}: {other}"),
    };
    let log: Log = match EmbeddedLog::open(settings, Retention::DEFAULT) {
        Err(error) => {
            damaged(&error);
            return true;
        }
        Ok(log) => Arc::new(log),
    };
    let stays = async |error| {
        damaged(&error);
        assert!(matches!(log.health(), Err(LogError::Damaged(_))), "{what}");
        assert!(log.append(delivered(EVENTS + 1)).await.is_err(), "{what}");
        true
    };
    for number in 1..=EVENTS {
        match log.read(number - 1, Limit::events(1)).await {
            Ok(read) => assert_eq!(read[0].event, event(number, "SUCCESS"), "{what}"),
            Err(ReadError::Log(error)) => return stays(error).await,
            Err(other) => panic!("{what}: {other}"),
        }
        match log.append(delivered(number)).await {
            // By what it is known may be damaged, in a log too large to be checked when it is
            // opened: then it is known by the other.
            Ok(outcome) => {
                let is_known = matches!(outcome, Outcome::Duplicate { seq, .. } if seq == number);
                assert!(is_known, "{what}: {outcome:?}");
            }
            Err(error) => return stays(error).await,
        }
    }
    match log.append(delivered(EVENTS + 1)).await {
        Ok(outcome) => {
            assert_eq!(outcome, Outcome::Appended { seq: EVENTS + 1 }, "{what}");
            false
        }
        Err(error) => stays(error).await,
    }
}

#[tokio::test]
async fn a_database_cut_short_is_refused() {
    let closed = closed().await;
    let whole = closed.database.len();
    for cut in [0, 1, 64, 320, 4095, 4096, whole / 3, whole / 2, whole - 4096, whole - 1] {
        closed.put(&closed.database[..cut], &closed.mark);
        let settings = closed.folder.settings();
        assert!(is_refused(&settings, &format!("cut to {cut} of {whole}")).await, "{cut}");
    }
    closed.put(&closed.database, &closed.mark);
    assert!(!is_refused(&closed.folder.settings(), "whole again").await);
}

#[tokio::test]
async fn a_database_with_a_zeroed_tail_is_never_believed() {
    let closed = closed().await;
    let whole = closed.database.len();
    for zeroed in [512, 4096, 65_536, whole / 2, whole - 4096, whole] {
        let mut database = closed.database.clone();
        database[whole - zeroed..].fill(0);
        closed.put(&database, &closed.mark);
        let what = format!("{zeroed} of {whole} bytes zeroed");
        let refused = is_refused(&closed.folder.settings(), &what).await;
        assert!(refused || zeroed < whole / 2, "{what}");
    }
}

/// Both as in a database that is read as a whole when it is opened, and as in one too large for
/// that, where the checksums of rows are all there is.
#[tokio::test]
async fn flipped_bits_are_never_believed() {
    let closed = closed().await;
    for check_below_bytes in [u64::MAX, 0] {
        let settings = Settings { check_below_bytes, ..closed.folder.settings() };
        let mut refused = 0;
        for block in (0..closed.database.len() / 4096).step_by(3) {
            // Another place in each block; what is all zeroes is not in use.
            let bytes = &closed.database[block * 4096..][..4096];
            let Some(used) = bytes.iter().rposition(|byte| *byte != 0) else { continue };
            for at in [block * 37 % (used + 1), used] {
                let mut database = closed.database.clone();
                database[block * 4096 + at] ^= 1 << (block % 8);
                closed.put(&database, &closed.mark);
                let what = format!("a bit at {at} of block {block}");
                refused += u32::from(is_refused(&settings, &what).await);
            }
        }
        assert!(refused >= 3, "only {refused} flips were noticed");
    }
}

/// Old events of a large log are not read when it is opened; tidying reads them in time.
#[tokio::test]
async fn tidying_finds_damage_nobody_read() {
    let folder = Folder::new();
    let log = open(&folder);
    // More follow than are read when it is opened.
    let mut first = delivered(0);
    first.event.payload = vec![b'#'; 300].into();
    let payload = first.event.payload.clone();
    add(&log, first).await;
    for some in (1..=10_200).collect::<Vec<u64>>().chunks(1_000) {
        futures_util::future::join_all(some.iter().map(|n| add(&log, delivered(*n)))).await;
    }
    drop(log);
    let closed = Closed::of(folder, "events");
    let mut database = closed.database.clone();
    for at in 0..database.len() - payload.len() {
        if database[at..].starts_with(&payload) {
            database[at + 10] ^= 1;
        }
    }
    assert!(database != closed.database);
    closed.put(&database, &closed.mark);
    let settings = Settings { check_below_bytes: 0, ..closed.folder.settings() };
    let log = EmbeddedLog::open(&settings, Retention::DEFAULT).unwrap();
    assert_eq!(log.health(), Ok(()));
    assert!(matches!(log.tidy(0).await, Err(LogError::Damaged(_))));
    assert!(matches!(log.health(), Err(LogError::Damaged(_))));
}

#[tokio::test]
async fn a_missing_file_is_not_taken_for_a_new_log() {
    let closed = closed().await;
    for gone in ["events.redb", "events.mark"] {
        closed.put(&closed.database, &closed.mark);
        fs::remove_file(closed.folder.file(gone)).unwrap();
        assert!(is_refused(&closed.folder.settings(), gone).await, "without {gone}");
        assert!(!closed.folder.file(gone).exists(), "{gone} came back");
    }
}

#[tokio::test]
async fn an_older_copy_is_refused_and_no_sequence_used_again() {
    let old = closed().await;
    let log = open(&old.folder);
    add_some(&log, EVENTS + 1..=EVENTS + 2).await;
    drop(log);
    let new = Closed::of(old.folder, "events");
    new.put(&old.database, &new.mark);
    assert!(is_refused(&new.folder.settings(), "an old database").await);
    new.put(&new.database, &old.mark);
    assert!(is_refused(&new.folder.settings(), "an old mark").await);

    // Put back with both from one moment it looks like nothing happened, but not to those who hold
    // a cursor from behind it.
    new.put(&new.database, &new.mark);
    let log = open(&new.folder);
    let (epoch, kept) = (log.info().await.unwrap().epoch, all(&log).await);
    let last = Position::behind(epoch, kept.last().unwrap());
    let early = Position::behind(epoch, &kept[5]);
    drop(log);
    // Opening waits until the one before has let go.
    let new = Closed::of(new.folder, "events");
    new.put(&old.database, &old.mark);
    let log = open(&new.folder);
    assert_eq!(resume(&*log, &last).await, Err(CursorError::Ahead { last: EVENTS }));
    add_some(&log, 1_001..=1_005).await;
    assert_eq!(resume(&*log, &last).await, Err(CursorError::Foreign));
    assert_eq!(resume(&*log, &early).await, Ok(6));
}

#[tokio::test]
async fn a_log_begun_anew_is_another_one() {
    let closed = closed().await;
    let log = open(&closed.folder);
    let (epoch, kept) = (log.info().await.unwrap().epoch, all(&log).await);
    drop(log);
    let closed = Closed::of(closed.folder, "events");
    for name in ["events.redb", "events.mark"] {
        fs::rename(closed.folder.file(name), closed.folder.file(&format!("{name}.old"))).unwrap();
    }
    let log = open(&closed.folder);
    // The same event again, from the history: its identity is what it was, its place is not.
    add(&log, delivered(7)).await;
    assert_eq!(all(&log).await[0].event.id, kept[6].event.id);
    let foreign = resume(&*log, &Position::behind(epoch, &kept[0])).await;
    assert_eq!(foreign, Err(CursorError::Foreign));
}
