//! Places: what does not fit is refused at once and told to come back soon.

use std::time::Duration;

use qiwi_gateway::config::{Config, Percent};
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;

use crate::support::*;

fn five_places(config: &mut Config) {
    config.admission.in_flight_max = 5;
    config.admission.money_reserve_percent = Percent(20);
    config.admission.wait_max = Duration::from_millis(20);
}

#[tokio::test]
async fn reads_beyond_the_places_are_refused_before_qiwi_is_asked() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(300))).await;
    let gateway = Setup::new(&fake).set(five_places).start().await;
    let channel = gateway.channel().await;
    let calls = (0..20).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let ask = Ask::with(MAIN).within(Duration::from_secs(5));
            let reply =
                ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
            reply.await.map_err(|status| told(&status))
        })
    });
    let (mut answered, mut refused) = (0, 0);
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => answered += 1,
            Err(told) => {
                assert_eq!((told.code, &*told.reason), (Code::Unavailable, "GATEWAY_OVERLOADED"));
                assert_eq!(told.info("upstreamSent"), Some("no"));
                let delay = told.retry().unwrap();
                let expected = Duration::from_millis(50)..=Duration::from_millis(250);
                assert!(expected.contains(&delay), "{delay:?}");
                refused += 1;
            }
        }
    }
    assert_eq!((answered, refused), (4, 16), "one place of five is kept for payments");
    assert_eq!((fake.count(), fake.in_flight_max()), (4, 4));
    assert_eq!(gateway.metric("qiwi_shed_total", &[]).await, 16);
}

#[tokio::test]
async fn a_place_is_given_back_whatever_became_of_the_call() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).set(five_places).start().await;
    let channel = gateway.channel().await;
    for status in [500, 400, 200, 404] {
        fake.now_always(Answer::new(status, ""));
        for _ in 0..10 {
            let ask = Ask::with(MAIN);
            let reply =
                ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
            let told = told(&reply.await.unwrap_err());
            assert_ne!(told.reason, "GATEWAY_OVERLOADED");
        }
    }
    // Callers that leave give theirs back as well.
    fake.now_always(balance_answer().after(Duration::from_secs(5)));
    for _ in 0..10 {
        let ask = Ask::with(MAIN);
        let call = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
        let _ = tokio::time::timeout(Duration::from_millis(15), call).await;
    }
    fake.now_always(balance_answer());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let ask = Ask::with(MAIN);
    let reply = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
    reply.await.unwrap();
}

#[tokio::test]
async fn a_short_wait_gets_the_place_that_is_freed() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(60))).await;
    let gateway = Setup::new(&fake)
        .set(five_places)
        .set(|config| config.admission.wait_max = Duration::from_secs(1))
        .start()
        .await;
    let channel = gateway.channel().await;
    let calls = (0..8).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let ask = Ask::with(MAIN);
            ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances()).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert!(fake.in_flight_max() <= 4);
}

#[tokio::test]
async fn a_full_gateway_still_answers_its_probes() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(400))).await;
    let gateway = Setup::new(&fake).set(five_places).start().await;
    let channel = gateway.channel().await;
    let busy: Vec<_> = (0..4)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                let ask = Ask::with(MAIN);
                ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances()).await
            })
        })
        .collect();
    until("all places are taken", || fake.in_flight() == 4).await;
    let check = Ask::default().raw(&channel, "grpc.health.v1.Health/Check", Vec::new()).await;
    assert_eq!(check.unwrap().into_inner().as_ref(), [8, 1], "SERVING");
    assert_eq!(gateway.admin("/readyz").await.0, 200);
    for call in busy {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn no_host_gets_more_requests_at_once_than_it_has_places() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(40))).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.upstream.in_flight_max = 3;
            config.admission.wait_max = Duration::from_secs(2);
        })
        .start()
        .await;
    let channel = gateway.channel().await;
    let calls = (0..12).map(|_| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let ask = Ask::with(MAIN).within(Duration::from_secs(20));
            ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances()).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    assert_eq!(fake.in_flight_max(), 3);
}

#[tokio::test]
async fn one_caller_takes_its_share_and_leaves_the_rest_to_others() {
    let fake = Fake::always(balance_answer().after(Duration::from_secs(1))).await;
    let mut setup = Setup::new(&fake).set(|config| {
        config.admission.in_flight_max = 10;
        config.admission.caller_share_percent = Percent(30);
    });
    for name in ["shop", "desk"] {
        let variable = format!("KEY_OF_{}", name.to_uppercase());
        setup.env.insert(variable.clone(), format!("key-of-the-{name}-0123456789abcdef"));
        let caller = qiwi_gateway::config::CallerConfig {
            key_env: Some(qiwi_gateway::config::Variable(variable)),
            credentials: vec!["main".to_owned()],
            ..Default::default()
        };
        setup.config.callers.insert(name.to_owned(), caller);
    }
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let call = |key: &'static str| {
        let channel = channel.clone();
        tokio::spawn(async move {
            let ask = Ask::with(MAIN).and("x-qiwi-caller-key", key);
            let reply =
                ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
            reply.await.map(|_| ()).map_err(|status| told(&status))
        })
    };
    let shop = "key-of-the-shop-0123456789abcdef";
    let held: Vec<_> = (0..3).map(|_| call(shop)).collect();
    until("three calls are at QIWI", || fake.in_flight() == 3).await;
    let refused = call(shop).await.unwrap().unwrap_err();
    let expected = (Code::ResourceExhausted, "RATE_LIMITED_LOCAL");
    assert_eq!((refused.code, &*refused.reason), expected);
    assert_eq!(refused.info("upstreamSent"), Some("no"));
    call("key-of-the-desk-0123456789abcdef").await.unwrap().expect("another caller has its own");
    for call in held {
        call.await.unwrap().expect("what was taken is answered");
    }
    call(shop).await.unwrap().expect("places are given back");
}

/// A caller that makes more calls a second than it may is told when to come again; the others, and
/// probes, do not notice.
#[tokio::test]
async fn a_caller_makes_so_many_calls_a_second_and_the_others_do_not_notice() {
    let fake = Fake::always(balance_answer()).await;
    let mut setup = Setup::new(&fake);
    for (name, per_second) in [("shop", 1), ("desk", 0)] {
        let variable = format!("KEY_OF_{}", name.to_uppercase());
        setup.env.insert(variable.clone(), format!("key-of-the-{name}-0123456789abcdef"));
        let caller = qiwi_gateway::config::CallerConfig {
            key_env: Some(qiwi_gateway::config::Variable(variable)),
            credentials: vec!["main".to_owned()],
            calls_per_second: per_second,
            calls_burst: per_second * 3,
            ..Default::default()
        };
        setup.config.callers.insert(name.to_owned(), caller);
    }
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let call = async |name: &str| {
        let key = format!("key-of-the-{name}-0123456789abcdef");
        let ask = Ask::with(MAIN).and("x-qiwi-caller-key", &key);
        let reply = ask.raw(&channel, BALANCES, bytes::Bytes::new()).await;
        reply.map(|_| ()).map_err(|status| told(&status))
    };
    let begun = std::time::Instant::now();
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..30 {
        match call("shop").await {
            Ok(()) => answered += 1,
            Err(told) => {
                let expected = (Code::ResourceExhausted, "RATE_LIMITED_LOCAL");
                assert_eq!((told.code, &*told.reason), expected);
                assert_eq!(told.info("upstreamSent"), Some("no"));
                let delay = told.retry().unwrap();
                assert!(delay > Duration::ZERO && delay <= Duration::from_secs(1), "{delay:?}");
                assert_eq!(told.pushback, None, "Java's client would repeat for that alone");
                let quota = told.details.quota_failure().unwrap();
                assert_eq!(quota.violations[0].subject, "gateway:caller_rate");
                refused += 1;
            }
        }
        call("desk").await.expect("another caller has no such limit");
    }
    let most = 3 + begun.elapsed().as_secs() + 1;
    assert!((3..=most).contains(&answered), "{answered} of 30 after {:?}", begun.elapsed());
    assert_eq!(gateway.metric("qiwi_shed_total", &["caller_rate"]).await, refused);
    let ask = Ask::default();
    let health = ask.raw(&channel, "grpc.health.v1.Health/Check", bytes::Bytes::new());
    health.await.expect("health is outside of it");
}
