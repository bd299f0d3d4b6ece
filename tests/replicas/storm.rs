//! Gateways and brokers killed at random under load.
//!
//! `STORM_KILLS` says how often something is killed (8 without it; 200 for the long run).

use rand::RngExt as _;

use super::load::{Load, QUICK};
use super::*;

const KILLS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_nothing_is_lost_doubled_or_asked_too_often() {
    let kills = std::env::var("STORM_KILLS").ok().map_or(KILLS, |text| text.parse().unwrap());
    let world = Arc::new(World::start(QUICK).await);
    let load = Load::start(&world);
    let (mut gateways, mut brokers) = (0, 0);
    for _ in 0..kills {
        let pause = rand::rng().random_range(200..1_500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let at = rand::rng().random_range(0..3);
        let down = Duration::from_millis(rand::rng().random_range(0..1_500));
        if rand::rng().random_bool(0.6) {
            gateways += 1;
            world.kill(at).await;
            tokio::time::sleep(down).await;
            world.begin_again(at).await;
        } else {
            brokers += 1;
            world.brokers.lock().kill(at);
            tokio::time::sleep(down).await;
            world.brokers.lock().begin(at);
        }
    }
    let acknowledged = load.acknowledged();
    let sum = load.end().await;
    println!("{kills} kills ({gateways} gateways, {brokers} brokers): {sum}");
    assert!(acknowledged > kills);
}
