//! What replicas share over NATS: registers in a stream of one message for each subject, words on
//! core subjects.
//!
//! The stream is kept in files: registers that were lost would let every wallet have its burst
//! again, and sequences that began anew could be taken for old ones. Reading asks the stream's
//! leader; direct get would let a replica of it answer, which may be behind. A leader that was
//! deposed unknowingly can show an old register, but nothing can be changed by it.
//!
//! A publish to the stream is heard on its subject like any other, before anybody knows whether it is
//! taken; that is what [`Heard::Tried`] is. What waited in the client while it was cut off goes out
//! late: a change then finds another version, or one that nobody has touched since, for which it is
//! as good as in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{self, DiscardPolicy, StorageType};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::broker::{Broker, Expect, Failure};
use crate::coordination::{Away, Coordination, Heard, Name, Register, Swap};

/// Words that wait to be sent; more are lost, which the others notice by the numbers.
const WORDS_MAX: usize = 4096;
/// Bytes of all registers: each is well below a kilobyte.
const BYTES_MAX: i64 = 256 << 20;
/// Bytes of one register.
const VALUE_MAX: i32 = 4 << 10;

/// How long requests are on their way that had their turn, at most.
const ON_THEIR_WAY: Duration = Duration::from_millis(1_500);

/// How the stream is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What subjects and the stream begin with.
    pub prefix: String,
    /// On how many brokers the stream is kept.
    pub replicas: usize,
    /// How long a register is kept that nobody changes: longer than any cool-down.
    pub keep: Duration,
    /// How long looking after the stream may take.
    pub patience: Duration,
}

impl Settings {
    /// For subjects that begin with this.
    #[must_use]
    pub fn new(prefix: impl Into<String>, replicas: usize) -> Self {
        Self {
            prefix: prefix.into(),
            replicas,
            keep: Duration::from_secs(2 * 3600),
            patience: Duration::from_secs(2),
        }
    }
}

/// The link to what replicas share over NATS.
pub struct NatsCoordination {
    client: async_nats::Client,
    broker: Broker,
    settings: Settings,
    /// What this link's beats are called.
    instance: String,
    words: mpsc::Sender<Bytes>,
    /// How long an empty register of a new stream says nothing, in milliseconds: for the window of
    /// the pace and what requests take on their way, for before this stream there may have been
    /// another one.
    window_ms: AtomicU64,
    /// Whether the stream was found and is what it must be.
    is_ready: AtomicBool,
}

/// What a stream's information tells that the client's library leaves out.
#[derive(Deserialize)]
struct Told {
    /// When it was created, by the brokers' clock.
    created: Option<String>,
    /// When it was asked, by the same clock.
    ts: Option<String>,
}

impl NatsCoordination {
    /// Over this client. The stream is made when somebody first beats.
    #[must_use]
    pub fn new(client: async_nats::Client, settings: Settings) -> Arc<Self> {
        let (words, mut waiting) = mpsc::channel::<Bytes>(WORDS_MAX);
        let (sender, subject) = (client.clone(), format!("{}.coord.word", settings.prefix));
        tokio::spawn(async move {
            while let Some(word) = waiting.recv().await {
                if let Err(error) = sender.publish(subject.clone(), word).await {
                    tracing::debug!(error = %error, "a word to the other replicas was lost");
                }
            }
        });
        Arc::new(Self {
            broker: Broker::new(client.clone(), settings.patience),
            client,
            settings,
            instance: format!("{:032x}", rand::random::<u128>()),
            words,
            window_ms: AtomicU64::new(0),
            is_ready: AtomicBool::new(false),
        })
    }

    /// The stream's name.
    #[must_use]
    pub fn stream_name(&self) -> String {
        format!("{}_COORD", self.settings.prefix)
    }

    /// The stream as it must be.
    #[must_use]
    pub fn stream_config(&self) -> stream::Config {
        let of = |kind: &str| format!("{}.coord.{kind}.*", self.settings.prefix);
        stream::Config {
            name: self.stream_name(),
            description: Some("Turns of replicas at wallets, and their beats.".to_owned()),
            subjects: vec![of("pace"), of("beat")],
            max_messages_per_subject: 1,
            max_bytes: BYTES_MAX,
            max_message_size: VALUE_MAX,
            max_age: self.settings.keep,
            discard: DiscardPolicy::Old,
            storage: StorageType::File,
            num_replicas: self.settings.replicas,
            allow_direct: false,
            ..stream::Config::default()
        }
    }

    fn pace(&self, name: Name) -> String {
        format!("{}.coord.pace.{}", self.settings.prefix, name.hex())
    }

    /// Finds the stream, or makes it, unless that was done before.
    async fn ensure(&self) -> Result<(), Away> {
        if self.is_ready.load(Ordering::Acquire) {
            return Ok(());
        }
        let name = self.stream_name();
        let info = match self.broker.info(&name).await {
            Err(Failure::NoStream(_)) => {
                let made = self.broker.create(&self.stream_config()).await;
                made.map_err(|error| away("the stream cannot be made", error))?;
                tracing::info!(stream = %name, "the stream of turns was made");
                self.broker.info(&name).await
            }
            info => info,
        };
        let info = info.map_err(|error| away("the stream cannot be looked at", error))?;
        self.check(&info.config)?;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether a stream that is there keeps what is promised.
    fn check(&self, there: &stream::Config) -> Result<(), Away> {
        let wanted = self.stream_config();
        let wrong = if there.storage != wanted.storage {
            "storage: expected file"
        } else if there.allow_direct {
            "allow_direct: expected false, since a follower may be behind"
        } else if there.max_messages_per_subject != 1 {
            "max_msgs_per_subject: expected 1"
        } else if !there.max_age.is_zero() && there.max_age < wanted.max_age {
            "max_age: expected at least as long as the longest cool-down is remembered"
        } else if there.num_replicas < wanted.num_replicas {
            "num_replicas: expected as many as the other streams have"
        } else if wanted.subjects.iter().any(|of| !there.subjects.contains(of)) {
            "subjects: expected those of the pace and of beats"
        } else {
            return Ok(());
        };
        Err(Away(format!("stream {}: {wrong}", wanted.name)))
    }

    /// Whether the stream is so new that what it does not hold says nothing.
    async fn is_young(&self) -> Result<bool, Away> {
        let name = self.stream_name();
        let told = self.broker.api::<Told>("STREAM.INFO", &name, &serde_json::json!({})).await;
        let told = told.map_err(|error| self.lost("the stream cannot be looked at", error))?;
        let read = |text: Option<String>| text?.parse::<jiff::Timestamp>().ok();
        let (Some(created), Some(ts)) = (read(told.created), read(told.ts)) else {
            return Err(Away("the stream does not tell its age".to_owned()));
        };
        let age = Duration::try_from(ts.duration_since(created)).unwrap_or_default();
        let window = Duration::from_millis(self.window_ms.load(Ordering::Relaxed));
        Ok(age < window)
    }

    /// Something failed; the stream is looked at before it is used again.
    fn lost(&self, what: &str, error: Failure) -> Away {
        self.is_ready.store(false, Ordering::Release);
        away(what, error)
    }
}

fn away(what: &str, error: impl std::fmt::Display) -> Away {
    Away(format!("{what}: {error}"))
}

impl Coordination for NatsCoordination {
    fn is_shared(&self) -> bool {
        true
    }

    fn counts_over(&self, window: Duration) {
        let window = (window + ON_THEIR_WAY).max(window + window / 4);
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        self.window_ms.store(window_ms, Ordering::Relaxed);
    }

    fn get(&self, name: Name) -> BoxFuture<'_, Result<Option<Register>, Away>> {
        async move {
            self.ensure().await?;
            match self.broker.last(&self.stream_name(), &self.pace(name)).await {
                Ok(Some(message)) => {
                    Ok(Some(Register { version: message.seq, value: message.payload }))
                }
                Ok(None) if self.is_young().await? => Err(Away("the stream is new".to_owned())),
                Ok(None) => Ok(None),
                Err(error) => Err(self.lost("a register cannot be read", error)),
            }
        }
        .boxed()
    }

    fn swap(&self, name: Name, expected: u64, value: Bytes) -> BoxFuture<'_, Result<Swap, Away>> {
        async move {
            let expect = Some(Expect::Last(expected));
            let subject = self.pace(name);
            match self.broker.publish(&subject, expect, HeaderMap::new(), value).await {
                Ok(sequence) => Ok(Swap::Done(sequence)),
                Err(Failure::Wrong) => Ok(Swap::Changed),
                Err(error) => Err(self.lost("a register cannot be changed", error)),
            }
        }
        .boxed()
    }

    fn tell(&self, word: Bytes) {
        // The others notice by the next number what does not go out.
        let _ = self.words.try_send(word);
    }

    fn beat(&self, word: Bytes) -> BoxFuture<'_, Result<(), Away>> {
        async move {
            self.ensure().await?;
            let subject = format!("{}.coord.beat.{}", self.settings.prefix, self.instance);
            let beaten = self.broker.publish(&subject, None, HeaderMap::new(), word).await;
            beaten.map(drop).map_err(|error| self.lost("a beat was not taken", error))
        }
        .boxed()
    }

    fn hear(&self) -> BoxStream<'static, Heard> {
        let (client, prefix) = (self.client.clone(), format!("{}.coord.", self.settings.prefix));
        let subscribed = async move {
            let messages = client.subscribe(format!("{prefix}>")).await.ok();
            futures_util::stream::iter(messages)
                .flatten()
                .filter_map(move |message| std::future::ready(heard(&prefix, message)))
        };
        subscribed.flatten_stream().boxed()
    }
}

/// What a message of one of our subjects says.
fn heard(prefix: &str, message: async_nats::Message) -> Option<Heard> {
    let kind = message.subject.as_str().strip_prefix(prefix)?;
    match kind.split_once('.') {
        None if kind == "word" => Some(Heard::Word(message.payload)),
        Some(("beat", _)) => Some(Heard::Word(message.payload)),
        Some(("pace", name)) => Some(Heard::Tried(Name::from_hex(name)?, message.payload)),
        _ => None,
    }
}
