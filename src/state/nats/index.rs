//! What a process knows of a table as a whole.
//!
//! Lists need more than one entry, and in an order the stream has not. Each process keeps an index
//! in memory, which reads on from where it was whenever somebody asks: up to what the leader has at
//! that moment, so that a list shows everything answered before it was asked for.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::broker::{Broker, Failure, Message};

/// Messages and bytes of one batch.
const BATCH: (usize, usize) = (1_000, 4 << 20);
const PAUSE: Duration = Duration::from_millis(5);

/// What can be made of a table's messages.
pub trait Entries: Default + Send {
    /// Takes a message into account; later ones replace earlier ones of the same subject.
    ///
    /// # Errors
    /// Says why it cannot be read.
    fn apply(&mut self, message: &Message) -> Result<(), String>;
}

#[derive(Debug, Default)]
struct Seen<E> {
    entries: E,
    /// The last message taken into account.
    through: u64,
    /// When the stream was made: another one begins anew.
    created: Option<i64>,
}

/// The index of a table.
#[derive(Debug, Default)]
pub struct Index<E> {
    seen: Mutex<Seen<E>>,
}

/// The entries, as new as they were when asked for; nobody else can ask meanwhile.
pub struct Current<'a, E>(MutexGuard<'a, Seen<E>>);

impl<E> std::ops::Deref for Current<'_, E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.0.entries
    }
}

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoList {
    /// The brokers do not answer.
    Failed(Failure),
    /// Something in the stream cannot be read.
    Damaged(String),
}

impl From<Failure> for NoList {
    fn from(error: Failure) -> Self {
        Self::Failed(error)
    }
}

impl<E: Entries> Index<E> {
    /// Everything that was in the table before the call.
    pub async fn current(
        &self,
        broker: &Broker,
        stream: &str,
        patience: Duration,
    ) -> Result<Current<'_, E>, NoList> {
        let mut seen = self.seen.lock().await;
        let info = broker.info(stream).await?;
        let created = i64::try_from(info.created.unix_timestamp_nanos() / 1_000_000).ok();
        if seen.created != created || info.state.last_sequence < seen.through {
            *seen = Seen { created, ..Seen::default() };
        }
        let target = info.state.last_sequence;
        let mut give_up = Instant::now() + patience;
        while seen.through < target {
            let before = seen.through;
            for message in broker.batch(stream, before + 1, BATCH.0, BATCH.1).await? {
                seen.take(&message)?;
            }
            if seen.through >= target {
                break;
            }
            // The broker that answered may be behind, or what comes is gone: the leader knows.
            match broker.next(stream, seen.through + 1).await? {
                Some(message) => seen.take(&message)?,
                None => seen.through = target,
            }
            if seen.through > before {
                give_up = Instant::now() + patience;
            } else if Instant::now() > give_up {
                let text = "the stream cannot be read to its end";
                return Err(Failure::Unavailable(text.to_owned()).into());
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(Current(seen))
    }
}

impl<E: Entries> Seen<E> {
    fn take(&mut self, message: &Message) -> Result<(), NoList> {
        if message.seq > self.through {
            self.entries.apply(message).map_err(NoList::Damaged)?;
            self.through = message.seq;
        }
        Ok(())
    }
}
