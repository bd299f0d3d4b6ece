//! W3C trace context read and written by hand.
//!
//! A cached read costs about ten microseconds, so the caller's `traceparent` is
//! parsed without allocation and serves both the log line and, when tracing is
//! on, the parent of the server span. Baggage is never read and never sent.

use std::fmt;

use http::{HeaderMap, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// `00-` + 32 + `-` + 16 + `-` + 2.
const VERSION_0_LEN: usize = 55;
/// Longest `tracestate` that is carried; the specification asks for at least 512.
const TRACESTATE_BYTES_MAX: usize = 1024;
const HEX: [u8; 16] = *b"0123456789abcdef";

/// What a valid `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub sampled: bool,
}

impl Remote {
    /// Reads `traceparent`. None when absent, repeated or malformed: a broken
    /// header starts a new trace, it never fails a call.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(VERSION_0_LEN)?;
        let version = hex(head.get(0..2)?)?;
        // Later versions may append fields behind a dash; 255 is reserved.
        let tail_fits = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let dashes = [2, 35, 52].iter().all(|&at| head.get(at) == Some(&b'-'));
        if !tail_fits || !dashes {
            return None;
        }
        let trace_id = TraceId::from(hex(head.get(3..35)?)?);
        let span_id = SpanId::from(u64::try_from(hex(head.get(36..52)?)?).ok()?);
        let flags = hex(head.get(53..55)?)?;
        let valid = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        valid.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The parent of a server span, with the caller's `tracestate`.
    pub fn span_context(self, headers: &HeaderMap) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
        SpanContext::new(self.trace_id, self.span_id, flags, true, tracestate(headers))
    }
}

/// Joins repeated headers, as the specification asks; an unreadable state is
/// dropped and the trace goes on without it.
fn tracestate(headers: &HeaderMap) -> TraceState {
    let mut joined = String::new();
    for value in headers.get_all(TRACESTATE) {
        let Ok(text) = value.to_str() else {
            return TraceState::default();
        };
        if joined.len() + text.len() > TRACESTATE_BYTES_MAX {
            return TraceState::default();
        }
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(text);
    }
    if joined.is_empty() {
        return TraceState::default();
    }
    joined.parse().unwrap_or_default()
}

/// Writes `traceparent`, and nothing else, for a span of ours.
pub fn write(context: &SpanContext, headers: &mut HeaderMap) {
    let mut text = [b'-'; VERSION_0_LEN];
    let trace = TraceText::new(context.trace_id());
    let span = context.span_id().to_bytes();
    let flags = [b'0', b'0' + u8::from(context.is_sampled())];
    let digits = b"00-"
        .iter()
        .chain(&trace.0)
        .copied()
        .chain([b'-'])
        .chain(span.iter().flat_map(|byte| digits(*byte)))
        .chain([b'-'])
        .chain(flags);
    for (to, from) in text.iter_mut().zip(digits) {
        *to = from;
    }
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.insert(TRACEPARENT, value);
    }
}

fn hex(text: &[u8]) -> Option<u128> {
    let mut value: u128 = 0;
    for digit in text {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            // Upper case is invalid in a traceparent.
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u128::from(digit);
    }
    Some(value)
}

fn digits(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
    [digit(byte >> 4), digit(byte & 15)]
}

/// A trace id as 32 hexadecimal digits, without allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceText([u8; 32]);

impl TraceText {
    /// Text of a trace id.
    pub fn new(id: TraceId) -> Self {
        let mut text = [b'0'; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(id.to_bytes()) {
            pair.copy_from_slice(&digits(byte));
        }
        Self(text)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // Only hexadecimal digits are ever stored.
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl AsRef<str> for TraceText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TraceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TraceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).expect("test value"));
        }
        map
    }

    #[test]
    fn a_valid_traceparent_survives_reading_and_writing() {
        let map = headers(&[(TRACEPARENT, VALID), (TRACESTATE, "a=1"), (TRACESTATE, "b=2")]);
        let remote = Remote::read(&map).expect("valid");
        assert!(remote.sampled);
        assert_eq!(TraceText::new(remote.trace_id).as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let context = remote.span_context(&map);
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        let mut out = HeaderMap::new();
        write(&context, &mut out);
        assert_eq!(out.get(TRACEPARENT).expect("written"), VALID);
        assert!(out.get(TRACESTATE).is_none());
    }

    #[test]
    fn malformed_headers_start_a_new_trace() {
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Remote::parse(bad.as_bytes()), None, "{bad}");
        }
        let twice = headers(&[(TRACEPARENT, VALID), (TRACEPARENT, VALID)]);
        assert_eq!(Remote::read(&twice), None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = VALID.replacen("00-", "01-", 1) + "-more";
        assert!(Remote::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn an_oversized_tracestate_is_dropped() {
        let long = format!("a={}", "x".repeat(250)) + &",b=y".repeat(300);
        let map = headers(&[(TRACEPARENT, VALID), (TRACESTATE, &long)]);
        let remote = Remote::read(&map).expect("valid");
        assert_eq!(remote.span_context(&map).trace_state().header(), "");
    }
}
