//! `tracing` events as JSON lines.
//!
//! `{"time":"…","level":"INFO","target":"…",…}` with the message as `message`
//! and every other field beside it. An event with a field `event` is a named
//! fact that something may be waiting for: its line starts with that field and
//! the others, followed by time and level only, and is written at once. So
//! `info!(event = "listening", listener = "grpc", address = "…")` becomes
//! `{"event":"listening","listener":"grpc","address":"…","time":…,"level":…}`.
//!
//! Spans are not rendered: what a call knows about itself is in its summary.
//! Do not name a field `time`, `level` or `target`.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::sink::Sink;
use super::{clock, json};

const EVENT: &str = "event";

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The layer that writes log lines.
#[derive(Debug)]
pub struct JsonLines {
    sink: Arc<Sink>,
}

impl JsonLines {
    /// Writes to `sink`.
    pub fn new(sink: Arc<Sink>) -> Self {
        Self { sink }
    }
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.write(&mut line, event),
            // The Debug of a field logs something itself.
            Err(_) => self.write(&mut Vec::new(), event),
        });
    }
}

impl JsonLines {
    fn write(&self, line: &mut Vec<u8>, event: &Event<'_>) {
        line.clear();
        let meta = event.metadata();
        let level = *meta.level();
        let named = meta.fields().iter().any(|field| field.name() == EVENT);
        if named {
            event.record(&mut Name(line));
            if line.is_empty() {
                // The field is there but was left empty.
                line.extend_from_slice(b"{\"event\":null");
            }
            event.record(&mut Fields { line, named });
            line.extend_from_slice(b",\"time\":\"");
            clock::now(line);
            line.extend_from_slice(b"\",\"level\":\"");
            line.extend_from_slice(level.as_str().as_bytes());
            line.extend_from_slice(b"\"}\n");
        } else {
            line.extend_from_slice(b"{\"time\":\"");
            clock::now(line);
            line.extend_from_slice(b"\",\"level\":\"");
            line.extend_from_slice(level.as_str().as_bytes());
            line.extend_from_slice(b"\",\"target\":");
            json::string(line, meta.target());
            event.record(&mut Fields { line, named });
            line.extend_from_slice(b"}\n");
        }
        self.sink.push(line, named || level <= Level::WARN);
    }
}

/// Writes the opening brace and the field `event`.
struct Name<'a>(&'a mut Vec<u8>);

impl Visit for Name<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == EVENT {
            self.0.extend_from_slice(b"{\"event\":");
            json::string(self.0, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == EVENT {
            self.0.extend_from_slice(b"{\"event\":");
            json::display(self.0, format_args!("{value:?}"));
        }
    }
}

/// Writes fields, each after a comma.
struct Fields<'a> {
    line: &'a mut Vec<u8>,
    /// Whether `event` stands at the front already.
    named: bool,
}

impl Fields<'_> {
    /// Writes the key; None when the field is already written.
    fn key(&mut self, field: &Field) -> Option<&mut Vec<u8>> {
        let name = field.name();
        if self.named && name == EVENT {
            return None;
        }
        self.line.push(b',');
        json::string(self.line, name.strip_prefix("r#").unwrap_or(name));
        self.line.push(b':');
        Some(self.line)
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(line) = self.key(field) {
            json::string(line, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if let Some(line) = self.key(field) {
            json::integer(line, value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if let Some(line) = self.key(field) {
            json::integer(line, value);
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        if let Some(line) = self.key(field) {
            json::integer(line, value);
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        if let Some(line) = self.key(field) {
            json::integer(line, value);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if let Some(line) = self.key(field) {
            json::float(line, value);
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if let Some(line) = self.key(field) {
            json::boolean(line, value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        if let Some(line) = self.key(field) {
            json::display(line, format_args!("{}", Chain(value)));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(line) = self.key(field) {
            json::display(line, format_args!("{value:?}"));
        }
    }
}

/// An error with its causes.
struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use crate::telemetry::MemoryLog;
    use crate::telemetry::sink::BUFFER_BYTES_MAX;
    use serde_json::Value;
    use std::time::Duration;
    use tracing_subscriber::prelude::*;

    fn logged(act: impl FnOnce()) -> String {
        let log = MemoryLog::default();
        let sink = Sink::start(log.writer(), BUFFER_BYTES_MAX, Arc::default()).expect("started");
        let sink = Arc::new(sink);
        let layer = JsonLines::new(Arc::clone(&sink));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), act);
        sink.close(Duration::from_secs(5));
        log.contents()
    }

    #[test]
    fn a_plain_event_carries_its_fields_flat() {
        let text = logged(|| {
            let error = std::io::Error::other("disk\nfull");
            tracing::warn!(
                target: "qiwi_gateway::test",
                count = 3_u64,
                below = -4_i64,
                ratio = 0.5,
                done = true,
                r#type = "при\"вет",
                error = &error as &(dyn Error + 'static),
                shown = %"a\tb",
                seen = ?Some("x"),
                "it {}", "works\u{1}"
            );
        });
        let line: Value = serde_json::from_str(&text).expect("one JSON line");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["target"], "qiwi_gateway::test");
        assert_eq!(line["message"], "it works\u{1}");
        assert_eq!(line["count"], 3);
        assert_eq!(line["below"], -4);
        assert_eq!(line["ratio"].as_f64(), Some(0.5));
        assert_eq!(line["done"], true);
        assert_eq!(line["type"], "при\"вет");
        assert_eq!(line["error"], "disk\nfull");
        assert_eq!(line["shown"], "a\tb");
        assert_eq!(line["seen"], "Some(\"x\")");
        let time = line["time"].as_str().expect("text");
        time.parse::<jiff::Timestamp>().expect("RFC 3339");
        assert!(text.starts_with("{\"time\":\""), "{text}");
    }

    #[test]
    fn a_named_event_starts_with_its_name_and_has_no_target() {
        let text = logged(|| {
            tracing::info!(event = "listening", listener = "grpc", address = %"127.0.0.1:1234");
        });
        let front = r#"{"event":"listening","listener":"grpc","address":"127.0.0.1:1234","time":""#;
        assert!(text.starts_with(front), "{text}");
        let line: Value = serde_json::from_str(&text).expect("one JSON line");
        let keys = line.as_object().expect("object").len();
        assert_eq!(keys, 5, "{text}");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn the_name_comes_first_even_after_a_message() {
        let text = logged(|| tracing::info!(host = "edge", event = "breaker_open", "opened"));
        assert!(text.starts_with(r#"{"event":"breaker_open","#), "{text}");
        let line: Value = serde_json::from_str(&text).expect("one JSON line");
        assert_eq!(line["message"], "opened");
        assert_eq!(line["host"], "edge");
    }

    #[test]
    fn a_field_that_logs_while_it_is_printed_does_no_harm() {
        struct Chatty;
        impl fmt::Debug for Chatty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                tracing::info!("inner");
                f.write_str("outer")
            }
        }
        let text = logged(|| tracing::info!(value = ?Chatty));
        for line in text.lines() {
            serde_json::from_str::<Value>(line).expect("valid JSON");
        }
        assert!(text.contains("outer"), "{text}");
    }
}
