//! Instruments of what replicas share.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use super::names;

/// Instruments of what replicas share.
#[derive(Debug)]
pub struct CoordinationMetrics {
    link: Gauge<u64>,
    replicas: Gauge<u64>,
    turns: Counter<u64>,
    words: Counter<u64>,
    dropped: Counter<u64>,
    leases: Gauge<u64>,
}

impl CoordinationMetrics {
    /// Builds the instruments.
    pub(super) fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(text).build()
        };
        let gauge = |name: &'static str, unit: &'static str, text: &'static str| {
            meter.u64_gauge(name).with_unit(unit).with_description(text).build()
        };
        Self {
            link: gauge(
                names::REPLICA_LINK_UP,
                "",
                "Whether the other replicas can be heard; 0 means that kept answers are not used.",
            ),
            replicas: gauge(
                names::REPLICAS,
                "{replica}",
                "Replicas heard lately, this one included; more than limit.replicas is a mistake.",
            ),
            turns: counter(
                names::HISTORY_TURNS,
                "{request}",
                "History requests permitted: shared, in turns with all replicas, or own, from this \
                 replica's part because the others could not be reached.",
            ),
            words: counter(
                names::REPLICA_WORDS,
                "{word}",
                "Words sent to the other replicas and received from them, by kind.",
            ),
            dropped: counter(
                names::CACHE_DROPPED,
                "{drop}",
                "How often all kept answers were dropped: link (it was cut), missed (a word was \
                 lost), unreadable (a word of another version).",
            ),
            leases: gauge(
                names::LEASES,
                "{lease}",
                "Leases this replica holds: wallets whose history, balances or webhook it looks \
                 after for all.",
            ),
        }
    }

    /// Whether the others can be heard.
    pub fn link(&self, up: bool) {
        self.link.record(u64::from(up), &[]);
    }

    /// How many replicas there are.
    pub fn replicas(&self, replicas: u64) {
        self.replicas.record(replicas, &[]);
    }

    /// A request of the history was permitted.
    pub fn turn(&self, source: &'static str) {
        self.turns.add(1, &[KeyValue::new(names::SOURCE, source)]);
    }

    /// A word went out or came in.
    pub fn word(&self, direction: &'static str, kind: &'static str) {
        self.words.add(
            1,
            &[KeyValue::new(names::DIRECTION, direction), KeyValue::new(names::KIND, kind)],
        );
    }

    /// All kept answers were dropped.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// How many leases this replica holds.
    pub fn leases(&self, leases: u64) {
        self.leases.record(leases, &[]);
    }
}
