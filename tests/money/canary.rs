//! Nothing private of a payment leaves by a side door: unique markers are in every personal and
//! secret field of everything that pays, and in QIWI's answers; logs at the finest level, traces,
//! metrics, errors and the ledger's own files are searched for them.
//!
//! Amounts are no markers: the ledger keeps them by design.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use qiwi_gateway::config::Engine;
use qiwi_gateway::telemetry::TelemetrySettings;
use serde_json::{Value, json};

use super::*;
use crate::support::otlp::Collector;
use crate::support::process::folder;
use crate::support::{Answer, Fake, told};

/// Sampled, so that every call is exported.
pub const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What must not be seen anywhere.
#[derive(Clone, Default)]
pub struct Markers(Arc<Mutex<Vec<String>>>);

impl Markers {
    pub fn add(&self, make: impl FnOnce(usize) -> String) -> String {
        let mut all = self.0.lock();
        let marker = make(all.len());
        all.push(marker.clone());
        marker
    }

    /// A word nobody else uses.
    pub fn word(&self) -> String {
        self.add(|number| format!("canary{number:04}word"))
    }

    /// A number nobody else uses, of this many digits.
    pub fn digits(&self, length: usize) -> String {
        // No two are parts of one another.
        self.add(|number| {
            format!("{}{:06}", "79".repeat(10).split_at(length - 6).0, 310_000 + number)
        })
    }

    /// A card number that passes the check.
    pub fn card(&self) -> String {
        self.add(|number| {
            let first = format!("400000{:09}", 731_000_000 + number * 11);
            let sum: u32 = first
                .bytes()
                .rev()
                .enumerate()
                .map(|(place, digit)| {
                    let digit = u32::from(digit - b'0');
                    let twice = digit * 2;
                    if place % 2 > 0 { digit } else { twice / 10 + twice % 10 }
                })
                .sum();
            format!("{first}{}", (10 - sum % 10) % 10)
        })
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().clone()
    }

    /// Every marker that is in `text`, in one pass: there are hundreds of them and very much text.
    pub fn in_text(&self, text: &str) -> BTreeSet<String> {
        let all = self.all();
        let known: HashSet<&str> = all.iter().map(String::as_str).collect();
        let lengths: BTreeSet<usize> = all.iter().map(String::len).collect();
        let words = text.match_indices("canary").filter_map(|(at, _)| text.get(at..at + 14));
        // A number may stand inside a longer run of digits.
        let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() >= 9);
        let numbers = runs.flat_map(|run| {
            lengths.iter().flat_map(move |length| {
                (0..=run.len().saturating_sub(*length))
                    .filter_map(move |at| run.get(at..at + length))
            })
        });
        let found = words.chain(numbers).filter(|word| known.contains(word));
        found.map(str::to_owned).collect()
    }
}

/// How QIWI treats the payments of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Accepts,
    Refuses,
    /// No answer, and then an entry of the history that failed.
    Fails,
    /// Half of an answer that repeats the request, and no entry.
    Echoes,
    /// An error page that repeats the request, and no entry.
    Breaks,
}

const MODES: [Mode; 5] = [Mode::Accepts, Mode::Refuses, Mode::Fails, Mode::Echoes, Mode::Breaks];

/// QIWI with markers in all it says.
fn qiwi(
    mode: &Mutex<Mode>,
    last: &Mutex<Option<(String, Value)>>,
    markers: &Markers,
    seen: &crate::support::fake::Seen,
) -> Answer {
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let path = seen.path();
    if path.contains("providers-resolver") {
        return Answer::json(r#"{"mobileOperatorProviderList":[{"id":3,"shortName":"x"}]}"#);
    }
    if path.contains("/refs/") {
        let field = |name: &str| json!({"type": "field", "name": name, "value": markers.word()});
        let elements = [field("account"), field("ev_account1")];
        return Answer::json(json!({ "elements": elements }).to_string());
    }
    if path.contains("/bill/search") {
        // Asked for the state of an invoice, the next one comes.
        let id = seen.target.split("next_id=").nth(1).unwrap().split('&').next().unwrap();
        let bill = json!({
            "id": id.parse::<u64>().unwrap(), "external_id": markers.word(),
            "sum": {"currency": 643, "amount": 100}, "comment": markers.word(),
            "provider": {"id": 480_706, "short_name": markers.word(), "long_name": markers.word()},
            "contact_email": markers.word(),
        });
        return Answer::json(json!({ "bills": [bill] }).to_string());
    }
    if path.starts_with("/payment-history/") {
        let known = last.lock().clone();
        let Some((provider, sent)) = known.filter(|_| *mode.lock() == Mode::Fails) else {
            // Something else was paid meanwhile.
            return Answer::json(
                json!({"data": [entry(markers, "1", "99", &json!({}))]}).to_string(),
            );
        };
        let id = sent["id"].as_str().unwrap().to_owned();
        return Answer::json(json!({"data": [entry(markers, &id, &provider, &sent)]}).to_string());
    }
    assert_eq!(seen.method, "POST", "{path}");
    let provider = path.split("/terms/").nth(1).map(|rest| rest.split('/').next().unwrap());
    *last.lock() = Some((provider.unwrap_or("480706").to_owned(), body.clone()));
    let repeated = String::from_utf8(seen.body.clone()).unwrap();
    match *mode.lock() {
        Mode::Accepts if provider.is_none() => {
            Answer::json(json!({"invoice_status": "PAID_STATUS", "x": markers.word()}).to_string())
        }
        Mode::Accepts => {
            let mut body = body;
            body["comment"] = json!(markers.word());
            body["transaction"] = json!({"id": "11155897070", "state": {"code": "Accepted"}});
            Answer::json(body.to_string())
        }
        Mode::Refuses => {
            let text = format!("Счет {} карты {}", markers.digits(11), markers.digits(16));
            let refusal = json!({"code": "QWPRC-220", "message": text, "x": markers.word()});
            Answer::new(400, refusal.to_string())
        }
        Mode::Fails => Answer::raw(Vec::new()).and_close(),
        Mode::Echoes => {
            let half: String = repeated.chars().take(repeated.chars().count() / 2).collect();
            Answer::json(half)
        }
        Mode::Breaks => Answer::new(500, format!("<html>{repeated} {}</html>", markers.word())),
    }
}

/// An entry of the history with markers wherever people are.
fn entry(markers: &Markers, id: &str, provider: &str, sent: &Value) -> Value {
    let now = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .strftime("%Y-%m-%dT%H:%M:%S+00:00");
    let currency = sent["sum"]["currency"].as_str().unwrap_or("643").parse::<u16>().unwrap();
    let amount = sent["sum"]["amount"].clone();
    let amount = if amount.is_null() { json!(100) } else { amount };
    json!({
        "txnId": 9309, "personId": markers.digits(11), "date": now.to_string(), "errorCode": 220,
        "error": format!("Кошелек {}", markers.digits(11)), "status": "ERROR", "type": "OUT",
        "statusText": markers.word(), "trmTxnId": id, "account": markers.word(),
        "sum": {"amount": amount, "currency": currency}, "comment": markers.word(),
        "provider": {"id": provider.parse::<u32>().unwrap(), "shortName": markers.word()},
        "view": {"title": markers.word(), "account": markers.word()},
    })
}

/// Every destination, with a marker in each private field.
fn destinations(m: &Markers) -> Vec<pb::payment_spec::Destination> {
    use pb::payment_spec::Destination as To;
    let text = str::to_owned;
    let fields = [("account", m.word()), ("phone", m.digits(11))];
    vec![
        To::Wallet(pb::WalletDestination { wallet: m.digits(11) }),
        To::Phone(pb::PhoneDestination { phone_number: m.digits(10), ..Default::default() }),
        To::Card(pb::CardDestination { card_number: m.card(), provider_id: text("1963") }),
        To::BankAccount(pb::BankAccountDestination {
            provider_id: text("313"),
            account: m.digits(20),
            account_type: text("1"),
            recipient_last_name: m.word(),
            recipient_first_name: m.word(),
            recipient_middle_name: m.word(),
            contract_number: m.word(),
            ..Default::default()
        }),
        To::Conversion(pb::ConversionDestination::default()),
        To::Provider(pb::ProviderDestination {
            provider_id: text("674"),
            fields: fields.map(|(name, value)| (text(name), value)).into(),
        }),
        To::ForeignCard(pb::ForeignCardDestination {
            provider_id: text("1960"),
            card_number: m.card(),
            sender_first_name: m.word(),
            sender_last_name: m.word(),
            sender_address: m.word(),
            sender_city: m.word(),
            sender_country: m.word(),
            recipient_first_name: m.word(),
            recipient_last_name: m.word(),
        }),
        To::KazakhstanCard(pb::KazakhstanCardDestination { card_number: m.card() }),
        To::BankCard(pb::BankCardDestination {
            provider_id: text("464"),
            card_number: m.card(),
            expire_date: text("0427"),
            recipient_last_name: m.word(),
            recipient_first_name: m.word(),
            recipient_middle_name: m.word(),
            ..Default::default()
        }),
        To::Service(pb::ServiceDestination { provider_id: text("674"), account: m.word() }),
        To::Requisites(pb::RequisitesDestination {
            bank_name: text("Bank"),
            bank_bic: text("044525225"),
            recipient_city: m.word(),
            organization_name: m.word(),
            organization_inn: m.digits(10),
            organization_kpp: m.digits(9),
            vat_mode: pb::VatMode::Exempt.into(),
            purpose: m.word(),
            account: m.digits(20),
            payer_first_name: m.word(),
            payer_middle_name: m.word(),
            payer_last_name: m.word(),
            ..Default::default()
        }),
    ]
}

/// One request of every method that pays and of every destination, ready to be sent.
fn requests(m: &Markers, number: &mut u64) -> Vec<(&'static str, Vec<u8>)> {
    let mut id = || {
        *number += 1;
        number.to_string()
    };
    let money = |currency: &str| Money { currency_code: currency.into(), units: 100, nanos: 0 };
    let mut all = Vec::new();
    for to in destinations(m) {
        use pb::payment_spec::Destination as To;
        let (currency, commented) = match to {
            To::Conversion(_) => ("KZT", true),
            To::KazakhstanCard(_) => ("KZT", false),
            To::Wallet(_) | To::Provider(_) => ("RUB", true),
            _ => ("RUB", false),
        };
        let comment = if commented { m.word() } else { String::new() };
        let payment =
            pb::PaymentSpec { amount: Some(money(currency)), comment, destination: Some(to) };
        let request = pb::CreatePaymentRequest {
            payment_id: id(),
            payment: Some(payment),
            ..Default::default()
        };
        all.push((CREATE, request.encode_to_vec()));
    }
    let package = pb::BuyPackageRequest {
        payment_id: id(),
        amount: Some(money("RUB")),
        comment: m.word(),
        ..Default::default()
    };
    all.push(("qiwi.wallet.v1.MasterService/BuyPackage", package.encode_to_vec()));
    let card = pb::BuyCardRequest {
        payment_id: id(),
        order_id: "920fa383-6209-4743-a5d1-883f473f7f95".into(),
        amount: Some(money("RUB")),
        ..Default::default()
    };
    all.push(("qiwi.wallet.v1.MasterService/BuyCard", card.encode_to_vec()));
    let invoice = pb::PayInvoiceRequest {
        invoice_id: id(),
        currency_code: "RUB".into(),
        ..Default::default()
    };
    all.push(("qiwi.wallet.v1.InvoiceService/PayInvoice", invoice.encode_to_vec()));
    all
}

/// Every file below a folder, as one text.
pub fn files(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&files(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
        }
    }
    all
}

#[tokio::test]
async fn what_is_private_in_a_payment_is_nowhere_but_on_the_wire() {
    let collector = Collector::start();
    let markers = Markers::default();
    let (wallet, token) = (markers.digits(11), markers.word());
    let mode = Arc::new(Mutex::new(Mode::Accepts));
    let fake = {
        let (mode, markers) = (Arc::clone(&mode), markers.clone());
        let last = Mutex::new(None);
        Fake::by(move |seen| qiwi(&mode, &last, &markers, seen)).await
    };
    let state = folder("canary").join("state");
    let setup = Setup::at(&fake.url())
        .credential("demo", Kind::Wallet, Some(&wallet), &token)
        .set(hasty)
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
    let (mut number, mut asked, mut errors) = (1_000_000_000_u64, Vec::new(), String::new());
    for way in MODES {
        *mode.lock() = way;
        let before = markers.all().len();
        let requests = requests(&markers, &mut number);
        asked.extend(markers.all().split_off(before));
        for (rpc, request) in requests {
            for _repeat in 0..2 {
                let named = ["", wallet.as_str()];
                let ask = Ask::with(&[DEMO]).and("traceparent", PARENT);
                let outcome = ask.raw(&channel, rpc, request.clone()).await;
                match (&outcome, way) {
                    (Ok(_), Mode::Accepts | Mode::Fails) => {}
                    (Err(status), _) => {
                        let told = told(status);
                        let refused = way == Mode::Refuses && told.reason == "INSUFFICIENT_FUNDS";
                        // An invoice has no id of ours in the history, so it may stay in doubt.
                        let open = ["PAYMENT_OUTCOME_UNKNOWN", "PAYMENT_NOT_EXECUTED"];
                        let doubt = open.contains(&told.reason.as_str())
                            && (way != Mode::Fails || rpc.ends_with("PayInvoice"));
                        assert!(
                            refused || (doubt && way != Mode::Accepts),
                            "{rpc} {way:?}: {told:?}"
                        );
                        errors.push_str(&told.everything);
                    }
                    (Ok(_), way) => panic!("{rpc} {way:?}: a success"),
                }
                for wallet in named {
                    let request = pb::GetPaymentRequest {
                        payment_id: number.to_string(),
                        wallet: wallet.to_owned(),
                        ..Default::default()
                    };
                    let outcome = ask.raw(&channel, GET, request.encode_to_vec()).await;
                    errors.extend(outcome.err().map(|status| told(&status).everything));
                    let request =
                        pb::ListPaymentsRequest { wallet: wallet.to_owned(), ..Default::default() };
                    ask.raw(&channel, LIST, request.encode_to_vec()).await.unwrap();
                }
            }
        }
    }
    let metrics = gateway.metrics().await;
    let stopped = gateway.stop().await;
    let wire: String = fake
        .seen()
        .iter()
        .map(|seen| format!("{} {}", seen.target, String::from_utf8_lossy(&seen.body)))
        .collect();
    let on_the_wire = markers.in_text(&wire);
    let unsent: Vec<_> = asked.iter().filter(|marker| !on_the_wire.contains(*marker)).collect();
    assert!(unsent.is_empty(), "never on the wire, so never looked for: {unsent:?}");
    assert!(asked.len() > 150 && markers.all().len() > 300, "{}", markers.all().len());
    assert!(stopped.log.contains(r#""level":"TRACE""#) && errors.len() > 1000);
    assert!(!collector.spans().is_empty() && metrics.contains("rpc_server_call_duration"));
    let kept = files(&state);
    assert!(kept.contains("RUB") && kept.contains(&number.to_string()), "the ledger is searched");
    for (place, text) in [
        ("the log", &stopped.log),
        ("metrics", &metrics),
        ("what was exported", &collector.everything()),
        ("errors", &errors),
        ("the ledger", &kept),
    ] {
        let found = markers.in_text(text);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| found.iter().any(|marker| line.contains(marker)))
            .map(|line| line.chars().take(400).collect::<String>())
            .take(10)
            .collect();
        assert!(found.is_empty(), "{found:?} in {place}:\n{}", lines.join("\n"));
    }
}
