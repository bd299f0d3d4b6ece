//! Where log lines go: a bounded buffer emptied by one thread.
//!
//! A call only appends to memory. The thread writes when 32 KiB have gathered,
//! when 50 ms have passed, at once for lines marked urgent, and at the end. When
//! the output cannot keep up, lines are dropped and counted: logging never
//! slows a call down. Once the thread has ended, late lines are written directly.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::metrics::Losses;
use super::{clock, json};

/// Bytes of lines that may wait for the output.
pub const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;
const FLUSH_BYTES: usize = 32 * 1024;
const FLUSH_AFTER: Duration = Duration::from_millis(50);
/// A buffer that grew beyond this in a burst gives its memory back.
const KEEP_BYTES_MAX: usize = 256 * 1024;

/// The writing end, shared by everything that logs.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes those who wait for a flush.
    done: Condvar,
    output: Mutex<Box<dyn Write + Send>>,
    losses: Arc<Losses>,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    urgent: bool,
    writing: bool,
    closing: bool,
    closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

impl Sink {
    /// Starts the writer thread.
    pub fn start(
        output: Box<dyn Write + Send>,
        bytes_max: usize,
        losses: Arc<Losses>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            output: Mutex::new(output),
            losses,
            bytes_max,
        });
        let for_writer = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || for_writer.run())?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// Appends one line, which ends with a newline. Never waits for the output
    /// while the writer runs.
    pub fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.shared.state.lock();
        if state.closed {
            drop(state);
            self.shared.write(line);
            return;
        }
        let before = state.buffer.len();
        if before + line.len() > self.shared.bytes_max {
            drop(state);
            self.shared.losses.log_lines.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.buffer.extend_from_slice(line);
        let after = state.buffer.len();
        let wake = before == 0
            || (urgent && !state.urgent)
            || (before < FLUSH_BYTES && after >= FLUSH_BYTES);
        state.urgent |= urgent;
        drop(state);
        if wake {
            self.shared.work.notify_one();
        }
    }

    /// Waits until everything pushed so far is written, at most `cap`.
    pub fn flush(&self, cap: Duration) {
        let deadline = Instant::now() + cap;
        let mut state = self.shared.state.lock();
        while !state.closed && (state.writing || !state.buffer.is_empty()) {
            state.urgent = true;
            self.shared.work.notify_one();
            if self.shared.done.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }

    /// Writes what is left and ends the thread, waiting at most `cap`. An output
    /// that blocks for longer keeps its thread, which then dies with the process.
    pub fn close(&self, cap: Duration) {
        let deadline = Instant::now() + cap;
        self.flush(cap);
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
        let writer = self.writer.lock().take();
        if let Some(writer) = writer
            && self.shared.wait_closed(deadline)
        {
            // The thread has left its loop; a panic in it has nothing to tell.
            let _ = writer.join();
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // Nobody can push any more; the thread writes what is left and ends.
        self.shared.state.lock().closing = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn run(&self) {
        let mut spare = Vec::new();
        let mut reported = 0;
        let mut state = self.state.lock();
        loop {
            while state.buffer.is_empty() && !state.closing {
                self.work.wait(&mut state);
            }
            let deadline = Instant::now() + FLUSH_AFTER;
            while !state.urgent && !state.closing && state.buffer.len() < FLUSH_BYTES {
                if self.work.wait_until(&mut state, deadline).timed_out() {
                    break;
                }
            }
            std::mem::swap(&mut state.buffer, &mut spare);
            state.urgent = false;
            state.writing = true;
            drop(state);

            self.report_losses(&mut spare, &mut reported);
            self.write(&spare);
            spare.clear();
            spare.shrink_to(KEEP_BYTES_MAX);

            state = self.state.lock();
            state.writing = false;
            state.closed = state.closing && state.buffer.is_empty();
            self.done.notify_all();
            if state.closed {
                return;
            }
        }
    }

    /// Says once per batch how many lines are missing, in their place.
    fn report_losses(&self, lines: &mut Vec<u8>, reported: &mut u64) {
        let lost = self.losses.log_lines.load(Ordering::Relaxed);
        if lost == *reported {
            return;
        }
        lines.extend_from_slice(b"{\"event\":\"log_lines_dropped\",\"lines\":");
        json::integer(lines, lost - *reported);
        lines.extend_from_slice(b",\"time\":\"");
        clock::now(lines);
        lines.extend_from_slice(b"\",\"level\":\"WARN\"}\n");
        *reported = lost;
    }

    fn write(&self, lines: &[u8]) {
        let mut output = self.output.lock();
        if output.write_all(lines).and_then(|()| output.flush()).is_err() {
            let lost = lines.iter().filter(|byte| **byte == b'\n').count();
            self.losses.log_lines.fetch_add(lost as u64, Ordering::Relaxed);
        }
    }

    fn wait_closed(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.closed {
            if self.done.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::MemoryLog;
    use std::sync::mpsc;

    fn losses() -> Arc<Losses> {
        Arc::default()
    }

    #[test]
    fn lines_keep_their_order_and_the_last_one_is_written_at_close() {
        let log = MemoryLog::default();
        let sink = Sink::start(log.writer(), BUFFER_BYTES_MAX, losses()).expect("started");
        let expected: String = (0..5_000).map(|n| format!("line {n}\n")).collect();
        for n in 0..5_000 {
            sink.push(format!("line {n}\n").as_bytes(), n % 1_000 == 0);
        }
        sink.close(Duration::from_secs(5));
        assert_eq!(log.contents(), expected);
        sink.push(b"late\n", false);
        assert!(log.contents().ends_with("late\n"));
    }

    #[test]
    fn an_urgent_line_is_written_at_once_and_a_calm_one_soon() {
        let log = MemoryLog::default();
        let sink = Sink::start(log.writer(), BUFFER_BYTES_MAX, losses()).expect("started");
        sink.push(b"urgent\n", true);
        let started = Instant::now();
        while log.contents().is_empty() && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(log.contents(), "urgent\n");
        sink.push(b"calm\n", false);
        while log.contents().len() < 12 && started.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(log.contents(), "urgent\ncalm\n");
    }

    /// Blocks its first write until told to go on.
    struct Stuck {
        go: mpsc::Receiver<()>,
        entered: mpsc::Sender<()>,
        log: Box<dyn Write + Send>,
        waited: bool,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if !self.waited {
                self.waited = true;
                let _ = self.entered.send(());
                let _ = self.go.recv();
            }
            self.log.write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_output_drops_and_counts_instead_of_blocking() {
        let log = MemoryLog::default();
        let (go, wait) = mpsc::channel();
        let (entered, has_entered) = mpsc::channel();
        let stuck = Stuck { go: wait, entered, log: log.writer(), waited: false };
        let losses = losses();
        let sink = Sink::start(Box::new(stuck), 100, Arc::clone(&losses)).expect("started");
        sink.push(b"first\n", true);
        has_entered.recv().expect("the writer is inside write");
        for _ in 0..30 {
            sink.push(b"123456789\n", false);
        }
        assert_eq!(losses.log_lines.load(Ordering::Relaxed), 20);
        sink.flush(Duration::from_millis(10));
        go.send(()).expect("writer waits");
        sink.close(Duration::from_secs(5));
        let text = log.contents();
        assert_eq!(text.matches("123456789\n").count(), 10);
        assert!(text.contains(r#"{"event":"log_lines_dropped","lines":20,"time":""#), "{text}");
    }

    #[test]
    fn a_failing_output_counts_its_lines() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let losses = losses();
        let sink = Sink::start(Box::new(Broken), 1_000, Arc::clone(&losses)).expect("started");
        sink.push(b"a\nb\n", false);
        sink.close(Duration::from_secs(5));
        assert!(losses.log_lines.load(Ordering::Relaxed) >= 2);
    }
}
