//! What events cost: many streams of one log, and notifications at a steady rate.
//!
//! `cargo bench --bench events` runs a gateway with the embedded log and its clients in one process,
//! so both share the machine. Variables change the first part:
//!
//! - `EVENT_SUBSCRIBERS`, `EVENT_RATE` and `EVENT_SECONDS`: 1,000 streams, 100 events a second, 60 s;
//! - `EVENT_WALLETS`: the events are of so many wallets in turn, and each stream selects one; 1;
//! - `EVENT_CHURN`: of a hundred streams so many leave within a minute and come back with their
//!   cursor; 0;
//! - `EVENT_STUCK`: so many more streams whose clients read nothing; 0;
//! - `EVENT_RETURN`: with 1 all of them leave in the end and come back at once with cursors from the
//!   beginning, while notifications go on; 0;
//! - `EVENT_READERS`: how many of them read the log at once, `events.readers_max`;
//! - `EVENT_BROKERS`: with 1 the log is with three brokers, which run on this machine too; 0.
//!
//! `EVENT_POST_SECONDS` is how long the second part takes, 20 s.
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
    BaseUrl, Config, Confirm, CredentialConfig, Engine, Poll, State, Variable, Webhook,
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

/// Real brokers on loopback.
#[path = "../src/state/nats/tests/cluster.rs"]
#[allow(dead_code)] // tests do more with them
mod cluster;

const KEY: &str = "c2VjcmV0IGtleSBvZiB0aGUgd2ViaG9vayBoZXJlISE=";
const HOOK: &str = "50c8b0d2-5a4d-4a1a-9a6b-1b1a0a8b2c3d";
/// The first wallet; the others follow.
const WALLET: u64 = 79_990_000_001;
/// Streams on one connection, as a client library would have them.
const STREAMS_PER_CONNECTION: usize = 50;
/// The steady rate of the second part.
const POSTS_PER_SECOND: u64 = 500;

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
    let plan = Plan::read();
    let brokers = plan.brokers.then(|| cluster::Cluster::start(cluster::Setup::default()));
    let state = state(folder.path(), brokers.as_ref());
    let server = Server::start(config(state, &plan), &telemetry, |name| match name {
        "HOOK_KEY" => Some(KEY.to_owned()),
        name => name.strip_prefix("TOKEN").map(|of| format!("token-of{of}")),
    })
    .await
    .unwrap();
    let hub = server.hub();
    let begun = Instant::now();
    while hub.log.health().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", hub.log.health());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let hook = HOOK.parse().unwrap();
    for wallet in 0..plan.wallets {
        let name = Arc::from(credential(wallet));
        hub.hooks.learn(&*hub.log, &hub.cipher, &name, hook, KEY).await.unwrap();
    }
    let notifications = server.notifications_address().unwrap();
    streams(&plan, server.grpc_address(), notifications).await;
    posts(notifications).await;
    server.shutdown(std::future::ready(())).await;
}

/// What is asked for.
#[derive(Clone, Copy)]
struct Plan {
    subscribers: usize,
    rate: u64,
    seconds: u64,
    wallets: u64,
    churn: u64,
    stuck: usize,
    comes_back: bool,
    brokers: bool,
}

impl Plan {
    fn read() -> Self {
        Self {
            subscribers: number("EVENT_SUBSCRIBERS", 1000) as usize,
            rate: number("EVENT_RATE", 100),
            seconds: number("EVENT_SECONDS", 60),
            wallets: number("EVENT_WALLETS", 1).max(1),
            churn: number("EVENT_CHURN", 0),
            stuck: number("EVENT_STUCK", 0) as usize,
            comes_back: number("EVENT_RETURN", 0) == 1,
            brokers: number("EVENT_BROKERS", 0) == 1,
        }
    }

    /// How many of so many events are of a wallet.
    fn of_wallet(&self, wallet: u64, total: u64) -> u64 {
        total / self.wallets + u64::from(wallet < total % self.wallets)
    }
}

fn credential(wallet: u64) -> String {
    format!("w{wallet}")
}

/// Where the log is.
fn state(folder: &std::path::Path, brokers: Option<&cluster::Cluster>) -> State {
    let Some(brokers) = brokers else {
        return State { engine: Engine::Embedded, path: folder.to_owned(), ..State::default() };
    };
    let key = folder.join("ledger.key");
    std::fs::write(&key, "2a".repeat(32)).unwrap();
    let text = format!(
        "[state]\nengine = \"nats\"\nkey_file = \"{}\"\nnats_url = \"{}\"\n\
         nats_monitor_urls = \"{}\"\n",
        key.display(),
        brokers.urls(),
        brokers.monitors(),
    );
    Config::from_toml(&text).unwrap().state
}

fn config(state: State, plan: &Plan) -> Config {
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.grpc.listen = free;
    config.admin.listen = free;
    config.notifications.listen = free;
    config.notifications.sources = vec!["any".to_owned()];
    config.upstream.edge_url = BaseUrl::parse("http://127.0.0.1:9").unwrap();
    config.events.confirm = Confirm::Off;
    config.state = state;
    config.events.readers_max = number("EVENT_READERS", config.events.readers_max as u64) as usize;
    config.events.streams_max = 2 * (plan.subscribers + plan.stuck);
    config.grpc.connections_max = 4 * (plan.subscribers + plan.stuck) / STREAMS_PER_CONNECTION + 64;
    for wallet in 0..plan.wallets {
        let of = CredentialConfig {
            kind: Kind::Wallet,
            wallet: Wallet::parse(&(WALLET + wallet).to_string()),
            token_env: Some(Variable(format!("TOKEN{wallet}"))),
            webhook: Webhook::Static,
            webhook_key_env: Some(Variable("HOOK_KEY".to_owned())),
            poll: Poll::Off,
            ..CredentialConfig::default()
        };
        config.credentials.insert(credential(wallet), of);
    }
    config
}

/// What all streams share.
#[derive(Default)]
struct Tally {
    /// When each notification was sent.
    sent: parking_lot::Mutex<HashMap<String, Instant>>,
    doubled: AtomicU64,
    returned: AtomicU64,
    answers: parking_lot::Mutex<Vec<Duration>>,
}

/// Many streams, each of which gets every event of its wallet.
async fn streams(plan: &Plan, grpc: SocketAddr, notifications: SocketAddr) {
    let Plan { subscribers, rate, seconds, wallets, churn, stuck, .. } = *plan;
    let total = rate * seconds;
    let tally = Arc::<Tally>::default();
    let channels = connect(grpc, subscribers + stuck).await;
    let mut readers = Vec::new();
    for index in 0..subscribers {
        let channel = channels[index / STREAMS_PER_CONNECTION].clone();
        let wallet = index as u64 % wallets;
        let reader = Reader {
            wallet,
            total: plan.of_wallet(wallet, total),
            // A stream of each wallet measures.
            measures: index < wallets as usize,
            leaves: leaves(churn, seconds, index),
            tally: Arc::clone(&tally),
        };
        readers.push(tokio::spawn(reader.read(channel, None)));
    }
    let mut silent = Vec::new();
    for index in subscribers..subscribers + stuck {
        let channel = channels[index / STREAMS_PER_CONNECTION].clone();
        silent.push(open(channel, index as u64 % wallets, None).await);
    }
    // Every stream stands before the first event comes.
    tokio::time::sleep(Duration::from_secs(3 + subscribers as u64 / 1000)).await;
    notify(&tally, notifications, 0..total, rate, wallets).await;
    let (mut received, mut delays) = (0, Vec::new());
    let mut first = Vec::new();
    for reader in readers {
        let read = tokio::time::timeout(Duration::from_secs(120), reader).await.unwrap().unwrap();
        received += read.count;
        delays.extend(read.delays);
        first.push((read.wallet, read.first));
    }
    let expected: u64 =
        (0..subscribers as u64).map(|index| plan.of_wallet(index % wallets, total)).sum();
    let doubled = tally.doubled.load(Ordering::Relaxed);
    delays.sort_unstable();
    println!(
        "streams     {subscribers} streams, {rate} events/s of {wallets} wallets, {seconds} s"
    );
    if churn + stuck as u64 > 0 {
        let returned = tally.returned.load(Ordering::Relaxed);
        println!("among them  {returned} left and came back, {stuck} more read nothing");
    }
    println!("delivered   {received} of {expected}, {doubled} doubled");
    print("post to stream", &mut delays);
    print("post to 200 meanwhile", &mut std::mem::take(&mut *tally.answers.lock()));
    println!("resident    {} MiB, clients included", resident_mib());
    assert_eq!((received, doubled), (expected, 0), "an event was lost or doubled");
    drop(silent);
    if plan.comes_back {
        come_back(plan, &channels, notifications, first, total).await;
    }
}

/// All of them leave and come back at once, each with its first cursor.
async fn come_back(
    plan: &Plan,
    channels: &[Channel],
    notifications: SocketAddr,
    first: Vec<(u64, Bytes)>,
    total: u64,
) {
    let tally = Arc::<Tally>::default();
    let began = Instant::now();
    let more = plan.rate * 10;
    let readers: Vec<_> = first
        .into_iter()
        .enumerate()
        .map(|(index, (wallet, cursor))| {
            let reader = Reader {
                wallet,
                // Everything behind the first cursor, and what comes meanwhile.
                total: plan.of_wallet(wallet, total + more),
                measures: false,
                leaves: Vec::new(),
                tally: Arc::clone(&tally),
            };
            let channel = channels[index / STREAMS_PER_CONNECTION].clone();
            tokio::spawn(reader.read(channel, Some(cursor)))
        })
        .collect();
    let count = readers.len();
    notify(&tally, notifications, total..total + more, plan.rate, plan.wallets).await;
    let (mut received, mut doubled) = (0, 0);
    for reader in readers {
        let read = tokio::time::timeout(Duration::from_secs(300), reader).await.unwrap().unwrap();
        received += read.count;
        doubled = tally.doubled.load(Ordering::Relaxed);
    }
    println!(
        "came back   {count} at once, {received} events, {doubled} doubled, in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    print("post to 200 meanwhile", &mut std::mem::take(&mut *tally.answers.lock()));
    println!("resident    {} MiB, clients included", resident_mib());
    assert_eq!(doubled, 0);
}

/// Posts notifications at a steady rate, of the wallets in turn.
async fn notify(
    tally: &Arc<Tally>,
    to: SocketAddr,
    numbers: std::ops::Range<u64>,
    rate: u64,
    wallets: u64,
) {
    let mut ticks = tokio::time::interval(Duration::from_nanos(1_000_000_000 / rate));
    let mut under_way = tokio::task::JoinSet::new();
    for txn in numbers {
        ticks.tick().await;
        let tally = Arc::clone(tally);
        under_way.spawn(async move {
            let body = letter(WALLET + txn % wallets, txn);
            let began = Instant::now();
            tally.sent.lock().insert(txn.to_string(), began);
            // What is refused comes again, as QIWI's do; how long that took counts.
            loop {
                match post(to, &credential(txn % wallets), &body).await {
                    200 => break,
                    503 => println!("refused after {:.1?}", began.elapsed()),
                    other => panic!("answered {other}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            tally.answers.lock().push(began.elapsed());
        });
    }
    under_way.join_all().await;
}

/// Connections for so many streams.
async fn connect(grpc: SocketAddr, streams: usize) -> Vec<Channel> {
    let mut channels = Vec::new();
    for _ in 0..streams.div_ceil(STREAMS_PER_CONNECTION).max(1) {
        let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap();
        let endpoint = endpoint.initial_connection_window_size(16 << 20);
        channels.push(endpoint.connect().await.unwrap());
    }
    channels
}

/// When a stream leaves: so many of a hundred within each minute, evenly spread.
fn leaves(churn: u64, seconds: u64, index: usize) -> Vec<Duration> {
    let (index, minutes) = (index as u64, seconds.div_ceil(60));
    let minutes = (0..minutes).filter(|minute| (index * 37 + minute * 61) % 100 < churn);
    let spread = index * 7919 % 50;
    minutes.map(|minute| Duration::from_secs(minute * 60 + spread + 5)).collect()
}

/// Begins a stream of a wallet, from the beginning or behind a cursor.
async fn open(channel: Channel, wallet: u64, cursor: Option<Bytes>) -> tonic::Streaming<Bytes> {
    let earliest = pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into());
    let start = cursor.map_or(earliest, pb::log_position::Position::Cursor);
    let filter = pb::EventFilter {
        wallets: vec![(WALLET + wallet).to_string()],
        // Nobody here tells balances.
        kinds: vec![pb::EventKind::Transaction.into()],
        ..Default::default()
    };
    let request = pb::SubscribeRequest {
        start: Some(pb::LogPosition { position: Some(start) }),
        filter: Some(filter),
        ..Default::default()
    };
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(16 << 20);
    let path = http::uri::PathAndQuery::from_static("/qiwi.events.v1.EventService/Subscribe");
    let request = Bytes::from(request.encode_to_vec());
    for attempt in 0_u64.. {
        client.ready().await.unwrap();
        let asked = tonic::Request::new(request.clone());
        match client.server_streaming(asked, path.clone(), Raw).await {
            Ok(stream) => return stream.into_inner(),
            // Of ten thousand that come at once some are told to come again, as clients are.
            Err(status) if status.code() == tonic::Code::Unavailable && attempt < 300 => {
                let pause = 50 + (wallet * 31 + attempt * 17) % 200;
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            Err(status) => panic!("{status}"),
        }
    }
    unreachable!("the attempts have an end");
}

/// Reads a wallet's events up to a number of them.
struct Reader {
    wallet: u64,
    total: u64,
    measures: bool,
    leaves: Vec<Duration>,
    tally: Arc<Tally>,
}

/// What a reader got.
struct Read {
    wallet: u64,
    count: u64,
    delays: Vec<Duration>,
    /// The first cursor it had.
    first: Bytes,
}

impl Reader {
    async fn read(self, channel: Channel, cursor: Option<Bytes>) -> Read {
        let Self { wallet, total, measures, leaves, tally } = self;
        let mut stream = open(channel.clone(), wallet, cursor).await;
        let (began, mut leaves) = (Instant::now(), leaves.into_iter().peekable());
        let (mut count, mut last, mut delays) = (0, 0, Vec::new());
        let mut first = Bytes::new();
        while count < total {
            let message = stream.message().await.unwrap().expect("the stream goes on");
            let now = Instant::now();
            let message = pb::SubscribeResponse::decode(message).unwrap();
            for event in message.events {
                if event.sequence <= last {
                    tally.doubled.fetch_add(1, Ordering::Relaxed);
                }
                last = event.sequence;
                count += 1;
                if measures && let Some(pb::event::Payload::Transaction(of)) = event.payload {
                    delays.extend(tally.sent.lock().get(&of.transaction_id).map(|at| now - *at));
                }
            }
            if first.is_empty() {
                first = message.cursor.clone();
            }
            if leaves.next_if(|at| began.elapsed() >= *at).is_some() {
                drop(stream);
                tally.returned.fetch_add(1, Ordering::Relaxed);
                stream = open(channel.clone(), wallet, Some(message.cursor)).await;
            }
        }
        Read { wallet, count, delays, first }
    }
}

/// Notifications at a steady rate, each on a connection of its own.
async fn posts(to: SocketAddr) {
    let seconds = number("EVENT_POST_SECONDS", 20);
    let total = POSTS_PER_SECOND * seconds;
    let mut ticks = tokio::time::interval(Duration::from_nanos(1_000_000_000 / POSTS_PER_SECOND));
    let mut under_way = tokio::task::JoinSet::new();
    for txn in 0..total {
        ticks.tick().await;
        under_way.spawn(async move {
            let body = letter(WALLET, 1_000_000_000 + txn);
            let began = Instant::now();
            (post(to, &credential(0), &body).await, began.elapsed())
        });
    }
    let answers = under_way.join_all().await;
    let stored = answers.iter().filter(|(status, _)| *status == 200).count();
    let mut times: Vec<_> = answers.iter().map(|(_, time)| *time).collect();
    println!("notifications   {POSTS_PER_SECOND}/s for {seconds} s: {stored} of {total} stored");
    print("post to 200", &mut times);
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let (half, most, all) = (at(times, 50), at(times, 99), at(times, 100));
    println!("{what}  p50 {half:.1} ms  p99 {most:.1} ms  max {all:.1} ms");
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

fn letter(wallet: u64, txn: u64) -> String {
    let key = base64::engine::general_purpose::STANDARD.decode(KEY).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("643|1|IN|79161112233|{txn}").as_bytes());
    let hash: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let message = uuid::Uuid::now_v7();
    format!(
        r#"{{"messageId":"{message}","hookId":"{HOOK}","payment":{{"txnId":"{txn}","date":"2026-11-01T12:00:00+03:00","type":"IN","status":"SUCCESS","errorCode":"0","personId":{wallet},"account":"79161112233","comment":"hello","provider":7,"sum":{{"amount":1,"currency":643}},"commission":{{"amount":0,"currency":643}},"total":{{"amount":1,"currency":643}},"signFields":"sum.currency,sum.amount,type,account,txnId"}},"hash":"{hash}","version":"1.0.0","test":false}}"#
    )
}

async fn post(to: SocketAddr, name: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "POST /notifications/wallet/{name} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
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
