//! Killed at any moment: what was answered 200 is there, once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use qiwi_gateway::events::{EventLog as _, Limit, Retention};
use qiwi_gateway::state::{EmbeddedLog, Settings};
use rand::RngExt as _;

use super::letter::*;
use crate::support::*;

/// Kills of a normal run; `EVENT_KILLS=200` for the long one.
const KILLS: usize = 40;
/// Senders at once.
const SENDERS: usize = 8;

/// What the configuration names in the environment.
pub const ENV: [(&str, &str); 2] = [("TOKEN", TOKEN), ("HOOK_KEY", KEY)];

/// The configuration of a gateway with its log in a folder.
pub fn toml(fake: &Fake, folder: &std::path::Path) -> String {
    format!(
        "[grpc]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [notifications]\nsources = [\"any\"]\nstore_timeout = \"10s\"\n\
         [upstream]\nedge_url = \"{url}\"\n[state]\nengine = \"embedded\"\npath = \"{path}\"\n\
         [credentials.main]\nkind = \"wallet\"\nwallet = \"{WALLET}\"\ntoken_env = \"TOKEN\"\n\
         webhook = \"static\"\nwebhook_key_env = \"HOOK_KEY\"\n",
        url = fake.url(),
        path = folder.display(),
    )
}

/// QIWI's side: one webhook and its key.
pub async fn upstream() -> Fake {
    Fake::by(|seen| match seen.path() {
        "/payment-notifier/v1/hooks/active" => Answer::json(format!(
            r#"{{"hookId":"{HOOK}","hookParameters":{{"url":"https://example.com/notifications/wallet/main"}},"hookType":"WEB","txnType":"BOTH"}}"#
        )),
        path if path.ends_with("/key") => Answer::json(format!(r#"{{"key":"{KEY}"}}"#)),
        _ => Answer::new(404, ""),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_or_doubled_by_kill_9() {
    let kills = std::env::var("EVENT_KILLS").ok().map_or(KILLS, |text| text.parse().unwrap());
    let fake = upstream().await;
    let folder = process::folder("events-killed");
    let (toml, env) = (toml(&fake, &folder), ENV);
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::new(AtomicU64::new(0));
    for _ in 0..kills {
        let running = process::Process::serve("events-killed", &toml, &env).await;
        let to = running.address("notifications");
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (acknowledged, sent, stop) = (acknowledged.clone(), sent.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let letter = Letter::incoming(sent.fetch_add(1, Ordering::Relaxed));
                        match try_post(to, "/notifications/wallet/main", &[], &letter.body()).await
                        {
                            Some((200, _)) => acknowledged.lock().push(letter.txn),
                            Some(_) => {}
                            None => return,
                        }
                    }
                })
            })
            .collect();
        let pause = rand::rng().random_range(5..120);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        running.signal("KILL");
        running.ended(Duration::from_secs(20)).await;
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.unwrap();
        }
    }
    let settings = Settings::new(&folder);
    let log = tokio::task::spawn_blocking(move || {
        EmbeddedLog::open(&settings, Retention::DEFAULT).expect("the log opens")
    });
    let log = log.await.unwrap();
    let mut stored = Vec::new();
    loop {
        let after = stored.len() as u64;
        let batch = log.read(after, Limit::events(1000)).await.unwrap();
        if batch.is_empty() {
            break;
        }
        stored.extend(batch);
    }
    let numbers: Vec<u64> =
        stored.iter().map(|stored| stored.event.transaction.parse().unwrap()).collect();
    let unique: HashSet<u64> = numbers.iter().copied().collect();
    assert_eq!(unique.len(), numbers.len(), "an event is there twice");
    let acknowledged = acknowledged.lock();
    let lost: Vec<_> = acknowledged.iter().filter(|txn| !unique.contains(txn)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() >= kills, "{} acknowledged", acknowledged.len());
    // What was stored and not acknowledged is one batch for each kill at most.
    let extra = unique.len() - acknowledged.len();
    assert!(extra <= kills * SENDERS, "{extra} more than was acknowledged");
    println!(
        "{kills} kills, {} sent, {} acknowledged, {} stored",
        sent.load(Ordering::Relaxed),
        acknowledged.len(),
        unique.len()
    );
}
