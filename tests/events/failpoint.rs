//! Killed with SIGKILL at a certain moment of a notification's way.
//!
//! The gateway that is killed is a process of its own whose log stands still at a point; the one
//! that comes after it is an ordinary one over the same files.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use qiwi_gateway::config::{Variable, Webhook};
use qiwi_gateway::events::{EventLog, Limit, Retention};
use qiwi_gateway::state::{EmbeddedLog, Settings};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::letter::{HOOK, KEY, Letter, post, try_post};
use super::shared::{Between, Point};
use super::*;

const FOLDER: &str = "EVENT_TEST_FOLDER";
const POINT: &str = "EVENT_TEST_POINT";

async fn opened(folder: &Path) -> Arc<dyn EventLog> {
    let settings = Settings::new(folder);
    let open = move || EmbeddedLog::open(&settings, Retention::DEFAULT).unwrap();
    Arc::new(tokio::task::spawn_blocking(open).await.unwrap())
}

async fn gateway(log: Arc<dyn EventLog>) -> Gateway {
    let fake = Fake::always(Answer::new(404, "")).await;
    let mut setup = Setup::new(&fake).set(|config| {
        config.notifications.sources = vec!["any".to_owned()];
        config.notifications.store_timeout = Duration::from_secs(60);
        let main = config.credentials.get_mut("main").unwrap();
        main.webhook = Webhook::Static;
        main.webhook_key_env = Some(Variable("HOOK_KEY".to_owned()));
    });
    setup.env.insert("HOOK_KEY".to_owned(), KEY.to_owned());
    let gateway = setup.start_over(log).await;
    let (hub, name) = (gateway.hub(), Arc::from("main"));
    hub.hooks.learn(&*hub.log, &hub.cipher, &name, HOOK.parse().unwrap(), KEY).await.unwrap();
    gateway
}

/// The process that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the body of a process that the tests below start"]
async fn body() {
    let folder = std::env::var_os(FOLDER).expect("started by the tests below");
    let point = match std::env::var(POINT).unwrap().as_str() {
        "Append" => Point::Append,
        "Answer" => Point::Answer,
        "Read" => Point::Read,
        other => panic!("{other}"),
    };
    // One line is one write, so that lines stay whole.
    let say = |line: &str| std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
    let log = Between {
        point: Some(point),
        reached: Box::new(move || say("reached")),
        ..Between::over(opened(Path::new(&folder)).await)
    };
    let gateway = gateway(Arc::new(log)).await;
    say(&format!("listening {} {}", gateway.notifications(), gateway.address()));
    std::future::pending::<()>().await;
}

/// A gateway about to be killed.
struct Doomed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    notifications: SocketAddr,
    grpc: SocketAddr,
}

impl Doomed {
    async fn start(folder: &Path, point: Point) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "events::failpoint::body", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(POINT, format!("{point:?}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let nowhere = "127.0.0.1:1".parse().unwrap();
        let mut doomed = Self { child, lines, notifications: nowhere, grpc: nowhere };
        let line = doomed.says("listening ").await;
        let (notifications, grpc) = line.split_once(' ').unwrap();
        (doomed.notifications, doomed.grpc) =
            (notifications.parse().unwrap(), grpc.parse().unwrap());
        doomed
    }

    /// Waits for a line that begins so; what follows.
    async fn says(&mut self, begin: &str) -> String {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("it goes on");
                if let Some(rest) = line.strip_prefix(begin) {
                    return rest.to_owned();
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reading).await.expect("a word in time")
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Posts a letter to a gateway that is killed at the point; the log it leaves.
async fn killed_at(point: Point, letter: &Letter) -> (Option<u16>, std::path::PathBuf) {
    let folder = process::folder("events-failpoint");
    let mut doomed = Doomed::start(&folder, point).await;
    let (to, body) = (doomed.notifications, letter.body());
    let posting =
        tokio::spawn(async move { try_post(to, "/notifications/wallet/main", &[], &body).await });
    doomed.says("reached").await;
    doomed.kill().await;
    (posting.await.unwrap().map(|(status, _)| status), folder)
}

/// Everything a stream from the beginning has, and the events of the log.
async fn kept(gateway: &Gateway) -> (Vec<i64>, usize) {
    let channel = gateway.channel().await;
    let earliest = from(end_of_log(pb::LogAnchor::Earliest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &earliest).await.unwrap();
    let (_, events) = caught_up(&mut stream).await;
    let logged = gateway.hub().log.read(0, Limit::events(100)).await.unwrap().len();
    (events.iter().map(|event| event.sequence).collect(), logged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_append_it_leaves_nothing_and_the_repeat_is_stored() {
    let letter = Letter::incoming(1);
    let (answer, folder) = killed_at(Point::Append, &letter).await;
    assert_eq!(answer, None, "nobody said 200");
    let gateway = gateway(opened(&folder).await).await;
    assert_eq!(kept(&gateway).await, (vec![], 0));
    assert_eq!(
        post(gateway.notifications(), "/notifications/wallet/main", &[], &letter.body()).await.0,
        200
    );
    assert_eq!(kept(&gateway).await, (vec![1], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_200_the_repeat_is_a_duplicate() {
    let letter = Letter::incoming(1);
    let (answer, folder) = killed_at(Point::Answer, &letter).await;
    assert_eq!(answer, None, "nobody said 200");
    let gateway = gateway(opened(&folder).await).await;
    assert_eq!(kept(&gateway).await, (vec![1], 1));
    assert_eq!(
        post(gateway.notifications(), "/notifications/wallet/main", &[], &letter.body()).await.0,
        200
    );
    assert_eq!(gateway.metric("qiwi_events_duplicate_total", &["delivery"]).await, 1);
    assert_eq!(kept(&gateway).await, (vec![1], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_200_and_before_anybody_was_told_the_resumed_stream_tells() {
    let folder = process::folder("events-failpoint");
    let mut doomed = Doomed::start(&folder, Point::Read).await;
    let address = format!("http://{}", doomed.grpc);
    let channel = tonic::transport::Endpoint::from_shared(address).unwrap();
    let channel = channel.connect().await.unwrap();
    let latest = from(end_of_log(pb::LogAnchor::Latest));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &latest).await.unwrap();
    let (place, _) = caught_up(&mut stream).await;
    let body = Letter::incoming(1).body();
    assert_eq!(post(doomed.notifications, "/notifications/wallet/main", &[], &body).await.0, 200);
    doomed.says("reached").await;
    let nothing = tokio::time::timeout(Duration::from_millis(200), stream.message()).await;
    assert!(nothing.is_err(), "nobody was told: {nothing:?}");
    doomed.kill().await;
    let gateway = gateway(opened(&folder).await).await;
    let channel = gateway.channel().await;
    let again = from(cursor(place.cursor));
    let mut stream = subscribe(&channel, &Ask::with(MAIN), &again).await.unwrap();
    let (_, events) = caught_up(&mut stream).await;
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1]);
}
