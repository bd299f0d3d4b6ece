//! The real program, killed without warning at every step of a payment, and what the next process on
//! the same folder makes of it. The sandbox lives in the test and so outlives the kill.

use std::path::PathBuf;
use std::sync::Arc;

use qiwi_gateway::config;
use qiwi_gateway::credentials::Wallet;
use qiwi_gateway::events::Retention;
use qiwi_gateway::ledger::{Insert, Lease, Record, State};
use qiwi_gateway::order::Payment as _;
use qiwi_gateway::state::open;
use serde_json::json;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use super::judge::{self, PATIENCE, Said};
use super::proxy::{Proxy, Trick};
use super::*;
use crate::support::process::{Ended, Process, folder};

const ID: &str = "1700000000002";

/// A sandbox, a wire to it, and a folder that processes come and go on.
pub struct World {
    pub sandbox: Arc<Sandbox>,
    pub proxy: Proxy,
    pub state: PathBuf,
}

type Call = JoinHandle<Result<Response<pb::CreatePaymentResponse>, Status>>;

impl World {
    pub async fn new() -> Self {
        let sandbox = Arc::new(sandbox(|_| {}).await);
        let proxy = Proxy::to(sandbox.address()).await;
        Self { sandbox, proxy, state: folder("crash").join("state") }
    }

    fn toml(&self) -> String {
        let (url, state, wallet) = (self.proxy.url(), self.state.display(), demo::WALLET);
        format!(
            r#"
grpc.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
drain = {{ lame_duck = "0s", grace = "20s" }}
upstream = {{ edge_url = "{url}", site_url = "{url}", bill_url = "{url}" }}
breaker = {{ consecutive_failures = 1000, samples_min = 1000000 }}
cooldown = {{ other = "50ms", max = "50ms", history = "50ms" }}
limit.period = "200ms"
state = {{ engine = "embedded", path = "{state}" }}
[payments]
look_first = "100ms"
look_later = "400ms"
settle_window = "1500ms"
settle_window_answered = "1200ms"
send_max = "5s"
refresh_pause = "20ms"
[credentials.demo]
kind = "wallet"
wallet = "{wallet}"
token_env = "TEST_TOKEN"
poll = "off"
"#
        )
    }

    /// A process on the folder, and a connection to it.
    pub async fn start(&self) -> (Process, Channel) {
        let env = [("TEST_TOKEN", demo::WALLET_TOKEN)];
        Self::reached(Process::serve("crash", &self.toml(), &env).await).await
    }

    /// The same, where no file may become larger than this.
    pub async fn start_within(&self, bytes: u64) -> (Process, Channel) {
        let env = [("TEST_TOKEN", demo::WALLET_TOKEN)];
        Self::reached(Process::serve_within("crash", &self.toml(), &env, bytes).await).await
    }

    async fn reached(process: Process) -> (Process, Channel) {
        let url = format!("http://{}", process.address("grpc"));
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        (process, channel)
    }

    fn fault(&self, fault: serde_json::Value) {
        let rule = json!({"match": {"path_prefix": "/sinap/api"}, "times": 1, "fault": fault});
        self.sandbox.add_fault(rule).unwrap();
    }

    /// Repeats on a new process until it is settled.
    async fn repeat(&self, channel: &Channel, what: &str) -> Vec<Said> {
        let begun = tokio::time::Instant::now();
        let mut all: Vec<Said> = Vec::new();
        while all.last().is_none_or(|said| !said.is_settled()) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {all:?}");
            let said = Said::read(&pay(channel, transfer(ID, 10)).await).expect("it answers");
            judge::is_true(&said, commits(&self.sandbox, ID), what);
            judge::agrees(&self.sandbox, channel, ID, &said, what).await;
            all.push(said);
        }
        all
    }

    /// After the kill: paid, once, by the request that was sent before it.
    async fn is_paid_once(&self, what: &str) {
        let (process, channel) = self.start().await;
        let all = self.repeat(&channel, what).await;
        assert_eq!(all.last().unwrap().reason, "", "{what}: {all:?}");
        assert!(all.iter().all(|said| said.replayed), "{what}: {all:?}");
        assert_eq!((commits(&self.sandbox, ID), judge::posts(&self.sandbox)), (1, 1), "{what}");
        kill(process).await;
    }

    /// Puts an entry into the ledger as a process leaves it that dies at once afterwards.
    async fn leave(&self, state: State) {
        let settings = config::State {
            engine: config::Engine::Embedded,
            path: self.state.clone(),
            ..Default::default()
        };
        let opened = open::open(&settings, Retention::DEFAULT).await.unwrap();
        opened.store.health().unwrap();
        let wallet = Wallet::parse(demo::WALLET).unwrap();
        let order = transfer(ID, 10).order(&wallet).unwrap();
        let key = qiwi_gateway::ledger::Key::new(
            opened.key.owner(&wallet),
            qiwi_gateway::ledger::OperationKind::Payment,
            ID,
        );
        let now = jiff::Timestamp::now().as_millisecond();
        let mac = opened.key.content(order.content.as_bytes());
        let amount = order.amount.unwrap();
        let mut record = Record::reserved(key, mac, order.provider.unwrap(), amount, now);
        // Of a process that would have had more time.
        record.lease = Some(Lease { owner: uuid::Uuid::now_v7(), until_ms: now + 60_000 });
        let Insert::Inserted(mut record) = opened.store.insert(record).await.unwrap() else {
            panic!("the id was free");
        };
        if state == State::Sending {
            record.state = State::Sending;
            record.sent_ms = Some(now);
            opened.store.replace(record.version, record.clone()).await.unwrap();
        }
    }
}

/// Ends a process the hard way.
pub async fn kill(process: Process) -> Ended {
    process.signal("KILL");
    process.ended(Duration::from_secs(20)).await
}

fn call(channel: &Channel) -> Call {
    let channel = channel.clone();
    tokio::spawn(async move { pay(&channel, transfer(ID, 10)).await })
}

/// Waits until something holds.
pub async fn holds(what: &str, holds: impl Fn() -> bool) {
    let begun = tokio::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Nobody got an answer from a process that is dead.
async fn heard_nothing(call: Call) {
    let outcome = call.await.unwrap();
    assert_eq!(Said::read(&outcome), None, "{outcome:?}");
}

#[tokio::test]
async fn reserved() {
    let world = World::new().await;
    world.leave(State::Reserved).await;
    let (process, channel) = world.start().await;
    // Whether or not the start has freed it already, nothing was sent.
    let shown = judge::name(get(&channel, ID).await.unwrap().state());
    assert_eq!(shown, "NOT_SENT");
    let all = world.repeat(&channel, "reserved").await;
    assert_eq!((all.len(), all[0].reason.as_str(), all[0].replayed), (1, "", false), "{all:?}");
    assert_eq!(all[0].attempts, 1);
    assert_eq!((commits(&world.sandbox, ID), judge::posts(&world.sandbox)), (1, 1));
    kill(process).await;
    world.is_paid_once("reserved, then paid").await;
}

#[tokio::test]
async fn marked_as_being_sent_and_not_sent() {
    let world = World::new().await;
    world.leave(State::Sending).await;
    let (process, channel) = world.start().await;
    let all = world.repeat(&channel, "sending").await;
    assert_eq!(all.last().unwrap().reason, "PAYMENT_NOT_EXECUTED", "{all:?}");
    assert_eq!(judge::posts(&world.sandbox), 0, "nobody sends it again without being told to");
    let request = pb::CreatePaymentRequest { reattempt: true, ..transfer(ID, 10) };
    let said = Said::read(&pay(&channel, request).await).unwrap();
    assert_eq!((said.reason.as_str(), said.attempts, said.replayed), ("", 2, false), "{said:?}");
    assert_eq!((commits(&world.sandbox, ID), judge::posts(&world.sandbox)), (1, 1));
    kill(process).await;
    world.is_paid_once("sending, then paid").await;
}

#[tokio::test]
async fn on_the_wire_before_qiwi_has_it() {
    let world = World::new().await;
    let (process, channel) = world.start().await;
    world.proxy.next(Trick::Swallow);
    let call = call(&channel);
    holds("it is on the wire", || world.proxy.done() == 1).await;
    kill(process).await;
    heard_nothing(call).await;
    let (process, channel) = world.start().await;
    let all = world.repeat(&channel, "on the wire").await;
    assert_eq!(all.last().unwrap().reason, "PAYMENT_NOT_EXECUTED", "{all:?}");
    assert_eq!((commits(&world.sandbox, ID), judge::posts(&world.sandbox)), (0, 0));
    kill(process).await;
}

#[tokio::test]
async fn carried_out_before_the_answer() {
    let world = World::new().await;
    let (process, channel) = world.start().await;
    world.fault(json!({"hang": "before_headers"}));
    let call = call(&channel);
    holds("it is paid", || commits(&world.sandbox, ID) == 1).await;
    kill(process).await;
    heard_nothing(call).await;
    world.is_paid_once("before the answer").await;
}

/// Around the moment at which the answer is read and written down, a little earlier and later.
#[tokio::test]
async fn answered_and_perhaps_written_down() {
    for after in [0, 1, 2, 3, 4, 6, 9, 14, 20] {
        let what = format!("{after} ms after the answer");
        let world = World::new().await;
        let (process, channel) = world.start().await;
        // As much as any answer has: the wire is told to hang when it has passed on the last byte.
        world.fault(json!({"slow_body": {"bytes": 100_000, "interval_ms": 20}}));
        let call = call(&channel);
        holds("it is paid", || commits(&world.sandbox, ID) == 1).await;
        tokio::time::sleep(Duration::from_millis(18 + after)).await;
        kill(process).await;
        if let Some(said) = Said::read(&call.await.unwrap()) {
            judge::is_true(&said, 1, &what);
        }
        world.is_paid_once(&what).await;
    }
}

#[tokio::test]
async fn while_the_history_is_read() {
    let world = World::new().await;
    let (process, channel) = world.start().await;
    world.fault(json!({"cut": "before_headers"}));
    let hang = json!({"hang": "before_headers"});
    let only = json!({"path_prefix": "/payment-history"});
    world.sandbox.add_fault(json!({"match": only, "fault": hang})).unwrap();
    let call = call(&channel);
    let asked = || {
        let requests = world.sandbox.requests();
        let by_route = requests["by_route"].as_object().unwrap();
        by_route.keys().any(|route| route.starts_with("GET /payment-history/"))
    };
    holds("the history is asked for", asked).await;
    kill(process).await;
    heard_nothing(call).await;
    world.sandbox.clear_faults();
    world.is_paid_once("while the history is read").await;
}

#[tokio::test]
async fn while_a_payment_that_counts_as_not_executed_is_watched() {
    let world = World::new().await;
    let (process, channel) = world.start().await;
    world.fault(json!({"cut": "before_headers", "late_history_ms": 5500}));
    let begun = tokio::time::Instant::now();
    loop {
        let said = Said::read(&pay(&channel, transfer(ID, 10)).await).unwrap();
        if said.state == "NOT_EXECUTED" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "the machine is too slow for this test");
    }
    kill(process).await;
    let (process, channel) = world.start().await;
    // Nobody asks QIWI by asking for a list: the new process goes on watching by itself.
    let state = async || {
        let request = pb::ListPaymentsRequest::default();
        let ask = Ask::with(&[DEMO]);
        let reply = ask.unary::<_, pb::ListPaymentsResponse>(&channel, LIST, request).await;
        judge::name(reply.unwrap().into_inner().payments[0].state())
    };
    assert_eq!(state().await, "NOT_EXECUTED");
    while state().await == "NOT_EXECUTED" {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kill(process).await;
    world.is_paid_once("watched").await;
}

#[tokio::test]
async fn told_to_stop_while_a_payment_is_sent() {
    for caller_waits in [true, false] {
        let what = format!("stopped; the caller waits: {caller_waits}");
        let world = World::new().await;
        let (process, channel) = world.start().await;
        world.fault(json!({"latency_ms": 700, "answer_latency_ms": 700}));
        let call = call(&channel);
        holds("it is sent", || judge::posts(&world.sandbox) == 1).await;
        if !caller_waits {
            call.abort();
        }
        process.signal("TERM");
        if caller_waits {
            let said = Said::read(&call.await.unwrap()).expect("whoever was accepted is answered");
            judge::is_true(&said, commits(&world.sandbox, ID), &what);
            assert_eq!(said.reason, "", "{what}");
        }
        let ended = process.ended(Duration::from_secs(30)).await;
        assert_eq!(ended.status.code(), Some(0), "{what}: {}", ended.stderr);
        assert_eq!(commits(&world.sandbox, ID), 1, "{what}: the process waits for it");
        let (process, channel) = world.start().await;
        let all = world.repeat(&channel, &what).await;
        assert_eq!((all.len(), all[0].replayed), (1, true), "{what}: written down before: {all:?}");
        kill(process).await;
        world.is_paid_once(&what).await;
    }
}

#[tokio::test]
async fn told_to_stop_while_the_history_is_read() {
    let world = World::new().await;
    let (process, channel) = world.start().await;
    world.fault(json!({"cut": "before_headers", "late_history_ms": 3000}));
    let call = call(&channel);
    holds("it is paid", || commits(&world.sandbox, ID) == 1).await;
    process.signal("TERM");
    let said = Said::read(&call.await.unwrap()).expect("whoever was accepted is answered");
    judge::is_true(&said, 1, "stopped while looking");
    let ended = process.ended(Duration::from_secs(30)).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    tokio::time::sleep(Duration::from_millis(3000)).await;
    world.is_paid_once("stopped while looking").await;
}
