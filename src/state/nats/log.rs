//! The event log in a stream: the stream's sequence is the log's.
//!
//! An event's subject is its identity, and it is written only if nothing is there: that is the whole
//! of telling repeats apart, for as long as events are kept and whoever writes. An event of a chain
//! has the chain before its identity and is written only behind the last one of the chain. What
//! brought an event is remembered in a stream beside it, after the event is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::Shared;
use super::broker::{Expect, Failure, Message, NONCE, hex};
use super::cells::Names;
use super::index::Index;
use super::streams::{Of, Streams};
use super::table::{self, Write, Written};
use crate::events::store::DELIVERIES_MAX;
use crate::events::{
    Append, Chain, Delivery, Durability, Event, EventId, EventLog, Info, Limit, LogError, Outcome,
    ReadError, Stored, Tidied, Tier,
};

/// What brought an event says which one it was.
const EVENT: &str = "Qiwi-Event";
/// Events whose deliveries are counted, each for an hour.
const COUNTED: u64 = 100_000;
const COUNTED_FOR: Duration = Duration::from_secs(3600);
/// What headers, subject and envelope of an event add to its payload, about.
const ENVELOPE: usize = 4 << 10;
/// Messages of one batch.
const BATCH: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(5);

/// The event log of replicas.
pub struct NatsLog {
    pub(super) shared: Arc<Shared>,
    pub(super) cells: Index<Names>,
    /// How many deliveries of an event this process has written down.
    delivered: moka::sync::Cache<EventId, Arc<AtomicU32>>,
    /// What was heard last of the stream, and when that was asked for.
    heard: Mutex<Option<(Instant, Result<Info, LogError>)>>,
}

/// What the log says of a failure of the brokers.
pub(super) fn failed(error: Failure) -> LogError {
    match error {
        Failure::Full => LogError::Full,
        other => LogError::Unavailable(other.to_string()),
    }
}

impl NatsLog {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let delivered =
            moka::sync::Cache::builder().max_capacity(COUNTED).time_to_live(COUNTED_FOR).build();
        Self { shared, cells: Index::default(), delivered, heard: Mutex::default() }
    }

    fn stream(&self) -> &str {
        self.shared.streams.name(Of::Events)
    }

    fn streams(&self) -> &Streams {
        &self.shared.streams
    }

    fn subject(&self, id: &EventId, chain: Option<&Chain>) -> String {
        let rest = match chain {
            Some(chain) => format!("c.{chain}.{id}"),
            None => format!("i.{id}"),
        };
        self.streams().subject(Of::Events, &rest)
    }

    fn of_chain(&self, chain: &Chain) -> String {
        self.streams().subject(Of::Events, &format!("c.{chain}.*"))
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, LogError> {
        let last = self.shared.broker.last(self.stream(), subject).await;
        last.map_err(|error| self.failed(error))
    }

    /// The place of an event that is there.
    async fn place(&self, id: &EventId, chain: Option<&Chain>) -> Result<Option<u64>, LogError> {
        Ok(self.last(&self.subject(id, chain)).await?.map(|message| message.seq))
    }

    /// What a delivery brought, if that is still there: its place, and whether it said the same.
    async fn brought(&self, delivery: &Delivery) -> Result<Brought, LogError> {
        let subject = self.streams().subject(Of::Deliveries, &hex(&delivery.key));
        let stream = self.streams().name(Of::Deliveries);
        let row = self.shared.broker.last(stream, &subject).await;
        let Some(row) = row.map_err(|error| self.failed(error))? else {
            return Ok(Brought { row: 0, seq: None, is_same: false });
        };
        let event = row.headers.get(EVENT).map(|of| of.as_str().to_owned()).unwrap_or_default();
        // An event that is gone, by age or by loss, was never brought.
        let there = self.last(&self.streams().subject(Of::Events, &event)).await?;
        let is_same = row.payload.as_ref() == delivery.digest;
        Ok(Brought { row: row.seq, seq: there.map(|there| there.seq), is_same })
    }

    /// Remembers what brought an event.
    async fn remember(&self, delivery: &Delivery, row: u64, event: &Event) -> Result<(), LogError> {
        let counted = self.delivered.get_with(event.id, Arc::default);
        if counted.fetch_add(1, Ordering::Relaxed) >= DELIVERIES_MAX as u32 {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        let subject = self.subject(&event.id, event.chain.as_ref());
        let prefix = self.streams().subject(Of::Events, "");
        headers.insert(EVENT, subject.strip_prefix(&prefix).unwrap_or(&subject));
        let write = Write {
            subject: self.streams().subject(Of::Deliveries, &hex(&delivery.key)),
            expected: row,
            headers,
            payload: delivery.digest.to_vec().into(),
        };
        let stream = self.streams().name(Of::Deliveries);
        // Enough for one acknowledgement to be lost.
        let patience = self.shared.settings.timeout * 2;
        // Whoever was faster wrote what is as good.
        match table::write(&self.shared.broker, stream, write, patience).await {
            Ok(Written::Done(_) | Written::Changed(_)) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn is_late(&self, before: &[EventId]) -> Result<bool, LogError> {
        let asked = before.iter().map(|id| async move { self.place(id, None).await });
        Ok(try_join_all(asked).await?.iter().any(Option::is_some))
    }

    async fn add(&self, append: &Append) -> Result<Outcome, LogError> {
        let event = &append.event;
        let late = self.is_late(&append.before).await?;
        let stored = Stored { seq: 0, logged_ms: 0, late, event: event.clone() };
        let payload = bytes::Bytes::from(stored.encode());
        let subject = self.subject(&event.id, event.chain.as_ref());
        let behind = event.chain.as_ref().zip(append.follows);
        let behind = behind.map(|(chain, follows)| (self.of_chain(chain), follows));
        let expect = match &behind {
            Some((of_chain, follows)) => Expect::LastOf(of_chain, *follows),
            None => Expect::Last(0),
        };
        let nonce = Uuid::new_v4().simple().to_string();
        let give_up = Instant::now() + self.shared.settings.timeout * 2;
        loop {
            let mut headers = HeaderMap::new();
            headers.insert(NONCE, nonce.as_str());
            let written =
                self.shared.broker.publish(&subject, Some(expect), headers, payload.clone()).await;
            let problem = match written {
                Ok(seq) => return Ok(Outcome::Appended { seq }),
                Err(problem @ (Failure::Wrong | Failure::Full | Failure::Unavailable(_))) => {
                    problem
                }
                Err(problem) => return Err(self.failed(problem)),
            };
            // It may be there: by whom?
            if let Some(there) = self.last(&subject).await? {
                let seq = there.seq;
                return Ok(match there.is(&nonce) {
                    true => Outcome::Appended { seq },
                    false => Outcome::Duplicate { seq, tier: Tier::Transition },
                });
            }
            if problem == Failure::Full {
                return Err(LogError::Full);
            }
            if let Some((of_chain, follows)) = &behind {
                let last = self.last(of_chain).await?.map_or(0, |last| last.seq);
                if last != *follows {
                    return Ok(Outcome::Overtaken { last });
                }
            }
            // The same or the next of the chain is under way and not seen yet, or this one may be.
            if Instant::now() > give_up {
                return Err(self.failed(match problem {
                    Failure::Wrong => {
                        Failure::Unavailable("a write before this one does not end".to_owned())
                    }
                    problem => problem,
                }));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How the stream is. Those who ask at once share an answer, which nobody gets who asked after
    /// it was asked for.
    async fn heard(&self) -> Result<Info, LogError> {
        let asked = Instant::now();
        let mut heard = self.heard.lock().await;
        if let Some((since, answer)) = &*heard
            && *since >= asked
        {
            return answer.clone();
        }
        let since = Instant::now();
        let answer = self.ask().await;
        // A failure is shared too, or everybody would wait for one of their own.
        *heard = Some((since, answer.clone()));
        answer
    }

    async fn ask(&self) -> Result<Info, LogError> {
        let epoch = self.shared.may_read_log()?;
        let is = self.shared.broker.info(self.stream()).await;
        let is = is.map_err(|error| self.failed(error))?;
        // One that was begun anew a moment ago says so itself.
        let epoch = Streams::epoch(&is.config).unwrap_or(epoch);
        let (first, last) = (is.state.first_sequence, is.state.last_sequence);
        let first = if is.state.messages == 0 { last + 1 } else { first };
        Ok(Info {
            epoch,
            first,
            last,
            bytes: is.state.bytes,
            durability: Durability::Quorum,
            retention: self.streams().retention(),
        })
    }

    /// Why nothing can be read behind a place that a batch did not lead on from.
    async fn nothing(&self, after: u64) -> Result<Vec<Stored>, ReadError> {
        let info = self.heard().await?;
        if after > info.last {
            return Err(ReadError::Ahead { last: info.last });
        }
        if after.saturating_add(1) < info.first {
            return Err(ReadError::Expired { first: info.first });
        }
        if after == info.last {
            // A leader that has lost the others goes on to tell what it has for a while. Nothing
            // new can be said only by somebody who would know.
            self.shared.may_write_log()?;
            return Ok(Vec::new());
        }
        // The broker that was asked is behind; the leader has it.
        let next = self.shared.broker.next(self.stream(), after + 1).await;
        match next.map_err(|error| self.failed(error))? {
            Some(message) if message.seq == after + 1 => Ok(vec![stored(&message)?]),
            // Gone a moment ago.
            Some(message) => Err(ReadError::Expired { first: message.seq }),
            None => Err(LogError::Unavailable("the log's end cannot be read".to_owned()).into()),
        }
    }
}

/// What became of a delivery.
struct Brought {
    /// The message that remembers it; 0 for none.
    row: u64,
    /// The event it brought, while that is there.
    seq: Option<u64>,
    /// Whether it said the same.
    is_same: bool,
}

/// The event in a message, with its place and time.
fn stored(message: &Message) -> Result<Stored, LogError> {
    let mut stored = Stored::decode(&message.payload).map_err(|error| {
        LogError::Damaged(format!("event {} cannot be read: {error}", message.seq))
    })?;
    stored.seq = message.seq;
    stored.logged_ms = message.time_ms;
    Ok(stored)
}

impl EventLog for NatsLog {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, LogError>> {
        async move {
            append.check()?;
            let epoch = self.shared.may_write_log()?;
            let mut row = 0;
            if let Some(delivery) = &append.delivery {
                let brought = self.brought(delivery).await?;
                match brought.seq {
                    Some(seq) if brought.is_same => {
                        return Ok(Outcome::Duplicate { seq, tier: Tier::Delivery });
                    }
                    Some(seq) => return Ok(Outcome::Conflict { seq: Some(seq) }),
                    None => row = brought.row,
                }
            }
            let outcome = match &append.event.chain {
                // Known is known, whatever the chain did since.
                Some(chain) => match self.place(&append.event.id, Some(chain)).await? {
                    Some(seq) => Outcome::Duplicate { seq, tier: Tier::Transition },
                    None => self.add(&append).await?,
                },
                None => self.add(&append).await?,
            };
            if let (Some(delivery), Outcome::Appended { .. } | Outcome::Duplicate { .. }) =
                (&append.delivery, outcome)
            {
                self.remember(delivery, row, &append.event).await?;
            }
            if let Outcome::Appended { seq } = outcome {
                self.shared.tell_tail(epoch, seq).await;
            }
            Ok(outcome)
        }
        .boxed()
    }

    fn read(&self, after: u64, limit: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>> {
        async move {
            self.shared.may_read_log()?;
            if limit.events == 0 {
                return Ok(Vec::new());
            }
            let Some(from) = after.checked_add(1) else { return self.nothing(after).await };
            let events = limit.events.min(BATCH);
            let bytes = limit.bytes.saturating_add(events.saturating_mul(ENVELOPE)).min(16 << 20);
            let batch = self.shared.broker.batch(self.stream(), from, events, bytes).await;
            let batch = batch.map_err(|error| self.failed(error))?;
            if batch.first().is_none_or(|first| first.seq != from) {
                return self.nothing(after).await;
            }
            let (mut found, mut bytes) = (Vec::with_capacity(batch.len()), 0_usize);
            for (expected, message) in (from..).zip(&batch) {
                let stored = stored(message)?;
                bytes = bytes.saturating_add(stored.event.payload.len());
                // Behind a hole nothing is believed; reading on from there says why.
                let is_over = bytes > limit.bytes && !found.is_empty();
                if is_over || message.seq != expected {
                    break;
                }
                found.push(stored);
            }
            Ok(found)
        }
        .boxed()
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        async move {
            self.shared.may_read_log()?;
            let mut there = self.last(&self.subject(&id, None)).await?;
            if there.is_none() {
                let of_chains = self.streams().subject(Of::Events, &format!("c.*.{id}"));
                there = self.last(&of_chains).await?;
            }
            there.as_ref().map(stored).transpose()
        }
        .boxed()
    }

    fn last_of(&self, chain: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        async move {
            self.shared.may_read_log()?;
            self.last(&self.of_chain(&chain)).await?.as_ref().map(stored).transpose()
        }
        .boxed()
    }

    fn seek(&self, time_ms: i64) -> BoxFuture<'_, Result<u64, LogError>> {
        async move {
            let info = self.heard().await?;
            let (mut low, mut high) = (info.first, info.last + 1);
            while low < high {
                let middle = low + (high - low) / 2;
                let next = self.shared.broker.next(self.stream(), middle).await;
                match next.map_err(|error| self.failed(error))? {
                    Some(message) if message.time_ms < time_ms => low = message.seq + 1,
                    _ => high = middle,
                }
            }
            Ok(low.saturating_sub(1))
        }
        .boxed()
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>> {
        self.heard().boxed()
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.shared.tail.subscribe()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, LogError>> {
        async move {
            self.shared.may_write_log()?;
            // The brokers let events go by themselves.
            Ok(Tidied { events: 0, cells: self.tidy_cells(now_ms).await? })
        }
        .boxed()
    }

    fn health(&self) -> Result<(), LogError> {
        self.shared.may_write_log().map(drop)
    }
}
