//! The engine against its promise, over real brokers: as every engine, and when they fail.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::print_stderr)]

#[allow(dead_code)] // tests of whole gateways do more with them
mod cluster;
mod faults;
mod secured;
#[allow(dead_code)] // the same
mod wire;

use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::config::{MonitorUrls, NatsUrl};
use crate::ledger::{LedgerKey, LedgerStore};
use crate::state::events::conformance::{Log, Place};
use cluster::{Cluster, Setup};

/// Brokers, and installations in them.
struct Brokers {
    cluster: Mutex<Cluster>,
    next: AtomicU32,
    last: Mutex<Option<String>>,
}

impl Brokers {
    fn start(setup: Setup) -> Self {
        let cluster = Mutex::new(Cluster::start(setup));
        Self { cluster, next: AtomicU32::new(0), last: Mutex::default() }
    }

    fn state(&self, prefix: &str) -> config::State {
        use crate::config::value::{Raw, Value as _};
        let cluster = self.cluster.lock();
        let text = |text: String| Raw::Text(text);
        config::State {
            engine: config::Engine::Nats,
            nats_url: NatsUrl::read(&text(cluster.urls())),
            nats_monitor_urls: MonitorUrls::read(&text(cluster.monitors())),
            nats_prefix: prefix.to_owned(),
            nats_timeout: Duration::from_secs(3),
            nats_patience: Duration::from_secs(30),
            ..config::State::default()
        }
    }

    async fn open(&self, prefix: &str, retention: Retention) -> Opened {
        let check = LedgerKey::new(&[7; 32]).check(0);
        let opened = open(&self.state(prefix), retention, check).await.unwrap();
        until(Duration::from_secs(60), || opened.ledger.health().is_ok()).await;
        opened
    }

    /// An installation without anything in it; the one before is taken away.
    async fn begin(&self, retention: Retention) -> Opened {
        let prefix = format!("c{}", self.next.fetch_add(1, Ordering::Relaxed));
        let before = self.last.lock().replace(prefix.clone());
        let opened = self.open(&prefix, retention).await;
        if let Some(before) = before {
            for of in streams::Of::ALL {
                let name = Streams::new(&before, 3, None, retention).name(of).to_owned();
                let broker = Broker::new(opened.client.clone(), Duration::from_secs(5));
                let gone: Result<serde_json::Value, _> =
                    broker.api("STREAM.DELETE", &name, &serde_json::json!({})).await;
                gone.unwrap();
            }
        }
        opened
    }
}

/// Waits for something; what takes longer fails.
async fn until(longest: Duration, is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < longest, "it did not come to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Place for Brokers {
    async fn begin(&self, retention: Retention) -> Log {
        Arc::new(self.begin(retention).await.log)
    }

    async fn tidy(&self, log: &Log, now_ms: i64) {
        log.tidy(now_ms).await.unwrap();
        let info = log.info().await.unwrap();
        if info.retention.age_ms >= 0 {
            return;
        }
        // Brokers let go by age: for a moment of a tenth of a second.
        let prefix = self.last.lock().clone().unwrap();
        let url = format!("nats://127.0.0.1:{}", self.cluster.lock().client_port(0));
        let client = async_nats::connect(url).await.unwrap();
        let broker = Broker::new(client, Duration::from_secs(5));
        let streams = Streams::new(&prefix, 3, None, info.retention);
        for of in [streams::Of::Events, streams::Of::Deliveries] {
            let is = broker.info(streams.name(of)).await.unwrap().config;
            let short = async_nats::jetstream::stream::Config {
                max_age: Duration::from_millis(100),
                duplicate_window: Duration::from_millis(100),
                ..is.clone()
            };
            broker.update(&short).await.unwrap();
            let begun = std::time::Instant::now();
            while broker.info(streams.name(of)).await.unwrap().state.messages > 0 {
                assert!(begun.elapsed() < Duration::from_secs(20), "nothing goes");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            broker.update(&is).await.unwrap();
        }
    }
}

mod promise {
    use super::*;

    mod ledger {
        use super::*;
        use crate::state::conformance::{Store, conformance};

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_ledger_keeps_every_engines_promise() {
            let brokers = Brokers::start(Setup::default());
            let begin = || async {
                let store: Store = Arc::new(brokers.begin(Retention::DEFAULT).await.ledger);
                store
            };
            conformance!(in_one; begin());
        }
    }

    mod log {
        use super::*;
        use crate::state::events::conformance::conformance;

        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_log_keeps_every_engines_promise() {
            let brokers = Brokers::start(Setup::default());
            conformance!(in_one; &brokers);
        }
    }
}
