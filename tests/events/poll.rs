//! A scripted QIWI whose history changes under the gateway, and what the log makes of it.

mod balances;
mod confirmation;
mod history;
pub mod world;

use std::time::{Duration, Instant};

use qiwi_gateway::config::{Confirm, Poll};
use qiwi_gateway::credentials::{Kind, Wallet};
use qiwi_gateway::events::hub::{Hub, now_ms};
use qiwi_gateway::events::wire::{self, Origin};
use qiwi_gateway::events::{self, Limit, Outcome, Owner, Source, Trust, Watermark};
use qiwi_gateway::pb::events::v1 as pb;
use qiwi_gateway::pb::wallet::v1 as types;

use crate::support::{Fake, Gateway, Setup, TOKEN, WALLET};
use world::World;

/// A gateway that polls the history of `main` in quick time, and does nothing else by itself.
fn setup(fake: &Fake) -> Setup {
    Setup::at(&fake.url()).credential("main", Kind::Wallet, Some(WALLET), TOKEN).set(|config| {
        config.limit.period = Duration::from_millis(200);
        config.events.confirm = Confirm::Off;
        config.events.poll_fastest = Duration::from_millis(50);
        config.events.poll_slowest = Duration::from_millis(100);
        config.events.balance_interval = Duration::from_millis(200);
        polled(config, Poll::History);
    })
}

fn polled(config: &mut qiwi_gateway::config::Config, poll: Poll) {
    config.credentials.get_mut("main").unwrap().poll = poll;
}

fn wallet() -> Wallet {
    Wallet::parse(WALLET).unwrap()
}

fn owner(hub: &Hub) -> Owner {
    hub.owner(&wallet())
}

/// Everything in the log.
async fn all(gateway: &Gateway) -> Vec<pb::Event> {
    let hub = gateway.hub();
    let mut place = 0;
    let mut all = Vec::new();
    loop {
        let events = hub.log.read(place, Limit::events(1000)).await.unwrap();
        let Some(last) = events.last() else { return all };
        place = last.seq;
        all.extend(events.iter().map(|stored| wire::opened(&hub.cipher, stored).unwrap()));
    }
}

/// The transactions in the log: number, status and where from.
async fn transactions(gateway: &Gateway) -> Vec<(String, String, pb::EventSource)> {
    let told = all(gateway).await.into_iter().filter_map(|event| match &event.payload {
        Some(pb::event::Payload::Transaction(of)) => {
            Some((of.transaction_id.clone(), of.status_raw.clone(), event.source()))
        }
        _ => None,
    });
    told.collect()
}

/// The confirmations in the log.
async fn confirmations(gateway: &Gateway) -> Vec<(pb::EventKind, pb::ConfirmationEvent)> {
    let told = all(gateway).await.into_iter().filter_map(|event| match event.payload.clone() {
        Some(pb::event::Payload::Confirmation(of)) => Some((event.kind(), of)),
        _ => None,
    });
    told.collect()
}

/// Waits until something holds; the machine may be busy.
#[track_caller]
fn soon<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let what = what.to_owned();
    let begun = Instant::now();
    async move {
        loop {
            if let Some(held) = holds().await {
                return held;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until the history was read once.
async fn begun(gateway: &Gateway) {
    let hub = gateway.hub();
    soon("a first reading", || async {
        let name = *owner(hub).as_bytes();
        events::cell::load::<Watermark>(&*hub.log, &name).await.unwrap()
    })
    .await;
}

/// Waits until some more questions came and were answered.
async fn asked_again(fake: &Fake, path: &str) {
    let count = || fake.seen().iter().filter(|seen| seen.path().contains(path)).count();
    let before = count();
    soon("more questions", || async { (count() >= before + 3).then_some(()) }).await;
}

/// Appends what a webhook would have told.
async fn told(gateway: &Gateway, transaction: types::Transaction) -> Outcome {
    let hub = gateway.hub();
    let wallet = wallet();
    let origin = Origin {
        owner: owner(hub),
        wallet: Some(&wallet),
        source: Source::Webhook,
        trust: Trust::SignatureOnly,
        received_ms: now_ms(),
    };
    hub.append(wire::transaction(&hub.cipher, origin, transaction).unwrap()).await.unwrap()
}
