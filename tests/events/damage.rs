//! Files of the log that are full or not what they were, as operators and QIWI meet them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Instant;

use qiwi_gateway::config::{Engine, Poll, Variable, Webhook};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::events::{EventLog as _, Limit, Retention};
use qiwi_gateway::state::{EmbeddedLog, Settings};

use super::letter::{HOOK, KEY, Letter, post, try_post};
use super::poll::world::{Shared, World, incoming};
use super::*;

const DATABASE: &str = "events.redb";
const MARK: &str = "events.mark";

/// A gateway with its log in a folder, in front of a history that tells what the webhook tells.
async fn gateway(fake: &Fake, folder: &Path) -> Gateway {
    let mut setup = Setup::at(&fake.url()).credential("main", Kind::Wallet, Some(WALLET), TOKEN);
    setup = setup.set(|config| {
        config.state.engine = Engine::Embedded;
        config.state.path = folder.to_owned();
        config.notifications.sources = vec!["any".to_owned()];
        config.limit.period = Duration::from_millis(200);
        config.events.poll_from = Duration::from_secs(3600);
        config.events.reconcile_interval = Duration::from_millis(100);
        let main = config.credentials.get_mut("main").unwrap();
        main.poll = Poll::Auto;
        main.webhook = Webhook::Static;
        main.webhook_key_env = Some(Variable("HOOK_KEY".to_owned()));
    });
    setup.env.insert("HOOK_KEY".to_owned(), KEY.to_owned());
    setup.start().await
}

async fn send(gateway: &Gateway, number: u64) -> u16 {
    post(
        gateway.notifications(),
        "/notifications/wallet/main",
        &[],
        &Letter::incoming(number).body(),
    )
    .await
    .0
}

/// The identities of the transactions a client gets from the beginning, and its last cursor.
async fn told(gateway: &Gateway) -> (BTreeMap<String, String>, bytes::Bytes) {
    let channel = gateway.channel().await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    let (last, events) = caught_up(&mut stream).await;
    let of = |event: pb::Event| match event.payload {
        Some(pb::event::Payload::Transaction(of)) => Some((of.transaction_id, event.event_id)),
        _ => None,
    };
    let count = events.iter().filter(|event| event.kind() == pb::EventKind::Transaction).count();
    let told: BTreeMap<_, _> = events.into_iter().filter_map(of).collect();
    assert_eq!(told.len(), count, "a transaction is there twice");
    (told, last.cursor)
}

/// Five events of a webhook, written down; their identities, and the cursor behind them.
async fn kept(folder: &Path) -> (Fake, Shared, BTreeMap<String, String>, bytes::Bytes) {
    let (fake, world) = World::start().await;
    let gateway = gateway(&fake, folder).await;
    let (hub, name) = (gateway.hub(), std::sync::Arc::from("main"));
    hub.hooks.learn(&*hub.log, &hub.cipher, &name, HOOK.parse().unwrap(), KEY).await.unwrap();
    for number in 1..=5 {
        assert_eq!(send(&gateway, number).await, 200);
    }
    world.lock().items = (1..=5).map(incoming).collect();
    let (before, place) = told(&gateway).await;
    assert_eq!(before.len(), 5);
    gateway.stop().await;
    (fake, world, before, place)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_refuses_all_and_one_begun_anew_is_refilled_with_the_same_identities() {
    let folder = process::folder("events-damaged");
    let (fake, _world, before, place) = kept(&folder).await;
    // Whoever had them open has let go.
    fs::File::open(folder.join("events.lock")).unwrap().lock().unwrap();
    let whole = fs::read(folder.join(DATABASE)).unwrap();
    let half = whole.len() / 2;
    let mut zeroed = whole.clone();
    // Not only the half that may be free.
    zeroed[4096..].fill(0);
    let mut noise = whole.clone();
    for (at, byte) in noise.iter_mut().enumerate().skip(64) {
        *byte ^= u8::try_from(at % 7).unwrap();
    }
    for (what, database) in [
        ("half of it", whole[..half].to_vec()),
        ("zeroes behind the header", zeroed),
        ("noise", noise),
    ] {
        fs::write(folder.join(DATABASE), database).unwrap();
        let gateway = gateway(&fake, &folder).await;
        let begun = Instant::now();
        while gateway.admin("/readyz/notifications").await.0 != 503 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{what}: nobody is told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(send(&gateway, 6).await, 503, "{what}");
        let channel = gateway.channel().await;
        for start in [cursor(place.clone()), end_of_log(pb::LogAnchor::Earliest)] {
            let refused = subscribe(&channel, &Ask::with(MAIN), &from(start)).await.unwrap_err();
            let reason = crate::support::told(&refused).reason;
            assert_eq!(reason, "EVENT_LOG_UNAVAILABLE", "{what}");
        }
        let stopped = gateway.stop().await;
        assert!(stopped.log.contains("notifications are refused"), "{what}");
        assert!(!stopped.log.contains("panicked at"), "{what}");
    }
    // A person decides that a new log begins.
    for file in [DATABASE, MARK] {
        fs::rename(folder.join(file), folder.join(format!("{file}.damaged"))).unwrap();
    }
    let gateway = gateway(&fake, &folder).await;
    let channel = gateway.channel().await;
    let refused = subscribe(&channel, &Ask::with(MAIN), &from(cursor(place))).await.unwrap_err();
    assert_eq!(crate::support::told(&refused).reason, "LOG_REWOUND");
    let begun = Instant::now();
    let after = loop {
        let (after, _) = told(&gateway).await;
        if after.len() == before.len() {
            break after;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "the history refills it: {after:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(after, before, "clients know them again");
}

/// A disk that becomes full under the real program, and has room again.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_at_once_and_is_used_again_when_there_is_room() {
    let folder = process::folder("events-full");
    let fake = super::crash::upstream().await;
    let toml = super::crash::toml(&fake, &folder);
    let env = super::crash::ENV;
    // As large as the database is at first, and a little more.
    let running = process::Process::serve("events-full", &toml, &env).await;
    running.signal("KILL");
    running.ended(Duration::from_secs(20)).await;
    let room = fs::metadata(folder.join(DATABASE)).unwrap().len();
    // Large ones, to be soon there.
    let large = |number| Letter { comment: "x".repeat(20_000), ..Letter::incoming(number) };
    let mut running = process::Process::serve_within("events-full", &toml, &env, room).await;
    let to = running.address("notifications");
    let (mut acknowledged, mut refused) = (Vec::new(), 0);
    for number in 0..20_000 {
        let begun = Instant::now();
        let body = large(number).body();
        match try_post(to, "/notifications/wallet/main", &[], &body).await.expect("it goes on").0 {
            200 => acknowledged.push(number),
            503 => {
                assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
                refused += 1;
            }
            other => panic!("{other}"),
        }
        if refused >= 5 {
            break;
        }
    }
    assert!(refused >= 5 && !acknowledged.is_empty(), "{} and still room", acknowledged.len());
    let ready = async || http_get(running.address("admin"), "/readyz/notifications").await.0;
    let begun = Instant::now();
    while ready().await != 503 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pid = running.pid().to_string();
    let more = ["--fsize=unlimited", "--pid", &pid];
    assert!(std::process::Command::new("prlimit").args(more).status().unwrap().success());
    let begun = Instant::now();
    while ready().await != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is never used again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for number in 30_000..30_020 {
        let body = Letter::incoming(number).body();
        assert_eq!(post(to, "/notifications/wallet/main", &[], &body).await.0, 200);
        acknowledged.push(number);
    }
    assert!(running.is_running(), "the process did not end");
    running.signal("TERM");
    running.ended(Duration::from_secs(30)).await;
    let log = EmbeddedLog::open(&Settings::new(&folder), Retention::DEFAULT).unwrap();
    let mut stored = Vec::new();
    loop {
        let events = log.read(stored.len() as u64, Limit::events(1000)).await.unwrap();
        if events.is_empty() {
            break;
        }
        stored.extend(events.into_iter().map(|of| of.event.transaction));
    }
    // And what the gateway itself had to say.
    let stored: Vec<u64> = stored.iter().filter_map(|of| of.parse().ok()).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|of| !stored.contains(of)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let unique: std::collections::BTreeSet<_> = stored.iter().collect();
    assert_eq!(unique.len(), stored.len(), "an event is there twice");
}
