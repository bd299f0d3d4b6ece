//! What events cost: many streams of one log, and notifications at a steady rate.
//!
//! `cargo bench --bench events` runs a gateway with the embedded log and its clients in one process,
//! so both share the machine. `EVENT_SUBSCRIBERS`, `EVENT_RATE` and `EVENT_SECONDS` change the first
//! part (1,000 streams, 100 events a second, 60 s).
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use qiwi_gateway::config::{
    BaseUrl, Config, Confirm, CredentialConfig, Engine, Poll, Variable, Webhook,
};
use qiwi_gateway::credentials::{Kind, Wallet};
use qiwi_gateway::pb::events::v1 as pb;
use qiwi_gateway::server::Server;
use qiwi_gateway::telemetry::{self, TelemetrySettings};
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

const KEY: &str = "c2VjcmV0IGtleSBvZiB0aGUgd2ViaG9vayBoZXJlISE=";
const HOOK: &str = "50c8b0d2-5a4d-4a1a-9a6b-1b1a0a8b2c3d";
const WALLET: &str = "79990000001";
/// Streams on one connection, as a client library would have them.
const STREAMS_PER_CONNECTION: usize = 50;
/// The steady rate of the second part.
const POSTS_PER_SECOND: u64 = 500;
const POST_SECONDS: u64 = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let folder = tempfile::tempdir().unwrap();
    let telemetry = telemetry::init(&TelemetrySettings {
        log_filter: "warn".to_owned(),
        ..TelemetrySettings::default()
    })
    .unwrap();
    let server = Server::start(config(folder.path()), &telemetry, |name| match name {
        "TOKEN" => Some("token-of-main".to_owned()),
        "HOOK_KEY" => Some(KEY.to_owned()),
        _ => None,
    })
    .await
    .unwrap();
    let hub = server.hub();
    let hook = HOOK.parse().unwrap();
    hub.hooks.learn(&*hub.log, &hub.cipher, &Arc::from("main"), hook, KEY).await.unwrap();
    let notifications = server.notifications_address().unwrap();
    streams(server.grpc_address(), notifications).await;
    posts(notifications).await;
    server.shutdown(std::future::ready(())).await;
}

fn config(folder: &std::path::Path) -> Config {
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.grpc.listen = free;
    config.admin.listen = free;
    config.notifications.listen = free;
    config.notifications.sources = vec!["any".to_owned()];
    config.upstream.edge_url = BaseUrl::parse("http://127.0.0.1:9").unwrap();
    config.events.confirm = Confirm::Off;
    config.state.engine = Engine::Embedded;
    config.state.path = folder.to_owned();
    let main = CredentialConfig {
        kind: Kind::Wallet,
        wallet: Wallet::parse(WALLET),
        token_env: Some(Variable("TOKEN".to_owned())),
        webhook: Webhook::Static,
        webhook_key_env: Some(Variable("HOOK_KEY".to_owned())),
        poll: Poll::Off,
        ..CredentialConfig::default()
    };
    config.credentials.insert("main".to_owned(), main);
    config
}

/// Many streams, each of which gets every event.
async fn streams(grpc: SocketAddr, notifications: SocketAddr) {
    let subscribers = number("EVENT_SUBSCRIBERS", 1000) as usize;
    let (rate, seconds) = (number("EVENT_RATE", 100), number("EVENT_SECONDS", 60));
    let total = rate * seconds;
    let sent: Arc<parking_lot::Mutex<HashMap<String, Instant>>> = Arc::default();
    let doubled = Arc::new(AtomicU64::new(0));
    let mut channel = None;
    let mut readers = Vec::new();
    for index in 0..subscribers {
        if index % STREAMS_PER_CONNECTION == 0 {
            let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
            channel = Some(endpoint.connect().await.unwrap());
        }
        let channel: Channel = channel.clone().unwrap();
        let (sent, doubled) = (Arc::clone(&sent), Arc::clone(&doubled));
        readers.push(tokio::spawn(read(channel, total, index == 0, sent, doubled)));
    }
    // Every stream stands before the first event comes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut ticks = tokio::time::interval(Duration::from_nanos(1_000_000_000 / rate));
    for txn in 0..total {
        ticks.tick().await;
        let sent = Arc::clone(&sent);
        tokio::spawn(async move {
            sent.lock().insert(txn.to_string(), Instant::now());
            assert_eq!(post(notifications, &letter(txn)).await, 200);
        });
    }
    let (mut received, mut delays) = (0, Vec::new());
    for reader in readers {
        let (count, of) =
            tokio::time::timeout(Duration::from_secs(120), reader).await.unwrap().unwrap();
        received += count;
        delays.extend(of);
    }
    let expected = total * subscribers as u64;
    let doubled = doubled.load(Ordering::Relaxed);
    delays.sort_unstable();
    println!("streams     {subscribers} streams, {rate} events/s, {seconds} s");
    println!("delivered   {received} of {expected}, {doubled} doubled");
    println!(
        "post to stream  p50 {:.1} ms  p99 {:.1} ms  max {:.1} ms",
        at(&delays, 50),
        at(&delays, 99),
        at(&delays, 100)
    );
    println!("resident    {} MiB, clients included", resident_mib());
    assert_eq!((received, doubled), (expected, 0), "an event was lost or doubled");
}

/// Reads one stream to its last event; one of them measures.
async fn read(
    channel: Channel,
    total: u64,
    measures: bool,
    sent: Arc<parking_lot::Mutex<HashMap<String, Instant>>>,
    doubled: Arc<AtomicU64>,
) -> (u64, Vec<Duration>) {
    let start = pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into());
    let request = pb::SubscribeRequest {
        start: Some(pb::LogPosition { position: Some(start) }),
        ..Default::default()
    };
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(16 << 20);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/qiwi.events.v1.EventService/Subscribe");
    let request = tonic::Request::new(Bytes::from(request.encode_to_vec()));
    let mut stream = client.server_streaming(request, path, Raw).await.unwrap().into_inner();
    let (mut count, mut last, mut delays) = (0, 0, Vec::new());
    while count < total {
        let message = stream.message().await.unwrap().expect("the stream goes on");
        let now = Instant::now();
        for event in pb::SubscribeResponse::decode(message).unwrap().events {
            if event.sequence <= last {
                doubled.fetch_add(1, Ordering::Relaxed);
            }
            last = event.sequence;
            count += 1;
            if measures && let Some(pb::event::Payload::Transaction(of)) = event.payload {
                delays.extend(sent.lock().get(&of.transaction_id).map(|at| now - *at));
            }
        }
    }
    (count, delays)
}

/// Notifications at a steady rate, each on a connection of its own.
async fn posts(to: SocketAddr) {
    let total = POSTS_PER_SECOND * POST_SECONDS;
    let mut ticks = tokio::time::interval(Duration::from_nanos(1_000_000_000 / POSTS_PER_SECOND));
    let mut under_way = tokio::task::JoinSet::new();
    for txn in 0..total {
        ticks.tick().await;
        under_way.spawn(async move {
            let body = letter(1_000_000 + txn);
            let began = Instant::now();
            (post(to, &body).await, began.elapsed())
        });
    }
    let answers = under_way.join_all().await;
    let stored = answers.iter().filter(|(status, _)| *status == 200).count();
    let mut times: Vec<_> = answers.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    println!(
        "notifications   {POSTS_PER_SECOND}/s for {POST_SECONDS} s: {stored} of {total} stored"
    );
    println!(
        "post to 200  p50 {:.1} ms  p99 {:.1} ms  max {:.1} ms",
        at(&times, 50),
        at(&times, 99),
        at(&times, 100)
    );
}

fn at(sorted: &[Duration], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn letter(txn: u64) -> String {
    let key = base64::engine::general_purpose::STANDARD.decode(KEY).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("643|1|IN|79161112233|{txn}").as_bytes());
    let hash: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let message = uuid::Uuid::now_v7();
    format!(
        r#"{{"messageId":"{message}","hookId":"{HOOK}","payment":{{"txnId":"{txn}","date":"2026-11-01T12:00:00+03:00","type":"IN","status":"SUCCESS","errorCode":"0","personId":{WALLET},"account":"79161112233","comment":"hello","provider":7,"sum":{{"amount":1,"currency":643}},"commission":{{"amount":0,"currency":643}},"total":{{"amount":1,"currency":643}},"signFields":"sum.currency,sum.amount,type,account,txnId"}},"hash":"{hash}","version":"1.0.0","test":false}}"#
    )
}

async fn post(to: SocketAddr, body: &str) -> u16 {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "POST /notifications/wallet/main HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Passes messages through as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = tonic::Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, tonic::Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
