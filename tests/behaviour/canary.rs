//! Nothing secret and nothing personal leaves by a side door: unique markers go in everywhere, and
//! logs at the finest level, traces, metrics and errors are searched for them.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use qiwi_gateway::policy::Class;
use qiwi_gateway::telemetry::TelemetrySettings;
use qiwi_gateway::{credentials, operations};
use tonic::Status;

use crate::support::otlp::Collector;
use crate::support::*;

/// Sampled, so that every call is exported.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PERSONAL: i32 = 3;
const SECRET: i32 = 4;

/// Markers: what must not be seen anywhere.
#[derive(Default)]
struct Markers(Vec<String>);

impl Markers {
    /// A word nobody else uses.
    fn word(&mut self) -> String {
        self.add(format!("canary{:04}word", self.0.len()))
    }

    /// A number nobody else uses, of this many digits, beginning with 7.
    fn digits(&mut self, length: usize) -> String {
        let number = format!("7{:0width$}", 4_900_000 + self.0.len() * 7, width = length - 1);
        self.add(number)
    }

    fn add(&mut self, marker: String) -> String {
        self.0.push(marker.clone());
        marker
    }

    /// Every marker that is in `text`, in one pass: there are thousands of both.
    fn in_text(&self, text: &str) -> Vec<String> {
        let known: HashSet<&str> = self.0.iter().map(String::as_str).collect();
        let words = text.match_indices("canary").filter_map(|(at, _)| text.get(at..at + 14));
        // A number may stand inside a longer run of digits.
        let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| run.len() >= 11);
        let numbers = runs.flat_map(|run| {
            [11, 16].into_iter().flat_map(move |length| {
                (0..=run.len().saturating_sub(length))
                    .filter_map(move |at| run.get(at..at + length))
            })
        });
        let found: BTreeSet<_> = words.chain(numbers).filter(|word| known.contains(word)).collect();
        found.into_iter().map(str::to_owned).collect()
    }
}

fn sensitivity(field: &FieldDescriptor) -> i32 {
    let pool = field.parent_pool();
    let option = pool.get_extension_by_name("qiwi.options.v1.sensitivity").unwrap();
    match *field.options().get_extension(&option) {
        Value::EnumNumber(level) => level,
        _ => 0,
    }
}

/// Puts a marker into every private field of a message, as deep as it goes.
fn mark(message: &mut DynamicMessage, markers: &mut Markers, digits: bool, private: bool) {
    let fields: Vec<_> = message.descriptor().fields().collect();
    for field in fields {
        let private = private || [PERSONAL, SECRET].contains(&sensitivity(&field));
        if field.is_map() && private {
            let entry = (MapKey::String(markers.word()), Value::String(markers.word()));
            message.set_field(&field, Value::Map([entry].into()));
        }
        if field.is_list() || field.is_map() {
            continue;
        }
        match field.kind() {
            Kind::String if private => {
                let value = match (digits, field.name()) {
                    (true, "card_number") => markers.digits(16),
                    (true, "currency_code") => continue,
                    (true, _) => markers.digits(11),
                    (false, _) => markers.word(),
                };
                message.set_field(&field, Value::String(value));
            }
            Kind::Message(of) if private && of.package_name().starts_with("qiwi.") => {
                let mut inner = message.get_field(&field).as_message().unwrap().clone();
                mark(&mut inner, markers, digits, true);
                message.set_field(&field, Value::Message(inner));
            }
            _ => {}
        }
    }
}

/// A gateway that logs everything and exports everything.
fn talkative(fake: &Fake, collector: &Collector, markers: &mut Markers) -> Setup {
    let token = markers.word();
    let setup = Setup::at(&fake.url())
        .credential("main", credentials::Kind::Wallet, Some(&markers.digits(11)), &token)
        .credential("empty", credentials::Kind::Wallet, None, &markers.word())
        .credential("bills", credentials::Kind::P2p, None, &markers.word())
        .credential("shop", credentials::Kind::Merchant, None, &markers.word())
        .log_all();
    let telemetry = TelemetrySettings {
        otlp: true,
        otlp_endpoint: Some(collector.endpoint()),
        metric_interval: Duration::from_secs(3600),
        ..setup.telemetry.clone()
    };
    Setup { telemetry, ..setup }
}

/// What one test collects besides logs, traces and metrics.
#[derive(Default)]
struct Heard(String);

impl Heard {
    fn note(&mut self, rpc: &str, outcome: Result<(), Status>) {
        if let Err(status) = outcome {
            self.0.push_str(&format!("{rpc}: {}\n", told(&status).everything));
        }
    }
}

/// Calls a method whatever its shape and reads it to the end.
async fn call(
    channel: &tonic::transport::Channel,
    ask: &Ask<'_>,
    rpc: &str,
    request: Vec<u8>,
) -> Result<(), Status> {
    let mut stream = ask.stream(channel, rpc, request).await?.into_inner();
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            // A stream that breaks off later has its details in the trailers, without headers.
            Err(mut status) => {
                if status.metadata().get("x-request-id").is_none() {
                    status.metadata_mut().insert("x-request-id", "canary".parse().unwrap());
                }
                return Err(status);
            }
        }
    }
}

fn method(rpc: &str) -> MessageDescriptor {
    let (service, name) = rpc.split_once('/').unwrap();
    let service = crate::policy::pool().get_service_by_name(service).unwrap();
    service.methods().find(|method| method.name() == name).unwrap().input()
}

/// Searches everything, and shows that the search could find something.
async fn search(gateway: Gateway, collector: Collector, markers: &Markers, heard: &str) {
    let metrics = gateway.metrics().await;
    let stopped = gateway.stop().await;
    let exported = collector.everything();
    for (place, text) in [
        ("the log", &stopped.log),
        ("metrics", &metrics),
        ("what was exported", &exported),
        ("errors", &heard.to_owned()),
    ] {
        let found = markers.in_text(text);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| found.iter().any(|marker| line.contains(marker)))
            .map(|line| line.chars().take(600).collect::<String>())
            .collect();
        assert!(found.is_empty(), "{found:?} in {place}:\n{}", lines.join("\n"));
    }
    assert!(
        stopped.log.contains(r#""level":"TRACE""#) || stopped.log.contains(r#""level":"DEBUG""#)
    );
    assert!(stopped.log.contains("qiwi_gateway::call"));
    assert!(!collector.spans().is_empty() && metrics.contains("rpc_server_call_duration"));
}

#[tokio::test]
async fn what_callers_send_is_in_no_log_trace_metric_or_error() {
    let collector = Collector::start();
    let mut markers = Markers::default();
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = talkative(&fake, &collector, &mut markers).start().await;
    let channel = gateway.channel().await;
    let mut heard = Heard::default();
    let mut marked = 0;
    for sample in samples::served() {
        for digits in [true, false] {
            let descriptor = method(sample.rpc);
            let mut request = DynamicMessage::decode(descriptor, &*sample.request).unwrap();
            let before = markers.0.len();
            mark(&mut request, &mut markers, digits, false);
            marked += markers.0.len() - before;
            let answers = [
                Answer::json(sample.reply.unwrap_or("{}")),
                Answer::new(400, r#"{"errorCode":"some.error"}"#),
                Answer::new(503, ""),
                Answer::json("garbage"),
            ];
            for answer in answers {
                fake.now_always(answer);
                let lent = format!("Bearer {}", markers.word());
                for credential in [opening(sample.rpc)[0], ("authorization", lent.as_str())] {
                    let ask = Ask::with(&[credential]).and("traceparent", PARENT);
                    let outcome = call(&channel, &ask, sample.rpc, request.encode_to_vec()).await;
                    heard.note(sample.rpc, outcome);
                }
            }
        }
    }
    assert!(marked > 8, "{marked} fields were marked");
    // Metadata that is personal by itself or by mistake.
    let (key, cookie, bearer) = (markers.word(), markers.word(), markers.word());
    for (name, value) in [
        ("x-qiwi-caller-key", key.as_str()),
        ("cookie", &cookie),
        ("authorization", &bearer),
        ("x-qiwi-credential", &markers.word()),
    ] {
        let ask = Ask::default().and(name, value).and("traceparent", PARENT);
        heard.note(name, ask.raw(&channel, BALANCES, Bytes::new()).await.map(|_| ()));
    }
    // The path of a method that does not exist is the caller's text as well.
    let nothing = format!("qiwi.wallet.v1.{}/Nothing", markers.word());
    heard.note("unknown", Ask::with(MAIN).raw(&channel, &nothing, Bytes::new()).await.map(|_| ()));
    search(gateway, collector, &markers, &heard.0).await;
}

/// Every leaf of a JSON answer replaced by a marker of its own kind.
fn marked_json(value: &serde_json::Value, markers: &mut Markers) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(_) => Json::String(markers.word()),
        Json::Number(_) => serde_json::from_str(&markers.digits(11)).unwrap(),
        Json::Array(items) => items.iter().map(|item| marked_json(item, markers)).collect(),
        Json::Object(members) => Json::Object(
            members
                .iter()
                .map(|(key, item)| match key.as_str() {
                    // A code is told to callers and operators: it is no secret. The text of a
                    // refusal is for the caller.
                    "code" | "errorCode" | "error" => (key.clone(), item.clone()),
                    _ => (key.clone(), marked_json(item, markers)),
                })
                .collect(),
        ),
        Json::Bool(_) | Json::Null => value.clone(),
    }
}

/// Every JSON answer of the documents, by product and area. What refusals say is for the caller.
fn fixtures(area: &str) -> Vec<serde_json::Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(area);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let texts = paths.filter(|path| path.extension().is_some_and(|of| of == "json"));
    texts
        .filter_map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).ok())
        .filter(|answer: &serde_json::Value| answer.get("traceId").is_none())
        .collect()
}

/// The area file of a service: `qiwi.wallet.v1.HistoryService` is in `wallet/history`.
fn area_of(rpc: &str) -> String {
    let mut parts = rpc.split('/').next().unwrap().split('.');
    let (product, service) = (parts.nth(1).unwrap(), parts.next_back().unwrap());
    format!("{product}/{}", service.trim_end_matches("Service").to_ascii_lowercase())
}

#[tokio::test]
async fn what_qiwi_answers_is_in_no_log_trace_metric_or_error() {
    let collector = Collector::start();
    let mut markers = Markers::default();
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = talkative(&fake, &collector, &mut markers).start().await;
    let channel = gateway.channel().await;
    let mut heard = Heard::default();
    let mut answered = 0;
    // Where money moves, unreadable answers are doubt, which takes its time: `money/canary.rs`.
    let money = |rpc: &str| {
        let row = operations::find(&format!("/{rpc}")).expect("it is served");
        row.policy.class == Class::Money
    };
    let asking = |sample: &samples::Sample| sample.reply.is_some() && !money(sample.rpc);
    for sample in samples::served().into_iter().filter(asking) {
        let mut answers = fixtures(&area_of(sample.rpc));
        answers.extend(serde_json::from_str::<serde_json::Value>(sample.reply.unwrap()).ok());
        for answer in answers {
            let marked = marked_json(&answer, &mut markers).to_string();
            // As it is, cut, and wrong in the middle: what cannot be read is quoted by nobody.
            let half = marked.chars().take(marked.chars().count() / 2).collect::<String>();
            let wrong = marked.replacen(':', ":[", 1);
            for (body, statuses) in [(marked, &[200, 400][..]), (half, &[200]), (wrong, &[200])] {
                for status in statuses.iter().copied() {
                    fake.now_always(Answer::new(status, &body));
                    let lent = format!("Bearer lent-{answered}");
                    let ask = Ask::with(&[("authorization", &lent)]).and("traceparent", PARENT);
                    let outcome = call(&channel, &ask, sample.rpc, with_wallet(&sample)).await;
                    // With another status it may be an error body, whose text is for the caller:
                    // the test below has those.
                    if status == 200 {
                        heard.note(sample.rpc, outcome);
                    }
                    answered += 1;
                }
            }
        }
    }
    assert!(answered >= 60, "{answered}");
    search(gateway, collector, &markers, &heard.0).await;
}

/// A sample that names a wallet where its message has the field: no profile call goes before it.
fn with_wallet(sample: &samples::Sample) -> Vec<u8> {
    let descriptor = method(sample.rpc);
    let mut request = DynamicMessage::decode(descriptor.clone(), &*sample.request).unwrap();
    if let Some(field) = descriptor.get_field_by_name("wallet") {
        request.set_field(&field, Value::String(WALLET.to_owned()));
    }
    request.encode_to_vec()
}

#[tokio::test]
async fn what_qiwi_says_in_its_errors_reaches_the_caller_masked_and_nobody_else() {
    let collector = Collector::start();
    let mut markers = Markers::default();
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = talkative(&fake, &collector, &mut markers).start().await;
    let channel = gateway.channel().await;
    let mut heard = Heard::default();
    // Beyond the names of the credentials' secrets, which no error may have.
    let mut words = Markers(markers.0.clone());
    for status in [200, 400, 401, 403, 404, 409, 422, 423, 500] {
        for shape in ["code", "errorCode"] {
            let (wallet, card) = (markers.digits(11), markers.digits(16));
            let (text, extra) = (words.word(), words.word());
            let said = format!("{text}: кошелёк {wallet}, карта {card}");
            let body = if shape == "code" {
                serde_json::json!({ "code": "QWPRC-9997", "message": said, "extra": extra })
            } else {
                serde_json::json!({
                    "serviceName": extra, "errorCode": "some.error", "userMessage": said,
                    "description": said, "dateTime": extra, "traceId": "trace-1",
                })
            };
            fake.now_always(Answer::new(status, body.to_string()));
            let lent = format!("Bearer lent-{status}-{shape}");
            let ask = Ask::with(&[("authorization", &lent)]).and("traceparent", PARENT);
            let rpc = "qiwi.wallet.v1.ProfileService/GetProfile";
            heard.note(rpc, ask.raw(&channel, rpc, Bytes::new()).await.map(|_| ()));
        }
    }
    // The text itself is for the caller, and so the log does not have it.
    let log = gateway.log();
    assert_eq!(words.in_text(&log), [""; 0], "free text of QIWI is in the log");
    assert!(!words.in_text(&heard.0).is_empty(), "the caller reads the text");
    search(gateway, collector, &markers, &heard.0).await;
}

#[tokio::test]
async fn debug_output_of_messages_hides_what_is_private() {
    let mut markers = Markers::default();
    let text = |markers: &mut Markers| markers.word();
    use qiwi_gateway::pb::wallet::v1 as pb;
    let shown = [
        format!(
            "{:?}",
            pb::ListBalancesRequest { wallet: text(&mut markers), ..Default::default() }
        ),
        format!("{:?}", pb::ResolveCardProviderRequest { card_number: text(&mut markers) }),
        format!(
            "{:?}",
            pb::AuthInfo {
                wallet: text(&mut markers),
                bound_email: Some(text(&mut markers)),
                ip: Some(text(&mut markers)),
                ..Default::default()
            }
        ),
        format!("{:?}", pb::Nickname { nickname: Some(text(&mut markers)), ..Default::default() }),
    ]
    .join("\n");
    assert_eq!(markers.in_text(&shown), [""; 0]);
    assert!(shown.contains("***"));
}
