//! Notifications of QIWI PAY and what QIWI says about them when it is asked: once each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use qiwi_gateway::config::{BaseUrl, Confirm};
use qiwi_gateway::pb::pay::v1 as pay;
use serde_json::{Value, json};

use super::pay::{SITE, TILL, acquiring, kept, listed, purchase, send, setup};
use super::*;

/// The transactions QIWI knows, by number, as its status answer has them.
type World = Arc<Mutex<BTreeMap<u64, Value>>>;

/// A status answer's transaction that says what [`purchase`] says.
fn known(number: u64, status: u8) -> Value {
    json!({
        "txn_id": number, "txn_status": status, "txn_type": 1, "error_code": 0,
        "txn_date": "2026-11-01T12:00:00+03:00", "pan": "411111******1111", "amount": 15.50,
        "currency": 643, "merchant_site": 1234, "order_id": format!("order-{number}"),
    })
}

/// QIWI's server interface: it answers status queries and nothing else.
async fn world() -> (Fake, World) {
    let world = World::default();
    let shared = Arc::clone(&world);
    let fake = Fake::by(move |seen| {
        let asked: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(
            (&asked["opcode"], asked["merchant_site"].to_string()),
            (&json!(30), SITE.into())
        );
        assert_eq!(asked["sign"].as_str().unwrap().len(), 64);
        let number: u64 = asked["txn_id"].to_string().trim_matches('"').parse().unwrap();
        let known = shared.lock();
        let answer = match known.get(&number) {
            Some(Value::Null) => return Answer::new(500, "{}"),
            // An order has more than one transaction; the one asked about is not always the first.
            Some(found) => {
                json!({ "error_code": 0, "transactions": [self::known(9000, 4), found] })
            }
            None => json!({ "error_code": 8022, "error_message": "Transaction not found" }),
        };
        Answer::json(answer.to_string())
    })
    .await;
    (fake, world)
}

fn confirming(setup: Setup, fake: &Fake) -> Setup {
    let base = BaseUrl::parse(&format!("{}/merchant/direct", fake.url()));
    setup.set(|config| {
        config.upstream.direct_url = base.unwrap();
        config.events.confirm = Confirm::After;
        config.events.confirm_absent = Duration::from_secs(1);
        config.limit.period = Duration::from_millis(200);
    })
}

/// The answers in the log: number of the transaction, kind, causes, and the message.
async fn answers(gateway: &Gateway) -> BTreeMap<u64, (pb::EventKind, pb::ConfirmationEvent)> {
    let told = listed(gateway, TILL, None).await.into_iter();
    told.filter_map(|event| match event.payload.clone() {
        Some(pb::event::Payload::Confirmation(of)) => {
            Some((of.transaction_id.parse().unwrap(), (event.kind(), of)))
        }
        _ => None,
    })
    .collect()
}

async fn answered(
    gateway: &Gateway,
    count: usize,
) -> BTreeMap<u64, (pb::EventKind, pb::ConfirmationEvent)> {
    let begun = Instant::now();
    loop {
        let answers = answers(gateway).await;
        if answers.len() >= count {
            return answers;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of {count}", answers.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn asked(fake: &Fake, number: u64) -> usize {
    let of = |seen: &Seen| {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        body["txn_id"].to_string().trim_matches('"') == number.to_string()
    };
    fake.seen().iter().filter(|seen| of(seen)).count()
}

#[tokio::test]
async fn each_is_told_once_and_what_differs_by_name() {
    let (fake, world) = world().await;
    let other_order = {
        let mut other = known(2, 3);
        other["order_id"] = json!("order-of-somebody-else");
        other
    };
    let mut dearer = known(4, 3);
    dearer["amount"] = json!("1550.00");
    world.lock().extend([(1, known(1, 3)), (2, other_order), (3, known(3, 4)), (4, dearer)]);
    world.lock().insert(6, known(6, 1));
    let gateway = confirming(setup(&fake), &fake).start().await;
    // The fifth is not known to QIWI; nothing is decided about the seventh.
    for body in [1, 2, 3, 4, 5, 6].map(|number| purchase(number, 3)).iter().chain([&purchase(7, 0)])
    {
        assert_eq!(send(&gateway, body).await, 200);
    }
    let answers = answered(&gateway, 6).await;
    let (same, differs) = (pb::EventKind::Confirmation, pb::EventKind::Contradiction);
    let shown: Vec<_> = answers
        .iter()
        .map(|(number, (kind, of))| (*number, *kind, of.causes().collect::<Vec<_>>()))
        .collect();
    assert_eq!(
        shown,
        [
            (1, same, vec![]),
            (2, differs, vec![pb::ContradictionCause::Order]),
            (3, same, vec![]),
            (4, differs, vec![pb::ContradictionCause::Amount]),
            (5, differs, vec![pb::ContradictionCause::NotFound]),
            (6, differs, vec![pb::ContradictionCause::Status]),
        ]
    );
    let events = listed(&gateway, TILL, None).await;
    let first = &answers[&1].1;
    assert_eq!(first.subject_event_id, events[0].event_id);
    assert_eq!((&*first.subject_type_raw, &*first.subject_status_raw), ("1", "3"));
    assert_eq!(first.status_raw, "3");
    let told = first.acquiring.as_ref().unwrap();
    assert_eq!(told.subject_type(), pay::TransactionType::Purchase);
    assert_eq!(told.subject_status(), pay::TransactionStatus::Captured);
    let transaction = told.transaction.as_ref().unwrap();
    assert_eq!((transaction.order_id(), transaction.merchant_site()), ("order-1", SITE));
    let found = |number: u64| answers[&number].1.acquiring.clone().unwrap().transaction;
    assert_eq!(found(2).unwrap().order_id(), "order-of-somebody-else");
    assert_eq!(found(5), None);

    // What QIWI has and the log had not: a later status, and another one.
    let reconciled: Vec<_> = events
        .iter()
        .filter(|event| event.source() == pb::EventSource::Reconciled)
        .filter(|event| event.kind() == pb::EventKind::Acquiring)
        .map(|event| (&*acquiring(event).transaction_id, &*acquiring(event).status_raw))
        .collect();
    assert_eq!(reconciled.len(), 2);
    assert!(reconciled.contains(&("3", "4")) && reconciled.contains(&("6", "1")));
    // Its notification comes late and is nothing new.
    assert_eq!(send(&gateway, &purchase(3, 4)).await, 200);
    assert_eq!(listed(&gateway, TILL, None).await.len(), events.len());

    for number in [1, 2, 3, 4, 6] {
        assert_eq!(asked(&fake, number), 1, "{number}");
    }
    assert_eq!((asked(&fake, 7), fake.seen()[0].header("authorization")), (0, None));
    assert_eq!((&*fake.seen()[0].method, fake.seen()[0].path()), ("POST", "/merchant/direct"));
    assert_eq!(gateway.metric("qiwi_event_alarms_total", &["contradicted"]).await, 4);
    // A filter finds the answers by the number of the status they are about.
    let filter = pb::EventFilter {
        kinds: vec![same.into(), differs.into()],
        statuses: vec!["3".to_owned()],
        ..Default::default()
    };
    assert_eq!(listed(&gateway, TILL, Some(filter)).await.len(), 6);
    assert!(listed(&gateway, MAIN, None).await.is_empty());
}

#[tokio::test]
async fn qiwi_is_asked_again_after_a_failure_and_not_after_a_restart() {
    let (fake, world) = world().await;
    let folder = process::folder("pay-confirmed");
    let patient = |config: &mut qiwi_gateway::config::Config| {
        config.events.confirm_absent = Duration::from_secs(600);
    };
    let gateway = confirming(kept(&fake, &folder), &fake).set(patient).start().await;
    world.lock().insert(1, Value::Null);
    assert_eq!(send(&gateway, &purchase(1, 3)).await, 200);
    until("a failure", || asked(&fake, 1) > 0).await;
    // Behind, where the notification was faster than what the status is asked of.
    world.lock().insert(1, known(1, 2));
    let failed = asked(&fake, 1);
    until("a question in vain", || asked(&fake, 1) > failed + 1).await;
    assert!(answers(&gateway).await.is_empty());
    world.lock().insert(1, known(1, 3));
    let answers = answered(&gateway, 1).await;
    assert_eq!(answers[&1].0, pb::EventKind::Confirmation);
    gateway.stop().await;

    let asked_before = asked(&fake, 1);
    let gateway = confirming(kept(&fake, &folder), &fake).start().await;
    world.lock().insert(2, known(2, 3));
    assert_eq!(send(&gateway, &purchase(2, 3)).await, 200);
    assert_eq!(answered(&gateway, 2).await[&2].0, pb::EventKind::Confirmation);
    assert_eq!(asked(&fake, 1), asked_before);
}
