//! Certificates, authorities, tokens, caller keys and the policy, all replaced several times while
//! clients call over mTLS: no call fails and no connection is dropped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tonic::transport::Channel;

use crate::support::process::{Process, folder, replace};
use crate::support::tls::{Authority, Pair, endpoint};
use crate::support::*;

const ROUNDS: usize = 4;
/// Clients that keep their connection.
const FAITHFUL: usize = 4;

/// What clients show right now.
struct Shown {
    /// By whom listeners are vouched for.
    authority: Authority,
    shop: Pair,
    key: String,
}

struct World {
    folder: PathBuf,
    process: Process,
    shown: Arc<Mutex<Arc<Shown>>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

/// One call with a client's key, or with its certificate alone.
async fn call(channel: &Channel, key: Option<&str>) -> Result<(), tonic::Status> {
    let mut ask = Ask::with(MAIN).within(Duration::from_secs(20));
    if let Some(key) = key {
        ask = ask.and("x-qiwi-caller-key", key);
    }
    let fresh = prost::Message::encode_to_vec(&fresh_balances());
    ask.raw(channel, BALANCES, fresh).await.map(|_| ())
}

impl World {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// How many looks at a kind of file had this result.
    async fn looks(&self, source: &str, result: &str) -> u64 {
        let (_, text) = http_get(self.process.address("admin"), "/metrics").await;
        let labels = [format!("source=\"{source}\""), format!("result=\"{result}\"")];
        let of = |line: &&str| {
            line.starts_with("qiwi_reload_total{")
                && labels.iter().all(|label| line.contains(label))
        };
        text.lines().find(of).map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Replaces files and waits until they are in use.
    async fn replaced(&self, source: &str, change: impl FnOnce()) {
        let (before, begun) = (self.looks(source, "changed").await, Instant::now());
        change();
        while self.looks(source, "changed").await == before {
            let late = begun.elapsed() > Duration::from_secs(20);
            assert!(!late, "{source}: never in use\n{}", self.process.printed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client that keeps its connection for as long as the test lasts.
    async fn faithful(&self, by_key: bool) -> tokio::task::JoinHandle<usize> {
        let shown = Arc::clone(&self.shown.lock());
        let address = self.process.address("grpc");
        let channel = endpoint(address, &shown.authority, Some(&shown.shop)).connect().await;
        let channel = channel.unwrap();
        let (now, stop, answered) =
            (Arc::clone(&self.shown), Arc::clone(&self.stop), Arc::clone(&self.answered));
        tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::SeqCst) {
                let key = by_key.then(|| now.lock().key.clone());
                call(&channel, key.as_deref()).await.expect("no call fails");
                answered.fetch_add(1, Ordering::SeqCst);
                count += 1;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            count
        })
    }

    /// A client that connects anew again and again, with what is shown at that time.
    fn fickle(&self) -> tokio::task::JoinHandle<usize> {
        let (now, stop) = (Arc::clone(&self.shown), Arc::clone(&self.stop));
        let address = self.process.address("grpc");
        tokio::spawn(async move {
            let mut connections = 0;
            while !stop.load(Ordering::SeqCst) {
                let shown = Arc::clone(&now.lock());
                let own = Some(&shown.shop);
                let channel = endpoint(address, &shown.authority, own).connect().await;
                let channel = channel.expect("no connection fails");
                for _ in 0..3 {
                    call(&channel, None).await.expect("no call fails");
                }
                connections += 1;
            }
            connections
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_replaced_under_load_and_no_call_fails() {
    let folder = folder("swap-all");
    let at = |name: &str| folder.join(name);
    let first = Authority::new("round 0");
    let (server, shop) = (first.server(), first.client(&["shop.example"]));
    replace(&at("tls.key"), &server.key);
    replace(&at("tls.crt"), &server.certificate);
    replace(&at("ca.crt"), &first.pem);
    replace(&at("token"), "token-0");
    replace(&at("shop.key"), "key-of-the-shop-round-0");
    let fake = Fake::by(|seen| match seen.token() {
        Some("token-0") => balance_answer(),
        _ => Answer::new(401, ""),
    })
    .await;
    let (url, here) = (fake.url(), folder.to_str().unwrap().to_owned());
    let policy = move |more: &str, burst: usize| {
        format!(
            "[grpc]\nlisten = \"127.0.0.1:0\"\ntls_cert_file = \"{here}/tls.crt\"\n\
             tls_key_file = \"{here}/tls.key\"\ntls_client_ca_file = \"{here}/ca.crt\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [upstream]\nedge_url = \"{url}\"\nsite_url = \"{url}\"\nbill_url = \"{url}\"\n\
             attempt_timeout = \"20s\"\n[breaker]\nconsecutive_failures = 1000\nsamples_min = 1000000\n\
             [retry]\nbudget_floor_per_second = 1000\n\
             [security]\nreload_interval = \"25ms\"\n\
             [credentials.main]\nkind = \"wallet\"\nwallet = \"{WALLET}\"\n\
             token_file = \"{here}/token\"\npoll = \"off\"\n\
             [callers.shop]\nkey_file = \"{here}/shop.key\"\nsan = [\"shop.example\"]\n\
             credentials = [\"main\"]\ncalls_per_second = 100000\ncalls_burst = {burst}\n{more}"
        )
    };
    replace(&at("gateway.toml"), &policy("", 90_000));
    let process = Process::serve_file(&at("gateway.toml"), &[]).await;
    let shown = Shown { authority: first, shop, key: "key-of-the-shop-round-0".to_owned() };
    let world = World {
        folder: folder.clone(),
        process,
        shown: Arc::new(Mutex::new(Arc::new(shown))),
        stop: Arc::default(),
        answered: Arc::default(),
    };
    let mut faithful = Vec::new();
    for number in 0..FAITHFUL {
        faithful.push(world.faithful(number % 2 == 0).await);
    }
    let fickle = [world.fickle(), world.fickle()];
    until("the load runs", || world.answered.load(Ordering::SeqCst) > 50).await;

    for round in 1..=ROUNDS {
        // The authority and, by it, all certificates: both are trusted for a while.
        let next = Authority::new(&format!("round {round}"));
        let (server, shop) = (next.server(), next.client(&["shop.example"]));
        let before = Arc::clone(&world.shown.lock());
        let both = format!("{}{}", before.authority.pem, next.pem);
        world.replaced("certificates", || replace(&world.at("ca.crt"), &both)).await;
        let trusting = Shown {
            // Clients trust the next one before it is shown to them.
            authority: Authority::trusted(both),
            shop: before.shop.clone(),
            key: before.key.clone(),
        };
        *world.shown.lock() = Arc::new(trusting);
        // Who is connecting with the trust of before has connected when this is over.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let change = || {
            replace(&world.at("tls.key"), &server.key);
            replace(&world.at("tls.crt"), &server.certificate);
        };
        world.replaced("certificates", change).await;
        let key = format!("key-of-the-shop-round-{round}");
        let pem = next.pem.clone();
        let renewed = Shown { authority: next, shop, key: before.key.clone() };
        *world.shown.lock() = Arc::new(renewed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.replaced("certificates", || replace(&world.at("ca.crt"), &pem)).await;

        // The caller's key: both, then the clients, then the new one alone.
        let both = format!("{}\n{key}\n", before.key);
        world.replaced("callers", || replace(&world.at("shop.key"), &both)).await;
        {
            let mut shown = world.shown.lock();
            let authority = Authority::trusted(shown.authority.pem.clone());
            *shown = Arc::new(Shown { authority, shop: shown.shop.clone(), key: key.clone() });
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.replaced("callers", || replace(&world.at("shop.key"), &key)).await;

        // The token: QIWI takes the old one no longer from the moment the new one exists.
        let token = format!("token-{round}");
        let change = || {
            replace(&world.at("token"), &token);
            let good = token.clone();
            fake.now(move |seen| match seen.token() {
                Some(token) if token == good => balance_answer(),
                _ => Answer::new(401, ""),
            });
        };
        change();
        let begun = Instant::now();
        while fake.count_of(&token) < 20 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{token} is never used");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        // The policy: a caller and a credential come and go, and the limit of the shop changes.
        let more = format!(
            "[credentials.extra{round}]\nkind = \"wallet\"\nwallet = \"7999000000{round}\"\n\
             token_file = \"{}\"\npoll = \"off\"\n\
             [callers.guest{round}]\nsan = [\"guest.example\"]\ncredentials = [\"extra{round}\"]\n",
            world.at("token").to_str().unwrap()
        );
        let text = policy(&more, 80_000 + round);
        world.replaced("configuration", || replace(&world.at("gateway.toml"), &text)).await;
        let text = policy("", 90_000);
        world.replaced("configuration", || replace(&world.at("gateway.toml"), &text)).await;
        // And one that is wrong, which nobody notices.
        let failed = world.looks("configuration", "failed").await;
        replace(&world.at("gateway.toml"), &text.replace("[\"main\"]", "[\"nobody\"]"));
        let begun = Instant::now();
        while world.looks("configuration", "failed").await == failed {
            assert!(begun.elapsed() < Duration::from_secs(20), "a wrong file is never refused");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        replace(&world.at("gateway.toml"), &text);
    }
    world.stop.store(true, Ordering::SeqCst);
    for client in faithful {
        assert!(client.await.expect("no call fails") > 20);
    }
    let mut connections = 0;
    for client in fickle {
        connections += client.await.expect("no call fails");
    }
    assert!(connections > 4 * ROUNDS, "{connections} connections");
    // Nobody lost a connection: those that closed are the clients' own.
    let (_, text) = http_get(world.process.address("admin"), "/metrics").await;
    let closed: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("qiwi_connections_closed_total{"))
        .filter(|line| !line.contains("reason=\"closed\"") && !line.contains("reason=\"error\""))
        .collect();
    assert!(closed.is_empty(), "{closed:?}");
    let of = |name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum::<usize>()
    };
    // A client that had lost its connection would have made another one.
    let made = of("qiwi_connections_closed_total{") + of("qiwi_connections ");
    assert_eq!(made, connections + FAITHFUL);
    assert_eq!(of("qiwi_tls_refused_total{"), 0);
    let failed: Vec<_> = world
        .process
        .printed()
        .lines()
        .filter(|line| line.contains("qiwi_gateway::call") && !line.contains(r#""code":"OK""#))
        .map(str::to_owned)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    world.process.signal("TERM");
    let ended = world.process.ended(Duration::from_secs(30)).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    for secret in ["PRIVATE KEY", "token-1", "key-of-the-shop"] {
        assert!(!ended.stdout.contains(secret), "{secret} is printed");
    }
}
