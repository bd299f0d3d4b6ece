//! A wire to a broker that can swallow the acknowledgements of writes and nothing else, or hold back
//! everything that the broker says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running wire.
pub struct Wire {
    pub address: SocketAddr,
    swallows: Arc<AtomicBool>,
    holds: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// A wire to a broker.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallows = Arc::new(AtomicBool::new(false));
        let holds = watch::Sender::new(false);
        let (flag, held) = (Arc::clone(&swallows), holds.subscribe());
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let Ok(broker) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (flag, held) = (Arc::clone(&flag), held.clone());
                tokio::spawn(async move {
                    let (mut from_client, to_client) = client.into_split();
                    let (from_broker, mut to_broker) = broker.into_split();
                    tokio::select! {
                        _ = tokio::io::copy(&mut from_client, &mut to_broker) => {}
                        _ = back(BufReader::new(from_broker), to_client, &flag, held) => {}
                    }
                });
            }
        });
        Self { address, swallows, holds, task }
    }

    /// From now on acknowledgements are swallowed, or are not.
    pub fn swallow(&self, swallows: bool) {
        self.swallows.store(swallows, Ordering::Relaxed);
    }

    /// From now on nothing comes from the broker, or comes again, with what was held back.
    pub fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn back(
    mut from: impl tokio::io::AsyncBufRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    swallows: &AtomicBool,
    mut held: watch::Receiver<bool>,
) -> Option<()> {
    loop {
        let mut line = Vec::new();
        if from.read_until(b'\n', &mut line).await.ok()? == 0 {
            return None;
        }
        let mut payload = Vec::new();
        if line.starts_with(b"MSG ") || line.starts_with(b"HMSG ") {
            let text = std::str::from_utf8(&line).unwrap().trim_end();
            let size: usize = text.rsplit(' ').next().unwrap().parse().unwrap();
            payload.resize(size + 2, 0);
            from.read_exact(&mut payload).await.ok()?;
        }
        held.wait_for(|held| !held).await.ok()?;
        let is_ack = payload.starts_with(b"{\"stream\":");
        if !(is_ack && swallows.load(Ordering::Relaxed)) {
            to.write_all(&line).await.ok()?;
            to.write_all(&payload).await.ok()?;
        }
    }
}
