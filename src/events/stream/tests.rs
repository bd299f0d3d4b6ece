//! Streams over a log in memory, with clients of every pace.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod clock;
mod crowd;
mod race;
mod slow;

use std::collections::BTreeMap;

use prost::Message as _;
use rand::RngExt as _;
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use super::*;
use crate::config::{self, Config};
use crate::events::outlet::{self, Outlet};
use crate::events::testing::{self, append};
use crate::events::visible::Visible;
use crate::events::{EventLog, Retention};
use crate::state::MemoryLog;

/// A number at random; the generator does not outlive the call.
fn random(range: std::ops::Range<u64>) -> u64 {
    rand::rng().random_range(range)
}

fn settings(change: impl FnOnce(&mut config::Events)) -> config::Events {
    let mut settings = Config::default().events;
    settings.gather = Duration::from_millis(1);
    change(&mut settings);
    settings
}

/// Everything about events with its feed running, for as long as what is returned lives.
fn running(settings: config::Events) -> (Arc<Hub>, tokio_util::task::AbortOnDropHandle<()>) {
    running_over(Arc::new(MemoryLog::new(Retention::DEFAULT)), settings)
}

/// The same over this log.
fn running_over(
    log: Arc<dyn EventLog>,
    settings: config::Events,
) -> (Arc<Hub>, tokio_util::task::AbortOnDropHandle<()>) {
    let hub = Arc::new(testing::hub_of(log, settings));
    let feeding = Arc::clone(&hub);
    let feed = tokio::spawn(async move { feeding.run_feed().await });
    (hub, tokio_util::task::AbortOnDropHandle::new(feed))
}

async fn start(hub: &Hub) -> Position {
    Position::start(hub.log.info().await.unwrap().epoch)
}

fn order(start: Position, filter: Filter, heartbeat: Duration) -> Order {
    Order { filter, start, until: None, heartbeat }
}

fn status(error: &Error) -> Status {
    error.to_status(&crate::error::About::default())
}

/// Begins a stream that `ending` ends.
fn stream(
    hub: &Arc<Hub>,
    order: Order,
    ending: impl Future<Output = Error> + Send + 'static,
) -> Outlet {
    let (inlet, outlet) = outlet::pair();
    let pump = Pump::new(Arc::clone(hub), order, inlet);
    tokio::spawn(async move {
        pump.run(ending, status).await;
    });
    outlet
}

async fn next(outlet: &mut Outlet) -> Result<pb::SubscribeResponse, Status> {
    let message = tokio::time::timeout(Duration::from_secs(20), outlet.next()).await;
    let message = message.expect("a message in time").expect("no end");
    message.map(|bytes| pb::SubscribeResponse::decode(bytes).unwrap())
}

fn everything() -> Filter {
    Filter::everything(Visible::All)
}

fn of_kind(hub: &Hub, kind: pb::EventKind) -> Filter {
    let filter = pb::EventFilter { kinds: vec![kind.into()], ..Default::default() };
    Filter::compile(Some(&filter), Visible::All, hub, "filter").unwrap()
}

/// What every stream promises, checked message by message.
struct Client<'a> {
    hub: &'a Hub,
    reached: u64,
    got: Vec<u64>,
}

impl Client<'_> {
    fn take(&mut self, message: &pb::SubscribeResponse) {
        let sequence = u64::try_from(message.sequence).unwrap();
        let place = self.hub.cursors.open(&message.cursor).unwrap();
        assert_eq!(place.seq, sequence, "cursor and sequence name one place");
        assert!(message.head_sequence >= message.sequence);
        assert!(!message.caught_up || message.head_sequence == message.sequence);
        assert!(message.events.len() <= EVENTS_MAX);
        for event in &message.events {
            let at = u64::try_from(event.sequence).unwrap();
            assert!(at > self.reached, "{at} comes at or below the cursor {}", self.reached);
            assert!(at <= sequence, "{at} comes above its own cursor {sequence}");
            self.reached = at;
            self.got.push(at);
        }
        assert!(sequence >= self.reached, "a cursor went back");
        self.reached = sequence;
    }
}

/// The sequences of one kind, as the log has them.
async fn of_log(hub: &Hub, filter: &Filter) -> Vec<u64> {
    let (mut at, mut all) = (0, Vec::new());
    loop {
        let events = hub.log.read(at, crate::events::Limit::events(1000)).await.unwrap();
        let Some(last) = events.last() else { return all };
        at = last.seq;
        all.extend(events.iter().filter(|of| filter.matches(of)).map(|of| of.seq));
    }
}

/// Clients that leave at any moment and come back with the cursor they kept, heartbeats in between
/// all the time, events appended meanwhile: nothing is missed, nothing comes at or below a cursor.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_comes_at_or_below_a_cursor_and_none_is_left_out() {
    let ring = |of: &mut config::Events| of.ring = config::Size::kib(64);
    let (hub, _feed) = running(settings(ring));
    let writer = {
        let hub = Arc::clone(&hub);
        tokio::spawn(async move {
            for number in 0..3_000 {
                append(&hub, number).await;
                if number % 7 == 0 {
                    tokio::time::sleep(Duration::from_micros(random(0..800))).await;
                }
            }
        })
    };
    let mut clients = Vec::new();
    for number in 0..12_u64 {
        let hub = Arc::clone(&hub);
        clients.push(tokio::spawn(async move {
            let filter = match number % 3 {
                0 => everything(),
                1 => of_kind(&hub, pb::EventKind::Bill),
                _ => of_kind(&hub, pb::EventKind::System),
            };
            let mut place = start(&hub).await;
            let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
            let (mut messages, mut streams) = (0_u64, 0);
            while place.seq < 3_000 {
                let beat = Duration::from_micros(random(1..2_000));
                let order = order(place, filter.clone(), beat);
                let mut outlet = stream(&hub, order, std::future::pending());
                streams += 1;
                for _ in 0..random(1..60) {
                    let message = next(&mut outlet).await.unwrap();
                    client.take(&message);
                    place = hub.cursors.open(&message.cursor).unwrap();
                    messages += 1;
                    if random(0..10) == 0 {
                        tokio::time::sleep(Duration::from_micros(500)).await;
                    }
                }
            }
            assert!(messages > 20 && streams > 1, "{messages} messages, {streams} streams");
            assert_eq!(client.got, of_log(&hub, &filter).await, "client {number}");
        }));
    }
    writer.await.unwrap();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_heartbeat_and_tells_when_it_caught_up() {
    let (hub, _feed) = running(settings(|_| {}));
    for number in 0..600 {
        append(&hub, number).await;
    }
    let beat = Duration::from_secs(60);
    let order = order(start(&hub).await, everything(), beat);
    let mut outlet = stream(&hub, order, std::future::pending());
    let first = next(&mut outlet).await.unwrap();
    assert_eq!((first.events.len(), first.sequence), (0, 0));
    let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
    let mut sizes = Vec::new();
    loop {
        let message = next(&mut outlet).await.unwrap();
        client.take(&message);
        if message.events.is_empty() && message.caught_up {
            assert_eq!((message.sequence, message.head_sequence), (600, 600));
            break;
        }
        sizes.push(message.events.len());
    }
    assert_eq!(client.got, (1..=600).collect::<Vec<_>>());
    assert!(sizes.iter().all(|size| (1..=256).contains(size)), "{sizes:?}");
    append(&hub, 600).await;
    let live = next(&mut outlet).await.unwrap();
    assert_eq!((live.events.len(), live.sequence, live.caught_up), (1, 601, true));
    let event = &live.events[0];
    assert_eq!(event.event_id.len(), 32);
    assert_eq!(event.cursor, live.cursor);
}

#[tokio::test]
async fn a_replay_ends_at_its_place_with_a_last_heartbeat() {
    let (hub, _feed) = running(settings(|_| {}));
    for number in 0..300 {
        append(&hub, number).await;
    }
    for (until, kind) in [(0, None), (123, None), (300, None), (299, Some(pb::EventKind::System))] {
        let filter = kind.map_or_else(everything, |kind| of_kind(&hub, kind));
        let mut order = order(start(&hub).await, filter.clone(), Duration::from_secs(60));
        order.until = Some(until);
        let mut outlet = stream(&hub, order, std::future::pending());
        let mut client = Client { hub: &hub, reached: 0, got: Vec::new() };
        let mut last = pb::SubscribeResponse::default();
        while let Some(message) = outlet.next().await {
            last = pb::SubscribeResponse::decode(message.unwrap()).unwrap();
            let within = last.events.iter().all(|of| of.sequence <= i64::try_from(until).unwrap());
            assert!(within, "{until}");
            client.got.extend(last.events.iter().map(|of| u64::try_from(of.sequence).unwrap()));
        }
        assert!(last.events.is_empty() && last.caught_up, "{until}");
        assert_eq!(u64::try_from(last.sequence).unwrap(), until);
        let mut expected = of_log(&hub, &filter).await;
        expected.retain(|seq| *seq <= until);
        assert_eq!(client.got, expected, "{until}");
    }
}

#[tokio::test]
async fn heartbeats_move_the_cursor_over_what_is_not_selected() {
    let (hub, _feed) = running(settings(|_| {}));
    let filter = of_kind(&hub, pb::EventKind::Balance);
    let order = order(start(&hub).await, filter, Duration::from_millis(20));
    let mut outlet = stream(&hub, order, std::future::pending());
    for number in 0..50 {
        append(&hub, number).await;
    }
    let mut before = 0;
    while before < 50 {
        let message = next(&mut outlet).await.unwrap();
        assert!(message.events.is_empty());
        before = message.sequence;
        let place = hub.cursors.open(&message.cursor).unwrap();
        // The log goes on from there: the cursor names the event that was passed over.
        crate::events::cursor::resume(&*hub.log, &place).await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_while_events_wait_is_ended_and_one_without_events_is_not() {
    let (hub, _feed) = running(settings(|of| of.stalled = Duration::from_millis(100)));
    let beat = Duration::from_millis(20);
    let idle_filter = of_kind(&hub, pb::EventKind::Balance);
    let mut stuck =
        stream(&hub, order(start(&hub).await, everything(), beat), std::future::pending());
    let mut idle =
        stream(&hub, order(start(&hub).await, idle_filter, beat), std::future::pending());
    let reached = next(&mut stuck).await.unwrap();
    next(&mut idle).await.unwrap();
    for number in 0..10 {
        append(&hub, number).await;
    }
    let mut ended = None;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        if stuck.is_ended() {
            ended = Some(());
            break;
        }
    }
    ended.expect("the stuck stream is ended");
    let status = next(&mut stuck).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let info = info_of(&status);
    assert_eq!(info["reason"], "SLOW_CONSUMER");
    // What it did not take is not counted as sent.
    let last = hub.cursors.open(&decode(&info["lastCursor"])).unwrap();
    assert_eq!(i64::try_from(last.seq).unwrap(), reached.sequence);
    assert!(!idle.is_ended(), "nothing waits for it but a heartbeat");
    next(&mut idle).await.unwrap();
}

fn decode(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Reason and metadata of an error.
fn info_of(status: &Status) -> BTreeMap<String, String> {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    let info = details.error_info().unwrap().clone();
    let mut all: BTreeMap<_, _> = info.metadata.into_iter().collect();
    all.insert("reason".to_owned(), info.reason);
    all
}

#[tokio::test]
async fn what_ends_a_stream_comes_after_a_last_heartbeat_with_the_same_cursor() {
    let (hub, _feed) = running(settings(|_| {}));
    append(&hub, 0).await;
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let ending = async {
        let _ = ended.await;
        Error::new(&reason::GATEWAY_DRAINING)
    };
    let order = order(start(&hub).await, everything(), Duration::from_secs(60));
    let mut outlet = stream(&hub, order, ending);
    while !next(&mut outlet).await.unwrap().caught_up {}
    // Whatever was on the way when it caught up.
    tokio::time::sleep(Duration::from_millis(50)).await;
    end.send(()).unwrap();
    let mut last = pb::SubscribeResponse::default();
    let status = loop {
        match next(&mut outlet).await {
            Ok(message) => last = message,
            Err(status) => break status,
        }
    };
    assert!(last.events.is_empty() && last.sequence == 1);
    let info = info_of(&status);
    assert_eq!((&*info["reason"], status.code()), ("GATEWAY_DRAINING", Code::Unavailable));
    assert_eq!(decode(&info["lastCursor"]), last.cursor);
}

#[tokio::test]
async fn an_event_that_cannot_be_opened_ends_the_streams_that_select_it_and_no_other() {
    let (hub, _feed) = running(settings(|_| {}));
    append(&hub, 0).await;
    let mut foreign = testing::event(&hub, 1);
    foreign.event.payload = crate::events::cipher::Cipher::new(&[9; 32])
        .seal(b"what another key sealed", foreign.event.id.as_bytes())
        .unwrap();
    let kind = foreign.event.kind;
    hub.append(foreign).await.unwrap();
    append(&hub, 2).await;
    for from_ring in [true, false] {
        if !from_ring {
            // As a stream that comes later, or after a restart, reads it.
            hub.feed.forget();
        }
        let everything = order(start(&hub).await, everything(), Duration::from_secs(60));
        let mut outlet = stream(&hub, everything, std::future::pending());
        let mut got = 0;
        let status = loop {
            match next(&mut outlet).await {
                Ok(message) => got += message.events.len(),
                Err(status) => break status,
            }
        };
        assert_eq!(info_of(&status)["reason"], "EVENT_LOG_UNAVAILABLE");
        assert_eq!(got, 1, "what comes before it was sent");
        assert_ne!(kind, crate::events::Kind::System);
        let other = of_kind(&hub, pb::EventKind::System);
        let mut other = order(start(&hub).await, other, Duration::from_secs(60));
        other.until = Some(3);
        let mut outlet = stream(&hub, other, std::future::pending());
        let mut sequence = 0;
        while let Some(message) = outlet.next().await {
            sequence = pb::SubscribeResponse::decode(message.unwrap()).unwrap().sequence;
        }
        assert_eq!(sequence, 3);
    }
}

#[test]
fn encoded_events_are_put_into_a_message_as_they_are() {
    let event = pb::Event { event_id: "e".repeat(400), sequence: 7, ..Default::default() };
    let encoded = [Bytes::from(event.encode_to_vec()), Bytes::from(event.encode_to_vec())];
    let rest = pb::SubscribeResponse { sequence: 8, caught_up: true, ..Default::default() };
    let message = with_events(1, encoded.iter(), &rest);
    let expected = pb::SubscribeResponse { events: vec![event.clone(), event], ..rest };
    assert_eq!(pb::SubscribeResponse::decode(message.clone()).unwrap(), expected);
    assert_eq!(message, expected.encode_to_vec());
}
