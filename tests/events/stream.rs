//! Streams: resuming, slow clients, ends.

use base64::Engine as _;
use qiwi_gateway::config::Config;
use tonic::Code;

use super::*;

fn base64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

async fn start(change: impl FnOnce(&mut Config)) -> Gateway {
    let fake = Fake::always(Answer::json("{}")).await;
    Setup::new(&fake).set(change).start().await
}

#[tokio::test]
async fn a_client_that_comes_back_with_its_cursor_misses_nothing() {
    let gateway = start(|_| {}).await;
    let channel = gateway.channel().await;
    let mut place = end_of_log(pb::LogAnchor::Earliest);
    let (mut sequences, mut ids) = (Vec::new(), std::collections::BTreeSet::new());
    for round in 0..5 {
        fill(&gateway, WALLET, round * 150..(round + 1) * 150).await;
        let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(place)).await.unwrap();
        // Some leave in the middle, some when there is nothing more.
        let messages = if round % 2 == 0 { 2 } else { usize::MAX };
        let mut reached = bytes::Bytes::new();
        for _ in 0..messages {
            let message = next(&mut stream).await.unwrap().unwrap();
            sequences.extend(message.events.iter().map(|event| event.sequence));
            ids.extend(message.events.iter().map(|event| event.event_id.clone()));
            reached = message.cursor;
            if message.caught_up && message.events.is_empty() {
                break;
            }
        }
        place = cursor(reached);
    }
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(place)).await.unwrap();
    let (_, rest) = caught_up(&mut stream).await;
    sequences.extend(rest.iter().map(|event| event.sequence));
    ids.extend(rest.into_iter().map(|event| event.event_id));
    assert_eq!(sequences, (1..=750).collect::<Vec<_>>());
    assert_eq!(ids.len(), 750);
}

#[tokio::test]
async fn an_event_arrives_at_once_and_whole() {
    let gateway = start(|_| {}).await;
    let channel = gateway.channel().await;
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    caught_up(&mut stream).await;
    fill(&gateway, WALLET, 7..8).await;
    let message = next(&mut stream).await.unwrap().unwrap();
    let event = &message.events[0];
    assert_eq!((event.sequence, event.wallet()), (1, WALLET));
    assert_eq!(event.kind(), pb::EventKind::Transaction);
    assert_eq!(event.cursor, message.cursor);
    assert!(event.append_time.is_some() && event.receive_time.is_some());
    let Some(pb::event::Payload::Transaction(transaction)) = &event.payload else {
        panic!("{event:?}");
    };
    assert_eq!(transaction.transaction_id, "7");
    let head_time = message.head_time.unwrap().seconds;
    assert!((now_ms() / 1000 - head_time).abs() < 30, "{head_time}");
}

#[tokio::test]
async fn heartbeats_come_while_nothing_happens_and_no_deadline_of_calls_ends_a_stream() {
    let gateway = start(|config| {
        config.events.heartbeat = Duration::from_millis(100);
        config.deadline.read_max = Duration::from_millis(300);
        config.deadline.read_default = Duration::from_millis(200);
        config.grpc.connection_idle = Duration::from_millis(100);
    })
    .await;
    let channel = gateway.channel().await;
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    let begun = std::time::Instant::now();
    let mut beats = 0;
    while begun.elapsed() < Duration::from_millis(1200) {
        assert!(next(&mut stream).await.unwrap().unwrap().events.is_empty());
        beats += 1;
    }
    assert!(beats >= 4, "{beats}");
    // The connection is not idle either: it still takes calls.
    let reply: pb::GetLogInfoResponse =
        Ask::with(MAIN).unary(&channel, INFO, pb::GetLogInfoRequest {}).await.unwrap().into_inner();
    assert!(reply.log_info.is_some());
    assert_eq!(gateway.metric("qiwi_event_streams", &["Subscribe"]).await, 1);
}

#[tokio::test]
async fn a_deadline_of_the_caller_bounds_the_stream_and_tells_where_it_was() {
    let gateway = start(|_| {}).await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).within(Duration::from_secs(2));
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let stream = subscribe(&channel, &ask, &latest).await.unwrap();
    let (messages, status) = to_the_end(stream).await;
    let told = ended(status);
    assert_eq!((told.code, &*told.reason), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!(base64(told.info("lastCursor").unwrap()), messages.last().unwrap().cursor);
}

#[tokio::test]
async fn an_old_stream_ends_and_goes_on_from_its_last_cursor() {
    let gateway = start(|config| config.events.stream_age = Duration::from_millis(200)).await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..3).await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    let (messages, status) = to_the_end(stream).await;
    let told = ended(status);
    assert_eq!((told.code, &*told.reason), (Code::Unavailable, "STREAM_MAX_AGE"));
    let last = messages.last().unwrap();
    assert!(last.events.is_empty());
    let place = base64(told.info("lastCursor").unwrap());
    assert_eq!(place, last.cursor);
    fill(&gateway, WALLET, 3..5).await;
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(cursor(place))).await.unwrap();
    let (_, events) = caught_up(&mut stream).await;
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [4, 5]);
    let summary = gateway.summaries().into_iter().find(|line| line["reason"] == "STREAM_MAX_AGE");
    assert!(summary.is_some_and(|line| line["method"] == SUBSCRIBE));
    let ended = gateway.metric("qiwi_event_streams_ended_total", &["STREAM_MAX_AGE"]).await;
    assert!(ended >= 1);
}

#[tokio::test]
async fn a_replay_ends_well() {
    let gateway = start(|_| {}).await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..300).await;
    let request = pb::SubscribeRequest {
        start: end_of_log(pb::LogAnchor::Earliest),
        until: end_of_log(pb::LogAnchor::Latest),
        ..Default::default()
    };
    let stream = subscribe(&channel, &Ask::with(MAIN), &request).await.unwrap();
    let (messages, status) = to_the_end(stream).await;
    assert!(status.is_none(), "{status:?}");
    let sequences: Vec<_> =
        messages.iter().flat_map(|of| &of.events).map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=300).collect::<Vec<_>>());
    assert!(messages.last().unwrap().caught_up);
    // Backwards there is nothing to replay.
    let request = pb::SubscribeRequest { start: request.until, until: request.start, ..request };
    let status = subscribe(&channel, &Ask::with(MAIN), &request).await.unwrap_err();
    assert_eq!(told(&status).fields(), ["until"]);
}

#[tokio::test]
async fn stopping_ends_every_stream_with_a_heartbeat_and_loses_nothing() {
    let gateway = start(|_| {}).await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..10).await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
        let (_, events) = caught_up(&mut stream).await;
        assert_eq!(events.len(), 10);
        streams.push(stream);
    }
    let begun = std::time::Instant::now();
    let (_, all) = tokio::join!(
        gateway.stop(),
        futures_util::future::join_all(streams.into_iter().map(to_the_end))
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "the grace was not needed");
    for (messages, status) in all {
        let told = ended(status);
        assert_eq!((told.code, &*told.reason), (Code::Unavailable, "GATEWAY_DRAINING"));
        let last = messages.last().expect("a last heartbeat");
        assert_eq!((last.sequence, last.events.len()), (10, 0));
        assert_eq!(base64(told.info("lastCursor").unwrap()), last.cursor);
    }
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let gateway = start(|config| config.events.streams_max = 2).await;
    let channel = gateway.channel().await;
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let first = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    let second = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    let status = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap_err();
    let refused = told(&status);
    assert_eq!((refused.code, &*refused.reason), (Code::ResourceExhausted, "TOO_MANY_STREAMS"));
    drop(first);
    let begun = std::time::Instant::now();
    let third = loop {
        match subscribe(&channel, &Ask::with(MAIN), &latest).await {
            Ok(stream) => break stream,
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(10), "a place comes free"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    drop((second, third));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stuck_stream_among_a_hundred_on_one_connection_holds_up_nobody() {
    let gateway = start(|config| {
        // A busy machine may keep a sibling waiting for a while, too.
        config.events.stalled = Duration::from_secs(4);
        config.events.ring = qiwi_gateway::config::Size::kib(64);
    })
    .await;
    let address = format!("http://{}", gateway.address());
    let endpoint = tonic::transport::Endpoint::from_shared(address).unwrap();
    let endpoint =
        endpoint.initial_stream_window_size(65_535).initial_connection_window_size(16 << 20);
    let channel = endpoint.connect().await.unwrap();
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let mut stuck = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    let mut siblings = Vec::new();
    for _ in 0..99 {
        siblings.push(subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap());
    }
    let reading = siblings.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let mut got = 0;
            while got < 1000 {
                got += next(&mut stream).await.unwrap().unwrap().events.len();
            }
            stream
        })
    });
    let reading: Vec<_> = reading.collect();
    fill(&gateway, WALLET, 0..1000).await;
    let siblings = futures_util::future::join_all(reading).await;
    assert!(siblings.iter().all(Result::is_ok), "all siblings got everything");
    let begun = std::time::Instant::now();
    while gateway.metric("qiwi_event_streams_ended_total", &["SLOW_CONSUMER"]).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the stuck one is ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // When it reads again it learns where it was, and nothing is missing behind that.
    let (mut sequences, mut reached) = (Vec::new(), bytes::Bytes::new());
    let status = loop {
        match next(&mut stuck).await.unwrap() {
            Ok(message) => {
                sequences.extend(message.events.iter().map(|event| event.sequence));
                reached = message.cursor;
            }
            Err(status) => break status,
        }
    };
    let told = ended(Some(status));
    assert_eq!((told.code, &*told.reason), (Code::ResourceExhausted, "SLOW_CONSUMER"));
    assert_eq!(base64(told.info("lastCursor").unwrap()), reached);
    assert!(sequences.len() < 1000);
    let mut again = subscribe(&channel, &Ask::with(MAIN), &from(cursor(reached))).await.unwrap();
    let (_, rest) = caught_up(&mut again).await;
    sequences.extend(rest.iter().map(|event| event.sequence));
    assert_eq!(sequences, (1..=1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_is_refused_and_says_where_to_begin() {
    let gateway = start(|_| {}).await;
    let other = start(|_| {}).await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..5).await;
    fill(&other, WALLET, 0..9).await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    let (last, _) = caught_up(&mut stream).await;
    let mut altered = last.cursor.to_vec();
    altered[20] ^= 1;
    // A log in memory has a key of its own, so the cursor of another one is none of ours.
    let theirs = other.hub();
    let epoch = theirs.log.info().await.unwrap().epoch;
    let foreign = qiwi_gateway::events::Position { epoch, seq: 3, piece: [1; 8] };
    let here = gateway.hub();
    let own = here.cursors.open(&last.cursor).unwrap();
    let ahead = qiwi_gateway::events::Position { seq: 99, ..own };
    let replaced = qiwi_gateway::events::Position { piece: [9; 8], ..own };
    for (bytes, code, reason) in [
        (Vec::new(), Code::InvalidArgument, "BAD_CURSOR"),
        (altered, Code::InvalidArgument, "BAD_CURSOR"),
        (theirs.cursors.seal(&foreign), Code::InvalidArgument, "BAD_CURSOR"),
        (here.cursors.seal(&foreign), Code::Aborted, "LOG_REWOUND"),
        (here.cursors.seal(&ahead), Code::Aborted, "LOG_REWOUND"),
        (here.cursors.seal(&replaced), Code::Aborted, "LOG_REWOUND"),
    ] {
        let status = subscribe(&channel, &Ask::with(MAIN), &from(cursor(bytes))).await;
        let told = told(&status.unwrap_err());
        assert_eq!((told.code, &*told.reason), (code, reason));
        assert_eq!(base64(told.info("latestCursor").unwrap()), last.cursor);
        let begin = cursor(base64(told.info("earliestCursor").unwrap()));
        let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(begin)).await.unwrap();
        assert_eq!(caught_up(&mut stream).await.1.len(), 5);
    }
}

#[tokio::test]
async fn requests_that_say_too_little_or_too_much_are_refused_by_name() {
    let gateway = start(|_| {}).await;
    let channel = gateway.channel().await;
    let latest = || end_of_log(pb::LogAnchor::Latest);
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (field, request) in [
        ("start", pb::SubscribeRequest::default()),
        ("start", from(Some(pb::LogPosition::default()))),
        ("start", from(end_of_log(pb::LogAnchor::Unspecified))),
        (
            "heartbeat_interval",
            pb::SubscribeRequest { heartbeat_interval: seconds(0), ..from(latest()) },
        ),
        (
            "heartbeat_interval",
            pb::SubscribeRequest { heartbeat_interval: seconds(61), ..from(latest()) },
        ),
        (
            "filter.kinds",
            pb::SubscribeRequest {
                filter: Some(pb::EventFilter { kinds: vec![99], ..Default::default() }),
                ..from(latest())
            },
        ),
    ] {
        let status = subscribe(&channel, &Ask::with(MAIN), &request).await.unwrap_err();
        let told = told(&status);
        assert_eq!((&*told.reason, told.fields()), ("REQUEST_INVALID", vec![field.to_owned()]));
    }
}
