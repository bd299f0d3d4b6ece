//! The streams of an installation: what they are called, how they are made, and what about one that
//! is there already would break the promises behind it.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Info, PersistenceMode, Placement, RetentionPolicy, StorageType,
};
use uuid::Uuid;

use crate::events::Retention;

/// Fewest copies that survive one broker without stopping.
pub const REPLICAS_MIN: usize = 3;
/// Where the epoch of the event log stands in its stream.
pub const EPOCH: &str = "qiwi-epoch";

/// What a stream keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The payment ledger, one message an entry.
    Ledger,
    /// Cells, one message each.
    Cells,
    /// Events in order.
    Events,
    /// What brought which event.
    Deliveries,
}

impl Of {
    /// All of them, in the order in which they are made: the ledger before anything else, so that
    /// its absence beside others is never taken for a first start.
    pub const ALL: [Self; 4] = [Self::Ledger, Self::Cells, Self::Events, Self::Deliveries];

    const fn word(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Cells => "cells",
            Self::Events => "events",
            Self::Deliveries => "deliveries",
        }
    }
}

/// Names and settings of the streams.
#[derive(Debug, Clone)]
pub struct Streams {
    prefix: Box<str>,
    names: [Box<str>; 4],
    replicas: usize,
    placement: Option<Box<str>>,
    retention: Retention,
}

impl Streams {
    /// Those of an installation.
    pub fn new(
        prefix: &str,
        replicas: usize,
        placement: Option<&str>,
        retention: Retention,
    ) -> Self {
        let name = |of: Of| format!("{prefix}_{}", of.word().to_uppercase()).into();
        Self {
            prefix: prefix.into(),
            names: Of::ALL.map(name),
            replicas,
            placement: placement.map(Into::into),
            retention,
        }
    }

    /// How a stream is called.
    pub fn name(&self, of: Of) -> &str {
        self.names.get(of as usize).map_or("", |name| name)
    }

    /// The subject of something in a stream.
    pub fn subject(&self, of: Of, rest: &str) -> String {
        format!("{}.{}.{rest}", self.prefix, of.word())
    }

    /// A subject that no stream keeps.
    pub fn passing(&self, rest: &str) -> String {
        format!("{}.now.{rest}", self.prefix)
    }

    /// How long events are kept.
    pub const fn retention(&self) -> Retention {
        self.retention
    }

    /// How a stream is made. What is in none of these must never go by itself.
    pub fn config(&self, of: Of) -> Config {
        let table = Config {
            name: self.name(of).to_owned(),
            subjects: vec![self.subject(of, ">")],
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            persist_mode: Some(PersistenceMode::Default),
            num_replicas: self.replicas,
            discard: DiscardPolicy::New,
            max_messages_per_subject: 1,
            max_messages: -1,
            max_bytes: -1,
            max_consumers: -1,
            deny_delete: true,
            deny_purge: true,
            // For reading many in a row; single entries are always asked of the leader.
            allow_direct: true,
            placement: self
                .placement
                .as_ref()
                .map(|tag| Placement { cluster: None, tags: vec![tag.to_string()] }),
            ..Config::default()
        };
        let age =
            u64::try_from(self.retention.age_ms).map_or(Duration::ZERO, Duration::from_millis);
        match of {
            // Entries that are thirteen months old leave a mark that goes after a month.
            Of::Ledger => Config { allow_message_ttl: true, ..table },
            Of::Cells => Config { deny_delete: false, ..table },
            Of::Deliveries => Config { max_age: age, ..table },
            Of::Events => Config {
                max_messages_per_subject: -1,
                max_age: age,
                max_bytes: i64::try_from(self.retention.bytes).unwrap_or(-1),
                metadata: HashMap::from([(EPOCH.to_owned(), Uuid::new_v4().to_string())]),
                ..table
            },
        }
    }

    /// What about a stream cannot be lived with: the setting, and why.
    pub fn complaint(&self, of: Of, info: &Info) -> Option<String> {
        let (is, name) = (&info.config, self.name(of));
        let wanted = self.config(of);
        let problem = if is.num_replicas < REPLICAS_MIN {
            format!(
                "num_replicas is {}; with fewer than {REPLICAS_MIN} the loss of one broker stops \
                 or damages it",
                is.num_replicas
            )
        } else if is.storage != StorageType::File {
            "storage is memory; what it acknowledges would not survive the power".to_owned()
        } else if is.persist_mode == Some(PersistenceMode::Async) {
            "persist_mode is async; it acknowledges what is not on disk yet".to_owned()
        } else if is.retention != RetentionPolicy::Limits {
            "retention is not limits; reading would take messages away".to_owned()
        } else if is.discard != DiscardPolicy::New {
            "discard is old; a full stream would forget what is young".to_owned()
        } else if is.max_messages_per_subject != wanted.max_messages_per_subject {
            format!("max_msgs_per_subject is not {}", wanted.max_messages_per_subject)
        } else if is.max_messages >= 0 {
            "max_msgs is set; nothing may go by number".to_owned()
        } else if matches!(of, Of::Ledger | Of::Cells) && !is.max_age.is_zero() {
            "max_age is set; nothing in it may go by age".to_owned()
        } else if wanted.deny_delete && !is.deny_delete {
            "deny_delete is off; a sequence could be left out".to_owned()
        } else if !is.deny_purge {
            "deny_purge is off; it could be emptied by mistake".to_owned()
        } else if !is.allow_direct {
            "allow_direct is off; it cannot be read in batches".to_owned()
        } else if is.sealed || is.no_ack {
            "it is sealed, or acknowledges nothing".to_owned()
        } else if !is.subjects.contains(&self.subject(of, ">")) {
            format!("its subjects are not {}", self.subject(of, ">"))
        } else {
            return None;
        };
        Some(format!("stream {name}: {problem}"))
    }

    /// The configuration of the events' stream when its limits are to change.
    pub fn changed(&self, of: Of, is: &Config) -> Option<Config> {
        let wanted = self.config(of);
        let same = is.max_age == wanted.max_age && is.max_bytes == wanted.max_bytes;
        (!same).then(|| Config {
            max_age: wanted.max_age,
            max_bytes: wanted.max_bytes,
            ..is.clone()
        })
    }

    /// The epoch of the event log.
    pub fn epoch(config: &Config) -> Option<Uuid> {
        config.metadata.get(EPOCH)?.parse().ok()
    }
}
