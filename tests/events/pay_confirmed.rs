//! Notifications of QIWI PAY and what QIWI says about them when it is asked: once each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use qiwi_gateway::config::{BaseUrl, Config, Confirm};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::pay::v1 as pay;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::sandbox::{MerchantSite, Sandbox, SandboxConfig, demo};
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

/// Makes the till a merchant of the sandbox, with a certificate that is kept in a folder.
async fn merchant(config: &mut Config, sandbox: &Sandbox, folder: &std::path::Path) {
    let kept = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    let certificate = sandbox.client_certificate("till").unwrap();
    let direct = sandbox.acquiring_address().unwrap();
    config.upstream.direct_url =
        BaseUrl::parse(&format!("https://localhost:{}/merchant/direct", direct.port())).unwrap();
    config.upstream.ca_file = kept("ca.pem", sandbox.acquiring_authority().unwrap());
    let till = config.credentials.get_mut("till").unwrap();
    till.merchant_site = Some(demo::DEFERRED_SITE.to_string());
    till.client_cert_file = kept("till.pem", &certificate.certificate_pem);
    till.client_key_file = kept("till.key", &certificate.key_pem);
}

/// A sale as a caller makes it.
fn sale(order: &str) -> pay::SaleRequest {
    let card = pay::BankCard {
        pan: "4111111111111111".to_owned(),
        expiry_month: 12,
        expiry_year: 2099,
        cvv2: "123".to_owned(),
        holder_name: "CARDHOLDER NAME".to_owned(),
    };
    pay::SaleRequest {
        order: Some(pay::OrderDetails { order_id: order.to_owned(), ..Default::default() }),
        amount: Some(Money { currency_code: "RUB".to_owned(), units: 7, nanos: 500_000_000 }),
        instrument: Some(pay::PaymentInstrument {
            instrument: Some(pay::payment_instrument::Instrument::Card(card)),
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_sale_is_told_by_the_sandbox_and_confirmed_over_the_merchants_certificate() {
    let free = "127.0.0.1:0".parse().unwrap();
    let mut config = SandboxConfig { listen: free, ..Default::default() };
    config.acquiring.listen = Some(free);
    let sandbox = Sandbox::start(config).await.unwrap();
    let folder = process::folder("pay-sandbox");
    let setup = Setup::at(&format!("http://{}", sandbox.address()));
    let setup = setup.credential("till", Kind::Merchant, None, demo::MERCHANT_SECRET);
    let mut setup = setup.set(|config| {
        config.notifications.sources = vec!["any".to_owned()];
        config.events.confirm = Confirm::After;
    });
    merchant(&mut setup.config, &sandbox, &folder).await;
    let gateway = setup.log_all().start().await;
    sandbox.put_site(MerchantSite {
        online: false,
        tokenisation: true,
        callback_url: Some(format!("http://{}/notifications/pay/till", gateway.notifications())),
        ..MerchantSite::new(demo::DEFERRED_SITE, demo::MERCHANT_SECRET)
    });
    let channel = gateway.channel().await;
    let ask = Ask::with(TILL);
    let rpc = "qiwi.pay.v1.AcquiringService/Sale";
    let sold: pay::SaleResponse =
        ask.unary(&channel, rpc, sale("order-77")).await.unwrap().into_inner();
    let transaction = sold.operation.unwrap().transaction.unwrap();
    let token = sold.card_token.expect("a token").card_token;

    let confirmed = answered(&gateway, 1).await;
    let events = listed(&gateway, TILL, None).await;
    assert_eq!(events.len(), 2);
    let told = acquiring(&events[0]);
    assert_eq!(events[0].verification(), pb::EventVerification::SignatureOnly);
    assert_eq!((&told.transaction_id, &*told.status_raw), (&transaction.transaction_id, "3"));
    assert_eq!((told.order_id(), &told.amount), ("order-77", &transaction.amount));
    assert_eq!(told.card.as_ref().unwrap().masked_pan, "411111******1111");
    let (kind, of) = &confirmed[&transaction.transaction_id.parse().unwrap()];
    assert_eq!((*kind, &of.subject_event_id), (pb::EventKind::Confirmation, &events[0].event_id));
    let known = of.acquiring.as_ref().unwrap().transaction.as_ref().unwrap();
    assert_eq!(known.order_id(), "order-77");
    let shown: Vec<u8> = events.iter().flat_map(prost::Message::encode_to_vec).collect();
    let log = gateway.stop().await.log;
    sandbox.shutdown().await;
    for secret in [token.as_str(), "4111111111111111", demo::MERCHANT_SECRET] {
        assert!(!log.contains(secret), "{secret}");
        assert!(!shown.windows(secret.len()).any(|of| of == secret.as_bytes()), "{secret}");
    }
}
