//! The history limit and the ban behind it.

use std::time::Duration;

use super::{Bench, SandboxConfig, accounts, demo, payments};

fn short(limit: usize) -> SandboxConfig {
    SandboxConfig {
        history_limit: limit,
        history_window: Duration::from_millis(1_500),
        history_ban: Duration::from_millis(1_000),
        ..SandboxConfig::default()
    }
}

#[tokio::test]
async fn one_request_too_many_closes_the_wallet_for_a_while() {
    let bench = Bench::with(short(5)).await;
    for _ in 0..5 {
        assert_eq!(bench.status(&payments("rows=1")).await, 200);
    }
    assert_eq!(bench.status(&payments("rows=1")).await, 423);
    // Everything of the wallet is closed, through every token of it; another wallet is not.
    assert_eq!(bench.status(&accounts()).await, 423);
    let information = bench.status_as(demo::INFORMATION_TOKEN, &accounts()).await;
    assert_eq!(information, 423);
    let other = accounts().replace(demo::WALLET, demo::SECOND_WALLET);
    assert_eq!(bench.status_as(demo::SECOND_WALLET_TOKEN, &other).await, 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(bench.status(&payments("rows=1")).await, 200);
}

#[tokio::test]
async fn the_window_slides_and_only_history_counts() {
    let bench =
        Bench::with(SandboxConfig { history_window: Duration::from_millis(400), ..short(3) }).await;
    for _ in 0..3 {
        for _ in 0..3 {
            assert_eq!(bench.status(&payments("rows=1")).await, 200);
            assert_eq!(bench.status(&accounts()).await, 200);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn reset_lifts_the_ban() {
    let bench =
        Bench::with(SandboxConfig { history_ban: Duration::from_secs(300), ..short(1) }).await;
    assert_eq!(bench.status(&payments("rows=1")).await, 200);
    assert_eq!(bench.status(&payments("rows=1")).await, 423);
    let reset = bench.post("/__sandbox/reset", "").await;
    assert_eq!(reset.status(), 204);
    assert_eq!(bench.status(&payments("rows=1")).await, 200);
}

#[tokio::test]
async fn the_documented_limit_is_a_hundred() {
    let bench = Bench::start().await;
    for _ in 0..100 {
        assert_eq!(bench.status(&payments("rows=1")).await, 200);
    }
    assert_eq!(bench.status(&payments("rows=1")).await, 423);
}
