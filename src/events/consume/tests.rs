//! Groups at work over a log in memory, on a clock that passes when everybody waits.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod clock;
mod parted;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{Semaphore, mpsc, watch};

use super::member::{Limits, Member, Output, Progress, WAITING_MAX};
use super::runtime::{Action, Command, Word};
use super::terms::{self, Terms};
use crate::config::Config;
use crate::credentials::Wallet;
use crate::error::Error;
use crate::events::cell::{list, load, save};
use crate::events::dead::{Cause, DeadLetter};
use crate::events::filter::Filter;
use crate::events::group::{Group, pause_ms};
use crate::events::hub::Hub;
use crate::events::id::EventId;
use crate::events::record::{Event, Kind, Source, Trust};
use crate::events::store::{Append, EventLog, Retention};
use crate::events::testing::hub_of;
use crate::events::visible::Visible;
use crate::events::wire::{self, Origin};
use crate::pb::events::v1 as pb;
use crate::pb::p2p::v1::Bill;
use crate::state::MemoryLog;

use pb::DeliveryOutcome::{AlreadyDone, Ok as Done, UnknownToken};
use pb::consume_response::Response;

const NAME: &str = "billing";
const DEADLINE: Duration = Duration::from_secs(30);

fn hub() -> Arc<Hub> {
    over(&(Arc::new(MemoryLog::new(Retention::DEFAULT)) as Arc<dyn EventLog>))
}

fn over(log: &Arc<dyn EventLog>) -> Arc<Hub> {
    Arc::new(hub_of(Arc::clone(log), Config::default().events))
}

/// Appends a bill of one of several wallets.
async fn bill(hub: &Hub, wallet: u8, number: u32) {
    let wallet = Wallet::parse(&format!("7999000000{wallet}")).unwrap();
    let owner = hub.owner(&wallet);
    let origin = Origin {
        owner,
        wallet: Some(&wallet),
        source: Source::Webhook,
        trust: Trust::SignatureOnly,
        received_ms: 1,
    };
    let id = EventId::bill(&owner, &number.to_string(), "PAID");
    let event = Event::new(id, Kind::Bill, origin.source, origin.trust, owner);
    let bill = Bill { bill_id: number.to_string(), ..Default::default() };
    let payload = pb::event::Payload::Bill(bill);
    let event = wire::sealed(&hub.cipher, event, origin, None, payload).unwrap();
    hub.append(Append::new(event)).await.unwrap();
}

async fn group(hub: &Hub, ordered: bool, max_attempts: i32) {
    let ordering = if ordered { 2 } else { 1 };
    let agreed = pb::GroupTerms { ordering, max_attempts, ..Default::default() };
    let agreed = terms::normal(&agreed, "terms").unwrap();
    let terms = Terms { caller: None, credential: None, wallet: None, agreed };
    let position = pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into());
    let start = pb::LogPosition { position: Some(position) };
    terms::create(hub, NAME, &terms, Some(&start), "start").await.unwrap().unwrap();
}

/// A member as its stream sees it.
struct Seat {
    id: u64,
    out: mpsc::Receiver<Output>,
    end: watch::Receiver<Option<Error>>,
    progress: watch::Receiver<Progress>,
    commands: mpsc::Sender<Command>,
    words: Arc<Semaphore>,
    /// What came while something else was waited for.
    early: Vec<pb::Delivery>,
    gaps: Vec<pb::ConsumeGap>,
}

async fn join(hub: &Arc<Hub>, events: usize) -> Seat {
    let filter = Arc::new(Filter::everything(Visible::All));
    let id = hub.groups.number();
    let made = parking_lot::Mutex::new(None);
    let member = || {
        let (out, outputs) = mpsc::channel(WAITING_MAX);
        let (end, ended) = watch::channel(None);
        *made.lock() = Some((outputs, ended));
        let limits = Limits { events, bytes: 4 << 20, ack_deadline: DEADLINE };
        let (in_hand, hand) = (Arc::<AtomicUsize>::default(), HashMap::new());
        Member { id, limits, out, end, in_hand, hand, leaving: false }
    };
    let (joined, commands) = hub.groups.join(hub, NAME, &filter, member).await.unwrap();
    let (out, end) = made.into_inner().unwrap();
    let words = Arc::new(Semaphore::new(16));
    let (early, gaps) = (Vec::new(), Vec::new());
    Seat { id, out, end, progress: joined.progress, commands, words, early, gaps }
}

impl Seat {
    /// The next response that is no gap, if one comes in this time.
    async fn next(&mut self, within: Duration) -> Option<Response> {
        loop {
            let output = tokio::time::timeout(within, self.out.recv()).await.ok()??;
            match pb::ConsumeResponse::decode(output.bytes).unwrap().response.unwrap() {
                Response::Gap(gap) => self.gaps.push(gap),
                response => return Some(response),
            }
        }
    }

    /// Deliveries that come within this time, at most so many.
    async fn take(&mut self, count: usize, within: Duration) -> Vec<pb::Delivery> {
        while self.early.len() < count {
            match self.next(within).await {
                Some(Response::Deliveries(of)) => self.early.extend(of.deliveries),
                Some(_) => panic!("results that nobody waits for"),
                None => break,
            }
        }
        let count = count.min(self.early.len());
        self.early.drain(..count).collect()
    }

    async fn say(&mut self, action: Action, tokens: &[Bytes]) -> Vec<pb::DeliveryOutcome> {
        let answers = Arc::clone(&self.words).acquire_owned().await.unwrap();
        let word = Word { member: self.id, action, tokens: tokens.to_vec(), answers };
        self.commands.send(Command::Word(word)).await.ok().unwrap();
        loop {
            match self.next(Duration::from_secs(9)).await.unwrap() {
                Response::Results(of) => {
                    let named = of.results.iter().map(|of| of.delivery_token.clone());
                    assert!(named.eq(tokens.iter().cloned()));
                    return of.results.iter().map(pb::DeliveryResult::outcome).collect();
                }
                Response::Deliveries(of) => self.early.extend(of.deliveries),
                _ => panic!("a response of the stream itself"),
            }
        }
    }

    async fn ack(&mut self, delivery: &pb::Delivery) -> pb::DeliveryOutcome {
        self.say(Action::Ack, std::slice::from_ref(&delivery.delivery_token)).await[0]
    }

    async fn leave(self) {
        self.commands.send(Command::Leave(self.id)).await.ok().unwrap();
    }
}

fn seqs(deliveries: &[pb::Delivery]) -> Vec<i64> {
    deliveries.iter().map(|of| of.event.as_ref().unwrap().sequence).collect()
}

async fn letters(hub: &Hub) -> Vec<DeadLetter> {
    let prefix = DeadLetter::prefix(NAME);
    let letters = list::<DeadLetter>(&*hub.log, &prefix, None, 100).await.unwrap();
    letters.into_iter().map(|(_, of)| of.kept).collect()
}

async fn state(hub: &Hub) -> Group {
    load::<Group>(&*hub.log, NAME.as_bytes()).await.unwrap().unwrap().kept
}

async fn change(hub: &Hub, change: impl FnOnce(&mut Group)) {
    let mut there = load::<Group>(&*hub.log, NAME.as_bytes()).await.unwrap().unwrap();
    change(&mut there.kept);
    save(&*hub.log, NAME.as_bytes(), there.version, &there.kept).await.unwrap();
    hub.groups.changed(NAME);
}

const SOON: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_event_comes_once_per_deadline_until_somebody_acknowledges_it() {
    let hub = hub();
    group(&hub, false, 10).await;
    bill(&hub, 1, 1).await;
    let mut seat = join(&hub, 64).await;
    let first = seat.take(1, SOON).await;
    assert_eq!((seqs(&first), first[0].attempt, first[0].redriven), (vec![1], 1, false));
    assert_eq!(seat.take(1, DEADLINE - SOON).await.len(), 0, "before the deadline");
    let begun = tokio::time::Instant::now();
    let second = seat.take(2, DEADLINE - SOON).await;
    assert_eq!((second.len(), second[0].attempt), (1, 2), "once");
    assert!(begun.elapsed() >= SOON, "after a pause");
    assert_eq!(second[0].event, first[0].event);
    assert_ne!(second[0].delivery_token, first[0].delivery_token);
    // Late word is as good as any, and a second one changes nothing.
    assert_eq!(seat.ack(&first[0]).await, Done);
    assert_eq!(seat.ack(&first[0]).await, AlreadyDone);
    assert_eq!(seat.ack(&second[0]).await, AlreadyDone);
    let mut foreign = first[0].delivery_token.to_vec();
    foreign[5] ^= 1;
    let foreign = [foreign.into(), Bytes::new()];
    assert_eq!(seat.say(Action::Ack, &foreign).await, [UnknownToken, UnknownToken]);
    assert_eq!(seat.take(1, DEADLINE * 20).await.len(), 0);
    assert_eq!(seat.progress.borrow().floor, 1);
    assert_eq!(state(&hub).await.floor(), 1, "what was answered is durable");
}

#[tokio::test(start_paused = true)]
async fn given_back_it_comes_when_it_should_and_extended_not_before() {
    let hub = hub();
    group(&hub, false, 10).await;
    bill(&hub, 1, 1).await;
    let mut seat = join(&hub, 64).await;
    for (delay, expected) in [(Some(300), 300), (Some(0), 0), (None, 4)] {
        let delivery = seat.take(1, SOON).await.remove(0);
        let token = [delivery.delivery_token.clone()];
        let action = Action::Nack(delay.map(Duration::from_secs));
        let begun = tokio::time::Instant::now();
        assert_eq!(seat.say(action, &token).await, [Done]);
        let again = seat.take(1, Duration::from_secs(400)).await;
        let passed = begun.elapsed().as_secs();
        assert!((expected..=expected + 1).contains(&passed), "{passed} for {expected}");
        seat.early = again;
    }
    assert_eq!(pause_ms(3), 4_000);
    let delivery = seat.take(1, SOON).await.remove(0);
    let token = [delivery.delivery_token.clone()];
    let longer = Action::Extend(Duration::from_secs(500));
    assert_eq!(seat.say(longer, &token).await, [Done]);
    assert_eq!(seat.take(1, Duration::from_secs(499)).await.len(), 0);
    assert_eq!(seat.take(1, Duration::from_secs(60)).await.len(), 1);
    assert_eq!(seat.say(Action::Nack(None), &token).await, [AlreadyDone]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_holds_up_its_wallet_only_and_is_buried_in_full() {
    let hub = hub();
    group(&hub, true, 3).await;
    for (wallet, number) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        bill(&hub, wallet, number).await;
    }
    let mut seat = join(&hub, 64).await;
    let mut seen = Vec::new();
    let mut poison = Vec::new();
    while seen.len() < 6 {
        for delivery in seat.take(1, Duration::from_secs(60)).await {
            let seq = seqs(std::slice::from_ref(&delivery))[0];
            seen.push(seq);
            if seq == 1 {
                let token = [delivery.delivery_token.clone()];
                let nack = Action::Nack(None);
                assert_eq!(seat.say(nack, &token).await, [Done]);
                poison.push(delivery.attempt);
            } else {
                assert_eq!(seat.ack(&delivery).await, Done);
            }
        }
    }
    assert_eq!(poison, [1, 2, 3]);
    let place = |seq| seen.iter().position(|of| *of == seq).unwrap();
    assert!(place(3) < place(4) && place(4) < place(2), "{seen:?}");
    assert_eq!(seen.last(), Some(&2), "it waits for the burial");
    let buried = letters(&hub).await;
    assert_eq!(buried.len(), 1);
    assert_eq!((buried[0].cause, buried[0].attempts), (Cause::Exhausted, 3));
    assert_eq!(
        hub.log.read(0, crate::events::Limit::events(1)).await.unwrap()[0],
        buried[0].stored
    );
    assert_eq!(state(&hub).await.floor(), 4);

    // Delivered again it counts anew; the letter goes with the acknowledgement.
    let of = buried[0].stored.event.clone();
    change(&hub, |group| assert!(group.redrive(1, of.id, of.owner))).await;
    let again = seat.take(1, Duration::from_secs(5)).await.remove(0);
    assert_eq!((again.attempt, again.redriven), (1, true));
    assert_eq!(again.event.as_ref().unwrap().sequence, 1);
    assert_eq!(letters(&hub).await.len(), 1);
    assert_eq!(seat.ack(&again).await, Done);
    assert_eq!(letters(&hub).await.len(), 0);
    assert_eq!(seat.ack(&again).await, AlreadyDone);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_a_dead_letter_at_once() {
    let hub = hub();
    group(&hub, true, 10).await;
    bill(&hub, 1, 1).await;
    bill(&hub, 1, 2).await;
    let mut seat = join(&hub, 1).await;
    let first = seat.take(1, SOON).await.remove(0);
    let reject = Action::Reject(Bytes::from_static(b"sealed"));
    assert_eq!(seat.say(reject.clone(), std::slice::from_ref(&first.delivery_token)).await, [Done]);
    assert_eq!(seqs(&seat.take(1, SOON).await), [2], "the next one of the wallet");
    let buried = letters(&hub).await;
    assert_eq!((buried.len(), buried[0].cause, buried[0].attempts), (1, Cause::Rejected, 1));
    assert_eq!(&*buried[0].reason, b"sealed");
    assert_eq!(seat.say(reject, &[first.delivery_token]).await, [AlreadyDone]);
    // Buried again, it keeps one letter, of the last time.
    let of = buried[0].stored.event.clone();
    seat.leave().await;
    change(&hub, |group| assert!(group.redrive(1, of.id, of.owner))).await;
    let mut seat = join(&hub, 9).await;
    let again = seat.take(1, SOON).await.remove(0);
    assert!(again.redriven);
    seat.say(Action::Reject(Bytes::new()), &[again.delivery_token]).await;
    let buried = letters(&hub).await;
    assert_eq!((buried.len(), buried[0].reason.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_member_held_goes_to_the_others() {
    let hub = hub();
    group(&hub, false, 10).await;
    for number in 0..100 {
        bill(&hub, 1, number).await;
    }
    let mut lost = join(&hub, 64).await;
    let held = lost.take(100, SOON).await;
    assert_eq!(held.len(), 64, "as many as it may have");
    let mut other = join(&hub, 1000).await;
    let rest = other.take(100, SOON).await;
    assert_eq!(seqs(&rest), (65..=100).collect::<Vec<_>>());
    lost.leave().await;
    let mut again = other.take(100, DEADLINE * 2).await;
    again.sort_by_key(|of| of.event.as_ref().unwrap().sequence);
    assert_eq!(seqs(&again[..64]), (1..=64).collect::<Vec<_>>());
    assert!(again[..64].iter().all(|of| of.attempt == 2));
    // The lost one comes back and tells what it had done.
    let late: Vec<_> = held.into_iter().map(|of| of.delivery_token).collect();
    let mut back = join(&hub, 1).await;
    assert_eq!(back.say(Action::Ack, &late).await, [Done; 64]);
    assert_eq!(state(&hub).await.claims.len(), 36);
}

#[tokio::test(start_paused = true)]
async fn two_processes_share_a_group() {
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(Retention::DEFAULT));
    let (here, there) = (over(&log), over(&log));
    group(&here, false, 10).await;
    let mut seats = [join(&here, 7).await, join(&there, 5).await];
    for number in 0..120 {
        bill(&here, 1, number).await;
    }
    let mut seen = BTreeMap::new();
    let mut shares = [0, 0];
    while seen.len() < 120 {
        for (seat, share) in seats.iter_mut().zip(&mut shares) {
            for delivery in seat.take(3, Duration::from_secs(5)).await {
                assert_eq!(seat.ack(&delivery).await, Done);
                *seen.entry(seqs(&[delivery])[0]).or_insert(0) += 1;
                *share += 1;
            }
        }
    }
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    assert_eq!(state(&here).await.floor(), 120);
}

#[tokio::test(start_paused = true)]
async fn what_retention_took_is_told_as_a_gap() {
    let retention = Retention { age_ms: 1, bytes: 1 << 30, keep_ms: 0 };
    let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(retention));
    let hub = over(&log);
    group(&hub, false, 10).await;
    for number in 0..5 {
        bill(&hub, 1, number).await;
    }
    log.tidy(i64::MAX).await.unwrap();
    bill(&hub, 1, 9).await;
    let mut seat = join(&hub, 64).await;
    assert_eq!(seqs(&seat.take(1, SOON).await), [6]);
    assert_eq!(seat.gaps, [pb::ConsumeGap { first_sequence: 1, last_sequence: 5 }]);
    // And while it is in somebody's hands.
    log.tidy(i64::MAX).await.unwrap();
    assert_eq!(seat.take(1, SOON * 5).await.len(), 0);
    assert_eq!(seat.gaps.last(), Some(&pb::ConsumeGap { first_sequence: 6, last_sequence: 6 }));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_paused_moved_or_deleted_tells_its_members() {
    let hub = hub();
    group(&hub, false, 10).await;
    bill(&hub, 1, 1).await;
    let mut seat = join(&hub, 64).await;
    let first = seat.take(1, SOON).await.remove(0);
    change(&hub, |group| group.paused = true).await;
    bill(&hub, 1, 2).await;
    assert_eq!(seat.take(1, SOON * 60).await.len(), 0);
    assert!(seat.progress.borrow().paused);
    change(&hub, |group| {
        group.paused = false;
        group.move_to(group.epoch, 0, 77);
    })
    .await;
    assert_eq!(seqs(&seat.take(2, SOON).await), [1, 2], "again, and the new one");
    assert_eq!(seat.ack(&first).await, UnknownToken);
    let there = load::<Group>(&*hub.log, NAME.as_bytes()).await.unwrap().unwrap();
    let key = crate::events::CellKey::new(crate::events::CellKind::Group, NAME.as_bytes());
    hub.log.put(key, there.version, None).await.unwrap();
    hub.groups.changed(NAME);
    let end = seat.end.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert_eq!(end.reason().name, "GROUP_NOT_FOUND");
}

#[test]
fn terms_that_mean_the_same_are_the_same() {
    let filter = |wallets: &[&str], statuses: &[&str]| pb::EventFilter {
        wallets: wallets.iter().map(ToString::to_string).collect(),
        statuses: statuses.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let normal = |terms: pb::GroupTerms| terms::normal(&terms, "terms");
    let of = |filter| pb::GroupTerms { filter: Some(filter), ..Default::default() };
    let one = normal(of(filter(&["+79990000001", "79990000002"], &["PAID"]))).unwrap();
    let same = filter(&["79990000002", "79990000001", "+79990000002"], &["PAID", "PAID"]);
    let other = pb::GroupTerms { ordering: 1, max_attempts: 10, ..of(same) };
    assert_eq!(one, normal(other).unwrap());
    let everything = normal(of(pb::EventFilter::default())).unwrap();
    assert_eq!(everything, normal(pb::GroupTerms::default()).unwrap());
    for wrong in [
        pb::GroupTerms { max_attempts: 101, ..Default::default() },
        pb::GroupTerms { max_attempts: -1, ..Default::default() },
        pb::GroupTerms { ordering: 9, ..Default::default() },
        pb::GroupTerms {
            idle_expiry: Some(prost_types::Duration { seconds: 3599, nanos: 0 }),
            ..Default::default()
        },
    ] {
        assert_eq!(normal(wrong).unwrap_err().reason().name, "REQUEST_INVALID");
    }
}
