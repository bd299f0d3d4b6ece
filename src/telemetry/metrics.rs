//! Every metric of the gateway, as one struct of ready instruments.
//!
//! Recording goes straight to the SDK: about 100 ns for the call histogram (two
//! labels, one reader), 75 ns for a counter, measured in a release build, which
//! is why no histogram of our own stands before it. Instruments are built once.
//! Labels are `&'static str`, so a token, a wallet
//! or an amount cannot become one, and attribute sets are made on the stack
//! without allocation; the one exception are names of credentials, which
//! operators choose, on gauges that are set every few seconds. Names live in [`super::names`]; Prometheus sees them
//! with underscores, unit and `_total` added.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};

use super::coordination::CoordinationMetrics;
use super::events::EventMetrics;
use super::names;
use super::payments::PaymentMetrics;
use super::secrets::SecretMetrics;

/// Durations in seconds: the convention's 5 ms … 10 s, finer below because a
/// cached read takes microseconds, and 30 and 60 because a payment may.
const DURATION_BOUNDS: [f64; 19] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0, 30.0, 60.0,
];
const BUDGET_BOUNDS: [f64; 10] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Series one instrument may have before the SDK folds the rest into an
/// overflow series. The SDK reserves memory for all of them at start, so the
/// limit follows what an instrument can really reach.
pub(super) fn series_limit(instrument: &Instrument, methods: usize) -> Option<Stream> {
    let limit = match instrument.name() {
        names::RPC_SERVER_CALL_DURATION => (methods + 1) * names::STATUS_CODES.len(),
        names::HTTP_CLIENT_REQUEST_DURATION | names::ATTEMPTS | names::CACHE => 512,
        names::WEBHOOK_UP
        | names::CREDENTIAL_REJECTED
        | names::CREDENTIAL_STALE
        | names::CREDENTIAL_EXPIRY
        | names::CREDENTIAL_CERTIFICATE_EXPIRY
        | names::UNKNOWN_FIELD
        | names::UNKNOWN_ENUM
        | names::UNREADABLE_TIME
        | names::UNDOCUMENTED_REPLY => 256,
        _ => 64,
    };
    Stream::builder().with_cardinality_limit(limit).build().ok()
}

/// State of a circuit breaker, as the gauge shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass: 0.
    Closed,
    /// One probe passes: 1.
    HalfOpen,
    /// Requests are refused: 2.
    Open,
    /// A part of the requests passes while the host recovers: 3.
    Ramp,
}

impl BreakerState {
    /// Text used as a label and in log events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
            Self::Ramp => "ramp",
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
            Self::Ramp => 3,
        }
    }
}

/// Losses counted where no instrument can be reached.
#[derive(Debug, Default)]
pub struct Losses {
    /// Log lines not written to the output.
    pub log_lines: AtomicU64,
    /// Spans the collector did not take.
    pub traces: AtomicU64,
    /// Metric exports the collector did not take.
    pub metrics: AtomicU64,
    /// Log records the collector did not take.
    pub logs: AtomicU64,
}

/// The instruments.
#[derive(Debug)]
pub struct Metrics {
    methods: Box<[&'static str]>,
    call: Histogram<f64>,
    attempt: Histogram<f64>,
    attempts: Counter<u64>,
    retry_budget_refused: Counter<u64>,
    breaker_state: Gauge<u64>,
    breaker_transitions: Counter<u64>,
    cooldowns_active: Gauge<u64>,
    cooldowns_started: Counter<u64>,
    shed: Counter<u64>,
    limiter_refused: Counter<u64>,
    cache: Counter<u64>,
    in_flight: UpDownCounter<i64>,
    remaining_budget: Histogram<f64>,
    connections: UpDownCounter<i64>,
    connections_closed: Counter<u64>,
    reload: Counter<u64>,
    reload_success: Gauge<u64>,
    restart_needed: Gauge<u64>,
    certificate_expires: Gauge<u64>,
    tls_refused: Counter<u64>,
    panics: Counter<u64>,
    unknown_enum: Counter<u64>,
    unknown_field: Counter<u64>,
    unreadable_time: Counter<u64>,
    undocumented_reply: Counter<u64>,
    deadline_header_malformed: Counter<u64>,
    /// Instruments of what replicas share.
    pub coordination: CoordinationMetrics,
    /// Instruments of payments.
    pub payments: PaymentMetrics,
    /// Instruments of notifications, the event log and its streams.
    pub events: EventMetrics,
    /// Instruments of credentials.
    pub secrets: SecretMetrics,
}

impl Metrics {
    /// Builds the instruments. `methods` are `package.Service/Method` names;
    /// their positions are what [`Metrics::call`] takes.
    pub fn new(
        meter: &Meter,
        methods: &[&'static str],
        version: &str,
        losses: &Arc<Losses>,
    ) -> Self {
        let counter = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        let gauge = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_gauge(name).with_unit(unit).with_description(text).build()
        };
        let level = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.i64_up_down_counter(name).with_unit(unit).with_description(text).build()
        };
        let seconds = |name: &'static str, bounds: &[f64], text: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_boundaries(bounds.to_vec())
                .with_description(text)
                .build()
        };
        observe_losses(meter, losses);
        gauge(names::BUILD_INFO, "", "Version of the running build; always 1.")
            .record(1, &[KeyValue::new(names::VERSION, version.to_owned())]);
        let metrics = Self {
            methods: methods.into(),
            call: seconds(
                names::RPC_SERVER_CALL_DURATION,
                &DURATION_BOUNDS,
                "Duration of gRPC calls served, from headers to status.",
            ),
            attempt: seconds(
                names::HTTP_CLIENT_REQUEST_DURATION,
                &DURATION_BOUNDS,
                "Duration of single HTTP attempts against QIWI.",
            ),
            attempts: counter(
                names::ATTEMPTS,
                "{attempt}",
                "HTTP attempts against QIWI, retries and hedges included.",
            ),
            retry_budget_refused: counter(
                names::RETRY_BUDGET_REFUSED,
                "{retry}",
                "Retries and hedges not sent because the host's retry budget was empty.",
            ),
            breaker_state: gauge(
                names::BREAKER_STATE,
                "",
                "Circuit breaker state: 0 closed, 1 half-open, 2 open.",
            ),
            breaker_transitions: counter(
                names::BREAKER_TRANSITIONS,
                "{transition}",
                "Circuit breaker transitions by the state entered.",
            ),
            cooldowns_active: gauge(
                names::COOLDOWNS_ACTIVE,
                "{credential}",
                "Credentials that are cooling down after a rate-limit answer.",
            ),
            cooldowns_started: counter(
                names::COOLDOWNS_STARTED,
                "{cooldown}",
                "Cool-downs begun after a rate-limit answer.",
            ),
            shed: counter(
                names::SHED,
                "{call}",
                "Calls refused before any work because the gateway was full or draining.",
            ),
            limiter_refused: counter(
                names::LIMITER_REFUSED,
                "{request}",
                "Requests refused by a credential's rate limit; shadow ones were only counted.",
            ),
            cache: counter(names::CACHE, "{lookup}", "Cache lookups by result."),
            in_flight: level(names::IN_FLIGHT, "{call}", "Calls in progress by class."),
            remaining_budget: seconds(
                names::REMAINING_BUDGET,
                &BUDGET_BOUNDS,
                "Time left until the caller's deadline when an attempt starts.",
            ),
            connections: level(names::CONNECTIONS, "{connection}", "Open connections of callers."),
            connections_closed: counter(
                names::CONNECTIONS_CLOSED,
                "{connection}",
                "Closed connections of callers by reason.",
            ),
            reload: counter(
                names::RELOAD,
                "{reload}",
                "Reloads of configuration, credentials and certificates by result.",
            ),
            reload_success: gauge(
                names::RELOAD_SUCCESS,
                "s",
                "Unix time of the last reload without a mistake.",
            ),
            restart_needed: gauge(
                names::RESTART_NEEDED,
                "{key}",
                "Keys of the configuration file that only a restart brings into effect.",
            ),
            certificate_expires: gauge(
                names::CERTIFICATE_EXPIRES,
                "s",
                "Unix time at which the certificate of a listener expires.",
            ),
            tls_refused: counter(
                names::TLS_REFUSED,
                "{connection}",
                "Connections whose TLS handshake failed, by listener and reason.",
            ),
            panics: counter(names::PANICS, "{panic}", "Panics caught."),
            unknown_enum: counter(
                names::UNKNOWN_ENUM,
                "{value}",
                "Enumeration values received that QIWI does not document.",
            ),
            unknown_field: counter(
                names::UNKNOWN_FIELD,
                "{field}",
                "Fields received that QIWI does not document.",
            ),
            unreadable_time: counter(
                names::UNREADABLE_TIME,
                "{value}",
                "Timestamps received that could not be read.",
            ),
            undocumented_reply: counter(
                names::UNDOCUMENTED_REPLY,
                "{reply}",
                "Replies received that do not have the documented shape.",
            ),
            deadline_header_malformed: counter(
                names::DEADLINE_HEADER_MALFORMED,
                "{call}",
                "Calls whose grpc-timeout header could not be read.",
            ),
            coordination: CoordinationMetrics::new(meter),
            payments: PaymentMetrics::new(meter),
            events: EventMetrics::new(meter),
            secrets: SecretMetrics::new(meter),
        };
        // Series without labels exist from the start, so that `rate()` sees the
        // first event.
        metrics.panics.add(0, &[]);
        metrics.deadline_header_malformed.add(0, &[]);
        metrics.connections.add(0, &[]);
        metrics
    }

    /// Instruments nobody reads, for tests of other modules.
    pub fn unread(methods: &[&'static str]) -> Self {
        let meter = SdkMeterProvider::default().meter(names::SCOPE);
        Self::new(&meter, methods, "", &Arc::default())
    }

    /// One served call. An index outside the table is counted as `_OTHER`.
    pub fn call(&self, method_index: usize, code: u8, seconds: f64) {
        let method = self.methods.get(method_index).copied().unwrap_or(names::METHOD_OTHER);
        self.call.record(
            seconds,
            &[
                KeyValue::new(names::RPC_METHOD, method),
                KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, names::status_code(code)),
            ],
        );
    }

    /// One HTTP attempt. `outcome` is from a small closed set (`ok`, `status`,
    /// `timeout`, `connect`, …); `status` is None when no response arrived.
    pub fn attempt(
        &self,
        host: &'static str,
        area: &'static str,
        verb: &'static str,
        outcome: &'static str,
        status: Option<u16>,
        seconds: f64,
    ) {
        let ended = match status {
            Some(status) => KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status)),
            None => KeyValue::new(names::ERROR_TYPE, outcome),
        };
        self.attempt.record(
            seconds,
            &[
                KeyValue::new(names::HTTP_REQUEST_METHOD, verb),
                KeyValue::new(names::SERVER_ADDRESS, host),
                ended,
            ],
        );
        self.attempts.add(
            1,
            &[
                KeyValue::new(names::AREA, area),
                KeyValue::new(names::HOST, host),
                KeyValue::new(names::VERB, verb),
                KeyValue::new(names::OUTCOME, outcome),
            ],
        );
    }

    /// A retry or hedge was not sent for want of budget.
    pub fn retry_budget_refused(&self, host: &'static str) {
        self.retry_budget_refused.add(1, &[KeyValue::new(names::HOST, host)]);
    }

    /// The state a breaker is in; call it once at start for every breaker.
    pub fn breaker_state(&self, host: &'static str, area: &'static str, state: BreakerState) {
        self.breaker_state.record(
            state.number(),
            &[KeyValue::new(names::AREA, area), KeyValue::new(names::HOST, host)],
        );
    }

    /// A breaker entered a state; the gauge follows.
    pub fn breaker_transition(&self, host: &'static str, area: &'static str, to: BreakerState) {
        self.breaker_transitions.add(
            1,
            &[
                KeyValue::new(names::AREA, area),
                KeyValue::new(names::HOST, host),
                KeyValue::new(names::TO, to.as_str()),
            ],
        );
        self.breaker_state(host, area, to);
    }

    /// How many credentials are cooling down in an area.
    pub fn cooldowns_active(&self, area: &'static str, credentials: u64) {
        self.cooldowns_active.record(credentials, &[KeyValue::new(names::AREA, area)]);
    }

    /// A cool-down began.
    pub fn cooldown_started(&self, area: &'static str) {
        self.cooldowns_started.add(1, &[KeyValue::new(names::AREA, area)]);
    }

    /// A call was shed.
    pub fn shed(&self, reason: &'static str) {
        self.shed.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// A credential's rate limit refused a request, or would have (`shadow`).
    pub fn limiter_refused(&self, area: &'static str, shadow: bool) {
        self.limiter_refused
            .add(1, &[KeyValue::new(names::AREA, area), KeyValue::new(names::SHADOW, shadow)]);
    }

    /// A cache lookup (`hit`, `miss`, `stale`, …).
    pub fn cache(&self, operation: &'static str, result: &'static str) {
        self.cache.add(
            1,
            &[KeyValue::new(names::OPERATION, operation), KeyValue::new(names::RESULT, result)],
        );
    }

    /// A call of a class began (+1) or ended (−1).
    pub fn in_flight(&self, class: &'static str, change: i64) {
        self.in_flight.add(change, &[KeyValue::new(names::CLASS, class)]);
    }

    /// Time left until the caller's deadline as an attempt starts.
    pub fn remaining_budget(&self, seconds: f64) {
        self.remaining_budget.record(seconds, &[]);
    }

    /// A caller's connection opened (+1) or closed (−1).
    pub fn connections(&self, change: i64) {
        self.connections.add(change, &[]);
    }

    /// Why a caller's connection closed.
    pub fn connection_closed(&self, reason: &'static str) {
        self.connections_closed.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// A reload of `source` ended: `changed`, `unchanged` or `failed`.
    pub fn reload(&self, source: &'static str, result: &'static str) {
        let labels = [KeyValue::new(names::SOURCE, source), KeyValue::new(names::RESULT, result)];
        if result != "failed" {
            let [source, _] = &labels;
            self.reload_success.record(unix(SystemTime::now()), std::slice::from_ref(source));
        }
        self.reload.add(1, &labels);
    }

    /// So many keys of the configuration file wait for a restart.
    pub fn restart_needed(&self, keys: usize) {
        self.restart_needed.record(u64::try_from(keys).unwrap_or(u64::MAX), &[]);
    }

    /// When the certificate that a listener shows expires.
    pub fn certificate_expires(&self, listener: &'static str, at: SystemTime) {
        self.certificate_expires.record(unix(at), &[KeyValue::new(names::LISTENER, listener)]);
    }

    /// A client did not get through a listener's TLS handshake.
    pub fn tls_refused(&self, listener: &'static str, reason: &'static str) {
        let listener = KeyValue::new(names::LISTENER, listener);
        self.tls_refused.add(1, &[listener, KeyValue::new(names::REASON, reason)]);
    }

    /// A panic was caught.
    pub fn panic(&self) {
        self.panics.add(1, &[]);
    }

    /// QIWI sent an enumeration value it does not document.
    pub fn unknown_enum(&self, field: &'static str) {
        self.unknown_enum.add(1, &[KeyValue::new(names::FIELD, field)]);
    }

    /// QIWI sent a field it does not document.
    pub fn unknown_field(&self, operation: &'static str) {
        self.unknown_field.add(1, &[KeyValue::new(names::OPERATION, operation)]);
    }

    /// QIWI sent a time that could not be read.
    pub fn unreadable_time(&self, field: &'static str) {
        self.unreadable_time.add(1, &[KeyValue::new(names::FIELD, field)]);
    }

    /// QIWI sent a reply of another shape than documented.
    pub fn undocumented_reply(&self, operation: &'static str) {
        self.undocumented_reply.add(1, &[KeyValue::new(names::OPERATION, operation)]);
    }

    /// A caller's `grpc-timeout` could not be read.
    pub fn deadline_header_malformed(&self) {
        self.deadline_header_malformed.add(1, &[]);
    }
}

/// Seconds since 1970.
fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Losses happen inside the log writer and the exporters, which must not call
/// instruments of the pipeline they feed; they count, and collection looks.
fn observe_losses(meter: &Meter, losses: &Arc<Losses>) {
    let of = Arc::clone(losses);
    meter
        .u64_observable_counter(names::LOG_LINES_DROPPED)
        .with_unit("{line}")
        .with_description("Log lines not written because the output was too slow or failed.")
        .with_callback(move |to| to.observe(of.log_lines.load(Ordering::Relaxed), &[]))
        .build();
    let of = Arc::clone(losses);
    meter
        .u64_observable_counter(names::TELEMETRY_DROPPED)
        .with_unit("{item}")
        .with_description("Spans, log records and metric exports the collector did not take.")
        .with_callback(move |to| {
            for (signal, count) in
                [("traces", &of.traces), ("metrics", &of.metrics), ("logs", &of.logs)]
            {
                let signal = KeyValue::new(names::SIGNAL, signal);
                to.observe(count.load(Ordering::Relaxed), &[signal]);
            }
        })
        .build();
}
