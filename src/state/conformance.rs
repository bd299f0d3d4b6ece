//! What every engine must do, as tests over any of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use crate::ledger::store::{FULL_MS, SHORT_MS};
use crate::ledger::{
    Amount, Cursor, Insert, Key, LedgerStore, OperationKind, Query, Record, Replace, State,
    StoreError, Tidied,
};

pub type Store = Arc<dyn LedgerStore>;

pub const OWNER: &str = "79991112233";

/// The tests, for the place an expression makes; `open` opens it, again and again.
///
/// With `in_one` they are one test for the function an expression makes, which begins a ledger each
/// time: for engines that take long to start.
macro_rules! conformance {
    ($place:expr) => { conformance!(@list each $place); };
    (in_one; $begin:expr) => { conformance!(@list all $begin); };
    (@list $how:ident $place:expr) => {
        conformance!(@$how $place;
            a_free_key_is_taken_once
            of_a_hundred_inserts_one_wins
            of_a_thousand_replacements_of_a_version_one_wins
            no_change_is_lost_among_many
            a_replacement_keeps_what_is_the_stores
            what_is_not_there_cannot_be_replaced
            kinds_and_owners_are_apart
            a_list_shows_the_newest_first_in_pages
            a_list_passes_many_that_do_not_match
            unsettled_entries_are_found
            age_shortens_and_removes
            readers_see_whole_changes
        );
    };
    (@each $place:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let place = $place;
            $crate::state::conformance::$case(place.open()).await;
        }
    )*};
    (@all $begin:expr; $($case:ident)*) => {$(
        println!(stringify!($case));
        $crate::state::conformance::$case($begin.await).await;
    )*};
}
pub(super) use conformance;

pub fn key(id: u64) -> Key {
    Key::new(OWNER, OperationKind::Payment, id.to_string())
}

pub fn record(id: u64) -> Record {
    let amount = Amount { currency: "RUB".to_owned(), units: 10, nanos: 0 };
    let created_ms = 1_700_000_000_000 + i64::try_from(id).unwrap();
    let mac = [u8::try_from(id % 251).unwrap(); 32];
    Record {
        reply: Some(Bytes::from(vec![7; 300])),
        ..Record::reserved(key(id), mac, "99", amount, created_ms)
    }
}

pub async fn add(store: &Store, record: Record) -> Record {
    match store.insert(record).await.unwrap() {
        Insert::Inserted(record) => record,
        Insert::Exists(record) => panic!("{record:?} was there"),
    }
}

fn everything() -> Query {
    Query { owner: OWNER.into(), kind: None, states: Vec::new() }
}

async fn ids(store: &Store, query: &Query, limit: usize) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = store.list(query, after.as_ref(), limit).await.unwrap();
        assert!(page.records.len() <= limit);
        ids.extend(page.records.iter().map(|record| record.key.id.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

pub async fn a_free_key_is_taken_once(store: Store) {
    assert_eq!(store.health(), Ok(()));
    assert_eq!(store.get(&key(1)).await, Ok(None));
    let kept = add(&store, record(1)).await;
    assert_eq!(kept, Record { version: 1, ..record(1) });
    let mut other = record(1);
    other.body_mac = [255; 32];
    assert_eq!(store.insert(other).await, Ok(Insert::Exists(kept.clone())));
    assert_eq!(store.get(&key(1)).await, Ok(Some(kept)));
}

pub async fn of_a_hundred_inserts_one_wins(store: Store) {
    let tasks = (0..100_u8).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut mine = record(1);
            mine.body_mac = [n; 32];
            match store.insert(mine).await.unwrap() {
                Insert::Inserted(record) => (true, record),
                Insert::Exists(record) => (false, record),
            }
        })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|(won, _)| *won).count(), 1);
    let kept = store.get(&key(1)).await.unwrap().unwrap();
    assert!(answers.iter().all(|(_, record)| *record == kept));
}

pub async fn of_a_thousand_replacements_of_a_version_one_wins(store: Store) {
    add(&store, record(1)).await;
    let tasks = (0..1000_u32).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let mine = Record { attempt: 10 + n, state: State::Sending, ..record(1) };
            store.replace(1, mine).await.unwrap()
        })
    });
    let answers: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let kept = store.get(&key(1)).await.unwrap().unwrap();
    assert_eq!(kept.version, 2);
    let won: Vec<_> = (0..1000).filter(|n| matches!(answers[*n], Replace::Done(2))).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(usize::try_from(kept.attempt).unwrap(), 10 + won[0]);
    let lost = answers.iter().filter(|of| **of == Replace::Changed(kept.clone())).count();
    assert_eq!(lost, 999);
}

pub async fn no_change_is_lost_among_many(store: Store) {
    add(&store, record(1)).await;
    let tasks = (0..40).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut current = store.get(&key(1)).await.unwrap().unwrap();
            loop {
                let next = Record { attempt: current.attempt + 1, ..current.clone() };
                match store.replace(current.version, next).await.unwrap() {
                    Replace::Done(_) => return,
                    Replace::Changed(record) => current = record,
                }
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let kept = store.get(&key(1)).await.unwrap().unwrap();
    assert_eq!((kept.attempt, kept.version), (41, 41));
}

pub async fn a_replacement_keeps_what_is_the_stores(store: Store) {
    let kept = add(&store, record(1)).await;
    let next = Record { created_ms: 5, version: 77, state: State::Sending, ..kept.clone() };
    assert_eq!(store.replace(1, next.clone()).await, Ok(Replace::Done(2)));
    let expected = Record { version: 2, created_ms: kept.created_ms, ..next };
    assert_eq!(store.get(&key(1)).await, Ok(Some(expected)));
}

pub async fn what_is_not_there_cannot_be_replaced(store: Store) {
    assert!(matches!(store.replace(1, record(1)).await, Err(StoreError::Damaged(_))));
    assert_eq!(store.get(&key(1)).await, Ok(None));
    assert_eq!(store.health(), Ok(()));
}

/// Whoever reads while others write sees entries as they were before or after a change, and a store
/// that is read and written at once stays whole.
pub async fn readers_see_whole_changes(store: Store) {
    const ENTRIES: u64 = 150;
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for id in 0..ENTRIES {
                let mut there = add(&store, record(id)).await;
                for state in [State::Sending, State::Succeeded] {
                    there.state = state;
                    match store.replace(there.version, there.clone()).await.unwrap() {
                        Replace::Done(version) => there.version = version,
                        Replace::Changed(other) => panic!("{other:?} was changed by nobody"),
                    }
                }
            }
        })
    };
    let mut id = 0;
    while !writing.is_finished() {
        id = (id + 1) % ENTRIES;
        let listed = store.list(&everything(), None, 50).await.unwrap();
        assert!(listed.records.len() <= 50);
        for open in store.unsettled(50).await.unwrap() {
            assert!(open.is_watched());
        }
        store.get(&key(id)).await.unwrap();
    }
    writing.await.unwrap();
    assert_eq!(store.health(), Ok(()));
    assert!(store.unsettled(10).await.unwrap().is_empty());
}

pub async fn kinds_and_owners_are_apart(store: Store) {
    // Without lengths these would be the same bytes.
    let keys = [
        Key::new("7", OperationKind::Payment, "11"),
        Key::new("71", OperationKind::Payment, "1"),
        Key::new("7", OperationKind::Invoice, "11"),
        Key::new("7", OperationKind::Payment, "1"),
        Key::new("", OperationKind::Payment, ""),
        Key::new("7", OperationKind::Payment, "18446744073709551616"),
    ];
    for key in &keys {
        add(&store, Record { key: key.clone(), ..record(1) }).await;
    }
    for key in &keys {
        assert_eq!(store.get(key).await.unwrap().unwrap().key, *key);
    }
    let query = Query { owner: "7".into(), kind: None, states: Vec::new() };
    assert_eq!(ids(&store, &query, 1).await.len(), 4);
    let query = Query { kind: Some(OperationKind::Invoice), ..query };
    assert_eq!(ids(&store, &query, 10).await, ["11"]);
}

pub async fn a_list_shows_the_newest_first_in_pages(store: Store) {
    for id in [3, 1, 10, 2, 20] {
        add(&store, record(id)).await;
    }
    // Two of one moment, and another owner's.
    add(&store, Record { key: key(9), ..record(10) }).await;
    let other = Key::new("79991112234", OperationKind::Payment, "5");
    add(&store, Record { key: other, ..record(5) }).await;
    let all = ids(&store, &everything(), 100).await;
    assert_eq!(all.len(), 6);
    assert_eq!((&*all[0], &*all[3], &*all[4], &*all[5]), ("20", "3", "2", "1"));
    for limit in 1..=6 {
        assert_eq!(ids(&store, &everything(), limit).await, all, "{limit} a page");
    }
    let page = store.list(&everything(), None, 6).await.unwrap();
    assert_eq!(page.next, None, "the last page says so");
    let after = Cursor { created_ms: record(3).created_ms, key: key(3) };
    let page = store.list(&everything(), Some(&after), 1).await.unwrap();
    assert_eq!(page.records[0].key, key(2));
    assert_eq!(page.next, Some(Cursor::after(&page.records[0])));
}

pub async fn a_list_passes_many_that_do_not_match(store: Store) {
    let count = u64::try_from(super::rules::LOOKED_AT_MAX).unwrap() + 200;
    add(&store, Record { state: State::Uncertain, ..record(1) }).await;
    for some in (2..=count).collect::<Vec<_>>().chunks(1_000) {
        let adding = some.iter().map(|id| add(&store, Record { reply: None, ..record(*id) }));
        join_all(adding).await;
    }
    let query = Query { states: vec![State::Uncertain, State::Failed], ..everything() };
    let first = store.list(&query, None, 10).await.unwrap();
    assert!(first.records.is_empty() && first.next.is_some(), "a page is bounded");
    assert_eq!(ids(&store, &query, 10).await, ["1"]);
}

pub async fn unsettled_entries_are_found(store: Store) {
    for (id, state) in (1..).zip(State::ALL) {
        let kept = add(&store, record(id)).await;
        store.replace(1, Record { state, ..kept }).await.unwrap();
    }
    let states = |records: Vec<Record>| records.into_iter().map(|of| of.state).collect::<Vec<_>>();
    let found = store.unsettled(100).await.unwrap();
    assert_eq!(states(found), [State::Uncertain, State::Sending, State::Reserved]);
    assert_eq!(states(store.unsettled(1).await.unwrap()), [State::Uncertain]);
    // And again after a new attempt began.
    let kept = store.get(&key(9)).await.unwrap().unwrap();
    assert_eq!(kept.state, State::NotSent);
    let next = Record { state: State::Reserved, ..kept.clone() };
    store.replace(kept.version, next).await.unwrap();
    assert_eq!(store.unsettled(100).await.unwrap()[0].key, key(9));
}

pub async fn age_shortens_and_removes(store: Store) {
    let day = FULL_MS / 90;
    let changed_ms = record(1).created_ms + 10 * day;
    for (id, state) in [(1, State::Succeeded), (2, State::Uncertain), (3, State::Rejected)] {
        let kept = add(&store, record(id)).await;
        let transaction_id = Some(format!("9{id}"));
        let next = Record { state, updated_ms: changed_ms, transaction_id, ..kept };
        store.replace(1, next).await.unwrap();
    }
    // More than fit into one step.
    let more = 1_200;
    let old = |id| Record { state: State::Failed, ..record(id) };
    join_all((100..100 + more).map(|id| add(&store, old(id)))).await;

    let tidied = store.tidy(changed_ms + FULL_MS - 9 * day).await.unwrap();
    assert_eq!(tidied, Tidied { trimmed: more, removed: 0 });
    let short = store.get(&key(100)).await.unwrap().unwrap();
    assert!(short.trimmed && short.reply.is_none());
    assert_eq!((short.state, short.version), (State::Failed, 2));
    assert_eq!(short.body_mac, old(100).body_mac);

    let whole = store.get(&key(1)).await.unwrap().unwrap();
    assert_eq!(store.tidy(changed_ms + FULL_MS - 1).await, Ok(Tidied::default()));
    assert_eq!(store.get(&key(1)).await, Ok(Some(whole.clone())));

    let tidied = store.tidy(changed_ms + FULL_MS).await.unwrap();
    assert_eq!(tidied, Tidied { trimmed: 2, removed: 0 });
    let short = store.get(&key(1)).await.unwrap().unwrap();
    assert_eq!((short.transaction_id, short.trimmed), (Some("91".to_owned()), true));
    assert!(matches!(store.insert(record(1)).await, Ok(Insert::Exists(_))), "the id stays taken");

    let tidied = store.tidy(changed_ms + SHORT_MS - 1).await.unwrap();
    assert_eq!(tidied, Tidied { trimmed: 0, removed: more });
    let tidied = store.tidy(changed_ms + SHORT_MS).await.unwrap();
    assert_eq!(tidied, Tidied { trimmed: 0, removed: 2 });
    let doubted = store.get(&key(2)).await.unwrap().unwrap();
    assert!(doubted.reply.is_some() && !doubted.trimmed, "doubt does not age");
    assert_eq!(ids(&store, &everything(), 100).await, ["2"]);
    assert_eq!(store.tidy(changed_ms + 2 * SHORT_MS).await, Ok(Tidied::default()));
}

mod memory {
    use super::Store;
    use crate::state::MemoryLedger;

    struct Place;

    impl Place {
        fn open(&self) -> Store {
            std::sync::Arc::new(MemoryLedger::new())
        }
    }

    super::conformance!(Place);
}
