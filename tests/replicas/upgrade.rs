//! Brokers of the version before, replaced by those of this one, one after the other and under load.

use super::cluster::Setup as Brokers;
use super::load::{Load, QUICK};
use super::*;

/// What a broker says under a path of its monitoring; nothing where it does not listen yet.
async fn says(world: &World, at: usize, path: &str) -> (u16, String) {
    let monitor = world.brokers.lock().monitor(at);
    match tokio::net::TcpStream::connect(monitor).await {
        Ok(_) => http_get(monitor, path).await,
        Err(_) => Default::default(),
    }
}

async fn version(world: &World, at: usize) -> String {
    let (_, page) = says(world, at, "/varz").await;
    let page: serde_json::Value = serde_json::from_str(&page).unwrap_or_default();
    page["version"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_are_replaced_by_those_of_the_next_version_and_nothing_is_lost_or_doubled() {
    let main = "poll = \"off\"";
    let setup = Setup { main, before: true, more: QUICK, ..Setup::default() };
    let world = Arc::new(World::start_as(setup).await);
    let before = version(&world, 0).await;
    let load = Load::start(&world);
    soon(LONG, "something is stored by the version before", async || load.acknowledged() > 50)
        .await;
    world.brokers.lock().set_up(Brokers::default());
    for at in 0..3 {
        world.brokers.lock().stop(at);
        world.brokers.lock().begin(at);
        // It has everything that it missed.
        soon(LONG, "a broker is well", async || says(&world, at, "/healthz").await.0 == 200).await;
        assert_ne!(version(&world, at).await, before);
        let acknowledged = load.acknowledged();
        soon(LONG, "more is stored", async || load.acknowledged() > acknowledged + 50).await;
    }
    let after = version(&world, 0).await;
    let sum = load.end().await;
    println!("nats-server {before} to {after}: {sum}");
}
