//! Deadlines: ours ends before the caller's, so that the caller gets our detailed answer.
//!
//! tonic answers CANCELLED when a deadline passes, ignores malformed headers and starts its clock
//! only after queueing. Here the clock starts with the request's arrival, and the reserve leaves
//! time for the answer to travel: 150 ms, or a fifth when the caller gives less than a second.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Outbound;
use crate::call::{Inbound, Journal};
use crate::config;
use crate::error::{Error, Sent, reason};
use crate::policy::{Class, Shape};
use crate::telemetry::Metrics;

/// The layers below stop by themselves at the deadline and know more; this one is a safety net.
const NET: Duration = Duration::from_millis(20);

/// Makes [`DeadlineGuard`].
#[derive(Clone)]
pub struct DeadlineLayer {
    /// Defaults, caps and reserves.
    pub settings: Arc<config::Deadline>,
    /// Counts malformed headers.
    pub metrics: Arc<Metrics>,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineGuard<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineGuard { inner, layer: self.clone() }
    }
}

/// See the module.
#[derive(Clone)]
pub struct DeadlineGuard<S> {
    inner: S,
    layer: DeadlineLayer,
}

impl<S> Service<Inbound> for DeadlineGuard<S>
where
    S: Service<Inbound, Response = Outbound, Error = Error>,
{
    type Response = Outbound;
    type Error = Error;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Inbound) -> Self::Future {
        let settings = &self.layer.settings;
        let class = call.method.policy.class;
        let (default, cap) = match class {
            Class::Money => (settings.money_default, settings.money_max),
            Class::Read | Class::Write | Class::Once => (settings.read_default, settings.read_max),
        };
        // A file takes as long as it takes; its pieces have limits of their own.
        let default = match call.method.policy.shape {
            Shape::Unary => default,
            Shape::ServerStream => cap,
            // That is for the beginning; the stream ends as `ends` says.
            Shape::Bidi => default,
        };
        let asked = match timeout_of(&call.parts.headers) {
            Timeout::Given(timeout) => Some(timeout.min(cap)),
            Timeout::Absent => None,
            Timeout::Malformed => {
                self.layer.metrics.deadline_header_malformed();
                None
            }
        };
        let budget = match asked {
            Some(asked) => asked.saturating_sub(reserve(settings, asked)),
            None => default,
        };
        call.deadline = call.arrival + budget;
        self.layer.metrics.remaining_budget(budget.as_secs_f64());
        let given = asked.unwrap_or(default);
        let too_short = class == Class::Money && given < settings.money_min;
        let journal = Arc::clone(&call.journal);
        let net = call.deadline + NET;
        DeadlineFuture {
            inner: if too_short { None } else { Some(self.inner.call(call)) },
            net,
            money: class == Class::Money,
            sleep: None,
            journal,
        }
    }
}

/// When the gateway ends a call that lasts for as long as its caller likes: `None` when the caller
/// set no deadline.
pub fn ends(headers: &HeaderMap, arrival: Instant, settings: &config::Deadline) -> Option<Instant> {
    match timeout_of(headers) {
        Timeout::Given(asked) => {
            arrival.checked_add(asked.saturating_sub(reserve(settings, asked)))
        }
        Timeout::Absent | Timeout::Malformed => None,
    }
}

/// How much earlier than the caller the gateway gives up.
fn reserve(settings: &config::Deadline, asked: Duration) -> Duration {
    if asked < settings.short {
        settings.short_reserve_percent.of_duration(asked)
    } else {
        settings.reserve
    }
}

enum Timeout {
    Absent,
    Malformed,
    Given(Duration),
}

/// Reads `grpc-timeout`: at most eight digits and a unit.
fn timeout_of(headers: &HeaderMap) -> Timeout {
    let Some(value) = headers.get("grpc-timeout") else { return Timeout::Absent };
    let Some((unit, digits)) = value.as_bytes().split_last() else { return Timeout::Malformed };
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Timeout::Malformed;
    }
    let number = digits.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Timeout::Given(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return Timeout::Malformed,
    })
}

pin_project_lite::pin_project! {
    /// The future of [`DeadlineGuard`].
    pub struct DeadlineFuture<F> {
        #[pin]
        inner: Option<F>,
        net: Instant,
        money: bool,
        sleep: Option<Pin<Box<tokio::time::Sleep>>>,
        journal: Arc<Journal>,
    }
}

impl<F: Future<Output = Result<Outbound, Error>>> Future for DeadlineFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Err(Error::new(&reason::DEADLINE_TOO_SHORT).sent(Sent::No)));
        };
        // First, so that a call answered from the cache never touches the timer wheel.
        if let Poll::Ready(result) = inner.poll(cx) {
            return Poll::Ready(result);
        }
        let net = *this.net;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(net)));
        sleep.as_mut().poll(cx).map(|()| {
            let attempts = this.journal.attempts.load(std::sync::atomic::Ordering::Relaxed);
            let sent = if attempts == 0 { Sent::No } else { Sent::Unknown };
            // What was asked before the payment counts as an attempt too; doubt is the safe side.
            let reason = if *this.money && sent == Sent::Unknown {
                &reason::PAYMENT_OUTCOME_UNKNOWN
            } else {
                &reason::DEADLINE_EXCEEDED
            };
            Err(Error::new(reason).sent(sent).attempts(attempts))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        match timeout_of(&headers) {
            Timeout::Given(timeout) => Some(timeout),
            Timeout::Absent | Timeout::Malformed => None,
        }
    }

    #[test]
    fn every_unit_is_read_and_nothing_else() {
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("3M"), Some(Duration::from_secs(180)));
        assert_eq!(read("4S"), Some(Duration::from_secs(4)));
        assert_eq!(read("200m"), Some(Duration::from_millis(200)));
        assert_eq!(read("5u"), Some(Duration::from_micros(5)));
        assert_eq!(read("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for text in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", " 1S"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_reserve_is_a_fifth_of_short_deadlines() {
        let settings = crate::config::Config::default().deadline;
        let left = |ms| {
            let asked = Duration::from_millis(ms);
            asked - reserve(&settings, asked)
        };
        assert_eq!(left(200), Duration::from_millis(160));
        assert_eq!(left(1000), Duration::from_millis(850));
        assert_eq!(left(5000), Duration::from_millis(4850));
    }
}
