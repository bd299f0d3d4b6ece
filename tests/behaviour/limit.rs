//! QIWI counts a wallet's history requests and blocks it above 100 in any minute. The gateway stays
//! below, whoever asks. The minute is two seconds here.

use std::time::{Duration, Instant};

use qiwi_gateway::config::Config;
use qiwi_gateway::credentials::Kind;
use tonic::Code;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(2);
const CLIENTS: usize = 4;
const CALLS: usize = 100;

/// A tenth below the default rate: the limit is kept when requests leave, and the network of a busy
/// machine may push a few closer together before the upstream sees them.
fn short_minute(config: &mut Config) {
    config.limit.period = MINUTE;
    config.limit.history_per_minute = 80;
    config.limit.wait_max = Duration::from_millis(10);
}

/// The most requests in any window as long as the minute.
fn busiest(times: &[Instant]) -> usize {
    let within = |start: &Instant| {
        times.iter().filter(|at| *at >= start && at.duration_since(*start) < MINUTE).count()
    };
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test]
async fn no_minute_of_a_wallet_holds_more_than_a_hundred_history_requests() {
    if !samples::is_served(TRANSACTIONS) {
        return;
    }
    let sample = samples::of(TRANSACTIONS);
    let fake = Fake::always(Answer::json(sample.reply.unwrap())).await;
    // Two credentials of one wallet, as when a token is being replaced, and another wallet.
    let gateway = Setup::new(&fake)
        .set(short_minute)
        .credential("again", Kind::Wallet, Some(WALLET), "token-of-again")
        .credential("other", Kind::Wallet, Some("79990000002"), "token-of-other")
        .start()
        .await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let channel = gateway.channel().await;
        let request = sample.request.clone();
        clients.push(tokio::spawn(async move {
            let name = if number % 2 == 0 { "main" } else { "again" };
            let (mut answered, mut refused) = (0, 0);
            for _ in 0..CALLS {
                let ask = Ask::with(&[("x-qiwi-credential", name)]);
                match ask.raw(&channel, TRANSACTIONS, request.clone()).await {
                    Ok(_) => answered += 1,
                    Err(status) => {
                        let told = told(&status);
                        assert_eq!(told.code, Code::ResourceExhausted);
                        assert_eq!(told.reason, "RATE_LIMITED_LOCAL");
                        assert_eq!(told.info("upstreamSent"), Some("no"));
                        assert!(told.retry().unwrap() < MINUTE);
                        refused += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            (answered, refused)
        }));
    }
    let other = gateway.channel().await;
    let ask = Ask::with(&[("x-qiwi-credential", "other")]);
    for _ in 0..20 {
        tokio::time::sleep(MINUTE / 50).await;
        let reply = ask.raw(&other, TRANSACTIONS, sample.request.clone()).await;
        reply.expect("another wallet has a minute of its own");
    }
    let (mut answered, mut refused) = (0, 0);
    for client in clients {
        let (of_client, refused_of_client) = client.await.unwrap();
        answered += of_client;
        refused += refused_of_client;
    }
    assert_eq!(answered + refused, CLIENTS * CALLS);
    assert!(refused > 0, "the wallet was never at its limit, so this proves nothing");
    let seen = fake.seen();
    let of_wallet = seen.iter().filter(|seen| seen.target.contains(WALLET)).map(|seen| seen.at);
    let times: Vec<_> = of_wallet.collect();
    assert_eq!(times.len(), answered, "each answer cost one request");
    let busiest = busiest(&times);
    assert!(busiest <= 100, "{busiest} requests in one minute");
    // The burst and something of the rate; how much of it a busy machine manages is not a claim.
    assert!(busiest >= 12, "{busiest}: the wallet's share was hardly used");
}

#[tokio::test]
async fn repeats_are_charged_like_first_attempts() {
    if !samples::is_served(TRANSACTIONS) {
        return;
    }
    let fake = Fake::always(Answer::new(503, "")).await;
    let gateway = Setup::new(&fake).set(short_minute).start().await;
    let channel = gateway.channel().await;
    let begun = Instant::now();
    while begun.elapsed() < MINUTE + Duration::from_millis(200) {
        let ask = Ask::with(MAIN);
        ask.raw(&channel, TRANSACTIONS, Vec::new()).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let times: Vec<_> = fake.seen().iter().map(|seen| seen.at).collect();
    let busiest = busiest(&times);
    assert!((10..=100).contains(&busiest), "{busiest} requests in one minute");
}

#[tokio::test]
async fn a_shadow_limit_counts_and_refuses_nobody() {
    if !samples::is_served(TRANSACTIONS) {
        return;
    }
    let sample = samples::of(TRANSACTIONS);
    let fake = Fake::always(Answer::json(sample.reply.unwrap())).await;
    let gateway =
        Setup::new(&fake).set(short_minute).set(|config| config.limit.shadow = true).start().await;
    let channel = gateway.channel().await;
    for _ in 0..120 {
        Ask::with(MAIN).raw(&channel, TRANSACTIONS, Vec::new()).await.unwrap();
    }
    assert_eq!(fake.count(), 120);
    let refused = gateway.metric("qiwi_limiter_refused_total", &["shadow=\"true\""]).await;
    assert!(refused > 0);
}
