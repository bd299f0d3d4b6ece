//! A gRPC connection that costs the driver next to nothing.
//!
//! One HTTP/2 connection over a blocking socket, with all requests alike: a prebuilt block and a
//! prebuilt message, of which only the stream id (and, on wish, some digits) changes. A general
//! client costs as much per call as the server it is to measure, and on two cores the driver has to
//! be cheaper. Every reply's `:status` and `grpc-status` are still read.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::hpack::{Decoder, Outcome, request};
use crate::load::{Connection, Done, Work};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest window, so that the peer never waits for us within a run.
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// Streams that can be open at once; more is a mistake in the arguments.
const SLOTS: usize = 4096;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// An open stream: its id (0 is free) and when it was opened.
#[derive(Clone, Copy)]
struct Slot {
    stream: u32,
    opened: Instant,
    outcome: Outcome,
    bytes: usize,
}

/// What both the sending and the reading side touch.
struct Shared {
    next: u32,
    window: i64,
    slots: Vec<Slot>,
    out: Vec<u8>,
    sent: u64,
}

/// One connection.
pub(crate) struct Grpc {
    socket: TcpStream,
    blocks: [Vec<u8>; 2],
    message: Vec<u8>,
    vary: Option<Vary>,
    shared: Mutex<Shared>,
}

/// Six digits of the message that count up, so that requests differ.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Vary {
    /// Where in the frame they start.
    pub(crate) offset: usize,
    /// How many different values there are.
    pub(crate) values: u64,
}

impl Grpc {
    /// Connects and sends the preface.
    pub(crate) fn connect(address: SocketAddr, work: &Work) -> io::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut hello = PREFACE.to_vec();
        // No push, and a window that never runs out.
        let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend_from_slice(&WINDOW_MAX.to_be_bytes());
        push(&mut hello, SETTINGS, 0, 0, &settings);
        let more = (WINDOW_MAX - 65_535).to_be_bytes();
        push(&mut hello, WINDOW_UPDATE, 0, 0, &more);
        socket.write_all(&hello)?;
        let free =
            Slot { stream: 0, opened: Instant::now(), outcome: Outcome::default(), bytes: 0 };
        Ok(Self {
            socket,
            blocks: request(&work.path, &address.to_string(), &work.headers),
            message: work.frame.clone(),
            vary: work.vary,
            shared: Mutex::new(Shared {
                next: 1,
                window: 65_535,
                slots: vec![free; SLOTS],
                out: Vec::with_capacity(64 * 1024),
                sent: 0,
            }),
        })
    }

    fn enqueue(&self, shared: &mut Shared, now: Instant) -> io::Result<()> {
        shared.window -= self.message.len() as i64;
        if shared.window < 0 {
            return Err(io::Error::other("the server gave no window for requests"));
        }
        let stream = shared.next;
        shared.next += 2;
        let [first, later] = &self.blocks;
        let block = if stream == 1 { first } else { later };
        push(&mut shared.out, HEADERS, 0x4, stream, block);
        let start = shared.out.len() + 9;
        push(&mut shared.out, DATA, 0x1, stream, &self.message);
        if let Some(vary) = self.vary {
            let digits = format!("{:06}", shared.sent % vary.values);
            let place = start + vary.offset;
            if let Some(target) = shared.out.get_mut(place..place + digits.len()) {
                target.copy_from_slice(digits.as_bytes());
            }
        }
        shared.sent += 1;
        let slot = shared.slots.get_mut(index(stream));
        let slot = slot.ok_or_else(|| io::Error::other("no slot"))?;
        if slot.stream != 0 {
            return Err(io::Error::other("a stream was never answered"));
        }
        *slot = Slot { stream, opened: now, outcome: Outcome::default(), bytes: 0 };
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().expect("no thread panics with the lock")
    }

    /// Handles one frame. A finished stream is reported through `done`.
    fn frame(
        &self,
        (kind, flags, stream): (u8, u8, u32),
        payload: &[u8],
        reader: &mut Reader,
        done: &mut dyn FnMut(Done),
    ) -> io::Result<()> {
        match kind {
            DATA | HEADERS => {
                let mut shared = self.lock();
                let slot = shared.slots.get_mut(index(stream));
                let slot = slot
                    .filter(|slot| slot.stream == stream)
                    .ok_or_else(|| io::Error::other("a frame for a stream that is not open"))?;
                if kind == DATA {
                    slot.bytes += payload.len();
                    reader.unacknowledged += payload.len() as u32;
                } else {
                    if flags & 0x4 == 0 || flags & 0x28 != 0 {
                        return Err(io::Error::other("a header block this reader does not know"));
                    }
                    let outcome = reader.decoder.block(payload);
                    let outcome =
                        outcome.ok_or_else(|| io::Error::other("an invalid header block"))?;
                    slot.outcome.http = slot.outcome.http.max(outcome.http);
                    slot.outcome.grpc = slot.outcome.grpc.or(outcome.grpc);
                }
                if flags & 0x1 != 0 {
                    slot.stream = 0;
                    let fault = match slot.outcome {
                        Outcome { http: 200, grpc: Some(0) } if slot.bytes >= 5 => None,
                        Outcome { http: 200, grpc: Some(0) } => Some("no message".to_owned()),
                        Outcome { http: 200, grpc: Some(code) } => {
                            Some(format!("grpc-status {code}"))
                        }
                        Outcome { http: 200, .. } => Some("no grpc-status".to_owned()),
                        _ => Some("HTTP status not 200".to_owned()),
                    };
                    done(Done { opened: slot.opened, bytes: slot.bytes, fault });
                }
                if reader.unacknowledged > 1 << 30 {
                    let more = reader.unacknowledged.to_be_bytes();
                    reader.unacknowledged = 0;
                    push(&mut shared.out, WINDOW_UPDATE, 0, 0, &more);
                }
            }
            RST_STREAM => {
                let mut shared = self.lock();
                if let Some(slot) = shared.slots.get_mut(index(stream))
                    && slot.stream == stream
                {
                    slot.stream = 0;
                    done(Done {
                        opened: slot.opened,
                        bytes: slot.bytes,
                        fault: Some("reset".to_owned()),
                    });
                }
            }
            SETTINGS if flags & 0x1 == 0 => push(&mut self.lock().out, SETTINGS, 0x1, 0, &[]),
            PING if flags & 0x1 == 0 => push(&mut self.lock().out, PING, 0x1, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                self.lock().window += i64::from(number(payload).unwrap_or(0));
            }
            GOAWAY => return Err(io::Error::other("the server closed the connection")),
            CONTINUATION => return Err(io::Error::other("a continuation is not supported")),
            _ => {}
        }
        Ok(())
    }
}

/// What only the reading side touches.
struct Reader {
    decoder: Decoder,
    unacknowledged: u32,
}

impl Connection for Grpc {
    fn send(&self, count: usize) -> io::Result<()> {
        let mut shared = self.lock();
        let now = Instant::now();
        for _ in 0..count {
            self.enqueue(&mut shared, now)?;
        }
        let result = (&self.socket).write_all(&shared.out);
        shared.out.clear();
        result
    }

    fn receive(&self, each: &mut dyn FnMut(&mut Vec<Done>) -> usize) -> io::Result<()> {
        let mut reader = Reader { decoder: Decoder::default(), unacknowledged: 0 };
        let mut input = vec![0; 256 * 1024];
        let mut filled = 0;
        let mut batch = Vec::new();
        let mut faults: BTreeMap<u32, io::Error> = BTreeMap::new();
        loop {
            let space = input.get_mut(filled..).unwrap_or_default();
            let count = (&self.socket).read(space)?;
            if count == 0 {
                return Ok(());
            }
            filled += count;
            let mut rest = input.get(..filled).unwrap_or_default();
            while let Some((head, payload, after)) = split(rest) {
                rest = after;
                let mut finished = |done| batch.push(done);
                if let Err(fault) = self.frame(head, payload, &mut reader, &mut finished) {
                    faults.insert(head.2, fault);
                }
            }
            let left = rest.len();
            input.copy_within(filled - left..filled, 0);
            filled = left;
            if let Some((_, fault)) = faults.pop_first() {
                return Err(fault);
            }
            let more = each(&mut batch);
            batch.clear();
            if more > 0 || !self.lock().out.is_empty() {
                self.send(more)?;
            }
        }
    }

    fn close(&self) {
        // The peer may be gone already, which is what is wanted.
        let _gone = self.socket.shutdown(std::net::Shutdown::Both);
    }
}

fn index(stream: u32) -> usize {
    (stream >> 1) as usize % SLOTS
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// Appends a frame.
fn push(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("frames here are small");
    out.extend_from_slice(length.to_be_bytes().get(1..).unwrap_or_default());
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Type, flags and stream of a frame, its payload, and what follows it.
type Split<'a> = ((u8, u8, u32), &'a [u8], &'a [u8]);

fn split(bytes: &[u8]) -> Option<Split<'_>> {
    let (head, rest) = bytes.split_at_checked(9)?;
    let &[high, middle, low, kind, flags, ref stream @ ..] = head else {
        return None;
    };
    let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let (payload, rest) = rest.split_at_checked(length)?;
    Some(((kind, flags, number(stream)? & WINDOW_MAX), payload, rest))
}
