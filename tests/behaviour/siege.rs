//! Clients that mean harm: slow, many, or against the rules. They end themselves and nobody else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::h2::{self, frame};
use crate::support::process::Process;
use crate::support::*;

async fn works(gateway: &Gateway) {
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).within(Duration::from_secs(5));
    ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
}

async fn raw(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&h2::hello()).await.unwrap();
    stream
}

/// Frames until the gateway closes, which it must soon.
async fn to_the_end(stream: &mut TcpStream) -> Vec<h2::Frame> {
    let mut frames = Vec::new();
    let all = async {
        while let Some(frame) = h2::next(stream).await {
            frames.push(frame);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.expect("it closes");
    frames
}

/// Sends byte after byte until the gateway has enough; returns what it said.
async fn trickle(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let (mut from, mut to) = stream.split();
    let read = async {
        let mut answer = Vec::new();
        let _ = from.read_to_end(&mut answer).await;
        answer
    };
    let write = async {
        for byte in bytes {
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let both = async {
        tokio::select! {
            answer = read => answer,
            () = write => unreachable!(),
        }
    };
    tokio::time::timeout(Duration::from_secs(10), both).await.expect("it is closed")
}

#[tokio::test]
async fn heads_and_bodies_that_trickle_in_are_not_waited_for() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.notifications.sources = vec!["any".to_owned()];
            config.notifications.head_timeout = Duration::from_millis(300);
            config.notifications.read_timeout = Duration::from_millis(300);
            config.admin.read_timeout = Duration::from_millis(300);
        })
        .start()
        .await;
    let many = "a".repeat(4096);
    let head = format!("POST /notifications/wallet/main HTTP/1.1\r\nhost: x\r\nx-{many}: y\r\n");
    for address in [gateway.notifications(), gateway.admin_address()] {
        let begun = Instant::now();
        trickle(TcpStream::connect(address).await.unwrap(), head.as_bytes()).await;
        assert!(begun.elapsed() > Duration::from_millis(250), "{:?}", begun.elapsed());
        // Saying nothing is no better.
        trickle(TcpStream::connect(address).await.unwrap(), &[]).await;
    }
    let mut stream = TcpStream::connect(gateway.notifications()).await.unwrap();
    let head =
        "POST /notifications/wallet/main HTTP/1.1\r\nhost: x\r\ncontent-length: 4096\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = trickle(stream, many.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(gateway.metric("qiwi_notifications_refused_total", &["too_slow"]).await, 1);
    let (alive, _) = gateway.admin("/livez").await;
    assert_eq!(alive, 200);
    works(&gateway).await;
}

#[tokio::test]
async fn a_call_whose_message_trickles_in_ends_at_its_deadline() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| config.deadline.read_default = Duration::from_millis(400))
        .start()
        .await;
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    // A message of 256 bytes is announced, and comes one by one.
    let pieces = futures_util::stream::unfold(0usize, async |sent| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let byte = [0, 0, 0, 1].get(sent).copied().unwrap_or(0);
        let piece = http_body::Frame::data(Bytes::from(vec![byte]));
        Some((Ok::<_, std::convert::Infallible>(piece), sent + 1))
    });
    let request = http::Request::post(format!("http://test/{BALANCES}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-qiwi-credential", "main")
        .body(StreamBody::new(Box::pin(pieces)).boxed())
        .unwrap();
    let begun = Instant::now();
    let response = tokio::time::timeout(Duration::from_secs(5), client.send_request(request)).await;
    let response = response.expect("an end").unwrap();
    let status = response.headers().get("grpc-status").expect("an error at once");
    assert_eq!(status, "4", "DEADLINE_EXCEEDED");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    works(&gateway).await;
}

#[tokio::test]
async fn a_head_of_a_call_that_trickles_in_lasts_no_longer_than_a_connection() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.grpc.connection_age = Duration::from_millis(500);
            config.grpc.ping_timeout = Duration::from_millis(300);
        })
        .start()
        .await;
    let stream = raw(&gateway).await;
    let block = [h2::call(BALANCES), h2::header("x", &"y".repeat(100))].concat();
    let bytes = frame(h2::HEADERS, h2::END_HEADERS, 1, &block);
    // One byte each 20 ms is five seconds and more.
    let begun = Instant::now();
    trickle(stream, &bytes).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(fake.count(), 0);
    works(&gateway).await;
}

#[tokio::test]
async fn rapid_reset_ends_the_connection_that_does_it() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let other = gateway.channel().await;
    let mut stream = raw(&gateway).await;
    let mut burst = Vec::new();
    for number in 0..500 {
        let id = number * 2 + 1;
        burst.extend(frame(h2::HEADERS, h2::END_HEADERS, id, &h2::call(BALANCES)));
        burst.extend(frame(h2::RST_STREAM, 0, id, &8u32.to_be_bytes()));
    }
    // The gateway may close before it has read all of it.
    let _ = stream.write_all(&burst).await;
    let frames = to_the_end(&mut stream).await;
    let goaway = frames.iter().find(|frame| frame.kind == h2::GOAWAY).expect("it says why");
    assert_eq!(goaway.goaway().1, h2::ENHANCE_YOUR_CALM);
    Ask::with(MAIN).raw(&other, BALANCES, Bytes::new()).await.expect("the others go on");
    assert!(fake.count() < 100, "{}", fake.count());
}

#[tokio::test]
async fn a_flood_of_continuations_is_cut_off() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let mut stream = raw(&gateway).await;
    stream.write_all(&frame(h2::HEADERS, 0, 1, &h2::call(BALANCES))).await.unwrap();
    let piece = h2::header("x", &"y".repeat(100)).repeat(100);
    let (mut sent, begun) = (0, Instant::now());
    // Empty ones cost a server most, and large ones its memory.
    for number in 0..200_000 {
        let payload = if number % 2 == 0 { &piece[..] } else { &[] };
        let bytes = frame(h2::CONTINUATION, 0, 1, payload);
        if stream.write_all(&bytes).await.is_err() {
            break;
        }
        sent += bytes.len();
        assert!(sent < 16 << 20, "{sent} bytes are taken");
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never cut off");
    }
    to_the_end(&mut stream).await;
    assert_eq!(fake.count(), 0);
    works(&gateway).await;
}

#[tokio::test]
async fn metadata_above_what_http2_takes_is_refused_and_the_connection_goes_on() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let mut stream = raw(&gateway).await;
    let large = h2::header("x", &"y".repeat(100)).repeat(100);
    let first = h2::call(BALANCES);
    stream.write_all(&frame(h2::HEADERS, 0, 1, &first)).await.unwrap();
    stream.write_all(&frame(h2::CONTINUATION, 0, 1, &large)).await.unwrap();
    stream.write_all(&frame(h2::CONTINUATION, h2::END_HEADERS, 1, &large)).await.unwrap();
    // The stream is answered or reset, and a ping shows that the connection is there.
    let ping = frame(h2::PING, 0, 0, b"12345678");
    let mut refused = false;
    stream.write_all(&ping).await.unwrap();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(5), h2::next(&mut stream)).await;
        let frame = next.expect("an answer").expect("no end");
        refused |= frame.stream == 1 && matches!(frame.kind, h2::HEADERS | h2::RST_STREAM);
        if frame.kind == h2::PING && frame.payload == b"12345678" {
            break;
        }
    }
    while !refused {
        let next = tokio::time::timeout(Duration::from_secs(5), h2::next(&mut stream)).await;
        let frame = next.expect("an answer").expect("no end");
        refused |= frame.stream == 1 && matches!(frame.kind, h2::HEADERS | h2::RST_STREAM);
    }
    assert_eq!(fake.count(), 0);
}

/// Twice GOAWAY: first that no new call is taken, and, when the client has seen that, up to which
/// call all are answered. Connections of one moment do not end in one moment.
#[tokio::test]
async fn old_connections_end_in_order_and_not_together() {
    let fake = Fake::always(balance_answer()).await;
    let age = Duration::from_millis(800);
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.grpc.connection_age = age;
            config.grpc.connection_age_jitter_percent = qiwi_gateway::config::Percent(50);
        })
        .start()
        .await;
    let clients: Vec<_> = futures_util::future::join_all((0..24).map(|_| raw(&gateway))).await;
    let begun = Instant::now();
    let ends = clients.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let (mut goaways, mut first) = (Vec::new(), None);
            while let Some(frame) = h2::next(&mut stream).await {
                match frame.kind {
                    h2::GOAWAY => {
                        first.get_or_insert(begun.elapsed());
                        goaways.push(frame.goaway());
                    }
                    h2::PING if frame.flags & 1 == 0 => {
                        assert_eq!(goaways.len(), 1, "a ping between the two");
                        let pong = h2::frame(h2::PING, 1, 0, &frame.payload);
                        stream.write_all(&pong).await.unwrap();
                    }
                    _ => {}
                }
            }
            (goaways, first.expect("it is told"))
        })
    });
    let mut times = Vec::new();
    for end in ends.collect::<Vec<_>>() {
        let end = tokio::time::timeout(Duration::from_secs(20), end).await.expect("it ends");
        let (goaways, at) = end.unwrap();
        assert_eq!(goaways, [(0x7fff_ffff, 0), (0, 0)]);
        assert!(at > age.mul_f64(0.45), "{at:?}");
        times.push(at);
    }
    times.sort();
    let spread = times[times.len() - 1] - times[0];
    assert!(spread > Duration::from_millis(80), "{times:?}");
}

#[tokio::test]
async fn an_idle_connection_ends_and_one_with_a_call_does_not() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(700))).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.grpc.connection_idle = Duration::from_millis(200);
            config.grpc.ping_timeout = Duration::from_millis(300);
        })
        .start()
        .await;
    let channel = gateway.channel().await;
    let call = tokio::spawn(async move {
        let ask = Ask::with(MAIN).within(Duration::from_secs(5));
        ask.raw(&channel, BALANCES, Bytes::new()).await
    });
    // It says nothing any more, not even that it has seen GOAWAY.
    let mut idle = raw(&gateway).await;
    let frames = to_the_end(&mut idle).await;
    assert!(frames.iter().any(|frame| frame.kind == h2::GOAWAY));
    call.await.unwrap().expect("a call under way is no idleness");
    let label = "reason=\"idle\"";
    assert!(gateway.metric("qiwi_connections_closed_total", &[label]).await >= 1);
}

/// The operators' listener has a thread of its own: it answers, and truthfully, while nothing of the
/// rest runs.
#[tokio::test]
async fn probes_are_answered_while_everything_else_stands_still() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| config.admin.heartbeat_max = Duration::from_millis(300))
        .start()
        .await;
    assert_eq!(gateway.admin("/livez").await.0, 200);
    let admin = gateway.admin_address();
    let probe = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let mut answers = Vec::new();
            for path in ["/livez", "/startupz", "/metrics"] {
                answers.push(http_get(admin, path).await);
            }
            answers
        })
    });
    // The whole gateway runs on this thread, which waits for the other one.
    let answers = probe.join().unwrap();
    assert_eq!((answers[0].0, answers[1].0, answers[2].0), (503, 200, 200));
    assert!(answers[0].1.contains("stuck"), "{}", answers[0].1);
    assert!(answers[2].1.contains("qiwi_build_info"));
    works(&gateway).await;
    assert_eq!(gateway.admin("/livez").await.0, 200);
}

/// How many files this process may open, after asking for as many as it can get.
fn files_max() -> usize {
    let own = std::process::id().to_string();
    // A soft limit below the hard one can be raised by anybody.
    let raise = "prlimit --pid \"$0\" --nofile=\"$(ulimit -H -n):\" 2>/dev/null; exit 0";
    let _ = std::process::Command::new("sh").args(["-c", raise, &own]).status();
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(1024)
}

/// Ten thousand clients that do nothing, where so many files can be opened, and fewer elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_leave_the_service_to_the_others() {
    let idle = files_max().saturating_sub(500).min(10_000);
    println!("{idle} idle connections");
    assert!(idle >= 500, "too few files to show anything");
    let fake = Fake::always(balance_answer()).await;
    let url = fake.url();
    let toml = format!(
        "[grpc]\nlisten = \"127.0.0.1:0\"\nconnections_max = {}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [notifications]\nsources = [\"any\"]\nconnections_max = 300\nhead_timeout = \"2s\"\n\
         [upstream]\nedge_url = \"{url}\"\nsite_url = \"{url}\"\nbill_url = \"{url}\"\n\
         [credentials.main]\nkind = \"wallet\"\nwallet = \"{WALLET}\"\ntoken_env = \"T\"\npoll = \"off\"\n",
        idle + 100
    );
    let mut process = Process::serve("idle-many", &toml, &[("T", TOKEN)]).await;
    let memory = |process: &Process| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let before = memory(&process);
    let grpc = process.address("grpc");
    let mut held = Vec::new();
    while held.len() < idle {
        let more = (0..200.min(idle - held.len())).map(|_| async move {
            let mut stream = TcpStream::connect(grpc).await.unwrap();
            stream.write_all(&h2::hello()).await.unwrap();
            // Its first frame: it is served, not only accepted by the system.
            h2::next(&mut stream).await.expect("settings");
            stream
        });
        held.extend(futures_util::future::join_all(more).await);
    }
    let each = memory(&process).saturating_sub(before) / idle;
    println!("{each} KiB each");
    assert!(each <= 64, "{each} KiB for an idle connection");
    let url = format!("http://{grpc}");
    let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap();
    let begun = Instant::now();
    let channel = endpoint.connect().await.unwrap();
    for _ in 0..50 {
        let ask = Ask::with(MAIN).within(Duration::from_secs(5));
        let fresh = prost::Message::encode_to_vec(&fresh_balances());
        ask.raw(&channel, BALANCES, fresh).await.expect("an answer");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    // The notification listener up to its cap, and one more that has to wait for those to be let go.
    let notifications = process.address("notifications");
    let idle = futures_util::future::join_all((0..300).map(|_| TcpStream::connect(notifications)));
    let idle: Vec<_> = idle.await.into_iter().map(Result::unwrap).collect();
    let begun = Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(15), http_get(notifications, "/x")).await;
    assert_eq!(answer.expect("an answer").0, 404);
    println!("answered after {:?}", begun.elapsed());
    drop((idle, held));
    assert!(process.is_running());
}
