//! 423 and 429: the wallet rests, and only that wallet.

use std::time::{Duration, SystemTime};

use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::*;

const OTHER: &[(&str, &str)] = &[("x-qiwi-credential", "other")];

async fn gateway(fake: &Fake) -> Gateway {
    let setup = Setup::new(fake);
    setup.credential("other", Kind::Wallet, Some("79990000002"), "token-of-other").start().await
}

async fn balances(channel: &Channel, metadata: &[(&str, &str)]) -> Result<(), Told> {
    let ask = Ask::with(metadata);
    let reply = ask.unary::<_, pb::ListBalancesResponse>(channel, BALANCES, fresh_balances());
    reply.await.map(|_| ()).map_err(|status| told(&status))
}

#[tokio::test]
async fn after_423_nothing_is_sent_for_that_wallet_until_the_rest_is_over() {
    let fake = Fake::always(Answer::with(423, &[("retry-after", "1")], "")).await;
    let gateway = gateway(&fake).await;
    let channel = gateway.channel().await;
    let first = balances(&channel, MAIN).await.unwrap_err();
    assert_eq!((first.code, &*first.reason), (Code::ResourceExhausted, "RATE_LIMITED_UPSTREAM"));
    assert_eq!(first.info("upstreamSent"), Some("yes"));
    let rest = first.retry().unwrap();
    assert!((1.0..=1.1).contains(&rest.as_secs_f64()), "{rest:?}");

    fake.now_always(balance_answer());
    for _ in 0..10 {
        let told = balances(&channel, MAIN).await.unwrap_err();
        assert_eq!(told.reason, "RATE_LIMITED_UPSTREAM");
        assert_eq!(told.info("upstreamSent"), Some("no"));
        assert!(told.retry().unwrap() <= rest);
        let quota = told.details.quota_failure().unwrap();
        assert_eq!(quota.violations[0].subject, "qiwi:balance", "the area, never the token");
    }
    assert_eq!(fake.count(), 1, "asking during the block helps nobody");
    // Another wallet goes on, and so does another area of this one.
    balances(&channel, OTHER).await.unwrap();
    fake.now_always(Answer::json("[]"));
    let restrictions = "qiwi.wallet.v1.ProfileService/ListRestrictions";
    Ask::with(MAIN).raw(&channel, restrictions, Vec::new()).await.unwrap();

    fake.now_always(balance_answer());
    tokio::time::sleep(rest + Duration::from_millis(50)).await;
    balances(&channel, MAIN).await.expect("the rest is over");
    balances(&channel, MAIN).await.expect("and stays over");
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    let seconds = Answer::with(429, &[("retry-after", "7")], "");
    // An HTTP date has whole seconds, so up to one of them is lost.
    let date = httpdate(SystemTime::now() + Duration::from_secs(9));
    let rows = [
        (seconds, 7.0..=7.7),
        (Answer::with(429, &[("retry-after", &date)], ""), 7.5..=9.9),
        // A past date or a broken value: the least, or the default of the area.
        (Answer::with(429, &[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")], ""), 1.0..=1.1),
        (Answer::with(429, &[("retry-after", "later")], ""), 5.0..=5.5),
        (Answer::with(429, &[("retry-after", "86400")], ""), 300.0..=330.0),
        (Answer::new(423, ""), 5.0..=5.5),
    ];
    let fake = Fake::always(balance_answer()).await;
    let gateway = gateway(&fake).await;
    let channel = gateway.channel().await;
    for (number, (answer, expected)) in rows.into_iter().enumerate() {
        fake.now_always(answer);
        let token = format!("Bearer token-{number}");
        let ask = Ask::with(&[("authorization", &token)]);
        let wallet = format!("7999100{number:04}");
        let request = pb::ListBalancesRequest { wallet, ..fresh_balances() };
        let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
        let delay = told(&reply.unwrap_err()).retry().unwrap().as_secs_f64();
        assert!(expected.contains(&delay), "row {number}: {delay} s, expected {expected:?}");
    }
}

#[tokio::test]
async fn a_blocked_history_rests_five_minutes() {
    if !samples::is_served(TRANSACTIONS) {
        return;
    }
    let fake = Fake::always(Answer::new(423, "")).await;
    let gateway = gateway(&fake).await;
    let channel = gateway.channel().await;
    let status = Ask::with(MAIN).raw(&channel, TRANSACTIONS, Vec::new()).await.unwrap_err();
    let delay = told(&status).retry().unwrap().as_secs_f64();
    assert!((300.0..=330.0).contains(&delay), "{delay}");
}

#[tokio::test]
async fn a_wallet_keeps_resting_when_its_token_is_replaced() {
    let fake = Fake::always(Answer::with(423, &[("retry-after", "30")], "")).await;
    let gateway = gateway(&fake).await;
    let channel = gateway.channel().await;
    balances(&channel, MAIN).await.unwrap_err();
    fake.now_always(balance_answer());
    let fresh = [("authorization", "Bearer a-new-token-of-the-same-wallet")];
    let request = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..fresh_balances() };
    let ask = Ask::with(&fresh);
    let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
    assert_eq!(told(&reply.unwrap_err()).reason, "RATE_LIMITED_UPSTREAM");
    assert_eq!(fake.count(), 1);
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn httpdate(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
