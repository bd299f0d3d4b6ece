//! What every engine must do with cells.

use bytes::Bytes;
use futures_util::future::join_all;
use uuid::Uuid;

use super::{Place, add_some, all, rules};
use crate::events::cell::{NAME_MAX, Saved, VALUE_MAX, Versioned, list, load, save};
use crate::events::{
    Cause, Cell, CellKey, CellKind, DeadLetter, Group, LogError, Put, Retention, Value, Watermark,
};

fn key(name: &str) -> CellKey {
    CellKey::new(CellKind::Inbox, name.as_bytes())
}

fn value(text: &'static str) -> Option<Value> {
    Some(Value::new(text))
}

pub async fn a_cell_changes_by_compare_and_set(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    assert_eq!(log.cell(&key("a")).await, Ok(None));
    assert_eq!(log.put(key("a"), 1, value("x")).await, Ok(Put::Changed(None)));
    let Ok(Put::Done(first)) = log.put(key("a"), 0, value("x")).await else { panic!("refused") };
    let there = Cell { version: first, value: Value::new("x") };
    assert_eq!(log.cell(&key("a")).await, Ok(Some(there.clone())));
    assert_eq!(log.put(key("a"), 0, value("y")).await, Ok(Put::Changed(Some(there))));
    let Ok(Put::Done(second)) = log.put(key("a"), first, value("y")).await else { panic!() };
    assert!(second > first);
    assert!(matches!(log.put(key("a"), first, None).await, Ok(Put::Changed(Some(_)))));
    assert!(matches!(log.put(key("a"), second, None).await, Ok(Put::Done(_))));
    assert_eq!(log.cell(&key("a")).await, Ok(None));
    // Who still holds a version from before must not meet it again.
    let Ok(Put::Done(third)) = log.put(key("a"), 0, value("z")).await else { panic!() };
    assert!(third > second);

    let long = CellKey::new(CellKind::Inbox, vec![1; NAME_MAX + 1]);
    let refused = log.put(long, 0, value("x")).await;
    assert!(matches!(refused, Err(LogError::TooLarge { .. })));
    let large = Value::new(vec![1; VALUE_MAX + 1]);
    let refused = log.put(key("b"), 0, Some(large)).await;
    assert!(matches!(refused, Err(LogError::TooLarge { .. })));
}

pub async fn no_change_of_a_cell_is_lost(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let tasks = (0..40).map(|_| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut current = log.cell(&key("n")).await.unwrap();
            loop {
                let (version, count) = match &current {
                    Some(cell) => (cell.version, cell.value.bytes[0]),
                    None => (0, 0),
                };
                let next = Value::new(vec![count + 1]);
                match log.put(key("n"), version, Some(next)).await.unwrap() {
                    Put::Done(_) => return,
                    Put::Changed(there) => current = there,
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let cell = log.cell(&key("n")).await.unwrap().unwrap();
    assert_eq!(cell.value.bytes, Bytes::from_static(&[40]));
}

pub async fn cells_are_listed_by_kind_and_prefix(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    for name in ["b/2", "b/10", "a", "b", "b/1", "c"] {
        log.put(key(name), 0, value("x")).await.unwrap();
    }
    let other = CellKey::new(CellKind::Watermark, *b"b/3");
    log.put(other, 0, value("x")).await.unwrap();
    let names = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(str::as_bytes);
        let found = log.cells(CellKind::Inbox, prefix.as_bytes(), after, limit).await.unwrap();
        let names = found.into_iter().map(|(key, _)| String::from_utf8(key.name.into()).unwrap());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names("", None, 100).await, ["a", "b", "b/1", "b/10", "b/2", "c"]);
    assert_eq!(names("b/", None, 100).await, ["b/1", "b/10", "b/2"]);
    assert_eq!(names("b/", None, 2).await, ["b/1", "b/10"]);
    assert_eq!(names("b/", Some("b/10"), 2).await, ["b/2"]);
    assert_eq!(names("b/", Some("a"), 1).await, ["b/1"]);
    assert_eq!(names("b/", Some("c"), 2).await, [""; 0]);
    assert_eq!(names("d", None, 2).await, [""; 0]);
}

pub async fn cells_go_when_their_time_is_over(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let now_ms = rules::clock(0);
    let until = |expires_ms| Some(Value { expires_ms, ..Value::new("x") });
    log.put(key("soon"), 0, until(Some(now_ms + 1_000))).await.unwrap();
    log.put(key("later"), 0, until(Some(now_ms + 90_000))).await.unwrap();
    log.put(key("never"), 0, until(None)).await.unwrap();
    let Ok(Put::Done(version)) = log.put(key("longer"), 0, until(Some(now_ms + 1_000))).await
    else {
        panic!("refused")
    };
    log.put(key("longer"), version, until(Some(now_ms + 90_000))).await.unwrap();
    place.tidy(&log, now_ms + 999).await;
    assert!(log.cell(&key("soon")).await.unwrap().is_some());
    place.tidy(&log, now_ms + 1_000).await;
    assert_eq!(log.cell(&key("soon")).await, Ok(None));
    for name in ["later", "never", "longer"] {
        assert!(log.cell(&key(name)).await.unwrap().is_some(), "{name}");
    }
    place.tidy(&log, i64::MAX).await;
    assert_eq!(log.cell(&key("longer")).await, Ok(None));
    assert!(log.cell(&key("never")).await.unwrap().is_some());
}

pub async fn what_groups_need_is_kept(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    add_some(&log, 1..=3).await;
    let stored = all(&log).await;

    let mut group = Group::new("filter", Uuid::from_u128(9), true, 0);
    assert_eq!(load::<Group>(&*log, b"billing").await, Ok(None));
    let Ok(Saved::Done(version)) = save(&*log, b"billing", 0, &group).await else { panic!() };
    assert!(group.look(1, Some(stored[0].event.owner)));
    let token = group.deliver(0, 30, 1)[0];
    let Ok(Saved::Done(version)) = save(&*log, b"billing", version, &group).await else { panic!() };
    let there = Versioned { version, kept: group.clone() };
    assert_eq!(save(&*log, b"billing", 0, &group).await, Ok(Saved::Changed(Some(there.clone()))));
    assert_eq!(load(&*log, b"billing").await, Ok(Some(there)));

    // A copy is buried before the original is settled; a second copy finds the first one.
    let letter = |stored: &crate::events::Stored| DeadLetter {
        stored: stored.clone(),
        epoch: Uuid::from_u128(9),
        cause: Cause::Rejected,
        attempts: token.attempt,
        reason: Bytes::from_static(b"no such order"),
        buried_ms: 5,
        expires_ms: i64::MAX,
    };
    for (group, at) in [("billing", 2), ("billing", 0), ("bill", 1)] {
        let letter = letter(&stored[at]);
        let saved = save(&*log, &letter.name(group), 0, &letter).await;
        assert!(matches!(saved, Ok(Saved::Done(_))));
        let again = save(&*log, &letter.name(group), 0, &letter).await;
        assert!(matches!(again, Ok(Saved::Changed(Some(of))) if of.kept == letter));
    }
    let listed = async |group: &str| {
        let prefix = DeadLetter::prefix(group);
        let letters = list::<DeadLetter>(&*log, &prefix, None, 10).await.unwrap();
        letters.into_iter().map(|(_, of)| of.kept.stored.seq).collect::<Vec<_>>()
    };
    assert_eq!((listed("billing").await, listed("bill").await), (vec![1, 3], vec![2]));

    let owner = stored[0].event.owner;
    let mark = Watermark { through_ms: -7, reconciled_ms: 8, note: Bytes::from_static(b"open") };
    save(&*log, owner.as_bytes(), 0, &mark).await.unwrap();
    let there = load::<Watermark>(&*log, owner.as_bytes()).await.unwrap().unwrap();
    assert_eq!(there.kept, mark);
    assert_eq!(list::<Watermark>(&*log, b"", None, 10).await.unwrap().len(), 1);
}
