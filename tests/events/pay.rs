//! Notifications of QIWI PAY: verified, stored once, and told to those of the merchant.

use std::path::Path;

use qiwi_gateway::config::{Config, Engine};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::pay::v1 as pay;
use ring::hmac;
use serde_json::{Value, json};

use super::letter::post;
use super::*;

/// The merchant of the documents' samples.
pub const SECRET: &str = "secret_key";
pub const SITE: &str = "1234";
pub const TILL: &[(&str, &str)] = &[("x-qiwi-credential", "till")];
const ADDRESS: &str = "/notifications/pay/till";
/// The signature of the documents' sample of 2023.
const TV_50: &str = "7E5BA1E606E01F159B67758A6351D868BC6259DAAD324FE542F5A41E845B949F";

/// A gateway with a merchant, besides the wallet and the P2P key.
pub fn setup(fake: &Fake) -> Setup {
    Setup::new(fake).credential("till", Kind::Merchant, None, SECRET).set(|config| {
        config.notifications.sources = vec!["any".to_owned()];
        config.credentials.get_mut("till").unwrap().merchant_site = Some(SITE.to_owned());
    })
}

async fn start() -> (Fake, Gateway) {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = setup(&fake).start().await;
    (fake, gateway)
}

/// The documents' sample of 2023; its signature is [`TV_50`].
fn sample() -> Value {
    json!({
        "request_id": "d861c1111a9cafff", "txn_id": 806_930_407_050_u64,
        "txn_date": "2021-10-08T12:12:53+00:00", "txn_status": 3, "txn_type": 1,
        "issuer_name": "Сбербанк России", "issuer_country": "RUS", "card_name": "cardholder+name",
        "card_token": "d0f3c937-1111-2222-3333-5614c90b6199",
        "card_token_expire": "2022-05-30T21:00:00+00:00", "pan": "400000******0002",
        "amount": 1856, "currency": 643, "auth_code": "255723", "eci": "", "error_code": 0,
        "sign": TV_50,
    })
}

/// Members, signed as QIWI signs them.
pub fn signed(mut members: Value) -> Value {
    let names =
        ["amount", "currency", "email", "error_code", "ip", "txn_id", "txn_status", "txn_type"];
    let text = |name: &&str| match &members[*name] {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let text: Vec<_> = names.iter().filter_map(text).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, text.join("|").as_bytes());
    let sign: String = tag.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    members["sign"] = json!(sign);
    members
}

/// A purchase at a status.
pub fn purchase(number: u64, status: u8) -> Value {
    signed(json!({
        "txn_id": number, "txn_date": "2026-11-01T12:00:00+03:00", "txn_status": status,
        "txn_type": 1, "pan": "411111******1111", "amount": "15.50", "currency": 643,
        "error_code": if status == 1 { 8152 } else { 0 }, "email": "user@co.ru",
        "ip": "111.12.75.92", "order_id": format!("order-{number}"), "cf1": "one",
    }))
}

pub async fn send(gateway: &Gateway, body: &Value) -> u16 {
    let (status, answer) = post(gateway.notifications(), ADDRESS, &[], &body.to_string()).await;
    assert_eq!(answer, "", "the documents want a status and no body");
    status
}

/// What a call of this credential lists.
pub async fn listed(
    gateway: &Gateway,
    metadata: &'static [(&'static str, &'static str)],
    filter: Option<pb::EventFilter>,
) -> Vec<pb::Event> {
    let channel = gateway.channel().await;
    let request = pb::ListEventsRequest { filter, ..Default::default() };
    let ask = Ask::with(metadata);
    let reply = ask.unary::<_, pb::ListEventsResponse>(&channel, LIST, request).await;
    reply.unwrap().into_inner().events
}

pub fn acquiring(event: &pb::Event) -> &pay::Transaction {
    match &event.payload {
        Some(pb::event::Payload::Acquiring(transaction)) => transaction,
        _ => panic!("{event:?}"),
    }
}

async fn refusals(gateway: &Gateway, reason: &str) -> u64 {
    gateway.metric("qiwi_notifications_refused_total", &[reason]).await
}

#[tokio::test]
async fn the_documents_sample_is_one_event_however_often_it_comes() {
    let (fake, gateway) = start().await;
    let mut again = sample();
    // A later delivery has another number, and need not have the same members.
    again["request_id"] = json!("another");
    again.as_object_mut().unwrap().remove("card_token");
    for body in [&sample(), &sample(), &again] {
        assert_eq!(send(&gateway, body).await, 200);
    }
    let events = listed(&gateway, TILL, None).await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event.kind(), pb::EventKind::Acquiring);
    assert_eq!(event.source(), pb::EventSource::Webhook);
    assert_eq!(event.verification(), pb::EventVerification::SignatureOnly);
    assert_eq!((event.wallet.as_deref(), event.late), (None, false));
    assert_eq!(event.occur_time.as_ref().unwrap().raw, "2021-10-08T12:12:53+00:00");
    let told = acquiring(event);
    assert_eq!(
        (&*told.transaction_id, &*told.type_raw, &*told.status_raw),
        ("806930407050", "1", "3")
    );
    assert_eq!(told.r#type(), pay::TransactionType::Purchase);
    assert_eq!(told.status(), pay::TransactionStatus::Captured);
    assert_eq!(told.next_operations().collect::<Vec<_>>(), [pay::OperationKind::Reverse]);
    let amount = told.amount.as_ref().unwrap();
    assert_eq!((&*amount.currency_code, amount.units, amount.nanos), ("RUB", 1856, 0));
    assert_eq!((told.merchant_site.as_deref(), &told.error), (Some(SITE), &None));
    let card = told.card.as_ref().unwrap();
    assert_eq!((&*card.masked_pan, card.holder_name()), ("400000******0002", "cardholder name"));
    assert_eq!((card.auth_code(), card.eci.as_deref()), ("255723", None));
    assert_eq!(fake.count(), 0);
    assert_eq!(gateway.metric("qiwi_events_duplicate_total", &[]).await, 2);
    assert_eq!(gateway.metric("qiwi_events_conflict_total", &[]).await, 0);
    assert_eq!(gateway.metric("qiwi_notifications_total", &["\"pay\""]).await, 3);
}

#[tokio::test]
async fn another_content_of_the_same_transition_is_a_conflict_and_no_event() {
    let (_fake, gateway) = start().await;
    assert_eq!(send(&gateway, &purchase(7, 3)).await, 200);
    let mut dearer = purchase(7, 3);
    dearer["amount"] = json!("1550.00");
    assert_eq!(send(&gateway, &signed(dearer)).await, 200);
    assert_eq!(gateway.metric("qiwi_events_conflict_total", &[]).await, 1);
    let events = listed(&gateway, TILL, None).await;
    assert_eq!(events.len(), 1);
    assert_eq!(acquiring(&events[0]).amount.as_ref().unwrap().units, 15);
    // What no signature covers changes nothing either.
    let mut other = purchase(7, 3);
    other["order_id"] = json!("order-8");
    assert_eq!(send(&gateway, &other).await, 200);
    let events = listed(&gateway, TILL, None).await;
    assert_eq!((events.len(), acquiring(&events[0]).order_id()), (1, "order-7"));
}

#[tokio::test]
async fn each_status_of_each_type_is_an_event_and_an_earlier_one_is_late() {
    let (_fake, gateway) = start().await;
    let mut refund = purchase(8, 4);
    refund["txn_type"] = json!(3);
    let refund = signed(refund);
    for body in [&purchase(8, 3), &purchase(8, 4), &purchase(8, 0), &refund, &purchase(9, 1)] {
        assert_eq!(send(&gateway, body).await, 200);
    }
    let events = listed(&gateway, TILL, None).await;
    let shown: Vec<_> = events
        .iter()
        .map(|event| (acquiring(event), event.late))
        .map(|(of, late)| (&*of.transaction_id, &*of.type_raw, &*of.status_raw, late))
        .collect();
    assert_eq!(
        shown,
        [
            ("8", "1", "3", false),
            ("8", "1", "4", false),
            ("8", "1", "0", true),
            ("8", "3", "4", false),
            ("9", "1", "1", false),
        ]
    );
    let declined = acquiring(&events[4]).error.as_ref().unwrap();
    assert_eq!(
        (declined.code, declined.category()),
        (8152, pay::TransactionErrorCategory::Declined)
    );
    // A number that the documents do not name is passed on.
    assert_eq!(send(&gateway, &purchase(9, 77)).await, 200);
    let events = listed(&gateway, TILL, None).await;
    let told = acquiring(&events[5]);
    assert_eq!((told.status(), &*told.status_raw), (pay::TransactionStatus::Unspecified, "77"));
    assert!(gateway.metric("qiwi_unknown_enum_total", &["transaction.status"]).await == 1);
}

#[tokio::test]
async fn what_is_forged_is_refused_and_counted_and_costs_no_question() {
    let (fake, gateway) = start().await;
    let body = purchase(7, 3).to_string();
    let changed = |from: &str, to: &str| {
        assert!(body.contains(from), "{from}");
        body.replacen(from, to, 1)
    };
    for (body, reason) in [
        (changed("\"15.50\"", "\"1550.00\""), "signature_mismatch"),
        (changed("\"txn_status\":3", "\"txn_status\":4"), "signature_mismatch"),
        (changed("\"sign\":\"", "\"signed\":\""), "signature_missing"),
        (changed("\"sign\":\"", "\"sign\":\"00"), "signature_malformed"),
        (changed("{", "{\"txn_id\":8,"), "duplicate_key"),
        (changed("user@co.ru", "user@co.ru|0"), "separator_in_value"),
        (changed("user@co.ru", "user@co.ru\\u0000"), "malformed"),
        (changed("{", "{\"merchant_site\":\"1235\","), "site_mismatch"),
        ("{}".to_owned(), "malformed"),
        ("txn_id=7&txn_status=3".to_owned(), "not_json"),
    ] {
        let before = refusals(&gateway, reason).await;
        let (status, _) = post(gateway.notifications(), ADDRESS, &[], &body).await;
        assert_eq!(status, 403, "{reason}");
        assert_eq!(refusals(&gateway, reason).await, before + 1, "{reason}");
    }
    let to = gateway.notifications();
    // Other kinds of credentials, and the merchant under other kinds of addresses.
    for path in ["main", "bills", "nobody"].map(|name| format!("/notifications/pay/{name}")) {
        assert_eq!(post(to, &path, &[], &body).await.0, 404, "{path}");
    }
    for path in ["/notifications/wallet/till", "/notifications/p2p/till", "/pay/till"] {
        assert_eq!(post(to, path, &[], &body).await.0, 404, "{path}");
    }
    assert!(listed(&gateway, TILL, None).await.is_empty());
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_secret_address_is_needed_where_there_is_one() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let file = process::folder("pay-path-secret").join("secret");
    std::fs::write(&file, "s3cret-of-the-path").unwrap();
    let secret = |config: &mut Config| {
        config.credentials.get_mut("till").unwrap().webhook_path_secret_file = Some(file);
    };
    let gateway = setup(&fake).set(secret).start().await;
    let to = gateway.notifications();
    let body = purchase(1, 3).to_string();
    for (rest, status) in [("", 404), ("/s3cret-of-the-patH", 404), ("/s3cret-of-the-path", 200)] {
        assert_eq!(post(to, &format!("{ADDRESS}{rest}"), &[], &body).await.0, status, "{rest}");
    }
    assert!(!gateway.log().contains("s3cret"));
}

#[tokio::test]
async fn a_merchant_sees_its_site_only_and_filters_by_kind_and_number() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let other = |config: &mut Config| {
        config.credentials.get_mut("kiosk").unwrap().merchant_site = Some("1235".to_owned());
    };
    let setup = setup(&fake).credential("kiosk", Kind::Merchant, None, SECRET).set(other);
    let gateway = setup.start().await;
    fill(&gateway, WALLET, 0..2).await;
    for body in [purchase(7, 2), purchase(7, 3), purchase(8, 1)] {
        assert_eq!(send(&gateway, &body).await, 200);
    }
    // The same transaction number at another site is another transaction.
    let body = purchase(7, 3).to_string();
    assert_eq!(post(gateway.notifications(), "/notifications/pay/kiosk", &[], &body).await.0, 200);
    let sites = |events: &[pb::Event]| -> Vec<String> {
        events.iter().map(|event| acquiring(event).merchant_site().to_owned()).collect()
    };
    let till = listed(&gateway, TILL, None).await;
    assert_eq!(sites(&till), [SITE, SITE, SITE]);
    let kiosk = listed(&gateway, &[("x-qiwi-credential", "kiosk")], None).await;
    assert_eq!(sites(&kiosk), ["1235"]);
    for credential in [MAIN, BILLS] {
        let seen = listed(&gateway, credential, None).await;
        assert!(seen.iter().all(|event| event.kind() != pb::EventKind::Acquiring));
    }
    assert_eq!(listed(&gateway, &[], None).await.len(), 6);
    let kind = |kinds: &[pb::EventKind], statuses: &[&str]| {
        Some(pb::EventFilter {
            kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
            statuses: statuses.iter().map(|status| (*status).to_owned()).collect(),
            ..Default::default()
        })
    };
    let of_kind = listed(&gateway, &[], kind(&[pb::EventKind::Acquiring], &[])).await;
    assert_eq!(of_kind.len(), 4);
    let declined = listed(&gateway, TILL, kind(&[], &["1"])).await;
    assert_eq!((declined.len(), &*acquiring(&declined[0]).transaction_id), (1, "8"));
    assert!(listed(&gateway, TILL, kind(&[pb::EventKind::Transaction], &[])).await.is_empty());
    assert_eq!(fake.count(), 0, "nobody asks whose wallet a merchant is");
}

#[tokio::test]
async fn a_stream_tells_what_comes_and_goes_on_from_its_cursor() {
    let (_fake, gateway) = start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(TILL);
    let earliest = pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into());
    let start = Some(pb::LogPosition { position: Some(earliest) });
    let mut stream = subscribe(&channel, &ask, &from(start)).await.unwrap();
    let (_, none) = caught_up(&mut stream).await;
    assert!(none.is_empty());
    assert_eq!(send(&gateway, &purchase(7, 3)).await, 200);
    let told = loop {
        let message = super::next(&mut stream).await.expect("no end").unwrap();
        if let Some(event) = message.events.first() {
            break event.clone();
        }
    };
    assert_eq!(acquiring(&told).order_id(), "order-7");
    drop(stream);
    assert_eq!(send(&gateway, &purchase(7, 4)).await, 200);
    let mut stream = subscribe(&channel, &ask, &from(cursor(told.cursor))).await.unwrap();
    let (_, rest) = caught_up(&mut stream).await;
    assert_eq!(rest.iter().map(|of| &*acquiring(of).status_raw).collect::<Vec<_>>(), ["4"]);
}

/// A gateway that keeps its log in a folder.
pub fn kept(fake: &Fake, folder: &Path) -> Setup {
    setup(fake).set(|config| {
        config.state.engine = Engine::Embedded;
        config.state.path = folder.to_owned();
    })
}

#[tokio::test]
async fn a_restart_forgets_neither_the_event_nor_its_deliveries() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let folder = process::folder("pay-restart");
    let gateway = kept(&fake, &folder).start().await;
    assert_eq!(send(&gateway, &purchase(7, 3)).await, 200);
    let before = listed(&gateway, TILL, None).await;
    gateway.stop().await;
    let gateway = kept(&fake, &folder).start().await;
    assert_eq!(send(&gateway, &purchase(7, 3)).await, 200);
    let mut dearer = purchase(7, 3);
    dearer["amount"] = json!("1550.00");
    assert_eq!(send(&gateway, &signed(dearer)).await, 200);
    assert_eq!(gateway.metric("qiwi_events_conflict_total", &[]).await, 1);
    assert_eq!(listed(&gateway, TILL, None).await, before);
}

#[tokio::test]
async fn what_cannot_be_stored_is_to_come_again() {
    let fake = Fake::always(Answer::new(404, "")).await;
    // An engine this version does not have: its log refuses everything.
    let gateway = setup(&fake).set(|config| config.state.engine = Engine::Nats).start().await;
    assert_eq!(send(&gateway, &purchase(7, 3)).await, 503);
    assert_eq!(gateway.metric("qiwi_notifications_unstored_total", &["log"]).await, 1);
    // What is forged is not asked for again all the same.
    let mut forged = purchase(7, 3);
    forged["amount"] = json!("1550.00");
    assert_eq!(send(&gateway, &forged).await, 403);
}

#[tokio::test]
async fn no_card_token_and_no_full_number_is_kept_logged_or_told() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let folder = process::folder("pay-canary");
    let gateway = kept(&fake, &folder).log_all().start().await;
    let mut body = purchase(7, 3);
    let (pan, token, expire) = ("4276999988887777", "CANARY-CARD-TOKEN-77", "2031-05-30T21:00:00");
    body["pan"] = json!(pan);
    body["card_token"] = json!(token);
    body["card_token_expire"] = json!(format!("{expire}+00:00"));
    body["card_name"] = json!("CANARY+HOLDER");
    body["phone"] = json!("79167654321");
    assert_eq!(send(&gateway, &body).await, 200);
    // Refused ones are no excuse either.
    let forged = body.to_string().replace("15.50", "16.50");
    assert_eq!(post(gateway.notifications(), ADDRESS, &[], &forged).await.0, 403);
    let events = listed(&gateway, TILL, None).await;
    let card = acquiring(&events[0]).card.clone().unwrap();
    assert_eq!((&*card.masked_pan, card.holder_name()), ("427699******7777", "CANARY HOLDER"));
    let told = events[0].encode_to_vec();
    let contains =
        |bytes: &[u8], mark: &str| bytes.windows(mark.len()).any(|of| of == mark.as_bytes());
    for mark in [pan, token, expire] {
        assert!(!contains(&told, mark), "{mark}");
    }
    let shown = format!("{:?}", events[0]);
    let log = gateway.stop().await.log;
    let private = ["CANARY", "427699", "user@co.ru", "111.12.75.92", "79167654321", SECRET];
    for mark in [pan, token, expire].into_iter().chain(private) {
        assert!(!log.contains(mark) && !shown.contains(mark), "{mark}");
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!contains(&bytes, mark), "{mark} in {}", path.display());
        }
    }
}
