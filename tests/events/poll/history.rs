//! Histories: every transaction once, whatever QIWI shows when.

use std::collections::HashSet;

use qiwi_gateway::config::{Variable, Webhook};
use qiwi_gateway::sandbox::{Incoming, demo};

use super::world::{incoming, now};
use super::*;
use crate::money;

#[tokio::test]
async fn what_was_there_is_seeded_silently_and_what_comes_is_told() {
    let (fake, world) = World::start().await;
    world.lock().items = vec![incoming(1), incoming(2)];
    let gateway = setup(&fake).start().await;
    begun(&gateway).await;
    asked_again(&fake, "/payments").await;
    assert_eq!(transactions(&gateway).await, []);
    // In the same second as what was seeded.
    let date = world.lock().items[0].date;
    world.lock().items.push(super::world::Item { date, ..incoming(3) });
    soon("an event", || async { (transactions(&gateway).await.len() == 1).then_some(()) }).await;
    // Shown late: QIWI dates it before all the others.
    world.lock().items.push(super::world::Item { date: date - 600, ..incoming(4) });
    soon("a late one", || async { (transactions(&gateway).await.len() == 2).then_some(()) }).await;
    asked_again(&fake, "/payments").await;
    let told = transactions(&gateway).await;
    let event = |id: &str| (id.to_owned(), "SUCCESS".to_owned(), pb::EventSource::HistoryPoll);
    assert_eq!(told, [event("3"), event("4")]);
    let verified = all(&gateway).await;
    assert!(verified.iter().all(|of| of.verification() == pb::EventVerification::ApiConfirmed));
    assert!(verified.iter().all(|of| of.wallet() == WALLET && of.occur_time.is_some()));
}

#[tokio::test]
async fn an_empty_history_begins_with_its_first_transaction() {
    let (fake, world) = World::start().await;
    let gateway = setup(&fake).start().await;
    begun(&gateway).await;
    // QIWI's clock is half an hour behind, then one ahead.
    for (id, skew) in [(1, -1800), (2, 1800)] {
        world.lock().items.push(super::world::Item { date: now() + skew, ..incoming(id) });
        let count = usize::try_from(id).unwrap();
        soon("an event", || async { (transactions(&gateway).await.len() == count).then_some(()) })
            .await;
    }
}

#[tokio::test]
async fn a_waiting_transaction_is_followed_to_its_end() {
    let (fake, world) = World::start().await;
    let gateway = setup(&fake).start().await;
    begun(&gateway).await;
    let waiting = super::world::Item { status: "WAITING", ..incoming(1) };
    world.lock().items = vec![waiting.clone(), super::world::Item { id: 2, ..waiting }];
    soon("both", || async { (transactions(&gateway).await.len() == 2).then_some(()) }).await;
    // One ends where the list shows it, the other where only a question for it does.
    world.lock().change(1, |item| item.status = "SUCCESS");
    world.lock().change(2, |item| (item.status, item.listed) = ("ERROR", false));
    soon("the ends", || async { (transactions(&gateway).await.len() == 4).then_some(()) }).await;
    asked_again(&fake, "/payments").await;
    let told: HashSet<_> =
        transactions(&gateway).await.into_iter().map(|(id, status, _)| id + &status).collect();
    assert_eq!(told, ["1WAITING", "2WAITING", "1SUCCESS", "2ERROR"].map(str::to_owned).into());
    assert_eq!(transactions(&gateway).await.len(), 4);
}

#[tokio::test]
async fn many_of_one_second_are_told_once_each_oldest_first() {
    let (fake, world) = World::start().await;
    let gateway = setup(&fake).start().await;
    begun(&gateway).await;
    let date = now();
    let same = (1..=120).map(|id| super::world::Item { date, ..incoming(id) });
    world.lock().items = same.collect();
    soon("all", || async { (transactions(&gateway).await.len() >= 120).then_some(()) }).await;
    asked_again(&fake, "/payments").await;
    let told: Vec<_> = transactions(&gateway).await.into_iter().map(|(id, ..)| id).collect();
    let expected: Vec<_> = (1..=120).map(|id: u64| id.to_string()).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_first_reading_goes_back_as_far_as_configured() {
    let (fake, world) = World::start().await;
    let ago =
        |id: u64, hours: i64| super::world::Item { date: now() - hours * 3600, ..incoming(id) };
    world.lock().items =
        (1..=150).map(|id| ago(id, 400 - 2 * i64::try_from(id).unwrap())).collect();
    let back = std::time::Duration::from_secs(301 * 3600);
    let gateway = setup(&fake).set(|config| config.events.poll_from = back).start().await;
    soon("all of it", || async { (transactions(&gateway).await.len() >= 101).then_some(()) }).await;
    asked_again(&fake, "/payments").await;
    let told: Vec<_> = transactions(&gateway).await.into_iter().map(|(id, ..)| id).collect();
    let expected: Vec<_> = (50..=150).map(|id: u64| id.to_string()).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_refused_wallet_is_left_alone_and_nothing_is_missed() {
    let (fake, world) = World::start().await;
    let rest = Duration::from_secs(2);
    let gateway = setup(&fake)
        .set(|config| {
            config.cooldown.history = rest;
            config.cooldown.jitter_percent = qiwi_gateway::config::Percent(0);
        })
        .start()
        .await;
    begun(&gateway).await;
    world.lock().refuse = Some(423);
    let before = fake.count();
    soon("a refusal", || async { (fake.count() > before).then_some(()) }).await;
    let since = Instant::now();
    world.lock().refuse = None;
    world.lock().items.push(incoming(1));
    soon("the event", || async { (transactions(&gateway).await.len() == 1).then_some(()) }).await;
    let seen = fake.seen();
    let after: Vec<_> = seen.iter().filter(|of| of.at > since).collect();
    let rested = after[0].at.duration_since(since);
    assert!(rested > rest - Duration::from_millis(300), "asked again after {rested:?}");
}

#[tokio::test]
async fn webhook_and_poll_make_one_event() {
    let (fake, world) = World::start().await;
    let gateway = setup(&fake).start().await;
    begun(&gateway).await;
    // First told, then read.
    let outcome = told(&gateway, incoming(1).told()).await;
    assert!(matches!(outcome, Outcome::Appended { .. }));
    world.lock().items = vec![incoming(1), incoming(2)];
    soon("the other", || async { (transactions(&gateway).await.len() == 2).then_some(()) }).await;
    // First read, then told.
    let outcome = told(&gateway, incoming(2).told()).await;
    assert!(matches!(outcome, Outcome::Duplicate { .. }), "{outcome:?}");
    asked_again(&fake, "/payments").await;
    let sources: Vec<_> = transactions(&gateway).await.into_iter().map(|(.., of)| of).collect();
    assert_eq!(sources, [pb::EventSource::Webhook, pb::EventSource::HistoryPoll]);
}

#[tokio::test]
async fn what_notifications_missed_is_found_at_once() {
    let (fake, world) = World::start().await;
    let mut setup = setup(&fake).set(|config| {
        polled(config, Poll::Auto);
        let main = config.credentials.get_mut("main").unwrap();
        main.webhook = Webhook::Static;
        main.webhook_key_env = Some(Variable("HOOK_KEY".into()));
    });
    setup.env.insert("HOOK_KEY".into(), demo::HOOK_KEY.into());
    let gateway = setup.start().await;
    begun(&gateway).await;
    let before = fake.count();
    world.lock().items.push(incoming(1));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(fake.count(), before, "every ten minutes is enough");
    gateway.hub().missed("main");
    gateway.hub().missed("somebody else");
    let told = soon("what was missed", || async {
        let told = all(&gateway).await;
        (told.len() >= 2).then_some(told)
    })
    .await;
    assert_eq!(told[0].source(), pb::EventSource::Reconciled);
    let Some(pb::event::Payload::System(system)) = &told[1].payload else { panic!("{told:?}") };
    assert_eq!(system.code(), pb::SystemEventCode::IntakeRecovered);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(all(&gateway).await.len(), 2);
    assert_eq!(gateway.metric("qiwi_events_appended_total", &["reconciled"]).await, 1);
}

#[tokio::test]
async fn a_wallet_of_the_sandbox_is_followed() {
    let sandbox = money::sandbox(|_| {}).await;
    let gateway = money::setup(&sandbox)
        .set(|config| {
            config.events.poll_fastest = Duration::from_millis(50);
            config.events.poll_slowest = Duration::from_millis(100);
            config.credentials.get_mut("demo").unwrap().poll = Poll::Auto;
        })
        .start()
        .await;
    let hub = gateway.hub();
    let name = *hub.owner(&Wallet::parse(demo::WALLET).unwrap()).as_bytes();
    soon("a first reading", || async {
        events::cell::load::<Watermark>(&*hub.log, &name).await.unwrap()
    })
    .await;
    let received = sandbox.incoming(Incoming::new("12.34", "79991234567")).unwrap();
    let channel = gateway.channel().await;
    money::pay(&channel, money::transfer("77001", 3)).await.unwrap();
    soon("the payment's end", || async {
        let told = transactions(&gateway).await;
        let paid = sandbox.payments();
        let paid = paid.iter().find(|of| of.client_id == "77001")?.transaction_id.to_string();
        let has = |id: &str| told.iter().any(|(of, status, _)| of == id && status == "SUCCESS");
        (has(&paid) && has(&received.to_string())).then_some(())
    })
    .await;
    let told = transactions(&gateway).await;
    let once: HashSet<_> = told.iter().map(|(id, status, _)| (id, status)).collect();
    assert_eq!(once.len(), told.len(), "{told:?}");
}
