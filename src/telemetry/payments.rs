//! Instruments of payments: what alerts stand on.

use std::collections::HashMap;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use super::names;

/// Instruments of payments.
#[derive(Debug)]
pub struct PaymentMetrics {
    attempts: Counter<u64>,
    states: Counter<u64>,
    alarms: Counter<u64>,
    open: Gauge<u64>,
    doubt: Gauge<f64>,
    readings: Counter<u64>,
    ledger: Gauge<u64>,
}

impl PaymentMetrics {
    /// Builds the instruments.
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        let gauge = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_gauge(name).with_unit(unit).with_description(text).build()
        };
        let metrics = Self {
            attempts: counter(
                names::PAYMENT_ATTEMPTS,
                "{attempt}",
                "Attempts to send a payment, by what they came to.",
            ),
            states: counter(
                names::PAYMENT_STATES,
                "{payment}",
                "Payments that came into a state, by state.",
            ),
            alarms: counter(
                names::PAYMENT_ALARMS,
                "{alarm}",
                "Payments a person must look at: differs (another payment has the id), late (not \
                 executed and there after all), unwritten (the outcome is not in the ledger), \
                 no_credential (nobody may read the history).",
            ),
            open: gauge(
                names::PAYMENTS_OPEN,
                "{payment}",
                "Payments that are looked after, by state.",
            ),
            doubt: meter
                .f64_gauge(names::PAYMENT_DOUBT)
                .with_unit("s")
                .with_description("How long the oldest uncertain payment is in doubt.")
                .build(),
            readings: counter(
                names::HISTORY_READINGS,
                "{reading}",
                "Readings of QIWI's history for payments in doubt, by result.",
            ),
            ledger: gauge(names::LEDGER_UP, "", "Whether the ledger of payments can be used."),
        };
        for reason in names::PAYMENT_ALARM_REASONS {
            metrics.alarms.add(0, &[KeyValue::new(names::REASON, reason)]);
        }
        metrics
    }

    /// An attempt ended: `taken`, `refused`, `not_sent` or `unclear`.
    pub fn attempt(&self, outcome: &'static str) {
        self.attempts.add(1, &[KeyValue::new(names::RESULT, outcome)]);
    }

    /// A payment came into a state.
    pub fn state(&self, state: &'static str) {
        self.states.add(1, &[KeyValue::new(names::STATE, state)]);
    }

    /// A person must look.
    pub fn alarm(&self, reason: &'static str) {
        debug_assert!(names::PAYMENT_ALARM_REASONS.contains(&reason), "{reason}");
        self.alarms.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// How many payments are looked after in each state, and how long the oldest is in doubt.
    pub fn open(&self, states: &HashMap<&'static str, u64>, oldest_seconds: f64) {
        for (state, count) in states {
            self.open.record(*count, &[KeyValue::new(names::STATE, *state)]);
        }
        self.doubt.record(oldest_seconds, &[]);
    }

    /// The history was read: `complete`, `incomplete` or `failed`.
    pub fn reading(&self, result: &'static str) {
        self.readings.add(1, &[KeyValue::new(names::RESULT, result)]);
    }

    /// Whether the ledger can be used.
    pub fn ledger(&self, up: bool) {
        self.ledger.record(u64::from(up), &[]);
    }
}
