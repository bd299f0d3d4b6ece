//! Stopping: whoever was accepted gets an answer, whoever says nothing holds up nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

use crate::support::process::Process;
use crate::support::*;

const GRACE: Duration = Duration::from_secs(4);

fn toml(fake: &Fake) -> String {
    let url = fake.url();
    format!(
        r#"
[grpc]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[upstream]
edge_url = "{url}"
site_url = "{url}"
bill_url = "{url}"
[drain]
lame_duck = "200ms"
grace = "{}s"
[credentials.main]
poll = "off"
kind = "wallet"
wallet = "{WALLET}"
token_env = "TEST_TOKEN"
"#,
        GRACE.as_secs()
    )
}

async fn serve(name: &str, fake: &Fake) -> Process {
    Process::serve(name, &toml(fake), &[("TEST_TOKEN", TOKEN)]).await
}

async fn channel(process: &Process) -> Channel {
    let url = format!("http://{}", process.address("grpc"));
    Endpoint::from_shared(url).unwrap().connect().await.unwrap()
}

/// The acceptance of the issue: TERM under load, with a silent TCP client and an open stream.
#[tokio::test]
async fn sigterm_under_load_ends_in_time_with_0_and_no_accepted_call_fails() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(120))).await;
    let mut process = serve("drain", &fake).await;

    let mut silent = TcpStream::connect(process.address("grpc")).await.unwrap();
    let watching = channel(&process).await;
    let mut watch = Ask::default()
        .stream(&watching, "grpc.health.v1.Health/Watch", Bytes::new())
        .await
        .unwrap();
    watch.get_mut().message().await.unwrap().expect("serving");

    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let channel = channel(&process).await;
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        clients.push(tokio::spawn(async move {
            let mut after = None;
            while after.is_none() {
                let ask = Ask::with(MAIN).within(Duration::from_secs(5));
                let request = prost::Message::encode_to_vec(&fresh_balances());
                let mut client = tonic::client::Grpc::new(channel.clone());
                // Not accepted any more: the listener is closed and this client has no connection.
                if client.ready().await.is_err() {
                    break;
                }
                match ask.raw(&channel, BALANCES, request).await {
                    Ok(_) => {
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(status) => after = Some(status),
                }
                if after.is_none() && stop.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            after
        }));
    }
    until("the load runs", || answered.load(Ordering::SeqCst) > 50).await;
    stop.store(true, Ordering::SeqCst);
    process.signal("TERM");
    let begun = Instant::now();

    // Not ready at once, but still accepting for a moment: load balancers learn late.
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (ready, body) = http_get(process.address("admin"), "/readyz").await;
    assert_eq!(ready, 503, "{body}");
    let late = channel(&process).await;
    let ask = Ask::with(MAIN).within(Duration::from_secs(5));
    ask.raw(&late, BALANCES, Bytes::new()).await.expect("a late call is still answered");
    assert!(process.is_running());

    for client in clients {
        if let Some(status) = client.await.unwrap() {
            // What the client library makes of "connection refused" is no failed call of ours: it
            // never reached the gateway. Anything the gateway sent has an id.
            assert!(
                status.metadata().get("x-request-id").is_none() && never_sent(&status),
                "an accepted call failed: {status:?}"
            );
        }
    }
    let mut end = Ok(Some(Bytes::new()));
    while let Ok(Some(_)) = end {
        end = watch.get_mut().message().await;
    }
    let ended = process.ended(GRACE + Duration::from_secs(2)).await;
    let took = begun.elapsed();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(took < GRACE, "{took:?}: something held it up until the grace was over");
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0, "the silent client is let go");
    assert!(ended.stdout.contains(r#""event":"draining""#));
    assert_eq!(ended.stderr, "");
    // Every call the gateway logged ended well: nothing accepted was dropped.
    let failed: Vec<_> = ended
        .stdout
        .lines()
        .filter(|line| line.contains("qiwi_gateway::call") && !line.contains(r#""code":"OK""#))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Whether a status is the client library's own, for a call that found no connection.
fn never_sent(status: &tonic::Status) -> bool {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text.push_str(&format!("; {error}"));
        cause = error.source();
    }
    ["Connection refused", "not ready", "tcp connect error", "operation was canceled"]
        .iter()
        .any(|end| text.contains(end))
}

#[tokio::test]
async fn a_call_that_takes_longer_than_the_grace_is_cut_and_the_exit_is_0() {
    let fake = Fake::always(balance_answer().after(Duration::from_secs(30))).await;
    let toml = toml(&fake)
        .replace("grace = \"4s\"", "grace = \"300ms\"")
        .replace("lame_duck = \"200ms\"", "lame_duck = \"0s\"");
    let process = Process::serve("cut", &toml, &[("TEST_TOKEN", TOKEN)]).await;
    let channel = channel(&process).await;
    let call =
        tokio::spawn(async move { Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await });
    until("the call is on its way", || fake.in_flight() == 1).await;
    process.signal("TERM");
    let ended = process.ended(Duration::from_secs(4)).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let fake = Fake::always(balance_answer().after(Duration::from_secs(30))).await;
    let toml = toml(&fake).replace("grace = \"4s\"", "grace = \"60s\"");
    let process = Process::serve("hurry", &toml, &[("TEST_TOKEN", TOKEN)]).await;
    let channel = channel(&process).await;
    let call =
        tokio::spawn(async move { Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await });
    until("the call is on its way", || fake.in_flight() == 1).await;
    process.signal("TERM");
    tokio::time::sleep(Duration::from_millis(400)).await;
    process.signal("INT");
    let ended = process.ended(Duration::from_secs(4)).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(call.await.unwrap().is_err());
}

#[tokio::test]
async fn an_idle_gateway_ends_without_waiting_for_anything() {
    let fake = Fake::always(balance_answer()).await;
    for signal in ["TERM", "INT"] {
        let process = serve("idle", &fake).await;
        // A connection that is open but idle, and one that never spoke.
        let channel = channel(&process).await;
        Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap();
        let _silent = TcpStream::connect(process.address("grpc")).await.unwrap();
        let begun = Instant::now();
        process.signal(signal);
        let ended = process.ended(GRACE).await;
        assert_eq!(ended.status.code(), Some(0), "{signal}: {ended:?}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{signal}: {:?}", begun.elapsed());
    }
}

/// Whoever was connected and has just begun to speak hears GOAWAY, and goes elsewhere with what was
/// not answered: a connection that breaks would leave its calls in doubt.
#[tokio::test]
async fn a_client_that_begins_to_speak_when_the_gateway_stops_hears_goaway() {
    use tokio::io::AsyncWriteExt as _;
    let fake = Fake::always(balance_answer()).await;
    let process = serve("drain", &fake).await;
    let mut early = TcpStream::connect(process.address("grpc")).await.unwrap();
    // It is known to the gateway.
    drop(channel(&process).await);
    process.signal("TERM");
    let refused = async || TcpStream::connect(process.address("grpc")).await.is_err();
    soon(Duration::from_secs(10), "the listener is closed", refused).await;
    early.write_all(&h2::hello()).await.unwrap();
    let mut kinds = Vec::new();
    while let Some(frame) = h2::next(&mut early).await {
        kinds.push(frame.kind);
    }
    assert!(kinds.contains(&h2::GOAWAY), "{kinds:?}");
    assert!(process.ended(2 * GRACE).await.status.success());
}
