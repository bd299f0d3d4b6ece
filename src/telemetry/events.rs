//! Instruments of notifications, the event log and its streams.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, UpDownCounter};

use super::names;

/// Bounds of the time a notification takes, in seconds: QIWI waits one or two.
const BOUNDS: [f64; 10] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.8, 2.0];

/// Instruments of notifications, the event log and its streams.
#[derive(Debug)]
pub struct EventMetrics {
    received: Counter<u64>,
    refused: Counter<u64>,
    unstored: Counter<u64>,
    appended: Counter<u64>,
    duplicates: Counter<u64>,
    conflicts: Counter<u64>,
    alarms: Counter<u64>,
    readings: Counter<u64>,
    notification: Histogram<f64>,
    head: Gauge<u64>,
    floor: Gauge<u64>,
    log: Gauge<u64>,
    streams: UpDownCounter<i64>,
    ended: Counter<u64>,
    buried: Counter<u64>,
    delay: Histogram<f64>,
    webhook: Gauge<u64>,
    group_lag: Gauge<u64>,
    group_age: Gauge<f64>,
    group_retention_used: Gauge<f64>,
}

impl EventMetrics {
    /// Builds the instruments.
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        let gauge = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_gauge(name).with_unit(unit).with_description(text).build()
        };
        let seconds = |name: &'static str, text: &'static str| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_boundaries(BOUNDS.to_vec())
                .with_description(text)
                .build()
        };
        let metrics = Self {
            received: counter(
                names::NOTIFICATIONS,
                "{notification}",
                "Notifications that were read, by what they are about.",
            ),
            refused: counter(
                names::NOTIFICATIONS_REFUSED,
                "{notification}",
                "Requests to the notification listener that were refused, by reason.",
            ),
            unstored: counter(
                names::NOTIFICATIONS_UNSTORED,
                "{notification}",
                "Notifications whose sender was asked to come again, because they were not stored.",
            ),
            appended: counter(names::EVENTS_APPENDED, "{event}", "Events appended, by source."),
            duplicates: counter(
                names::EVENTS_DUPLICATE,
                "{event}",
                "News of events that were in the log already, by what they were known by.",
            ),
            conflicts: counter(
                names::EVENTS_CONFLICT,
                "{notification}",
                "Deliveries that came again with another content.",
            ),
            alarms: counter(
                names::EVENT_ALARMS,
                "{alarm}",
                "What a person must look at, by reason.",
            ),
            readings: counter(
                names::EVENT_READINGS,
                "{reading}",
                "Readings of QIWI's history for events, by outcome.",
            ),
            notification: seconds(
                names::NOTIFICATION_DURATION,
                "Time from a notification's head to its answer.",
            ),
            head: gauge(names::EVENTS_HEAD, "{event}", "The last event of the log."),
            floor: gauge(names::EVENTS_FLOOR, "{event}", "The first event of the log."),
            log: gauge(names::EVENT_LOG_UP, "", "Whether the event log can be used."),
            streams: meter
                .i64_up_down_counter(names::EVENT_STREAMS)
                .with_unit("{stream}")
                .with_description("Event streams open, by method.")
                .build(),
            ended: counter(
                names::EVENT_STREAMS_ENDED,
                "{stream}",
                "Event streams the gateway ended, by reason.",
            ),
            buried: counter(
                names::EVENTS_BURIED,
                "{event}",
                "Events that became dead letters of a group, by cause.",
            ),
            delay: seconds(
                names::EVENT_DELAY,
                "Time from an event's place in the log to its place in a stream.",
            ),
            webhook: gauge(
                names::WEBHOOK_UP,
                "",
                "Whether a webhook the gateway looks after is active and its own, by credential.",
            ),
            group_lag: gauge(
                names::GROUP_LAG,
                "{event}",
                "Events that the consumer group furthest behind has not settled.",
            ),
            group_age: meter
                .f64_gauge(names::GROUP_AGE)
                .with_unit("s")
                .with_description(
                    "Age of the oldest event that some consumer group has not settled.",
                )
                .build(),
            group_retention_used: meter
                .f64_gauge(names::GROUP_RETENTION_USED)
                .with_description(
                    "Part of the time or room for events that the consumer group furthest behind \
                     has used up; at 1 it loses events.",
                )
                .build(),
        };
        for reason in names::EVENT_ALARM_REASONS {
            metrics.alarms.add(0, &[KeyValue::new(names::REASON, reason)]);
        }
        for cause in names::BURIED_CAUSES {
            metrics.buried.add(0, &[KeyValue::new(names::REASON, cause)]);
        }
        metrics.conflicts.add(0, &[]);
        metrics
    }

    /// A notification was read.
    pub fn received(&self, about: &'static str) {
        self.received.add(1, &[KeyValue::new(names::KIND, about)]);
    }

    /// A request was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refused.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// A notification was not stored.
    pub fn unstored(&self, reason: &'static str) {
        self.unstored.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// An event was appended.
    pub fn appended(&self, source: &'static str) {
        self.appended.add(1, &[KeyValue::new(names::SOURCE, source)]);
    }

    /// News of an event that was there.
    pub fn duplicate(&self, tier: &'static str) {
        self.duplicates.add(1, &[KeyValue::new(names::REASON, tier)]);
    }

    /// A delivery came with another content.
    pub fn conflict(&self) {
        self.conflicts.add(1, &[]);
    }

    /// A person must look.
    pub fn alarm(&self, reason: &'static str) {
        debug_assert!(names::EVENT_ALARM_REASONS.contains(&reason), "{reason}");
        self.alarms.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// A wallet's history was read, or could not be.
    pub fn reading(&self, outcome: &'static str) {
        self.readings.add(1, &[KeyValue::new(names::OUTCOME, outcome)]);
    }

    /// A notification was answered.
    pub fn answered(&self, seconds: f64) {
        self.notification.record(seconds, &[]);
    }

    /// How the log is.
    pub fn log(&self, up: bool, first: u64, last: u64) {
        self.log.record(u64::from(up), &[]);
        if up {
            self.head.record(last, &[]);
            self.floor.record(first, &[]);
        }
    }

    /// A stream opened or closed.
    pub fn stream(&self, method: &'static str, change: i64) {
        self.streams.add(change, &[KeyValue::new(names::RPC_METHOD, method)]);
    }

    /// The gateway ended a stream.
    pub fn ended(&self, reason: &'static str) {
        self.ended.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// An event became a dead letter.
    pub fn buried(&self, cause: &'static str) {
        debug_assert!(names::BURIED_CAUSES.contains(&cause), "{cause}");
        self.buried.add(1, &[KeyValue::new(names::REASON, cause)]);
    }

    /// An event went into a stream.
    pub fn delay(&self, seconds: f64) {
        self.delay.record(seconds, &[]);
    }

    /// How the webhook of a credential is that the gateway looks after.
    pub fn webhook(&self, credential: &str, up: bool) {
        let credential = KeyValue::new(names::CREDENTIAL, credential.to_owned());
        self.webhook.record(u64::from(up), &[credential]);
    }

    /// How far the consumer group is behind that is furthest: events, seconds, and the part of what
    /// events are kept for.
    pub fn groups(&self, lag: u64, age: f64, retention_used: f64) {
        self.group_lag.record(lag, &[]);
        self.group_age.record(age, &[]);
        self.group_retention_used.record(retention_used, &[]);
    }
}
