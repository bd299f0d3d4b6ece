//! A NATS server of a test's own, and a way to it that can swallow everything.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::replicas::cluster::{free_ports, program};
use crate::support::process::folder;

/// Addresses of a cluster to test against instead: comma separated; nothing in it is killed.
const CLUSTER: &str = "QIWI_TEST_NATS_URLS";

/// One server with JetStream.
pub struct Broker {
    child: Option<Child>,
    port: u16,
    store: PathBuf,
}

impl Broker {
    pub async fn start() -> Self {
        let port = free_ports(1)[0];
        let mut broker = Self { child: None, port, store: folder("nats") };
        broker.up().await;
        broker
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Starts it, with whatever it held before.
    pub async fn up(&mut self) {
        let mut command = Command::new(program());
        command.args(["-js", "-a", "127.0.0.1", "-p", &self.port.to_string(), "-sd"]);
        command.arg(&self.store).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.kill_on_drop(true).spawn().expect("nats-server starts"));
        let begun = Instant::now();
        while TcpStream::connect(self.address()).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nats-server listens");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills it.
    pub async fn down(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().await.expect("it is killed");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // What is left behind is found by whoever cleans the build folder.
        let _ = std::fs::remove_dir_all(&self.store);
    }
}

/// A client of this address that tries again quickly and for ever.
pub async fn client(address: SocketAddr) -> async_nats::Client {
    options().connect(format!("nats://{address}")).await.expect("a broker")
}

fn options() -> async_nats::ConnectOptions {
    async_nats::ConnectOptions::new()
        .retry_on_initial_connect()
        .connection_timeout(Duration::from_secs(1))
        .ping_interval(Duration::from_millis(500))
        .reconnect_delay_callback(|_| Duration::from_millis(50))
}

/// Clients of the cluster the environment names, or of this broker.
pub async fn clients(broker: &Broker, count: usize) -> (Vec<async_nats::Client>, usize) {
    let urls = std::env::var(CLUSTER).unwrap_or_default();
    let urls: Vec<_> = urls.split(',').filter(|url| !url.is_empty()).collect();
    let mut clients = Vec::new();
    for at in 0..count {
        clients.push(match urls.get(at % urls.len().max(1)) {
            Some(url) => options().connect(*url).await.expect("a broker"),
            None => client(broker.address()).await,
        });
    }
    (clients, urls.len().clamp(1, 3))
}

/// Passes bytes on, or swallows them without closing anything.
pub struct Pipe {
    address: SocketAddr,
    swallows: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Pipe {
    pub async fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = Arc::<AtomicBool>::default();
        let swallow = Arc::clone(&swallows);
        let task = tokio::spawn(async move {
            let mut all = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(broker).await else { continue };
                let (near, far) = (near.into_split(), far.into_split());
                all.spawn(pump(near.0, far.1, Arc::clone(&swallow)));
                all.spawn(pump(far.0, near.1, Arc::clone(&swallow)));
            }
        });
        Self { address, swallows, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn swallow(&self, swallow: bool) {
        self.swallows.store(swallow, Ordering::SeqCst);
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    swallow: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 16 << 10];
    let mut swallowed = false;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if swallow.load(Ordering::SeqCst) {
            swallowed = true;
            continue;
        }
        // What follows a hole makes no sense any more; the client connects anew.
        if swallowed || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
