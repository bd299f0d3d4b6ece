//! What becomes of events and entries when brokers fail.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use super::*;
use crate::events::{Append, EventLog as _, LogError, Outcome, Tier};
use crate::events::{Limit, Stored};
use crate::ledger::StoreError;
use crate::state::conformance::{key, record};
use crate::state::events::conformance::{add, delivered};
use streams::Of;

/// Senders at once.
const SENDERS: u64 = 8;

/// Notifications that come again until they are taken, as QIWI's do.
struct Load {
    taken: Arc<Mutex<HashMap<u64, u64>>>,
    last_taken: Arc<Mutex<Instant>>,
    refused: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    senders: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(log: &Log, from: u64) -> Self {
        let mut load = Self {
            taken: Arc::default(),
            last_taken: Arc::new(Mutex::new(Instant::now())),
            refused: Arc::default(),
            stop: Arc::default(),
            senders: Vec::new(),
        };
        for sender in 0..SENDERS {
            let (log, taken, stop) = (log.clone(), load.taken.clone(), load.stop.clone());
            let (last_taken, refused) = (load.last_taken.clone(), load.refused.clone());
            load.senders.push(tokio::spawn(async move {
                let mut number = from + sender;
                while !stop.load(Ordering::Relaxed) {
                    match log.append(delivered(number)).await {
                        Ok(Outcome::Appended { seq } | Outcome::Duplicate { seq, .. }) => {
                            taken.lock().insert(number, seq);
                            *last_taken.lock() = Instant::now();
                            number += SENDERS;
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(LogError::Unavailable(_)) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            }));
        }
        load
    }

    fn count(&self) -> usize {
        self.taken.lock().len()
    }

    /// Waits until more are taken; answers how long that took.
    async fn goes_on(&self, longest: Duration) -> Duration {
        let (begun, before) = (Instant::now(), self.count());
        until(longest, || self.count() > before + 20).await;
        begun.elapsed()
    }

    /// Ends it, and compares what was taken with what is there.
    async fn ends_true(self, log: &Log) {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.await.unwrap();
        }
        let kept = all(log).await;
        let mut numbers: Vec<u64> =
            kept.iter().map(|stored| stored.event.transaction.parse().unwrap()).collect();
        for (number, seq) in &*self.taken.lock() {
            let stored = kept.get(usize::try_from(*seq).unwrap() - 1);
            let there = stored.map(|stored| stored.event.transaction.parse::<u64>().unwrap());
            assert_eq!(there, Some(*number), "event {seq} was acknowledged and is not there");
        }
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "an event is there twice");
        // What was stored without an answer is one for each sender at most.
        assert!(count <= self.taken.lock().len() + usize::try_from(SENDERS).unwrap());
    }
}

impl Brokers {
    /// An installation with the usual patience.
    async fn usual(&self) -> Opened {
        let state = config::State {
            nats_timeout: Duration::from_millis(500),
            nats_patience: Duration::from_secs(2),
            nats_canary: Duration::from_millis(500),
            ..self.state("usual")
        };
        let check = LedgerKey::new(&[7; 32]).check(0);
        let opened = open(&state, Retention::DEFAULT, check).await.unwrap();
        until(Duration::from_secs(60), || opened.ledger.health().is_ok()).await;
        opened
    }

    fn kill(&self, at: usize) {
        self.cluster.lock().kill(at);
    }

    fn begin_again(&self, at: usize) {
        self.cluster.lock().begin(at);
    }
}

/// Sends an event until it is there, as QIWI does; answers where.
async fn comes_again(log: &Log, append: Append) -> u64 {
    let begun = Instant::now();
    loop {
        match log.append(append.clone()).await {
            Ok(Outcome::Appended { seq } | Outcome::Duplicate { seq, .. }) => return seq,
            Err(LogError::Unavailable(_)) if begun.elapsed() < Duration::from_secs(20) => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every event there is; whoever reads asks again, while brokers come to themselves.
async fn all(log: &Log) -> Vec<Stored> {
    let (begun, mut all) = (Instant::now(), Vec::new());
    loop {
        match log.read(all.len() as u64, Limit::events(1_000)).await {
            Ok(some) if some.is_empty() => return all,
            Ok(some) => all.extend(some),
            Err(error) => {
                assert!(begun.elapsed() < Duration::from_secs(60), "{error:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Which broker leads a stream.
async fn leader(shared: &Shared, of: Of) -> usize {
    let info = shared.broker.info(shared.streams.name(of)).await.unwrap();
    Cluster::number(&info.cluster.unwrap().leader.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_is_killed_and_nothing_is_lost() {
    let brokers = Brokers::start(Setup::default());
    let Opened { ledger, log, .. } = brokers.usual().await;
    let shared = Arc::clone(&log.shared);
    let log: Log = Arc::new(log);
    let load = Load::start(&log, 1);
    load.goes_on(Duration::from_secs(20)).await;
    let killed = leader(&shared, Of::Events).await;
    brokers.kill(killed);
    let pause = load.goes_on(Duration::from_secs(60)).await;
    println!("a leader's end stopped the intake for {pause:?}");
    assert!(pause < Duration::from_secs(15), "{pause:?}");
    until(Duration::from_secs(20), || ledger.health().is_ok() && log.health().is_ok()).await;
    brokers.begin_again(killed);
    load.goes_on(Duration::from_secs(20)).await;
    load.ends_true(&log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_everything_is_refused_and_comes_back() {
    let brokers = Brokers::start(Setup::default());
    let Opened { ledger, log, .. } = brokers.usual().await;
    let log: Log = Arc::new(log);
    add(&log, delivered(1)).await;
    ledger.insert(record(1)).await.unwrap();
    brokers.kill(0);
    brokers.kill(1);
    until(Duration::from_secs(10), || log.health().is_err() && ledger.health().is_err()).await;
    let begun = Instant::now();
    let refused = log.append(delivered(2)).await;
    assert!(matches!(refused, Err(LogError::Unavailable(_))), "{refused:?}");
    let refused = ledger.insert(record(2)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_millis(800), "at once, not {:?}", begun.elapsed());
    // What is there may be shown for as long as the last broker believes that it leads.
    let shown = ledger.get(&key(1)).await;
    assert!(shown.as_ref().is_err() || shown.unwrap().unwrap().version == 1);
    brokers.begin_again(0);
    brokers.begin_again(1);
    until(Duration::from_secs(60), || log.health().is_ok() && ledger.health().is_ok()).await;
    assert_eq!(ledger.get(&key(1)).await.unwrap().unwrap().version, 1);
    let known = Outcome::Duplicate { seq: 1, tier: Tier::Delivery };
    assert_eq!(log.append(delivered(1)).await, Ok(known));
    assert_eq!(add(&log, delivered(2)).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_brokers_are_killed_at_once_and_keep_what_they_acknowledged() {
    let brokers = Brokers::start(Setup::default());
    let Opened { ledger, log, .. } = brokers.usual().await;
    let log: Log = Arc::new(log);
    let epoch = log.info().await.unwrap().epoch;
    let load = Load::start(&log, 1);
    load.goes_on(Duration::from_secs(20)).await;
    for at in 0..3 {
        brokers.kill(at);
    }
    until(Duration::from_secs(10), || log.health().is_err()).await;
    for at in 0..3 {
        brokers.begin_again(at);
    }
    load.goes_on(Duration::from_secs(60)).await;
    until(Duration::from_secs(60), || ledger.health().is_ok()).await;
    let before: Vec<_> = load.taken.lock().clone().into_iter().take(20).collect();
    for (number, seq) in before {
        let again = log.append(delivered(number)).await;
        assert!(matches!(again, Ok(Outcome::Duplicate { seq: of, .. }) if of == seq), "{again:?}");
    }
    assert_eq!(log.info().await.unwrap().epoch, epoch, "nothing was lost, so it is the same log");
    load.ends_true(&log).await;
}

/// `BROKER_PAUSE` says for how many seconds at least; without it, until another one leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stood_still_tells_no_other_story() {
    let brokers = Brokers::start(Setup::default());
    let Opened { log, .. } = brokers.usual().await;
    let shared = Arc::clone(&log.shared);
    let log: Log = Arc::new(log);
    let load = Load::start(&log, 1);
    load.goes_on(Duration::from_secs(20)).await;
    let paused = leader(&shared, Of::Events).await;
    brokers.cluster.lock().pause(paused);
    let begun = Instant::now();
    load.goes_on(Duration::from_secs(60)).await;
    let pause = std::env::var("BROKER_PAUSE").ok().map_or(0, |text| text.parse().unwrap());
    tokio::time::sleep(Duration::from_secs(pause).saturating_sub(begun.elapsed())).await;
    println!("a broker stands still for {:?}; {} taken", begun.elapsed(), load.count());
    brokers.cluster.lock().go_on(paused);
    load.goes_on(Duration::from_secs(30)).await;
    load.ends_true(&log).await;
    // Whoever is asked directly says the same of each place.
    let name = shared.streams.name(Of::Events);
    let expected = all(&log).await;
    for at in 0..3 {
        let url = format!("nats://127.0.0.1:{}", brokers.cluster.lock().client_port(at));
        let client = async_nats::connect(url).await.unwrap();
        let broker = Broker::new(client, Duration::from_secs(5));
        let mut seen = 0;
        let begun = Instant::now();
        while seen < expected.len() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{seen} of {}", expected.len());
            for message in broker.batch(name, seen as u64 + 1, 500, 1 << 20).await.unwrap() {
                let there = crate::events::Stored::decode(&message.payload).unwrap();
                assert_eq!(there.event, expected[seen].event, "broker {at}, event {}", seen + 1);
                assert_eq!(message.seq, seen as u64 + 1);
                seen += 1;
            }
        }
    }
}

/// Writes until that is refused: every event that was taken is there when there is room again.
async fn is_filled_up(setup: Setup, make_room: impl FnOnce(&mut Cluster)) {
    let brokers = Brokers::start(setup);
    let state = config::State {
        nats_timeout: Duration::from_millis(500),
        nats_canary: Duration::from_millis(500),
        nats_patience: Duration::from_secs(2),
        ..brokers.state("small")
    };
    let check = LedgerKey::new(&[7; 32]).check(0);
    let retention = Retention { bytes: u64::MAX, ..Retention::DEFAULT };
    let Opened { ledger, log, .. } = open(&state, retention, check).await.unwrap();
    until(Duration::from_secs(60), || ledger.health().is_ok()).await;
    let log: Log = Arc::new(log);
    let large = |number: u64| {
        let mut append = delivered(number);
        append.event.payload = bytes::Bytes::from(vec![7; 200 << 10]);
        append
    };
    let mut taken = 0;
    let refused = loop {
        assert!(taken < 1_000, "there is room for everything");
        match log.append(large(taken + 1)).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    println!("{taken} events of 200 KiB, then: {refused}");
    assert!(taken > 20);
    assert!(matches!(refused, LogError::Unavailable(_) | LogError::Full), "{refused:?}");
    // Trial writes are small, and yet they do not fit.
    until(Duration::from_secs(10), || log.health().is_err() && ledger.health().is_err()).await;
    for at in 0..3 {
        brokers.kill(at);
    }
    make_room(&mut brokers.cluster.lock());
    for at in 0..3 {
        brokers.begin_again(at);
    }
    until(Duration::from_secs(60), || log.health().is_ok() && ledger.health().is_ok()).await;
    for number in 1..=taken {
        let again = log.append(large(number)).await;
        assert!(matches!(again, Ok(Outcome::Duplicate { seq, .. }) if seq == number), "{again:?}");
    }
    // The one that was refused may be there all the same; the next one is new.
    add(&log, large(taken + 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_without_room_are_noticed_and_lose_nothing() {
    let setup = Setup { room: 24 << 20, ..Setup::default() };
    is_filled_up(setup, |cluster| cluster.set_up(Setup::default())).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_whose_disks_are_full_are_noticed_and_lose_nothing() {
    let setup = Setup { disk: Some((64 << 20, 32 << 20)), ..Setup::default() };
    is_filled_up(setup, |cluster| cluster.make_room()).await;
}

/// What the engine says of itself after a while, when it has to refuse.
async fn refusal(brokers: &Brokers, state: &config::State) -> String {
    let check = LedgerKey::new(&[7; 32]).check(0);
    let opened = open(state, Retention::DEFAULT, check).await.unwrap();
    let starting = "the brokers were not reached yet";
    let begun = Instant::now();
    loop {
        let error = opened.log.health().expect_err("it refuses").to_string();
        if !error.contains(starting) && !error.contains("did not answer") {
            assert!(opened.ledger.health().is_err());
            let sent = opened.log.append(delivered(1)).await;
            assert!(matches!(sent, Err(LogError::Unavailable(_))), "{sent:?}");
            return error;
        }
        let urls = brokers.cluster.lock().urls();
        assert!(begun.elapsed() < Duration::from_secs(60), "{urls}: {error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_acknowledge_too_early_are_refused_by_name() {
    use crate::config::value::{Raw, Value as _};
    let brokers = Brokers::start(Setup { sync_always: false, ..Setup::default() });
    let error = refusal(&brokers, &brokers.state("late")).await;
    assert!(error.contains("sync_interval is not always"), "{error}");
    // The same of one that is too old.
    let brokers = Brokers::start(Setup::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let says =
        r#"{"server_name":"n0","version":"2.14.6","jetstream":{"config":{"sync_always":true}}}"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{says}", says.len());
    tokio::spawn(async move {
        loop {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let mut state = brokers.state("old");
    let monitors = brokers.cluster.lock().monitors();
    let (_, others) = monitors.split_once(',').unwrap();
    state.nats_monitor_urls = MonitorUrls::read(&Raw::Text(format!("http://{address},{others}")));
    let error = refusal(&brokers, &state).await;
    assert!(error.contains("broker n0: nats-server \"2.14.6\" is older than 2.15.1"), "{error}");
    // A page that is not among the ones that were given shows nothing.
    let mut state = brokers.state("two");
    let two: Vec<_> = monitors.split(',').take(2).collect();
    state.nats_monitor_urls = MonitorUrls::read(&Raw::Text(two.join(",")));
    let error = refusal(&brokers, &state).await;
    assert!(error.contains("state.nats_monitor_urls leaves out n2"), "{error}");
    // The same brokers, and streams of one copy.
    let mut state = brokers.state("single");
    state.nats_replicas = 1;
    let error = refusal(&brokers, &state).await;
    assert!(error.contains("stream single_LEDGER: num_replicas is 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_break_a_promise_are_refused_by_name() {
    use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, StorageType};
    let brokers = Brokers::start(Setup::default());
    let opened = brokers.open("good", Retention::DEFAULT).await;
    let shared = &opened.log.shared;
    let info = shared.broker.info(shared.streams.name(Of::Events)).await.unwrap();
    assert_eq!(shared.streams.complaint(Of::Events, &info), None);
    let of = |change: fn(&mut Config)| {
        let mut changed = info.clone();
        change(&mut changed.config);
        shared.streams.complaint(Of::Events, &changed).unwrap_or_default()
    };
    for (said, complaint) in [
        ("num_replicas is 2", of(|config| config.num_replicas = 2)),
        ("storage is memory", of(|config| config.storage = StorageType::Memory)),
        ("persist_mode is async", of(|config| config.persist_mode = Some(PersistenceMode::Async))),
        ("discard is old", of(|config| config.discard = DiscardPolicy::Old)),
        ("max_msgs is set", of(|config| config.max_messages = 10)),
        ("max_msgs_per_subject", of(|config| config.max_messages_per_subject = 1)),
        ("deny_delete is off", of(|config| config.deny_delete = false)),
        ("deny_purge is off", of(|config| config.deny_purge = false)),
        ("allow_direct is off", of(|config| config.allow_direct = false)),
        ("it is sealed", of(|config| config.sealed = true)),
        ("its subjects are not", of(|config| config.subjects = vec!["other.>".to_owned()])),
    ] {
        assert!(complaint.contains(said) && complaint.contains("good_EVENTS"), "{complaint}");
    }
    // For real: somebody made one before the gateway did.
    let streams = Streams::new("taken", 3, None, Retention::DEFAULT);
    let config = Config { max_age: Duration::from_secs(3600), ..streams.config(Of::Ledger) };
    shared.broker.create(&config).await.unwrap();
    for of in [Of::Cells, Of::Events, Of::Deliveries] {
        shared.broker.create(&streams.config(of)).await.unwrap();
    }
    let error = refusal(&brokers, &brokers.state("taken")).await;
    assert!(error.contains("stream taken_LEDGER: max_age is set"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_vanish_are_begun_anew_but_for_the_ledger() {
    let brokers = Brokers::start(Setup::default());
    let Opened { ledger, log, .. } = brokers.usual().await;
    let shared = Arc::clone(&log.shared);
    let log: Log = Arc::new(log);
    for number in 1..=5 {
        comes_again(&log, delivered(number)).await;
    }
    ledger.insert(record(1)).await.unwrap();
    let before = log.info().await.unwrap();
    let delete = async |of: Of| {
        let name = shared.streams.name(of);
        let gone: Result<serde_json::Value, _> =
            shared.broker.api("STREAM.DELETE", name, &serde_json::json!({})).await;
        gone.unwrap();
    };
    delete(Of::Events).await;
    let begun = Instant::now();
    let after = loop {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not begun anew");
        match log.info().await {
            Ok(info) if info.epoch != before.epoch && log.health().is_ok() => break info,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(after.last, 0);
    // What is known by a delivery that went with its event is new.
    assert_eq!(comes_again(&log, delivered(3)).await, 1);
    until(Duration::from_secs(10), || ledger.health().is_ok()).await;
    delete(Of::Ledger).await;
    until(
        Duration::from_secs(20),
        || matches!(ledger.health(), Err(StoreError::Damaged(text)) if text.contains("is gone")),
    )
    .await;
    let refused = ledger.insert(record(1)).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    assert!(matches!(ledger.get(&key(1)).await, Err(StoreError::Damaged(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_another_key_is_refused() {
    let brokers = Brokers::start(Setup::default());
    let first = brokers.open("keyed", Retention::DEFAULT).await;
    first.ledger.insert(record(1)).await.unwrap();
    let check = LedgerKey::new(&[8; 32]).check(0);
    let other = open(&brokers.state("keyed"), Retention::DEFAULT, check).await.unwrap();
    until(Duration::from_secs(20), || {
        let health = other.ledger.health();
        matches!(health, Err(StoreError::Damaged(text)) if text.contains("another key"))
    })
    .await;
    assert_eq!(first.ledger.health(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_are_stored_and_not_acknowledged_are_noticed_although_all_looks_well() {
    use crate::config::value::{Raw, Value as _};
    let brokers = Brokers::start(Setup::default());
    let port = brokers.cluster.lock().client_port(0);
    let wire = wire::Wire::to(port).await;
    let state = config::State {
        nats_url: NatsUrl::read(&Raw::Text(format!("nats://{}", wire.address))),
        nats_timeout: Duration::from_millis(500),
        nats_patience: Duration::from_secs(2),
        nats_canary: Duration::from_millis(300),
        ..brokers.state("wedged")
    };
    let check = LedgerKey::new(&[7; 32]).check(0);
    let Opened { ledger, log, .. } = open(&state, Retention::DEFAULT, check).await.unwrap();
    until(Duration::from_secs(60), || ledger.health().is_ok()).await;
    // Somebody who looks past the wire.
    let client = async_nats::connect(format!("nats://127.0.0.1:{port}")).await.unwrap();
    let beside = Broker::new(client, Duration::from_secs(5));
    let name = log.shared.streams.name(Of::Ledger).to_owned();
    let lead = async || {
        let info = beside.info(&name).await.unwrap();
        info.cluster.and_then(|cluster| Some((cluster.leader?, cluster.leader_since)))
    };
    let before = lead().await;
    let log: Log = Arc::new(log);
    comes_again(&log, delivered(1)).await;
    wire.swallow(true);
    until(Duration::from_secs(10), || log.health().is_err() && ledger.health().is_err()).await;
    let error = log.health().unwrap_err().to_string();
    assert!(error.contains("trial write"), "{error}");
    let begun = Instant::now();
    while lead().await == before {
        assert!(begun.elapsed() < Duration::from_secs(20), "nobody is asked to hand over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    wire.swallow(false);
    until(Duration::from_secs(30), || log.health().is_ok() && ledger.health().is_ok()).await;
    comes_again(&log, delivered(2)).await;
    let numbers: Vec<_> =
        all(&log).await.iter().map(|stored| stored.event.transaction.clone()).collect();
    assert_eq!(numbers, ["1", "2"]);
}

/// The acknowledgement of a write is lost, and yet its writer learns that it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_acknowledgement_is_lost_is_known_again() {
    use crate::config::value::{Raw, Value as _};
    use crate::ledger::Insert;
    let brokers = Brokers::start(Setup::default());
    let port = brokers.cluster.lock().client_port(0);
    let wire = wire::Wire::to(port).await;
    let state = config::State {
        nats_url: NatsUrl::read(&Raw::Text(format!("nats://{}", wire.address))),
        nats_timeout: Duration::from_millis(700),
        nats_patience: Duration::from_secs(10),
        // Nothing else may find out meanwhile.
        nats_canary: Duration::from_secs(60),
        ..brokers.state("lost")
    };
    let check = LedgerKey::new(&[7; 32]).check(0);
    let Opened { ledger, log, .. } = open(&state, Retention::DEFAULT, check).await.unwrap();
    until(Duration::from_secs(60), || ledger.health().is_ok()).await;
    wire.swallow(true);
    // The repeat is refused by what the first one wrote, and a refusal is an acknowledgement too:
    // the first of these that comes through finds it.
    let inserting = ledger.insert(record(1));
    let appending = log.append(delivered(1));
    let letting = async {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        wire.swallow(false);
    };
    let (inserted, appended, ()) = tokio::join!(inserting, appending, letting);
    assert!(matches!(inserted, Ok(Insert::Inserted(_))), "{inserted:?}");
    assert_eq!(appended, Ok(Outcome::Appended { seq: 1 }));
}
