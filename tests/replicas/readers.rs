//! Reading a wallet's history: by one gateway for all, and by each for what it could not store.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::events::letter::{Letter, try_post};
use crate::events::poll::world::{self as history, incoming};

/// What stands for a minute.
const PERIOD: &str = "6s";
const READINGS: &str = "qiwi_event_readings_total";

/// The events of transactions from this one on, each there once.
async fn each_once(log: &dyn EventLog, first: u64) -> Vec<u64> {
    let mut told = told_of(&everything(log).await);
    told.retain(|number| *number >= first);
    told.sort_unstable();
    let count = told.len();
    told.dedup();
    assert_eq!(told.len(), count, "an event is there twice");
    told
}

/// The brokers' leader dies under load: the intake stops for seconds, and what was refused
/// meanwhile and never comes again is in the log half a minute after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_when_a_leader_died_is_found_in_the_history() {
    const FIRST: u64 = 1_000;
    let (fake, qiwi) = history::World::start().await;
    qiwi.lock().items.push(incoming(1));
    let setup = Setup { qiwi: vec![fake.url(); GATEWAYS], period: PERIOD, ..Setup::default() };
    let world = Arc::new(World::start_as(setup).await);
    let opened = world.open().await;
    soon(LONG, "the history was read once", async || {
        let of = (0..GATEWAYS).map(|at| world.metric(at, READINGS, &["complete"]));
        futures_util::future::join_all(of).await.into_iter().sum::<u64>() > 0
    })
    .await;
    let (numbers, stop) = (Arc::new(AtomicU64::new(FIRST)), Arc::new(AtomicBool::new(false)));
    let taken: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let refused: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let senders: Vec<_> = (0..3)
        .map(|at| {
            let (world, qiwi, numbers) = (world.clone(), qiwi.clone(), numbers.clone());
            let (stop, taken, refused) = (stop.clone(), taken.clone(), refused.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    qiwi.lock().items.push(incoming(number));
                    let account = "79990000007".to_owned();
                    let letter = Letter { account, amount: "5", ..Letter::incoming(number) };
                    let (to, body) = (world.addresses(at).notifications, letter.body());
                    match try_post(to, "/notifications/wallet/main", &[], &body).await {
                        Some((200, _)) => taken.lock().push(Instant::now()),
                        Some((503, _)) | None => refused.lock().push(Instant::now()),
                        other => panic!("{other:?}"),
                    }
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            })
        })
        .collect();
    // The brokers are no longer new.
    tokio::time::sleep(Duration::from_secs(6)).await;
    soon(LONG, "it runs", async || taken.lock().len() > 10).await;
    assert_eq!(refused.lock().len(), 0);
    let leader = world.leader("qiwi_EVENTS").await;
    let killed = Instant::now();
    world.brokers.lock().kill(leader);
    soon(LONG, "something is refused", async || !refused.lock().is_empty()).await;
    soon(LONG, "all is taken again", async || {
        let last = refused.lock().last().copied().unwrap();
        let since = taken.lock().iter().filter(|at| **at > last).count();
        since > 20 && last.elapsed() > Duration::from_secs(3)
    })
    .await;
    let last = refused.lock().last().copied().unwrap();
    let pause = last.duration_since(killed);
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    let expected: Vec<u64> = (FIRST..numbers.load(Ordering::Relaxed)).collect();
    soon(LONG, "all are there", async || each_once(&*opened.log, FIRST).await == expected).await;
    let found = last.elapsed();
    let mut failed = 0;
    for at in 0..GATEWAYS {
        failed += world.metric(at, READINGS, &["failed"]).await;
    }
    println!(
        "a leader's end: refused for {pause:?}, {} of {}; all there {found:?} later; {} requests, \
         {failed} readings failed",
        refused.lock().len(),
        expected.len(),
        fake.count()
    );
    assert!(pause < Duration::from_secs(15), "{pause:?}");
    assert!(found < Duration::from_secs(30), "{found:?}");
    // Whoever cannot write waits before it reads again.
    assert!(failed < 100, "{failed} readings in vain");
}

/// The gateway that reads for all stands still for longer than it may: another one takes over, and
/// when it wakes it leaves the work there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stands_still_is_replaced_and_doubles_nothing_when_it_wakes() {
    let qiwi = history::Shared::default();
    let mut fakes = Vec::new();
    for _ in 0..GATEWAYS {
        let shared = Arc::clone(&qiwi);
        fakes.push(Fake::by(move |seen| shared.lock().answer(seen)).await);
    }
    qiwi.lock().items.push(incoming(1));
    let world = World::start_as(Setup {
        qiwi: fakes.iter().map(Fake::url).collect(),
        lease: "2s",
        period: PERIOD,
        main: "poll = \"history\"",
        more: "poll_fastest = \"500ms\"\npoll_slowest = \"1s\"\n",
        ..Setup::default()
    })
    .await;
    let opened = world.open().await;
    soon(LONG, "somebody reads", async || fakes.iter().any(|fake| fake.count() > 0)).await;
    qiwi.lock().items.extend((2..=10).map(incoming));
    soon(LONG, "nine are there", async || each_once(&*opened.log, 2).await.len() == 9).await;
    let asked: Vec<usize> = fakes.iter().map(Fake::count).collect();
    let reader = (0..GATEWAYS).max_by_key(|at| asked[*at]).unwrap();
    let others =
        || (0..GATEWAYS).filter(|at| *at != reader).map(|at| fakes[at].count()).sum::<usize>();
    assert_eq!(others(), 0, "one reads for all: {asked:?}");
    world.signal(reader, "STOP");
    qiwi.lock().items.extend((11..=20).map(incoming));
    soon(LONG, "another one reads", async || each_once(&*opened.log, 2).await.len() == 19).await;
    let asked = fakes[reader].count();
    world.signal(reader, "CONT");
    let before = others();
    soon(LONG, "they go on", async || others() >= before + 3).await;
    // Something was on its way, and it may try once before it knows.
    assert!(fakes[reader].count() <= asked + 2, "{} after it woke", fakes[reader].count() - asked);
    qiwi.lock().items.extend((21..=25).map(incoming));
    soon(LONG, "all are there", async || each_once(&*opened.log, 2).await.len() == 24).await;
    // A fifth of the hundred that QIWI permits, from whoever reads and whoever did before.
    let mut all: Vec<_> = fakes.iter().flat_map(Fake::seen).map(|seen| seen.at).collect();
    all.sort();
    let minute = |from: usize| {
        all[from..].iter().take_while(|at| at.duration_since(all[from]).as_secs() < 6).count()
    };
    let most = (0..all.len()).map(minute).max().unwrap_or(0);
    println!("{most} history requests in what stands for a minute");
    assert!(most <= 2 * 20, "{most} history requests");
}
