//! Nothing of a card leaves by a side door: unique markers are in every secret and personal field of
//! everything that is asked of QIWI PAY, and in its answers; logs at the finest level, traces,
//! metrics, errors and the files of ledger and event log are searched for them.
//!
//! Verification codes are too short to be unique. They begin with a zero here, as no number does that
//! the gateway writes, and are searched for as words of their own.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use prost::Message as _;
use qiwi_gateway::config::Engine;
use qiwi_gateway::pb::pay::v1 as pb;
use qiwi_gateway::pb::pay::v1::mobile_wallet_token::Form;
use qiwi_gateway::pb::pay::v1::payment_instrument::Instrument;
use qiwi_gateway::telemetry::TelemetrySettings;
use serde_json::{Value, json};

use super::shop::{at, request_id, rub};
use crate::money::canary::{Markers, PARENT, files};
use crate::support::fake::Seen;
use crate::support::otlp::Collector;
use crate::support::process::folder;
use crate::support::{Answer, Ask, Fake, SHOP, Setup, told};

/// How QIWI treats the operations of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Accepts,
    /// And the customer has to pass 3-D Secure.
    Asks,
    Declines,
    /// With fields that are wrong, and their values.
    Refuses,
    /// Half of an answer that repeats the request, and no transaction.
    Echoes,
    /// An error page that repeats the request, and no transaction.
    Breaks,
}

const MODES: [Mode; 6] =
    [Mode::Accepts, Mode::Asks, Mode::Declines, Mode::Refuses, Mode::Echoes, Mode::Breaks];

/// Codes of the cards, each of its own.
const CODES: [&str; 2] = ["0739", "0846"];

/// A transaction with markers wherever secrets and people are.
fn transaction(m: &Markers, kind: u8, id: &str, order: &str, status: u8, code: u32) -> Value {
    json!({
        "txn_id": id, "txn_status": status, "txn_type": kind,
        "txn_date": "2017-03-09T17:16:06+00:00", "error_code": code, "error_message": m.word(),
        // In full, as it should never be.
        "pan": m.card(), "amount": 3.0, "currency": 643, "auth_code": "181218", "eci": "7",
        "card_token": m.word(), "card_token_expire": "2049-12-31T00:00:00+00:00",
        "card_name": m.word(), "issuer_name": "Bank", "issuer_country": "RUS",
        "order_id": order, "ip": "127.0.0.1", "email": m.word(), "city": m.word(),
        "region": m.word(), "address": m.word(), "phone": m.digits(11), "cf1": m.word(),
        "product_name": m.word(), "something_new": m.word(),
    })
}

/// QIWI with markers in all it says.
fn qiwi(mode: &Mutex<Mode>, last: &Mutex<String>, markers: &Markers, seen: &Seen) -> Answer {
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let text = |name: &str| match &body[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let (opcode, order, parent) =
        (body["opcode"].as_u64().unwrap(), text("order_id"), text("txn_id"));
    let parent = if parent.is_empty() { "77".to_owned() } else { parent };
    let mode = *mode.lock();
    if opcode == 30 {
        // Before an operation on it the purchase is there; nothing else ever is.
        let parent = match order.as_str() {
            "family" => last.lock().clone(),
            _ => parent,
        };
        last.lock().clone_from(&parent);
        let known = order == "family" || (order.is_empty() && !body["txn_id"].is_null());
        let kind = if known { 1 } else { 99 };
        let status = if mode == Mode::Echoes { 0 } else { 2 };
        let one = transaction(markers, kind, &parent, "family", status, 0);
        return Answer::json(json!({ "error_code": 0, "transactions": [one] }).to_string());
    }
    if opcode == 40 {
        let cards = json!([{ "card_token": markers.word(), "pan": markers.card() }]);
        return Answer::json(json!({ "error_code": 0, "cards": cards }).to_string());
    }
    let kind = match opcode {
        20 => 8,
        7 => 3,
        6 => 4,
        3 | 5 => 2,
        _ => 1,
    };
    let id = if matches!(opcode, 2 | 5) { parent } else { format!("9{}", seen.index) };
    let repeated = String::from_utf8(seen.body.clone()).unwrap();
    match mode {
        Mode::Accepts => Answer::json(transaction(markers, kind, &id, &order, 4, 0).to_string()),
        Mode::Asks => {
            let mut asks = transaction(markers, kind, &id, &order, 0, 0);
            asks["acs_url"] = json!(format!("https://acs.example/{}", markers.word()));
            asks["pareq"] = json!(markers.word());
            Answer::json(asks.to_string())
        }
        Mode::Declines => {
            Answer::json(transaction(markers, kind, &id, &order, 1, 8160).to_string())
        }
        Mode::Refuses => {
            let wrong = |field: &str| {
                let message = format!("[{field}] is wrong: {} {}", text(field), markers.card());
                json!({ "field": field, "message": message.replace("canary", "") })
            };
            let errors = [wrong("pan"), wrong("cvv2"), wrong("phone")];
            let refusal = json!({
                "error_code": 8019, "error_message": format!("Card {}", markers.card()),
                "errors": errors, "x": markers.word(),
            });
            Answer::json(refusal.to_string())
        }
        Mode::Echoes => {
            let half: String = repeated.chars().take(repeated.chars().count() / 2).collect();
            Answer::json(half)
        }
        Mode::Breaks => Answer::new(500, format!("<html>{repeated} {}</html>", markers.word())),
    }
}

fn customer(m: &Markers) -> pb::Customer {
    pb::Customer {
        ip: "10.20.30.40".into(),
        email: format!("{}@example.com", m.word()),
        country: "RUS".into(),
        city: m.word(),
        region: "77".into(),
        address: m.word(),
        phone: m.digits(11),
        device_id: m.word(),
        screen_resolution: m.word(),
        user_agent: m.word(),
        ..Default::default()
    }
}

fn order(m: &Markers, id: &str) -> pb::OrderDetails {
    pb::OrderDetails {
        order_id: id.to_owned(),
        product_name: m.word(),
        merchant_uid: m.word(),
        cf1: m.word(),
        cf2: m.word(),
        cf3: m.word(),
        cf4: m.word(),
        cf5: m.word(),
        callback_url: format!("https://shop.example/{}", m.word()),
        success_url: format!("https://shop.example/{}", m.word()),
        decline_url: format!("https://shop.example/{}", m.word()),
        ..Default::default()
    }
}

/// Everything that can be paid with.
fn instruments(m: &Markers) -> Vec<Instrument> {
    let wallet = |form| pb::MobileWalletToken { form: Some(form) };
    let token = |m: &Markers| json!({ "paymentData": { "data": m.word() } }).to_string();
    vec![
        Instrument::Card(pb::BankCard {
            pan: m.card(),
            expiry_month: 12,
            expiry_year: 2049,
            cvv2: CODES[0].into(),
            holder_name: m.word(),
        }),
        Instrument::CardToken(pb::CardToken {
            token: m.word(),
            cvv2: CODES[1].into(),
            holder_name: m.word(),
        }),
        Instrument::ApplePay(wallet(Form::Json(token(m)))),
        Instrument::GooglePay(wallet(Form::Json(token(m)))),
    ]
}

/// One request of every method and instrument, ready to be sent.
fn requests(m: &Markers, number: &mut u64) -> Vec<(&'static str, Vec<u8>)> {
    let mut next = || {
        *number += 1;
        *number
    };
    let mut all = Vec::new();
    for (at, instrument) in instruments(m).into_iter().enumerate() {
        let receiver = (at == 0).then(|| pb::Receiver {
            pan: m.card(),
            bank_account: m.digits(20),
            wallet: m.digits(11),
            phone: m.digits(11),
            ..Default::default()
        });
        let request = pb::SaleRequest {
            order: Some(order(m, &format!("order-{}", next()))),
            amount: Some(rub(300)),
            instrument: Some(pb::PaymentInstrument { instrument: Some(instrument) }),
            customer: Some(customer(m)),
            receiver,
            ..Default::default()
        };
        all.push((["Sale", "Authorize", "InitRecurringSale", "Sale"][at], request.encode_to_vec()));
    }
    let payouts = [
        Instrument::Card(pb::BankCard {
            pan: m.card(),
            holder_name: m.word(),
            ..Default::default()
        }),
        Instrument::CardToken(pb::CardToken { token: m.word(), ..Default::default() }),
    ];
    for instrument in payouts {
        let order = order(m, &format!("p-{}", next()));
        let request = pb::PayoutRequest {
            order: Some(order),
            amount: Some(rub(300)),
            instrument: Some(pb::PaymentInstrument { instrument: Some(instrument) }),
            ..Default::default()
        };
        all.push(("Payout", request.encode_to_vec()));
    }
    let finish = pb::Finish3dsRequest {
        transaction_id: (5_000 + next()).to_string(),
        pares: m.word(),
        reattempt: false,
    };
    all.push(("Finish3ds", finish.encode_to_vec()));
    let parameters = [("pan", m.card()), ("card_name", m.word()), ("cvv2", CODES[0].to_owned())];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value)).into();
    let card = pb::SendMobileCardDataRequest {
        transaction_id: (6_000 + next()).to_string(),
        parameters,
        reattempt: false,
    };
    all.push(("SendMobileCardData", card.encode_to_vec()));
    let (request_id, transaction_id) = (request_id(next()), (7_000 + next()).to_string());
    let refund = pb::RefundRequest {
        request_id,
        transaction_id,
        amount: Some(rub(300)),
        ..Default::default()
    };
    all.push(("Refund", refund.encode_to_vec()));
    let cards = pb::ListCardsRequest { card_token: m.word(), merchant_uid: m.word() };
    all.push(("ListCards", cards.encode_to_vec()));
    let status = pb::GetStatusRequest { order_id: "family".into(), ..Default::default() };
    all.push(("GetStatus", status.encode_to_vec()));
    all
}

/// What left on the wire, with wallets' tokens unpacked.
fn wire(fake: &Fake) -> String {
    let mut all = String::new();
    for seen in fake.seen() {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        for name in ["apple_pay_encoded_payment_token", "google_pay_encoded_payment_token"] {
            if let Some(packed) = body[name].as_str() {
                let packed = STANDARD.decode(packed).unwrap();
                flate2::read::ZlibDecoder::new(&*packed).read_to_string(&mut all).unwrap();
            }
        }
        all.push_str(&format!("{} {body}", seen.target));
    }
    all
}

/// Whether a text has this verification code as a word of its own.
fn has_code(text: &str, code: &str) -> bool {
    let alone = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '.');
    text.match_indices(code).any(|(at, _)| {
        alone(text[..at].chars().next_back()) && alone(text[at + code.len()..].chars().next())
    })
}

#[test]
fn codes_are_found_where_they_are() {
    assert!(has_code(r#"{"cvv2":"0739"}"#, "0739") && has_code("cvv2=0739", "0739"));
    assert!(!has_code("2026-11-30T20:36:37.0739Z 10739 07391", "0739"));
}

#[tokio::test]
async fn what_is_secret_of_a_card_is_nowhere_but_on_the_wire() {
    let collector = Collector::start();
    let markers = Markers::default();
    let mode = Arc::new(Mutex::new(Mode::Accepts));
    let fake = {
        let (mode, markers) = (Arc::clone(&mode), markers.clone());
        let last = Mutex::default();
        Fake::by(move |seen| qiwi(&mode, &last, &markers, seen)).await
    };
    let state = folder("pay-canary").join("state");
    let setup = at(&fake.url())
        .set(|config| {
            config.state.engine = Engine::Embedded;
            config.state.path = state.clone();
            // The caller need not wait for what is not there.
            config.payments.look_first = Duration::from_millis(10);
            config.payments.settle_window = Duration::from_millis(50);
        })
        .log_all();
    let telemetry = TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some(collector.endpoint()),
        metric_interval: Duration::from_secs(3600),
        ..setup.telemetry.clone()
    };
    let gateway = Setup { telemetry, ..setup }.start().await;
    let channel = gateway.channel().await;
    let (mut number, mut asked, mut errors) = (0, Vec::new(), String::new());
    let (mut good, mut reasons) = (0, std::collections::BTreeSet::new());
    for way in MODES {
        *mode.lock() = way;
        let before = markers.all().len();
        let requests = requests(&markers, &mut number);
        asked.extend(markers.all().split_off(before));
        for (name, request) in requests {
            for _repeat in 0..2 {
                let rpc = format!("qiwi.pay.v1.AcquiringService/{name}");
                let ask = Ask::with(SHOP).and("traceparent", PARENT);
                match ask.raw(&channel, &rpc, request.clone()).await {
                    Ok(_) => good += 1,
                    Err(status) => {
                        let told = told(&status);
                        reasons.insert(told.reason);
                        errors.push_str(&told.everything);
                    }
                }
            }
        }
    }
    let metrics = gateway.metrics().await;
    let stopped = gateway.stop().await;
    let wire = wire(&fake);
    let on_the_wire = markers.in_text(&wire);
    let unsent: Vec<_> = asked.iter().filter(|marker| !on_the_wire.contains(*marker)).collect();
    assert!(unsent.is_empty(), "never on the wire, so never looked for: {unsent:?}; {reasons:?}");
    for code in CODES {
        assert!(has_code(&wire, code), "{code}");
    }
    assert!(asked.len() > 300 && markers.all().len() > 800, "{}", markers.all().len());
    assert!(good > 70 && errors.len() > 1000, "{good} {reasons:?}");
    assert!(!reasons.contains("TRANSACTION_NOT_FOUND"), "{reasons:?}");
    for reason in ["REQUEST_INVALID", "PAYMENT_NOT_EXECUTED"] {
        assert!(reasons.contains(reason), "{reasons:?}");
    }
    assert!(stopped.log.contains(r#""level":"TRACE""#));
    assert!(!collector.spans().is_empty() && metrics.contains("rpc_server_call_duration"));
    let kept = files(&state);
    assert!(kept.contains("RUB") && kept.contains("order-1"), "the ledger is searched");
    for (place, text) in [
        ("the log", &stopped.log),
        ("metrics", &metrics),
        ("what was exported", &collector.everything()),
        ("errors", &errors),
        ("the ledger and the event log", &kept),
    ] {
        let found = markers.in_text(text);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| found.iter().any(|marker| line.contains(marker)))
            .map(|line| line.chars().take(400).collect::<String>())
            .take(10)
            .collect();
        assert!(found.is_empty(), "{found:?} in {place}:\n{}", lines.join("\n"));
        for code in CODES {
            assert!(!has_code(text, code), "{code} in {place}");
        }
    }
}
