//! A wire between gateway and sandbox that breaks where it is told to.
//!
//! The sandbox can misbehave once it has read a request; what goes wrong before that, or within the
//! bytes of an answer's head, happens here. A payment has a connection of its own, so a trick for the
//! next connection is a trick for the next payment as long as nothing else is asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to a connection.
#[derive(Clone, Copy, Debug)]
pub enum Trick {
    /// Accepted and closed, with nothing read.
    Close,
    /// Closed after this many bytes of the request; the sandbox gets none of them.
    Part(usize),
    /// The request is read, the sandbox gets none of it, and nothing is said.
    Swallow,
    /// The sandbox gets the request; of its answer only this many bytes come back.
    Head(usize),
    /// The same, and then nothing more instead of an end.
    HeadAndHang(usize),
}

/// A running wire.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    tricks: Mutex<VecDeque<Trick>>,
    /// Tricks that have done what they do.
    done: AtomicUsize,
}

impl Proxy {
    /// A wire to this address.
    pub async fn to(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { upstream, tricks: Mutex::default(), done: AtomicUsize::new(0) });
        let accepting = Some(tokio::spawn(accept(listener, Arc::clone(&shared))));
        Self { address, shared, accepting }
    }

    /// Where the gateway is to send things.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plays this trick on the next connection.
    pub fn next(&self, trick: Trick) {
        self.shared.tricks.lock().push_back(trick);
    }

    /// How many tricks have done what they do.
    pub fn done(&self) -> usize {
        self.shared.done.load(Ordering::SeqCst)
    }

    /// From now on nobody listens.
    pub async fn refuse(&mut self) {
        let accepting = self.accepting.take().expect("it listens");
        accepting.abort();
        let _ = accepting.await;
    }

    /// Listens again, on the same port.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let trick = shared.tricks.lock().pop_front();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _client_or_server_may_have_gone = play(stream, trick, &shared).await;
        });
    }
}

async fn play(mut stream: TcpStream, trick: Option<Trick>, shared: &Shared) -> std::io::Result<()> {
    let done = || shared.done.fetch_add(1, Ordering::SeqCst);
    match trick {
        None => {
            let mut upstream = TcpStream::connect(shared.upstream).await?;
            copy_bidirectional(&mut stream, &mut upstream).await?;
        }
        Some(Trick::Close) => {
            done();
        }
        Some(Trick::Part(bytes)) => {
            let mut part = vec![0; bytes];
            stream.read_exact(&mut part).await?;
            done();
        }
        Some(Trick::Swallow) => {
            let mut first = [0];
            stream.read_exact(&mut first).await?;
            done();
            // Until the other side has had enough.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        Some(Trick::Head(bytes)) | Some(Trick::HeadAndHang(bytes)) => {
            let upstream = TcpStream::connect(shared.upstream).await?;
            let (mut answers, mut requests) = upstream.into_split();
            let (mut from, mut to) = stream.into_split();
            let forward =
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut requests).await });
            // The first byte of the answer says that the sandbox is done with the request.
            let mut head = vec![0; bytes.max(1)];
            let mut read = 0;
            while read < head.len() {
                match answers.read(&mut head[read..]).await? {
                    0 => break,
                    more => read += more,
                }
            }
            to.write_all(&head[..read.min(bytes)]).await?;
            to.flush().await?;
            done();
            if matches!(trick, Some(Trick::HeadAndHang(_))) {
                // Until the other side has had enough.
                let _ended = forward.await;
            } else {
                to.shutdown().await?;
                forward.abort();
            }
        }
    }
    Ok(())
}
