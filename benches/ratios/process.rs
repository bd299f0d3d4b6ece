//! Child processes of a run: start, pin to a core, find their addresses, measure, end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take until all its listeners are announced.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Says on standard output where a listener is, in the words the gateway uses.
pub(crate) fn announce(listener: &str, address: SocketAddr) {
    let line = serde_json::json!({
        "event": "listening", "listener": listener, "address": address.to_string(),
    });
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")
        .and_then(|()| output.flush())
        .expect("the process that started this one reads its output");
}

/// The command for a program, pinned to a core when there is a core to pin to.
pub(crate) fn pinned(core: Option<usize>, program: &Path) -> Command {
    match core {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// A running server. Dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    addresses: BTreeMap<String, String>,
    started: Instant,
}

impl Server {
    /// Starts a server and waits until these listeners are announced.
    pub(crate) fn start(mut command: Command, listeners: &[&str]) -> io::Result<Self> {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take();
        let mut server = Self { child, addresses: BTreeMap::new(), started };
        let (send, receive) = mpsc::channel();
        let output = output.ok_or_else(|| io::Error::other("no standard output"))?;
        thread::spawn(move || {
            // After the receiver is gone this only keeps the pipe empty.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(found) = listening(&line) {
                    let _unread = send.send(found);
                }
            }
        });
        while !listeners.iter().all(|name| server.addresses.contains_key(*name)) {
            let left = START_LIMIT.saturating_sub(started.elapsed());
            let (name, address) = receive.recv_timeout(left).map_err(|_| {
                io::Error::other(format!("ended or silent before announcing {listeners:?}"))
            })?;
            server.addresses.insert(name, address);
        }
        Ok(server)
    }

    /// The announced address of a listener.
    pub(crate) fn address(&self, listener: &str) -> String {
        self.addresses.get(listener).cloned().unwrap_or_default()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When the process was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone after the wait.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn listening(line: &str) -> Option<(String, String)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |key| line.get(key)?.as_str().map(str::to_owned);
    (text("event")? == "listening").then_some((text("listener")?, text("address")?))
}

/// Processor time of a process so far, user and system, in microseconds.
///
/// The kernel reports it in hundredths of a second, so windows must be seconds long.
pub(crate) fn cpu_micros(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name in parentheses and may hold spaces; count behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 * 10_000.0
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A blocking GET that returns status and body, for probes and counters.
pub(crate) fn get(address: &str, path: &str) -> io::Result<(u16, String)> {
    use std::io::Read;
    let mut socket = std::net::TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(socket, "GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    let mut input = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = socket.read(&mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if let Some((status, start, length)) = crate::http1::head(&input)
            && let Some(body) = input.get(start..start + length)
        {
            return Ok((status, String::from_utf8_lossy(body).into_owned()));
        }
    }
}
