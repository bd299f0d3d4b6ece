//! Stopped and replaced under load, as in an update.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

use super::crash::{ENV, toml, upstream};
use super::letter::{Letter, try_post};
use super::*;

const ROUNDS: usize = 3;
const SENDERS: usize = 4;

async fn channel(running: &process::Process) -> Channel {
    let address = format!("http://{}", running.address("grpc"));
    Endpoint::from_shared(address).unwrap().connect().await.unwrap()
}

/// Each gateway is asked to stop while notifications come and a stream is read; the next one begins
/// while the last one still drains, and waits for the files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_under_load_ends_streams_orderly_and_loses_no_200() {
    let fake = upstream().await;
    let folder = process::folder("events-drained");
    // What probes would learn of takes no time here.
    let toml = format!("{}[drain]\nlame_duck = \"0s\"\ngrace = \"5s\"\n", toml(&fake, &folder));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let sent = Arc::new(AtomicU64::new(0));
    let mut running = process::Process::serve("events-drained", &toml, &ENV).await;
    let (mut got, mut place) = (Vec::new(), end_of_log(pb::LogAnchor::Earliest));
    for _ in 0..ROUNDS {
        let to = running.address("notifications");
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                let (acknowledged, sent, stop) = (acknowledged.clone(), sent.clone(), stop.clone());
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let letter = Letter::incoming(sent.fetch_add(1, Ordering::Relaxed));
                        match try_post(to, "/notifications/wallet/main", &[], &letter.body()).await
                        {
                            Some((200, _)) => drop(acknowledged.lock().insert(letter.txn)),
                            Some(_) => {}
                            None => return,
                        }
                    }
                })
            })
            .collect();
        let channel = channel(&running).await;
        let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(place)).await.unwrap();
        let enough = acknowledged.lock().len() + 20;
        while acknowledged.lock().len() < enough {
            let message = next(&mut stream).await.expect("no end").unwrap();
            got.extend(message.events.iter().map(numbered));
        }
        running.signal("TERM");
        let (following, (messages, status)) = tokio::join!(
            process::Process::serve("events-drained", &toml, &ENV),
            to_the_end(stream),
        );
        got.extend(messages.iter().flat_map(|of| &of.events).map(numbered));
        let told = ended(status);
        assert_eq!(told.reason, "GATEWAY_DRAINING");
        let last = messages.into_iter().next_back().expect("a last heartbeat");
        assert!(last.events.is_empty());
        place = cursor(last.cursor);
        assert!(running.ended(Duration::from_secs(20)).await.status.success());
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.unwrap();
        }
        running = following;
    }
    let channel = channel(&running).await;
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(place)).await.unwrap();
    let (_, rest) = caught_up(&mut stream).await;
    got.extend(rest.iter().map(numbered));
    let sequences: Vec<_> = got.iter().map(|(sequence, _)| *sequence).collect();
    let count = i64::try_from(got.len()).unwrap();
    assert_eq!(sequences, (1..=count).collect::<Vec<_>>(), "no gap and nothing twice");
    let stored: BTreeSet<u64> = got.iter().map(|(_, transaction)| *transaction).collect();
    assert_eq!(stored.len(), got.len(), "an event is there twice");
    let lost: Vec<_> = acknowledged.lock().difference(&stored).copied().collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    running.signal("TERM");
    assert!(running.ended(Duration::from_secs(20)).await.status.success());
}

/// Whoever was connected when the stop began is answered, and nobody is let in to be cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_made_before_the_stop_are_answered_and_later_ones_are_refused() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    let fake = upstream().await;
    let folder = process::folder("events-queue");
    let toml = format!("{}[drain]\nlame_duck = \"0s\"\ngrace = \"5s\"\n", toml(&fake, &folder));
    let running = process::Process::serve("events-queue", &toml, &ENV).await;
    let to = running.address("notifications");
    let request = |number: u64| {
        let body = Letter::incoming(number).body();
        let path = "/notifications/wallet/main";
        format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let answer = async |mut stream: TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let mut early = TcpStream::connect(to).await.unwrap();
    let mut slow = TcpStream::connect(to).await.unwrap();
    let (of_slow, half) = (request(1), 200);
    slow.write_all(&of_slow.as_bytes()[..half]).await.unwrap();
    // Both are known to the gateway.
    assert_eq!(try_post(to, "/", &[], "").await.unwrap().0, 404);
    running.signal("TERM");
    soon(Duration::from_secs(10), "it drains", async || running.printed().contains("draining"))
        .await;
    early.write_all(request(2).as_bytes()).await.unwrap();
    soon(Duration::from_secs(10), "the listener is closed", async || {
        TcpStream::connect(to).await.is_err()
    })
    .await;
    slow.write_all(&of_slow.as_bytes()[half..]).await.unwrap();
    assert_eq!([answer(early).await, answer(slow).await], ["200", "200"]);
    assert!(running.ended(Duration::from_secs(20)).await.status.success());
}

/// An event's place and its transaction.
fn numbered(event: &pb::Event) -> (i64, u64) {
    let Some(pb::event::Payload::Transaction(of)) = &event.payload else { panic!("{event:?}") };
    (event.sequence, of.transaction_id.parse().unwrap())
}
