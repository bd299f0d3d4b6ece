//! The upstream of these tests: answers exactly the bytes it is told to, and remembers every request.
//!
//! Written on bare sockets, because an HTTP library would repair what a test wants broken: bodies
//! cut at a byte, heads that never end, garbage instead of HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
    /// How many requests of any kind came before this one.
    pub index: usize,
}

impl Seen {
    /// The value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The token of `Authorization: Bearer …`.
    pub fn token(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }
}

/// What to answer, and how badly.
#[derive(Clone, Debug)]
pub struct Answer {
    bytes: Vec<u8>,
    /// Where the body begins in `bytes`.
    body_at: usize,
    before: Duration,
    after_head: Duration,
    cut_at: Option<usize>,
    pieces: Option<(usize, Duration)>,
    close: bool,
}

impl Answer {
    /// A complete answer with a length and a JSON body.
    pub fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::with(status, &[("content-type", "application/json")], body)
    }

    /// A complete answer with these headers and a length.
    pub fn with(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let body_at = head.len();
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        Self::raw(bytes).body_at(body_at)
    }

    /// 200 with this JSON.
    pub fn json(body: impl AsRef<[u8]>) -> Self {
        Self::new(200, body)
    }

    /// These bytes and nothing else.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            body_at: 0,
            before: Duration::ZERO,
            after_head: Duration::ZERO,
            cut_at: None,
            pieces: None,
            close: false,
        }
    }

    fn body_at(mut self, at: usize) -> Self {
        self.body_at = at;
        self
    }

    /// Waits before the first byte.
    pub fn after(mut self, delay: Duration) -> Self {
        self.before = delay;
        self
    }

    /// Waits between head and body.
    pub fn body_after(mut self, delay: Duration) -> Self {
        self.after_head = delay;
        self
    }

    /// Closes the connection after this many bytes, heads included.
    pub fn cut(mut self, at: usize) -> Self {
        self.cut_at = Some(at);
        self
    }

    /// Closes the connection in the middle of the body.
    pub fn cut_in_body(self) -> Self {
        let at = self.body_at + (self.bytes.len() - self.body_at) / 2;
        self.cut(at)
    }

    /// Sends the body in pieces with a pause before each.
    pub fn slowly(mut self, piece: usize, pause: Duration) -> Self {
        self.pieces = Some((piece, pause));
        self
    }

    /// Closes the connection after the answer.
    pub fn and_close(mut self) -> Self {
        self.close = true;
        self
    }
}

type Script = Box<dyn Fn(&Seen) -> Answer + Send + Sync>;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Arc<Script>>,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

/// A running fake; it ends with the test's runtime.
#[derive(Clone)]
pub struct Fake {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Fake {
    /// A fake that gives every request the same answer.
    pub async fn always(answer: Answer) -> Self {
        Self::by(move |_| answer.clone()).await
    }

    /// A fake that gives these answers in turn, the last one from then on.
    pub async fn sequence(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers: Vec<_> = answers.into_iter().collect();
        Self::by(move |seen| answers[seen.index.min(answers.len() - 1)].clone()).await
    }

    /// A fake that decides request by request.
    pub async fn by(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            script: Mutex::new(Arc::new(Box::new(script))),
            in_flight: AtomicUsize::new(0),
            in_flight_max: AtomicUsize::new(0),
        });
        let fake = Self { address, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        fake
    }

    /// From now on decides like this.
    pub fn now(&self, script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock() = Arc::new(Box::new(script));
    }

    /// From now on gives every request this answer.
    pub fn now_always(&self, answer: Answer) {
        self.now(move |_| answer.clone());
    }

    /// The address as a base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many requests arrived.
    pub fn count(&self) -> usize {
        self.shared.seen.lock().len()
    }

    /// How many requests arrived with this token.
    pub fn count_of(&self, token: &str) -> usize {
        self.shared.seen.lock().iter().filter(|seen| seen.token() == Some(token)).count()
    }

    /// The most requests that were being answered at once.
    pub fn in_flight_max(&self) -> usize {
        self.shared.in_flight_max.load(Ordering::SeqCst)
    }

    /// How many requests are being answered now.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::SeqCst)
    }
}

/// An address nothing listens on.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Some(mut seen) = read(&mut stream, &mut buffer).await {
        let script = Arc::clone(&shared.script.lock());
        {
            let mut all = shared.seen.lock();
            seen.index = all.len();
            all.push(seen.clone());
        }
        let now = shared.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        shared.in_flight_max.fetch_max(now, Ordering::SeqCst);
        let open = write(&mut stream, &script(&seen)).await;
        shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !open {
            return;
        }
    }
}

/// Reads one request; what follows it stays in `buffer`.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).expect("the gateway sends a text head");
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let (method, target) = (first.next()?, first.next()?);
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().expect("a length"));
    while buffer.len() < end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[end..end + length].to_vec();
    buffer.drain(..end + length);
    Some(Seen { method, target, headers, body, at: Instant::now(), index: 0 })
}

/// Writes the answer as it says; whether the connection stays open.
async fn write(stream: &mut TcpStream, answer: &Answer) -> bool {
    let wait = |delay: Duration| async move {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    };
    wait(answer.before).await;
    let end = answer.cut_at.unwrap_or(answer.bytes.len()).min(answer.bytes.len());
    let head_end = answer.body_at.min(end);
    if stream.write_all(&answer.bytes[..head_end]).await.is_err() {
        return false;
    }
    let body = &answer.bytes[head_end..end];
    if !body.is_empty() {
        wait(answer.after_head).await;
    }
    let (piece, pause) = answer.pieces.unwrap_or((usize::MAX, Duration::ZERO));
    for part in body.chunks(piece.max(1)) {
        wait(pause).await;
        if stream.write_all(part).await.is_err() {
            return false;
        }
    }
    if answer.cut_at.is_some() || answer.close {
        let _ = stream.shutdown().await;
        return false;
    }
    true
}
