//! Several gateways over one log: what an engine that many processes share will see, and what a
//! process that takes over from another one finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use qiwi_gateway::config::{Config, Confirm, Poll, Variable, Webhook};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::events::{EventLog, Limit, Retention};
use qiwi_gateway::pb::events::v1::event_group_service_client::EventGroupServiceClient;
use qiwi_gateway::pb::events::v1::event_service_client::EventServiceClient;
use qiwi_gateway::state::MemoryLog;
use tonic::Request;

use super::letter::{HOOK, KEY, Letter, post};
use super::poll::world::{Item, World, incoming, now};
use super::*;

/// The same webhook's message, sent so often.
const COPIES: usize = 1000;
/// Polls of a minute, in a second.
const PERIOD: Duration = Duration::from_secs(1);
/// A fifth of the hundred requests that QIWI permits, and one of each gateway on its way.
const REQUESTS_MAX: usize = 20 + 2;

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(Retention::DEFAULT))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_to_three_gateways_a_thousand_times_is_one_event() {
    let (log, fake) = (log(), Fake::always(Answer::new(404, "")).await);
    let mut gateways = Vec::new();
    for _ in 0..3 {
        let mut setup = Setup::new(&fake).set(|config| {
            config.notifications.sources = vec!["any".to_owned()];
            config.notifications.store_timeout = Duration::from_secs(20);
            let main = config.credentials.get_mut("main").unwrap();
            main.webhook = Webhook::Static;
            main.webhook_key_env = Some(Variable("HOOK_KEY".to_owned()));
        });
        setup.env.insert("HOOK_KEY".to_owned(), KEY.to_owned());
        let gateway = setup.start_over(log.clone()).await;
        let (hub, name) = (gateway.hub(), Arc::from("main"));
        hub.hooks.learn(&*hub.log, &hub.cipher, &name, HOOK.parse().unwrap(), KEY).await.unwrap();
        gateways.push(gateway);
    }
    let to: Vec<_> = gateways.iter().map(Gateway::notifications).collect();
    let body = Letter::incoming(1).body();
    let posts = (0..COPIES).map(|copy| {
        let (to, body) = (to[copy % 3], body.clone());
        async move { post(to, "/notifications/wallet/main", &[], &body).await.0 }
    });
    let answers = futures_util::stream::iter(posts);
    let answers = futures_util::StreamExt::buffer_unordered(answers, 100);
    let answers: Vec<u16> = futures_util::StreamExt::collect(answers).await;
    assert!(answers.len() == COPIES && answers.iter().all(|status| *status == 200));
    assert_eq!(log.read(0, Limit::events(10)).await.unwrap().len(), 1);
}

fn polling(fake: &Fake) -> Setup {
    Setup::at(&fake.url()).credential("main", Kind::Wallet, Some(WALLET), TOKEN).set(
        |config: &mut Config| {
            config.limit.period = PERIOD;
            config.limit.replicas = 2;
            config.cooldown.history = Duration::from_secs(1);
            config.cooldown.jitter_percent = qiwi_gateway::config::Percent(0);
            config.events.confirm = Confirm::Off;
            config.events.poll_fastest = Duration::from_millis(20);
            config.events.poll_slowest = Duration::from_millis(50);
            config.credentials.get_mut("main").unwrap().poll = Poll::History;
        },
    )
}

/// How often each transaction is in the log.
async fn logged(log: &Arc<dyn EventLog>) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for stored in log.read(0, Limit::events(10_000)).await.unwrap() {
        *all.entry(stored.event.transaction + &stored.event.status).or_default() += 1;
    }
    all
}

async fn reaches(log: &Arc<dyn EventLog>, count: usize) -> BTreeMap<String, usize> {
    let begun = Instant::now();
    loop {
        let logged = logged(log).await;
        if logged.len() >= count {
            return logged;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of {count}", logged.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Two QIWIs with one history, so that one gateway's requests can be held up.
async fn two_fakes() -> (Fake, Fake, super::poll::world::Shared, Arc<AtomicBool>) {
    let (first, world) = World::start().await;
    let held = Arc::new(AtomicBool::new(false));
    let (shared, hold) = (world.clone(), held.clone());
    let second = Fake::by(move |seen| {
        // What it answers late is what was so when it was asked.
        let answer = shared.lock().answer(seen);
        if hold.load(Ordering::SeqCst) { answer.after(Duration::from_millis(1500)) } else { answer }
    })
    .await;
    (first, second, world, held)
}

fn within_budget(fakes: &[&Fake]) {
    let mut all: Vec<_> = fakes.iter().flat_map(|fake| fake.seen()).map(|seen| seen.at).collect();
    all.sort();
    for (at, begin) in all.iter().enumerate() {
        let within = all[at..].iter().take_while(|of| of.duration_since(*begin) < PERIOD).count();
        assert!(within <= REQUESTS_MAX, "{within} requests in what stands for a minute");
    }
}

#[tokio::test]
async fn a_poller_that_wakes_late_beside_another_one_doubles_nothing_and_both_keep_the_budget() {
    let (log, (first, second, world, held)) = (log(), two_fakes().await);
    let one = polling(&first).start_over(log.clone()).await;
    let other = polling(&second).start_over(log.clone()).await;
    let begun = Instant::now();
    while first.count() == 0 || second.count() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "both poll");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.lock().items = (1..=30).map(incoming).collect();
    reaches(&log, 30).await;
    // The other one stands still in the middle of a question, while the first one goes on.
    held.store(true, Ordering::SeqCst);
    let asked = second.count();
    let begun = Instant::now();
    while second.count() == asked {
        assert!(begun.elapsed() < Duration::from_secs(20), "it asks");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.lock().items.extend((31..=60).map(incoming));
    world.lock().items.push(Item { status: "WAITING", ..incoming(61) });
    reaches(&log, 61).await;
    world.lock().change(61, |item| item.status = "SUCCESS");
    reaches(&log, 62).await;
    // It wakes, with what it knew, and both go on.
    held.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.lock().items.extend((62..=80).map(incoming));
    let logged = reaches(&log, 81).await;
    let asked = second.count();
    let begun = Instant::now();
    while second.count() < asked + 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(logged.values().all(|count| *count == 1), "{logged:?}");
    assert_eq!(self::logged(&log).await, logged);
    within_budget(&[&first, &second]);
    drop((one, other));
}

#[tokio::test]
async fn refusals_and_failures_make_every_poller_rest_and_nothing_is_missed() {
    for refusal in [423, 429, 500] {
        let (log, (first, second, world, _)) = (log(), two_fakes().await);
        let one = polling(&first).start_over(log.clone()).await;
        let other = polling(&second).start_over(log.clone()).await;
        world.lock().items = (1..=5).map(incoming).collect();
        let begun = Instant::now();
        while first.count() == 0 || second.count() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "both poll");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world.lock().refuse = Some(refusal);
        let before = [first.count(), second.count()];
        tokio::time::sleep(Duration::from_millis(800)).await;
        let after = [first.count(), second.count()];
        // One that was on its way, and the one that was refused; a failure may be tried again.
        for (before, after) in before.into_iter().zip(after) {
            assert!(after - before <= 3, "{refusal}: {} requests", after - before);
        }
        // Fifty of one second came meanwhile, and a page of the history holds no more.
        let date = now();
        world.lock().items.extend((101..=150).map(|id| Item { date, ..incoming(id) }));
        world.lock().refuse = None;
        let begun = Instant::now();
        let logged = loop {
            let logged = logged(&log).await;
            let told = (101..=150).filter(|id| logged.contains_key(&format!("{id}SUCCESS")));
            if told.count() == 50 {
                break logged;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "{refusal}: {logged:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(logged.values().all(|count| *count == 1), "{refusal}: {logged:?}");
        within_budget(&[&first, &second]);
        drop((one, other));
    }
}

/// Takes one delivery of a group, and says something of it.
async fn one_delivery(
    gateway: &Gateway,
    terms: Option<pb::GroupTerms>,
    say: impl FnOnce(bytes::Bytes) -> pb::consume_request::Request,
) -> pb::Delivery {
    let (tell, said) = tokio::sync::mpsc::channel(8);
    let start = terms.as_ref().and_then(|_| end_of_log(pb::LogAnchor::Earliest));
    let group_id = "billing".to_owned();
    let open = pb::ConsumeOpen { group_id, terms, start, ..Default::default() };
    let open = pb::consume_request::Request::Open(open);
    tell.send(pb::ConsumeRequest { request: Some(open) }).await.unwrap();
    let said = futures_util::stream::unfold(said, async |mut said| {
        said.recv().await.map(|request| (request, said))
    });
    let mut client = EventServiceClient::new(gateway.channel().await);
    let mut hear = client.consume(Request::new(said)).await.unwrap().into_inner();
    let mut say = Some(say);
    let mut delivery = None;
    loop {
        let response = tokio::time::timeout(Duration::from_secs(20), hear.message()).await;
        match response.expect("in time").unwrap().expect("no end").response {
            Some(pb::consume_response::Response::Deliveries(of)) if delivery.is_none() => {
                let first = of.deliveries.into_iter().next().unwrap();
                let token = first.delivery_token.clone();
                delivery = Some(first);
                let request = say.take().map(|say| say(token));
                tell.send(pb::ConsumeRequest { request }).await.unwrap();
            }
            Some(pb::consume_response::Response::Results(_)) => return delivery.unwrap(),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_dead_letter_is_redriven_by_the_gateway_that_comes_after() {
    let (log, fake) = (log(), Fake::always(Answer::json("{}")).await);
    let before = Setup::new(&fake).start_over(log.clone()).await;
    fill(&before, WALLET, 1..2).await;
    let ordering = pb::DeliveryOrdering::PerWallet.into();
    let terms = Some(pb::GroupTerms { ordering, ..Default::default() });
    let dead = one_delivery(&before, terms, |token| {
        pb::consume_request::Request::Reject(pb::ConsumeReject {
            delivery_tokens: vec![token],
            reason: "no such order".to_owned(),
        })
    })
    .await;
    before.stop().await;
    let after = Setup::new(&fake).start_over(log.clone()).await;
    let mut admin = EventGroupServiceClient::new(after.channel().await);
    let list = pb::ListDeadLettersRequest { group_id: "billing".to_owned(), ..Default::default() };
    let letters = admin.list_dead_letters(list.clone()).await.unwrap().into_inner().dead_letters;
    assert_eq!((letters.len(), &*letters[0].reason), (1, "no such order"));
    let redrive = pb::RedriveDeadLettersRequest {
        group_id: "billing".to_owned(),
        dead_letter_ids: vec![letters[0].dead_letter_id.clone()],
        ..Default::default()
    };
    let redriven = admin.redrive_dead_letters(redrive).await.unwrap().into_inner();
    assert_eq!(redriven.redriven_count, 1);
    let again = one_delivery(&after, None, |token| {
        pb::consume_request::Request::Ack(pb::ConsumeAck { delivery_tokens: vec![token] })
    })
    .await;
    assert!(again.redriven);
    assert_eq!(again.event.unwrap().event_id, dead.event.unwrap().event_id);
    let letters = admin.list_dead_letters(list).await.unwrap().into_inner().dead_letters;
    assert!(letters.is_empty(), "{letters:?}");
}
