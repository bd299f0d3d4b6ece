//! Gateways replaced one after the other under load: nobody notices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::events::letter::{Letter, try_post};
use crate::money::judge::{self, Said};
use crate::money::{CREATE, DEMO, commits, transfer};

/// A client as the documents describe one: it knows all gateways, takes them in turn, and goes to
/// the next one when a connection is being closed or cannot be made.
struct Client {
    channels: Vec<Channel>,
    next: AtomicUsize,
}

impl Client {
    async fn new(world: &World) -> Self {
        let mut channels = Vec::new();
        for at in 0..GATEWAYS {
            channels.push(world.channel(at).await);
        }
        Self { channels, next: AtomicUsize::new(0) }
    }

    fn channel(&self) -> Channel {
        self.channels[self.next.fetch_add(1, Ordering::Relaxed) % GATEWAYS].clone()
    }
}

/// Calls that tonic gave up because they never left, by their `x-request-id`.
#[derive(Default)]
struct Unsent(Mutex<Vec<String>>);

impl Unsent {
    /// Whether a client library sends the call to the next address by itself because it never left:
    /// the connection could not be made, or was closing when the call was about to be sent. gRPC
    /// calls that transparent retries; tonic leaves them to whoever calls. A connection that ends
    /// well (GOAWAY with NO_ERROR) under a call that was sent looks the same: the gateways' logs
    /// have to show in the end that they knew nothing of it.
    fn note(&self, status: &tonic::Status, id: &str) -> bool {
        let text = format!("{status:?}");
        let ways = ["ConnectError", "hyper::Error(Canceled", "GoAway(b\"\", NO_ERROR, Remote)"];
        let unsent = status.details().is_empty() && ways.iter().any(|way| text.contains(way));
        if unsent {
            self.0.lock().push(id.to_owned());
        }
        unsent
    }
}

fn request_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_are_replaced_one_after_the_other_and_no_call_fails() {
    let world = Arc::new(World::start("").await);
    let client = Arc::new(Client::new(&world).await);
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let failed: Arc<Mutex<Vec<String>>> = Arc::default();
    let unsent = Arc::<Unsent>::default();
    let mut tasks = Vec::new();
    // Reads.
    for _ in 0..6 {
        let (client, stop) = (Arc::clone(&client), Arc::clone(&stop));
        let unsent = Arc::clone(&unsent);
        let (calls, failed) = (Arc::clone(&calls), Arc::clone(&failed));
        tasks.push(tokio::spawn(async move {
            let request = qiwi_gateway::pb::wallet::v1::ListBalancesRequest::default();
            while !stop.load(Ordering::Relaxed) {
                let rpc = "qiwi.wallet.v1.BalanceService/ListBalances";
                let call = request_id();
                let ask = Ask::with(&[DEMO, ("x-request-id", &call)]);
                let ask = ask.within(Duration::from_secs(20));
                match ask.raw(&client.channel(), rpc, request.encode_to_vec()).await {
                    Ok(_) => drop(calls.fetch_add(1, Ordering::Relaxed)),
                    Err(status) if unsent.note(&status, &call) => {}
                    Err(status) => failed.lock().push(format!("read {call}: {status:?}")),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    // Payments, each with an id of its own and sent once.
    let paid: Arc<Mutex<Vec<String>>> = Arc::default();
    // Calls that were answered, to be found in the logs.
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    for payer in 0..2_u64 {
        let (client, stop, paid) = (Arc::clone(&client), Arc::clone(&stop), Arc::clone(&paid));
        let (calls, failed) = (Arc::clone(&calls), Arc::clone(&failed));
        let (unsent, heard) = (Arc::clone(&unsent), Arc::clone(&heard));
        tasks.push(tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let id = format!("{}", 1_800_000_000_000 + payer * 1_000_000 + number);
                let call = request_id();
                let ask = Ask::with(&[DEMO, ("x-request-id", &call)]);
                match ask.unary(&client.channel(), CREATE, transfer(&id, 1)).await {
                    Err(status) if unsent.note(&status, &call) => continue,
                    outcome => match Said::read(&outcome) {
                        Some(said) if said.reason.is_empty() => {
                            calls.fetch_add(1, Ordering::Relaxed);
                            paid.lock().push(id);
                            heard.lock().push(call);
                        }
                        _ => failed.lock().push(format!("payment {id}: {outcome:?}")),
                    },
                }
                number += 1;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        }));
    }
    // Notifications, which come in through a load balancer that takes the gateways in turn.
    let sent = Arc::new(AtomicUsize::new(0));
    for _ in 0..3 {
        let (world, stop, sent) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&sent));
        let (calls, failed) = (Arc::clone(&calls), Arc::clone(&failed));
        tasks.push(tokio::spawn(async move {
            let mut at = 0;
            while !stop.load(Ordering::Relaxed) {
                let number = sent.fetch_add(1, Ordering::Relaxed) as u64 + 1;
                let body = Letter::incoming(number).body();
                loop {
                    at += 1;
                    let to = world.addresses(at % GATEWAYS).notifications;
                    if tokio::net::TcpStream::connect(to).await.is_err() {
                        continue;
                    }
                    match try_post(to, "/notifications/wallet/main", &[], &body).await {
                        Some((200, _)) => drop(calls.fetch_add(1, Ordering::Relaxed)),
                        // It went between the two connections.
                        None if tokio::net::TcpStream::connect(to).await.is_err() => continue,
                        other => failed.lock().push(format!("notification: {other:?}")),
                    }
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }));
    }
    let followers: Vec<_> = (0..GATEWAYS).map(|at| Follower::start(&world, at)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut logs = Vec::new();
    for at in 0..GATEWAYS {
        let process = world.take(at);
        process.signal("TERM");
        let ended = process.ended(Duration::from_secs(60)).await;
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        logs.push(ended.stdout);
        world.begin_again(at).await;
        world.is_ready(at).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    logs.extend((0..GATEWAYS).map(|at| world.printed(at)));
    let failed = failed.lock().clone();
    if !failed.is_empty() {
        let known = |line: &str| {
            failed
                .iter()
                .any(|of| of.split([' ', ':']).any(|id| id.len() == 36 && line.contains(id)))
        };
        let loud = |line: &&str| line.contains("ERROR") || line.contains("WARN") || known(line);
        logs.iter().flat_map(|log| log.lines()).filter(loud).for_each(|line| println!("{line}"));
    }
    let calls = calls.load(Ordering::Relaxed);
    assert!(
        failed.is_empty(),
        "{} of {calls}: {:#?}",
        failed.len(),
        &failed[..failed.len().min(5)]
    );
    let heard = heard.lock().clone();
    assert!(heard.iter().take(10).all(|call| logs.iter().any(|log| log.contains(call))));
    let unsent = unsent.0.lock().clone();
    for call in &unsent {
        assert!(!logs.iter().any(|log| log.contains(call)), "{call} was cut off");
    }
    for id in &*paid.lock() {
        assert_eq!(commits(&world.sandbox, id), 1, "{id}");
    }
    assert_eq!(judge::posts(&world.sandbox), paid.lock().len() as u64);
    let opened = world.open().await;
    let mut reconnects = 0;
    for follower in followers {
        reconnects += follower.has_exactly(&*opened.log).await;
    }
    println!(
        "{calls} calls, none failed, {} never sent; streams came back {reconnects} times",
        unsent.len()
    );
    assert!(reconnects >= GATEWAYS, "each gateway's stop ended a stream");
}
