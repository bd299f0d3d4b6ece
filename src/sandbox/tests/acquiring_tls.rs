//! The acquiring listener: who is let in, and that faults reach it too.

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::Client;
use serde_json::{Value, json};

use super::merchant::{secure_client, signed, with_card};
use super::{Bench, SandboxConfig, demo};
use crate::sandbox::Strangers;

async fn bench(strangers: Strangers) -> Bench {
    let mut config = SandboxConfig::default();
    config.acquiring.listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    config.acquiring.strangers = strangers;
    Bench::with(config).await
}

fn identity(bench: &Bench) -> String {
    let own = bench.sandbox.client_certificate("shop").unwrap();
    format!("{}\n{}", own.certificate_pem, own.key_pem)
}

fn client(bench: &Bench, identity: Option<&str>) -> Client {
    secure_client(bench.sandbox.acquiring_authority().unwrap(), identity)
}

/// Sends a sale; its status and answer, or nothing when there was none.
async fn sale(bench: &Bench, client: &Client, order: &str) -> Option<(u16, Value)> {
    let request = signed(demo::ONLINE_SITE, 1, with_card(order, "7.00"));
    let port = bench.sandbox.acquiring_address().unwrap().port();
    let sent = client
        .post(format!("https://localhost:{port}/merchant/direct"))
        .header("content-type", "application/json")
        .body(request.to_string())
        .send()
        .await;
    let answer = sent.ok()?;
    let status = answer.status().as_u16();
    Some((status, serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default()))
}

#[tokio::test]
async fn who_shows_a_certificate_of_the_sandbox_is_let_in() {
    let bench = bench(Strangers::Refused).await;
    let known = client(&bench, Some(&identity(&bench)));
    let (status, answer) = sale(&bench, &known, "a").await.unwrap();
    assert_eq!((status, &answer["error_code"]), (200, &json!(0)));
    let by_number = format!("https://{}/else", bench.sandbox.acquiring_address().unwrap());
    assert_eq!(known.get(by_number).send().await.unwrap().status(), 404);
    assert_eq!(bench.sandbox.requests()["by_route"]["POST /merchant/direct"], 1);
}

#[tokio::test]
async fn without_a_certificate_or_with_a_foreign_one_the_handshake_fails() {
    let (bench, other) = (bench(Strangers::Refused).await, bench(Strangers::Refused).await);
    for identity in [None, Some(identity(&other))] {
        let stranger = client(&bench, identity.as_deref());
        assert_eq!(sale(&bench, &stranger, "a").await, None);
    }
    assert_eq!(bench.transactions(), []);
    assert_eq!(bench.sandbox.requests()["total"], 0);
}

#[tokio::test]
async fn strangers_can_be_answered_with_a_status_instead() {
    for wanted in [401, 403] {
        let bench = bench(Strangers::Answered(wanted)).await;
        let other = self::bench(Strangers::Refused).await;
        for identity in [None, Some(identity(&other))] {
            let stranger = client(&bench, identity.as_deref());
            assert_eq!(sale(&bench, &stranger, "a").await.unwrap().0, wanted);
        }
        assert_eq!(bench.transactions(), []);
        let known = client(&bench, Some(&identity(&bench)));
        assert_eq!(sale(&bench, &known, "a").await.unwrap().0, 200);
    }
}

#[tokio::test]
async fn faults_strike_behind_the_certificate_too() {
    let bench = bench(Strangers::Refused).await;
    let known = client(&bench, Some(&identity(&bench)));
    for (order, cut, done) in [("a", "before_processing", 0), ("b", "before_headers", 1)] {
        bench.mischief(json!({ "times": 1, "fault": { "cut": cut, "reset": true } }));
        assert_eq!(sale(&bench, &known, order).await, None, "{cut}");
        let kept = bench.transactions();
        let of_order = kept.iter().filter(|one| one.order_id.as_deref() == Some(order));
        assert_eq!(of_order.count(), done, "{cut}");
    }
}
