//! What ends streams before their clients do: retention, a client that takes nothing, a right that
//! is withdrawn, a log that fails.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use qiwi_gateway::config::{Config, Size, Variable};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::events::{EventLog, Retention};
use qiwi_gateway::pb::events::v1::event_service_client::EventServiceClient;
use qiwi_gateway::state::MemoryLog;
use tonic::{Code, Request};

use super::shared::Between;
use super::*;

const OTHER: &str = "79990000002";
const GROUP: &str = "billing";

fn base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// A log that lets go of everything when it is tidied, which nobody but the test does.
fn forgetful() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(Retention { age_ms: -1, keep_ms: -1, ..Retention::DEFAULT }))
}

async fn start(log: Arc<dyn EventLog>, change: impl FnOnce(&mut Config)) -> Gateway {
    let fake = Fake::always(Answer::json("{}")).await;
    Setup::new(&fake).set(change).start_over(log).await
}

fn profile(wallet: &str) -> Answer {
    Answer::json(format!(r#"{{"contractInfo":{{"contractId":{wallet}}}}}"#))
}

#[tokio::test]
async fn a_cursor_behind_which_events_went_is_refused_until_it_is_given_up() {
    let gateway = start(forgetful(), |_| {}).await;
    let channel = gateway.channel().await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    let (empty, _) = caught_up(&mut stream).await;
    drop(stream);
    fill(&gateway, WALLET, 0..5).await;
    gateway.hub().log.tidy(i64::MAX).await.unwrap();
    fill(&gateway, WALLET, 5..7).await;
    let mut begin = Vec::new();
    // As often as it is tried, and also after more has come.
    for round in 7..10 {
        let old = from(cursor(empty.cursor.clone()));
        let refused = subscribe(&channel, &Ask::with(MAIN), &old).await.unwrap_err();
        let told = told(&refused);
        assert_eq!((told.code, &*told.reason), (Code::OutOfRange, "CURSOR_EXPIRED"));
        begin = base64(told.info("earliestCursor").unwrap());
        assert!(told.info("latestCursor").is_some());
        fill(&gateway, WALLET, round..round + 1).await;
    }
    let begin = from(cursor(begin));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &begin).await.unwrap();
    let (_, events) = caught_up(&mut stream).await;
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [6, 7, 8, 9, 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_retention_overtakes_ends_and_leaves_nothing_out_before_that() {
    let gateway = start(forgetful(), |config| config.events.ring = Size::kib(64)).await;
    let address = format!("http://{}", gateway.address());
    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    // What is on its way does not count as overtaken, so let it be little.
    let channel = endpoint.initial_stream_window_size(65_535).connect().await.unwrap();
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    fill(&gateway, WALLET, 0..2_000).await;
    // The log as it is now, whatever the stream has taken of it meanwhile.
    tokio::time::sleep(Duration::from_millis(300)).await;
    gateway.hub().log.tidy(i64::MAX).await.unwrap();
    fill(&gateway, WALLET, 2_000..2_300).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut sequences, mut reached) = (Vec::new(), bytes::Bytes::new());
    let status = loop {
        match next(&mut stream).await.expect("it does not end well") {
            Ok(message) => {
                sequences.extend(message.events.iter().map(|event| event.sequence));
                reached = message.cursor;
            }
            Err(status) => break status,
        }
    };
    let told = ended(Some(status));
    assert_eq!((told.code, &*told.reason), (Code::OutOfRange, "CURSOR_EXPIRED"));
    assert_eq!(base64(told.info("lastCursor").unwrap()), reached);
    let count = i64::try_from(sequences.len()).unwrap();
    assert_eq!(sequences, (1..=count).collect::<Vec<_>>(), "up to there all of it");
    assert!(count < 2_000, "it was overtaken");
    // It stays so: nothing is passed over by coming again.
    let refused = subscribe(&channel, &Ask::with(MAIN), &from(cursor(reached))).await.unwrap_err();
    assert_eq!(super::told(&refused).reason, "CURSOR_EXPIRED");
}

/// Nothing but time and the configuration make events go.
#[tokio::test]
async fn events_go_when_they_were_kept_for_as_long_as_configured() {
    let fake = Fake::always(Answer::json("{}")).await;
    let keep = |config: &mut Config| config.events.keep = Duration::from_secs(1);
    let gateway = Setup::new(&fake).set(keep).start().await;
    fill(&gateway, WALLET, 0..3).await;
    let begun = std::time::Instant::now();
    while gateway.hub().log.info().await.unwrap().first <= 3 {
        assert!(begun.elapsed() < Duration::from_secs(20), "they are there for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(800), "after {:?}", begun.elapsed());
}

/// Joins a group and returns its responses.
async fn consume(
    channel: &tonic::transport::Channel,
    open: pb::ConsumeOpen,
) -> (tokio::sync::mpsc::Sender<pb::ConsumeRequest>, Streaming<pb::ConsumeResponse>) {
    let (say, said) = tokio::sync::mpsc::channel(8);
    let open = pb::consume_request::Request::Open(open);
    say.send(pb::ConsumeRequest { request: Some(open) }).await.unwrap();
    let said = futures_util::stream::unfold(said, async |mut said| {
        said.recv().await.map(|request| (request, said))
    });
    let mut client = EventServiceClient::new(channel.clone());
    (say, client.consume(Request::new(said)).await.unwrap().into_inner())
}

fn opening() -> pb::ConsumeOpen {
    pb::ConsumeOpen {
        group_id: GROUP.to_owned(),
        terms: Some(pb::GroupTerms::default()),
        start: end_of_log(pb::LogAnchor::Earliest),
        max_in_flight: 1000,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_takes_nothing_is_ended_and_its_deliveries_go_to_others() {
    let short = |config: &mut Config| {
        config.events.stalled = Duration::from_millis(500);
        config.events.ack_deadline = Duration::from_millis(500);
        config.events.ack_deadline_min = Duration::from_millis(100);
    };
    let gateway = start(forgetful(), short).await;
    fill(&gateway, WALLET, 0..600).await;
    let address = format!("http://{}", gateway.address());
    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    let endpoint = endpoint.initial_stream_window_size(65_535);
    let channel = endpoint.connect().await.unwrap();
    let (_say, mut stuck) = consume(&channel, opening()).await;
    let begun = std::time::Instant::now();
    while gateway.metric("qiwi_event_streams_ended_total", &["SLOW_CONSUMER"]).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the stuck member is ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // When it reads again it learns why.
    let status = loop {
        match stuck.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it does not end well"),
            Err(status) => break status,
        }
    };
    let told = ended(Some(status));
    assert_eq!((told.code, &*told.reason), (Code::ResourceExhausted, "SLOW_CONSUMER"));
    // Everything it held comes to whoever takes it.
    let (say, mut other) = consume(&gateway.channel().await, opening()).await;
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 600 {
        let within = tokio::time::timeout(Duration::from_secs(20), other.message()).await;
        let response = within.expect("a delivery in time").unwrap().expect("no end").response;
        let Some(pb::consume_response::Response::Deliveries(of)) = response else { continue };
        seen.extend(of.deliveries.iter().map(|of| of.event.as_ref().unwrap().sequence));
        let delivery_tokens = of.deliveries.into_iter().map(|of| of.delivery_token).collect();
        let ack = pb::consume_request::Request::Ack(pb::ConsumeAck { delivery_tokens });
        say.send(pb::ConsumeRequest { request: Some(ack) }).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_that_retention_overtakes_is_told_the_gap() {
    let gateway = start(forgetful(), |_| {}).await;
    let channel = gateway.channel().await;
    let (say, hear) = consume(&channel, opening()).await;
    drop((say, hear));
    let begun = std::time::Instant::now();
    while gateway.metric("qiwi_event_streams", &["Consume"]).await > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "its stream is never gone");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fill(&gateway, WALLET, 0..5).await;
    gateway.hub().log.tidy(i64::MAX).await.unwrap();
    fill(&gateway, WALLET, 5..6).await;
    let (_say, mut hear) = consume(&channel, opening()).await;
    let (mut gaps, mut sequences) = (Vec::new(), Vec::new());
    while sequences.is_empty() {
        match hear.message().await.unwrap().expect("no end").response {
            Some(pb::consume_response::Response::Gap(gap)) => gaps.push(gap),
            Some(pb::consume_response::Response::Deliveries(of)) => {
                sequences
                    .extend(of.deliveries.iter().map(|of| of.event.as_ref().unwrap().sequence));
            }
            _ => {}
        }
    }
    assert_eq!(gaps, [pb::ConsumeGap { first_sequence: 1, last_sequence: 5 }]);
    assert_eq!(sequences, [6]);
}

#[tokio::test]
async fn a_token_that_no_longer_proves_its_wallet_ends_the_stream() {
    for withdrawn in [Answer::new(401, ""), Answer::new(403, ""), profile(OTHER)] {
        let fake = Fake::always(profile(WALLET)).await;
        let often = |config: &mut Config| config.events.token_check = Duration::from_millis(100);
        let gateway = Setup::new(&fake).set(often).start().await;
        let channel = gateway.channel().await;
        fill(&gateway, WALLET, 0..2).await;
        let lent = Ask::with(&[("authorization", "Bearer lent")]);
        let earliest = from(end_of_log(pb::LogAnchor::Earliest));
        let mut stream = subscribe(&channel, &lent, &earliest).await.unwrap();
        assert_eq!(caught_up(&mut stream).await.1.len(), 2);
        // It is asked again and again, and a failure of QIWI withdraws nothing.
        let asked = fake.count();
        until("more proofs", || fake.count() > asked + 2).await;
        fake.now_always(Answer::new(500, ""));
        let asked = fake.count();
        until("proofs that fail", || fake.count() > asked + 2).await;
        fill(&gateway, WALLET, 2..3).await;
        let message = next(&mut stream).await.expect("no end").unwrap();
        assert_eq!(message.events.len(), 1);
        fake.now_always(withdrawn);
        let begun = std::time::Instant::now();
        let (messages, status) = to_the_end(stream).await;
        let told = ended(status);
        assert_eq!((told.code, &*told.reason), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let last = messages.last().expect("a last heartbeat");
        assert!(last.events.is_empty());
        assert_eq!(base64(told.info("lastCursor").unwrap()), last.cursor);
    }
}

/// The file of a credential gets the token of another wallet: streams that stand for the wallet
/// before end, those of other credentials do not.
#[tokio::test]
async fn a_secret_replaced_by_one_of_another_wallet_ends_the_stream() {
    let fake = Fake::by(|seen| match seen.token() {
        Some("token-of-first") => profile(WALLET),
        _ => profile(OTHER),
    })
    .await;
    let file = process::folder("withdrawn").join("token");
    process::replace(&file, "token-of-first");
    let mut setup =
        Setup::new(&fake).credential("moved", Kind::Wallet, None, "unused").set(|config| {
            config.events.rights_check = Duration::from_millis(50);
            config.security.reload_interval = Duration::from_millis(20);
            let moved = config.credentials.get_mut("moved").unwrap();
            moved.token_env = None;
            moved.token_file = Some(file.clone());
        });
    setup.env.remove("SECRET_OF_moved");
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..1).await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let moved = Ask::with(&[("x-qiwi-credential", "moved")]);
    let mut stream = subscribe(&channel, &moved, &earliest).await.unwrap();
    let mut of_main = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    assert_eq!(caught_up(&mut stream).await.1.len(), 1);
    assert_eq!(caught_up(&mut of_main).await.1.len(), 1);
    process::replace(&file, "token-of-second");
    let (_, status) = to_the_end(stream).await;
    let told = ended(status);
    assert_eq!((told.code, &*told.reason), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    fill(&gateway, WALLET, 1..2).await;
    let message = next(&mut of_main).await.expect("no end").unwrap();
    assert_eq!(message.events.len(), 1);
    // The next stream stands for the other wallet.
    let mut stream = subscribe(&channel, &moved, &earliest).await.unwrap();
    assert!(caught_up(&mut stream).await.1.is_empty());
}

/// What a disk does whose sync failed: nothing is taken, whoever listens keeps hearing heartbeats,
/// and those who route notifications are told.
#[tokio::test]
async fn a_log_that_fails_takes_the_gateway_out_of_the_notifications_way_only() {
    let log = Arc::new(Between::over(forgetful()));
    let often = |config: &mut Config| {
        config.events.heartbeat = Duration::from_millis(100);
        let main = config.credentials.get_mut("main").unwrap();
        main.webhook = qiwi_gateway::config::Webhook::Static;
        main.webhook_key_env = Some(Variable("TOKEN_AS_KEY".to_owned()));
        config.notifications.sources = vec!["any".to_owned()];
    };
    let fake = Fake::always(balance_answer()).await;
    let mut setup = Setup::new(&fake).set(often);
    setup.env.insert("TOKEN_AS_KEY".to_owned(), letter::KEY.to_owned());
    let gateway = setup.start_over(log.clone()).await;
    let channel = gateway.channel().await;
    let hub = gateway.hub();
    let hook = letter::HOOK.parse().unwrap();
    hub.hooks.learn(&*hub.log, &hub.cipher, &Arc::from("main"), hook, letter::KEY).await.unwrap();
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    caught_up(&mut stream).await;
    assert_eq!(gateway.admin("/readyz/notifications").await.0, 200);
    let send = async |number| {
        let body = letter::Letter::incoming(number).body();
        letter::post(gateway.notifications(), "/notifications/wallet/main", &[], &body).await.0
    };
    assert_eq!(send(1).await, 200);

    log.fails.store(true, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    while gateway.admin("/readyz/notifications").await.0 == 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, body) = gateway.admin("/readyz/notifications").await;
    assert!(body.contains("told to fail"), "{body}");
    assert_eq!(gateway.admin("/readyz").await.0, 200, "calls go on");
    let begun = std::time::Instant::now();
    assert_eq!(send(2).await, 503);
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    let fresh = fresh_balances();
    let reply =
        Ask::with(MAIN).raw(&channel, BALANCES, prost::Message::encode_to_vec(&fresh)).await;
    reply.expect("reads go on");
    let refused = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap_err();
    assert_eq!(told(&refused).reason, "EVENT_LOG_UNAVAILABLE");
    // Whoever listens hears that nothing comes, and is told the age of what it knows.
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(next(&mut stream).await.expect("no end").unwrap());
    }

    log.fails.store(false, Ordering::SeqCst);
    let begun = std::time::Instant::now();
    while gateway.admin("/readyz/notifications").await.0 != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody is told that it is well again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(send(2).await, 200);
    let sequences: Vec<_> =
        heard.iter().flat_map(|of| &of.events).map(|event| event.sequence).collect();
    let mut sequences = sequences;
    while sequences.len() < 2 {
        let message = next(&mut stream).await.expect("no end").unwrap();
        sequences.extend(message.events.iter().map(|event| event.sequence));
    }
    assert_eq!(sequences, [1, 2]);
}
