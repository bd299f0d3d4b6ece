//! The load generator, a process of its own on the driver's core.
//!
//! *Closed loop*: every connection keeps a fixed number of calls open, which finds the server's
//! limit. *Open loop*: calls leave at fixed times whatever comes back, so that a slow reply delays
//! no later call and hides nothing. It prints one JSON line, [`Outcome`], with the processor time
//! of the watched processes in exactly the measured window.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::direct::Direct;
use crate::h2::{Grpc, Vary};
use crate::histogram::Histogram;
use crate::process::cpu_micros;

/// What to send and for how long.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Work {
    /// `host:port` of the server.
    pub(crate) target: String,
    /// Plain HTTP/1.1 GET instead of gRPC.
    pub(crate) direct: bool,
    /// Method or URL path.
    pub(crate) path: String,
    /// Further request headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The gRPC frame of the request.
    pub(crate) frame: Vec<u8>,
    /// Makes requests differ.
    pub(crate) vary: Option<Vary>,
    /// Connections.
    pub(crate) connections: usize,
    /// Calls open on each, closed loop only.
    pub(crate) streams: usize,
    /// Calls per second; 0 is the closed loop.
    pub(crate) rate: u32,
    /// Milliseconds before measuring.
    pub(crate) warm_up_ms: u64,
    /// Milliseconds measured.
    pub(crate) measure_ms: u64,
    /// Processes whose processor time is read around the measured window.
    pub(crate) watch: Vec<u32>,
}

/// What came out of a run. Times are microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Good replies within the window.
    pub(crate) ok: u64,
    /// Good replies of the whole run.
    pub(crate) ok_total: u64,
    /// Failures of the whole run, by kind. Any makes the run invalid.
    pub(crate) faults: BTreeMap<String, u64>,
    /// Seconds measured.
    pub(crate) seconds: f64,
    /// Latency quantiles.
    pub(crate) p50: f64,
    /// 90 %.
    pub(crate) p90: f64,
    /// 99 %.
    pub(crate) p99: f64,
    /// 99 % of how late calls left, open loop only.
    pub(crate) late_p99: f64,
    /// Processor time of the watched processes.
    pub(crate) cpu: Vec<f64>,
    /// Bytes of the last reply.
    pub(crate) reply_bytes: usize,
}

/// A finished call.
pub(crate) struct Done {
    /// When it was sent.
    pub(crate) opened: Instant,
    /// Bytes of its reply.
    pub(crate) bytes: usize,
    /// Why it is not good.
    pub(crate) fault: Option<String>,
}

/// A connection that can have several calls open.
pub(crate) trait Connection: Send + Sync {
    /// Sends this many calls.
    fn send(&self, count: usize) -> io::Result<()>;
    /// Reads until the connection ends; after each batch as many calls are sent as `each` says.
    fn receive(&self, each: &mut dyn FnMut(&mut Vec<Done>) -> usize) -> io::Result<()>;
    /// Ends the connection, and with it `receive`.
    fn close(&self);
}

/// One connection's results.
struct Tally {
    begin: Instant,
    end: Instant,
    ok: u64,
    ok_total: u64,
    finished: u64,
    faults: BTreeMap<String, u64>,
    latency: Histogram,
    reply_bytes: usize,
}

impl Tally {
    fn new(begin: Instant, end: Instant) -> Self {
        Self {
            begin,
            end,
            ok: 0,
            ok_total: 0,
            finished: 0,
            faults: BTreeMap::new(),
            latency: Histogram::new(),
            reply_bytes: 0,
        }
    }

    fn count(&mut self, done: Done, now: Instant) {
        self.finished += 1;
        if let Some(fault) = done.fault {
            *self.faults.entry(fault).or_default() += 1;
            return;
        }
        self.ok_total += 1;
        self.reply_bytes = done.bytes;
        if now >= self.begin && now < self.end {
            self.ok += 1;
            let nanos = now.duration_since(done.opened).as_nanos();
            self.latency.record(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }

    fn fault(&mut self, what: String, count: u64) {
        if count > 0 {
            *self.faults.entry(what).or_default() += count;
        }
    }
}

/// Runs one load.
pub(crate) fn run(work: &Work) -> io::Result<Outcome> {
    let address: SocketAddr = work.target.parse().map_err(io::Error::other)?;
    let connections = (0..work.connections)
        .map(|_| -> io::Result<Arc<dyn Connection>> {
            Ok(if work.direct {
                Arc::new(Direct::connect(address, work)?)
            } else {
                Arc::new(Grpc::connect(address, work)?)
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    let begin = Instant::now() + Duration::from_millis(work.warm_up_ms);
    let end = begin + Duration::from_millis(work.measure_ms);
    let (tallies, cpu, late) = if work.rate == 0 {
        closed_loop(&connections, work, begin, end)
    } else {
        open_loop(&connections, work, begin, end)
    };

    let mut sum = Tally::new(begin, end);
    for tally in tallies {
        sum.ok += tally.ok;
        sum.ok_total += tally.ok_total;
        sum.latency.merge(&tally.latency);
        sum.reply_bytes = sum.reply_bytes.max(tally.reply_bytes);
        for (fault, count) in tally.faults {
            sum.fault(fault, count);
        }
    }
    let micros = |share| sum.latency.quantile(share) as f64 / 1e3;
    Ok(Outcome {
        ok: sum.ok,
        ok_total: sum.ok_total,
        seconds: (end - begin).as_secs_f64(),
        p50: micros(0.5),
        p90: micros(0.9),
        p99: micros(0.99),
        late_p99: late.quantile(0.99) as f64 / 1e3,
        cpu,
        reply_bytes: sum.reply_bytes,
        faults: sum.faults,
    })
}

type Results = (Vec<Tally>, Vec<f64>, Histogram);

fn closed_loop(
    connections: &[Arc<dyn Connection>],
    work: &Work,
    begin: Instant,
    end: Instant,
) -> Results {
    let threads: Vec<_> = connections
        .iter()
        .map(|connection| {
            let (connection, streams) = (Arc::clone(connection), work.streams);
            thread::spawn(move || {
                let mut tally = Tally::new(begin, end);
                let mut open = streams;
                let mut each = |batch: &mut Vec<Done>| {
                    let now = Instant::now();
                    let finished = batch.len();
                    batch.drain(..).for_each(|done| tally.count(done, now));
                    if now < end {
                        return finished;
                    }
                    open -= finished;
                    if open == 0 {
                        connection.close();
                    }
                    0
                };
                let result = connection.send(streams).and_then(|()| connection.receive(&mut each));
                let lost = open as u64;
                match result {
                    Err(error) => tally.fault(error.to_string(), lost.max(1)),
                    Ok(()) => tally.fault("no reply".to_owned(), lost),
                }
                tally
            })
        })
        .collect();
    let cpu = watch(work, begin, || sleep_until(end));
    (join(threads), cpu, Histogram::new())
}

fn open_loop(
    connections: &[Arc<dyn Connection>],
    work: &Work,
    begin: Instant,
    end: Instant,
) -> Results {
    let threads: Vec<_> = connections
        .iter()
        .map(|connection| {
            let connection = Arc::clone(connection);
            thread::spawn(move || {
                let mut tally = Tally::new(begin, end);
                let result = connection.receive(&mut |batch| {
                    let now = Instant::now();
                    batch.drain(..).for_each(|done| tally.count(done, now));
                    0
                });
                if let Err(error) = result {
                    tally.fault(error.to_string(), 1);
                }
                tally
            })
        })
        .collect();
    let interval = Duration::from_secs(1) / work.rate;
    let mut late = Histogram::new();
    let mut sent = 0;
    let mut faults = BTreeMap::new();
    let mut due = Instant::now();
    let mut send_until = |limit: Instant| {
        let mut turns = connections.iter().cycle().skip(sent as usize);
        while due < limit {
            sleep_until(due);
            let lag = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
            late.record(lag);
            if let Some(connection) = turns.next()
                && let Err(error) = connection.send(1)
            {
                *faults.entry(error.to_string()).or_insert(0) += 1;
            }
            sent += 1;
            due += interval;
        }
    };
    send_until(begin);
    let cpu = watch(work, begin, || send_until(end));
    // Late replies still count as replies; a second is far above any sensible latency here.
    thread::sleep(Duration::from_millis(if work.measure_ms < 1000 { 200 } else { 1000 }));
    connections.iter().for_each(|connection| connection.close());
    let mut tallies = join(threads);
    let finished: u64 = tallies.iter().map(|tally| tally.finished).sum();
    let mut own = Tally::new(begin, end);
    own.faults = faults;
    own.fault("no reply".to_owned(), sent - finished.min(sent));
    tallies.push(own);
    (tallies, cpu, late)
}

/// Processor time of the watched processes while `during` runs, from `begin` on.
fn watch(work: &Work, begin: Instant, during: impl FnOnce()) -> Vec<f64> {
    sleep_until(begin);
    let read = || work.watch.iter().map(|pid| cpu_micros(*pid));
    let before: Vec<f64> = read().collect();
    during();
    read().zip(before).map(|(now, then)| now - then).collect()
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}

fn join(threads: Vec<thread::JoinHandle<Tally>>) -> Vec<Tally> {
    threads.into_iter().map(|thread| thread.join().expect("a load thread does not panic")).collect()
}
