//! What every engine of the event log must do, as tests over any of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

mod cells;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

pub use self::cells::*;
use super::rules;
use crate::events::cursor::{behind, resume};
use crate::events::store::{DELIVERIES_MAX, PAYLOAD_MAX, TEXT_MAX};
use crate::events::{
    Append, Chain, CursorError, Delivery, Event, EventId, EventLog, Kind, Limit, LogError, Outcome,
    Owner, Position, ReadError, Retention, Source, Stored, Tier, Trust,
};

pub type Log = Arc<dyn EventLog>;

/// Where an engine keeps a log: each has its own way to be opened.
pub trait Place {
    /// A log that nothing was written to yet.
    async fn begin(&self, retention: Retention) -> Log;

    /// Makes retention and expiry happen as they do at a moment. An engine that lets go by itself
    /// has its own way.
    async fn tidy(&self, log: &Log, now_ms: i64) {
        log.tidy(now_ms).await.unwrap();
    }
}

/// The tests, for the place an expression makes. With `in_one` they are one test for one place: for
/// engines that take long to start.
macro_rules! conformance {
    ($place:expr) => { conformance!(@list each $place); };
    (in_one; $place:expr) => { conformance!(@list all $place); };
    (@list $how:ident $place:expr) => {
        conformance!(@$how $place;
            a_new_log_is_empty
            sequences_leave_none_out
            of_a_thousand_of_one_transition_one_is_logged
            a_delivery_is_known_again
            many_deliveries_of_one_event_are_merged
            what_comes_after_its_successor_is_late
            a_chain_goes_on_from_its_last_event
            of_twenty_that_follow_one_event_one_does
            a_read_has_its_limits
            what_retention_took_is_told
            a_full_log_keeps_the_young_and_takes_nothing
            a_moment_is_found
            the_tail_is_told
            what_is_too_large_is_refused
            a_cursor_leads_on_or_says_why_not
            a_cell_changes_by_compare_and_set
            no_change_of_a_cell_is_lost
            cells_are_listed_by_kind_and_prefix
            cells_go_when_their_time_is_over
            what_groups_need_is_kept
        );
    };
    (@each $place:expr; $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::state::events::conformance::$case(&$place).await;
        }
    )*};
    (@all $place:expr; $($case:ident)*) => {$(
        println!(stringify!($case));
        $crate::state::events::conformance::$case($place).await;
    )*};
}
pub(crate) use conformance;

/// Everything goes as soon as somebody tidies.
const NOTHING_KEPT: Retention = Retention { age_ms: -1, bytes: u64::MAX, keep_ms: -1 };

pub const OWNER: Owner = Owner::from_bytes([7; 16]);

pub fn event(number: u64, status: &str) -> Event {
    let transaction = number.to_string();
    let id = EventId::transaction(&OWNER, &transaction, "IN", status);
    Event {
        r#type: "IN".to_owned(),
        transaction,
        status: status.to_owned(),
        provider: "7".to_owned(),
        occurred_ms: Some(1_700_000_000_000),
        received_ms: 1_700_000_000_500,
        payload: Bytes::from(vec![u8::try_from(number % 251).unwrap(); 200]),
        ..Event::new(id, Kind::Transaction, Source::Webhook, Trust::SignatureOnly, OWNER)
    }
}

pub fn delivery(message: u64, body: &str) -> Option<Delivery> {
    Some(Delivery::new("hook", Some(&message.to_string()), body.as_bytes()))
}

pub fn delivered(number: u64) -> Append {
    Append { delivery: delivery(number, "body"), ..Append::new(event(number, "SUCCESS")) }
}

pub async fn add(log: &Log, append: Append) -> u64 {
    match log.append(append).await.unwrap() {
        Outcome::Appended { seq } => seq,
        other => panic!("{other:?}"),
    }
}

pub async fn add_some(log: &Log, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        add(log, delivered(number)).await;
    }
}

pub async fn all(log: &Log) -> Vec<Stored> {
    let info = log.info().await.unwrap();
    let mut all = Vec::new();
    loop {
        let after = info.first - 1 + all.len() as u64;
        let some = log.read(after, Limit::events(7)).await.unwrap();
        if some.is_empty() {
            assert_eq!(after, info.last);
            return all;
        }
        all.extend(some);
    }
}

pub async fn a_new_log_is_empty(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    assert_eq!(log.health(), Ok(()));
    let info = log.info().await.unwrap();
    assert_eq!((info.first, info.last, info.bytes), (1, 0, 0));
    assert_eq!(*log.tail().borrow(), 0);
    assert_eq!(log.read(0, Limit::events(10)).await, Ok(vec![]));
    assert_eq!(log.read(1, Limit::events(10)).await, Err(ReadError::Ahead { last: 0 }));
    assert_eq!(log.get(event(1, "SUCCESS").id).await, Ok(None));
    assert_eq!(log.seek(0).await, Ok(0));
}

pub async fn sequences_leave_none_out(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let tasks = (1..=200).map(|number| {
        let log = log.clone();
        tokio::spawn(async move { (number, add(&log, delivered(number)).await) })
    });
    let mut places: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    places.sort_by_key(|(_, seq)| *seq);
    let kept = all(&log).await;
    assert_eq!(kept.len(), 200);
    for (stored, (expected, (number, seq))) in kept.iter().zip((1..).zip(places)) {
        assert_eq!((stored.seq, seq), (expected, expected));
        assert_eq!(stored.event, event(number, "SUCCESS"));
        assert!(!stored.late);
        assert_eq!(log.get(stored.event.id).await.as_ref(), Ok(&Some(stored.clone())));
    }
    assert!(kept.is_sorted_by_key(|stored| stored.logged_ms));
    assert!(log.info().await.unwrap().bytes >= 200 * 200);
}

pub async fn of_a_thousand_of_one_transition_one_is_logged(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    add(&log, delivered(5000)).await;
    let tasks = (0..1000).map(|n| {
        let log = log.clone();
        let delivery = if n % 2 == 0 { delivery(1, "body") } else { delivery(n, "body") };
        let append = Append { delivery, ..Append::new(event(1, "SUCCESS")) };
        tokio::spawn(async move { log.append(append).await.unwrap() })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let appended = outcomes.iter().filter(|of| **of == Outcome::Appended { seq: 2 }).count();
    let known = |of: &&Outcome| matches!(of, Outcome::Duplicate { seq: 2, .. });
    assert_eq!((appended, outcomes.iter().filter(known).count()), (1, 999));
    assert_eq!(all(&log).await.len(), 2);
}

pub async fn a_delivery_is_known_again(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let of = |message, body: &str, status: &str| {
        log.append(Append { delivery: delivery(message, body), ..Append::new(event(1, status)) })
    };
    let known = |seq, tier| Ok(Outcome::Duplicate { seq, tier });
    assert_eq!(of(1, "a", "WAITING").await, Ok(Outcome::Appended { seq: 1 }));
    assert_eq!(of(1, "a", "WAITING").await, known(1, Tier::Delivery));
    assert_eq!(of(2, "a", "WAITING").await, known(1, Tier::Transition));
    assert_eq!(of(2, "a", "WAITING").await, known(1, Tier::Delivery));
    // The same message with another content is nobody's event.
    assert!(matches!(of(1, "b", "SUCCESS").await, Ok(Outcome::Conflict { .. })));
    assert!(matches!(of(2, "b", "WAITING").await, Ok(Outcome::Conflict { .. })));
    assert_eq!(of(3, "b", "SUCCESS").await, Ok(Outcome::Appended { seq: 2 }));
    // What no delivery brought is known by its transition.
    let polled = Append::new(event(1, "SUCCESS"));
    assert_eq!(log.append(polled).await, known(2, Tier::Transition));
    assert_eq!(all(&log).await.len(), 2);
}

pub async fn many_deliveries_of_one_event_are_merged(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    add(&log, delivered(0)).await;
    for message in (1..3 * DELIVERIES_MAX as u64).chain(1..3 * DELIVERIES_MAX as u64) {
        let append = Append { delivery: delivery(message, "body"), ..delivered(0) };
        let outcome = log.append(append).await;
        assert!(matches!(outcome, Ok(Outcome::Duplicate { seq: 1, .. })), "{outcome:?}");
    }
    assert_eq!(all(&log).await.len(), 1);
}

pub async fn what_comes_after_its_successor_is_late(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let before = |number| vec![event(number, "SUCCESS").id, event(number, "ERROR").id];
    let waiting =
        |number| Append { before: before(number), ..Append::new(event(number, "WAITING")) };
    add(&log, waiting(1)).await;
    add(&log, Append::new(event(1, "SUCCESS"))).await;
    add(&log, Append::new(event(2, "ERROR"))).await;
    add(&log, waiting(2)).await;
    let late: Vec<_> = all(&log).await.iter().map(|stored| stored.late).collect();
    assert_eq!(late, [false, false, false, true]);
}

fn balance(amount: &str, before: Option<&Event>, follows: u64) -> Append {
    let chain = Chain::balance(&OWNER, "qw_wallet_rub");
    let id = EventId::balance(&chain, amount, "643", before.map(|event| &event.id));
    let mut event = Event::new(id, Kind::Balance, Source::BalancePoll, Trust::ApiConfirmed, OWNER);
    event.chain = Some(chain);
    Append { follows: Some(follows), ..Append::new(event) }
}

pub async fn a_chain_goes_on_from_its_last_event(place: &impl Place) {
    let log = place.begin(NOTHING_KEPT).await;
    let chain = Chain::balance(&OWNER, "qw_wallet_rub");
    assert_eq!(log.last_of(chain).await, Ok(None));
    add(&log, balance("1.00", None, 0)).await;
    let first = log.last_of(chain).await.unwrap().unwrap();
    assert_eq!(first.seq, 1);
    add(&log, delivered(1)).await;
    add(&log, balance("2.00", Some(&first.event), 1)).await;
    let overtaken = log.append(balance("5.00", None, 0)).await;
    assert_eq!(overtaken, Ok(Outcome::Overtaken { last: 3 }));
    let second = log.last_of(chain).await.unwrap().unwrap();
    assert_eq!(second.seq, 3);
    // What is known is no disagreement.
    let again = log.append(balance("2.00", Some(&first.event), 1)).await;
    assert_eq!(again, Ok(Outcome::Duplicate { seq: 3, tier: Tier::Transition }));
    // When its last event is gone the chain begins anew.
    place.tidy(&log, rules::clock(0) + 10).await;
    assert_eq!(log.last_of(chain).await, Ok(None));
    add(&log, balance("2.00", Some(&second.event), 0)).await;
}

pub async fn of_twenty_that_follow_one_event_one_does(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let tasks = (0..20).map(|amount| {
        let log = log.clone();
        let append = balance(&amount.to_string(), None, 0);
        tokio::spawn(async move { log.append(append).await.unwrap() })
    });
    let outcomes: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert!(outcomes.contains(&Outcome::Appended { seq: 1 }));
    let overtaken = outcomes.iter().filter(|of| **of == Outcome::Overtaken { last: 1 }).count();
    assert_eq!(overtaken, 19);
}

pub async fn a_read_has_its_limits(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    add_some(&log, 1..=10).await;
    let seqs = async |after, events, bytes| {
        let read = log.read(after, Limit { events, bytes }).await.unwrap();
        read.iter().map(|stored| stored.seq).collect::<Vec<_>>()
    };
    assert_eq!(seqs(3, 3, 10_000).await, [4, 5, 6]);
    assert_eq!(seqs(8, 100, 10_000).await, [9, 10]);
    // Payloads have 200 bytes each.
    assert_eq!(seqs(0, 100, 400).await, [1, 2]);
    assert_eq!(seqs(0, 100, 599).await, [1, 2]);
    assert_eq!(seqs(5, 100, 1).await, [6], "at least one");
    assert_eq!(seqs(0, 0, 100).await, [0; 0]);
    assert_eq!(seqs(10, 5, 100).await, [0; 0]);
    assert_eq!(log.read(11, Limit::events(1)).await, Err(ReadError::Ahead { last: 10 }));
    assert_eq!(log.read(u64::MAX, Limit::events(1)).await, Err(ReadError::Ahead { last: 10 }));
}

pub async fn what_retention_took_is_told(place: &impl Place) {
    let log = place.begin(NOTHING_KEPT).await;
    // More than go at once.
    let count = rules::TIDIED_AT_ONCE as u64 + 100;
    join_all((1..=count).map(|number| add(&log, delivered(number)))).await;
    place.tidy(&log, rules::clock(0) + 10).await;
    let info = log.info().await.unwrap();
    assert_eq!((info.first, info.last, info.bytes), (count + 1, count, 0));
    let expired = Err(ReadError::Expired { first: count + 1 });
    assert_eq!(log.read(0, Limit::events(1)).await, expired);
    assert_eq!(log.read(count - 1, Limit::events(1)).await, expired);
    assert_eq!(log.read(count, Limit::events(1)).await, Ok(vec![]));
    assert_eq!(log.get(event(1, "SUCCESS").id).await, Ok(None));
    assert_eq!(log.seek(0).await, Ok(count));
    // Numbers go on, and what was forgotten is new.
    assert_eq!(add(&log, delivered(1)).await, count + 1);
    assert_eq!(all(&log).await.len(), 1);
}

pub async fn a_full_log_keeps_the_young_and_takes_nothing(place: &impl Place) {
    let log = place.begin(Retention { bytes: 3_000, ..Retention::DEFAULT }).await;
    let mut taken = 0;
    let refused = loop {
        match log.append(delivered(taken + 1)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, LogError::Full);
    assert!((5..15).contains(&taken), "{taken}");
    place.tidy(&log, rules::clock(0)).await;
    assert_eq!(log.append(delivered(taken + 1)).await, Err(LogError::Full));
    assert!(log.info().await.unwrap().bytes <= 3_000);
    // What it has it still knows and shows.
    let known = Outcome::Duplicate { seq: 1, tier: Tier::Delivery };
    assert_eq!(log.append(delivered(1)).await, Ok(known));
    assert_eq!(all(&log).await.len() as u64, taken);
    assert_eq!(log.health(), Ok(()));
}

/// For engines that can tell the old from the young when they need room.
pub async fn room_is_made_of_the_old(place: &impl Place) {
    let log = place.begin(Retention { bytes: 3_000, keep_ms: -1, ..Retention::DEFAULT }).await;
    add_some(&log, 1..=50).await;
    let info = log.info().await.unwrap();
    assert_eq!(info.last, 50);
    assert!((30..50).contains(&info.first) && info.bytes <= 3_000, "{info:?}");
    let kept = all(&log).await;
    assert_eq!(kept.last().unwrap().event, event(50, "SUCCESS"));
}

pub async fn a_moment_is_found(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    add_some(&log, 1..=5).await;
    let middle = all(&log).await.last().unwrap().logged_ms + 1;
    while rules::clock(0) < middle {
        tokio::task::yield_now().await;
    }
    add_some(&log, 6..=9).await;
    assert_eq!(log.seek(middle).await, Ok(5));
    assert_eq!(log.seek(i64::MIN).await, Ok(0));
    assert_eq!(log.seek(i64::MAX).await, Ok(9));
}

pub async fn the_tail_is_told(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let mut tail = log.tail();
    for number in 1..=3 {
        let seq = add(&log, delivered(number)).await;
        assert!(tail.has_changed().unwrap(), "before it is answered");
        assert_eq!(*tail.borrow_and_update(), seq);
    }
    log.append(delivered(3)).await.unwrap();
    assert!(!tail.has_changed().unwrap(), "a duplicate is no news");
    drop(log);
    assert!(tail.changed().await.is_err(), "it closes with the log");
}

pub async fn what_is_too_large_is_refused(place: &impl Place) {
    let log = place.begin(Retention::DEFAULT).await;
    let mut large = delivered(1);
    large.event.payload = Bytes::from(vec![1; PAYLOAD_MAX + 1]);
    assert!(matches!(log.append(large.clone()).await, Err(LogError::TooLarge { .. })));
    large.event.payload.truncate(PAYLOAD_MAX);
    let seq = add(&log, large.clone()).await;
    assert_eq!(log.get(large.event.id).await.unwrap().unwrap().event, large.event);
    let mut long = delivered(2);
    long.event.status = "S".repeat(TEXT_MAX + 1);
    assert!(matches!(log.append(long).await, Err(LogError::TooLarge { .. })));
    assert_eq!(log.info().await.unwrap().last, seq);
}

pub async fn a_cursor_leads_on_or_says_why_not(place: &impl Place) {
    let log = place.begin(NOTHING_KEPT).await;
    let epoch = log.info().await.unwrap().epoch;
    let start = Position::start(epoch);
    assert_eq!(resume(&*log, &start).await, Ok(0));
    add_some(&log, 1..=4).await;
    let kept = all(&log).await;
    let places: Vec<_> = kept.iter().map(|stored| Position::behind(epoch, stored)).collect();
    for place in &places {
        assert_eq!(resume(&*log, place).await, Ok(place.seq));
        assert_eq!(behind(&*log, place.seq).await.as_ref(), Ok(place));
    }
    assert_eq!(behind(&*log, 0).await, Ok(start));
    assert_eq!(behind(&*log, 5).await, Err(CursorError::Ahead { last: 4 }));
    let ahead = Position { seq: 5, ..places[3] };
    assert_eq!(resume(&*log, &ahead).await, Err(CursorError::Ahead { last: 4 }));
    // The log went back and was filled with something else.
    let other = Position { seq: 2, ..places[3] };
    assert_eq!(resume(&*log, &other).await, Err(CursorError::Foreign));
    let foreign = Position { epoch: uuid::Uuid::new_v4(), ..places[1] };
    assert_eq!(resume(&*log, &foreign).await, Err(CursorError::Foreign));
    place.tidy(&log, rules::clock(0) + 10).await;
    for gone in [&start, &places[0], &places[2]] {
        assert_eq!(resume(&*log, gone).await, Err(CursorError::Expired { first: 5 }));
    }
    assert_eq!(resume(&*log, &places[3]).await, Ok(4), "nothing after it is gone");
    // Whoever begins at the end of a log that is empty by now gets a cursor as good.
    let end = behind(&*log, 4).await.unwrap();
    assert_eq!(resume(&*log, &end).await, Ok(4));
    assert_eq!(behind(&*log, 3).await, Err(CursorError::Expired { first: 5 }));
}

mod memory {
    use super::{Log, Place, Retention};
    use crate::state::MemoryLog;

    struct Memory;

    impl Place for Memory {
        async fn begin(&self, retention: Retention) -> Log {
            std::sync::Arc::new(MemoryLog::new(retention))
        }
    }

    super::conformance!(Memory);

    #[tokio::test]
    async fn room_is_made_of_the_old() {
        super::room_is_made_of_the_old(&Memory).await;
    }
}
