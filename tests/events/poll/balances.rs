//! Balances: polled once for all who want them, told when they change.

use qiwi_gateway::config::Engine;

use super::world::incoming;
use super::*;
use crate::support::process;

fn setup(fake: &Fake) -> Setup {
    super::setup(fake).set(|config| polled(config, Poll::Off))
}

async fn balances(gateway: &Gateway) -> Vec<pb::BalanceEvent> {
    let told = all(gateway).await.into_iter().filter_map(|event| match event.payload {
        Some(pb::event::Payload::Balance(of)) => Some(of),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn one_poll_serves_all_who_want_a_wallet() {
    let (fake, world) = World::start().await;
    let gateway = setup(&fake).start().await;
    let hub = gateway.hub();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(fake.count(), 0, "nobody wants it");
    let begun = Instant::now();
    let mut held: Vec<_> = (0..20).map(|_| hub.interest.hold([owner(hub)])).collect();
    soon("a balance", || async { (balances(&gateway).await.len() == 1).then_some(()) }).await;
    asked_again(&fake, "/accounts").await;
    let most = begun.elapsed().as_millis() / 200 + 1;
    assert!(fake.count() as u128 <= most, "{} polls, {most} intervals", fake.count());
    world.lock().balance = "7.05".into();
    soon("a change", || async { (balances(&gateway).await.len() == 2).then_some(()) }).await;
    let told = balances(&gateway).await;
    let (first, second) = (told[0].amount.as_ref().unwrap(), told[1].amount.as_ref().unwrap());
    assert_eq!((first.units, first.nanos), (100, 500_000_000));
    assert_eq!((second.units, second.nanos), (7, 50_000_000));
    assert_eq!((&told[0].previous_amount, &told[1].previous_amount), (&None, &told[0].amount));
    assert_eq!(told[1].previous_event_id(), all(&gateway).await[0].event_id);
    held.clear();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let count = fake.count();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(fake.count(), count, "nobody wants it any more");
}

#[tokio::test]
async fn a_restart_tells_nothing_while_nothing_changes() {
    let folder = process::folder("balances");
    let (fake, world) = World::start().await;
    world.lock().shy = true;
    let embedded = || {
        setup(&fake).set(|config| {
            config.state.engine = Engine::Embedded;
            config.state.path.clone_from(&folder);
        })
    };
    for change in [false, true] {
        let gateway = embedded().start().await;
        let _held = gateway.hub().interest.hold([owner(gateway.hub())]);
        asked_again(&fake, "/accounts").await;
        soon("a balance", || async { (!balances(&gateway).await.is_empty()).then_some(()) }).await;
        asked_again(&fake, "/accounts").await;
        assert_eq!(balances(&gateway).await.len(), 1);
        if change {
            world.lock().balance = "1".into();
            soon("a change", || async { (balances(&gateway).await.len() == 2).then_some(()) })
                .await;
        }
        gateway.stop().await;
    }
    let repeated = fake.seen().iter().filter(|of| of.target.contains("alias=")).count();
    assert!(repeated > 0, "what QIWI left out is asked for again");
}

#[tokio::test]
async fn a_transaction_brings_a_look_soon() {
    let (fake, world) = World::start().await;
    let hourly = Duration::from_secs(3600);
    let gateway = setup(&fake).set(|config| config.events.balance_interval = hourly).start().await;
    let _held = gateway.hub().interest.hold([owner(gateway.hub())]);
    soon("a balance", || async { (balances(&gateway).await.len() == 1).then_some(()) }).await;
    world.lock().balance = "105.50".into();
    for id in 1..=5 {
        told(&gateway, incoming(id).told()).await;
    }
    soon("a change", || async { (balances(&gateway).await.len() == 2).then_some(()) }).await;
    let looks = fake.seen().iter().filter(|of| of.path().ends_with("/accounts")).count();
    assert_eq!(looks, 2, "five transactions, one look");
}
