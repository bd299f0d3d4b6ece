//! Cells in a stream: one message each. The place of a message in its stream is the version.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_nats::HeaderMap;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::broker::{Failure, GONE, Message, header, hex, unhex};
use super::index::{Current, Entries, NoList};
use super::log::{NatsLog, failed};
use super::streams::Of;
use super::table::{self, Write, Written};
use crate::events::{Cell, CellKey, CellKind, Cells, LogError, Put, Value, cell};

/// When a cell may go by itself.
const EXPIRES: &str = "Qiwi-Expires";
/// Cells asked for at once.
const AT_ONCE: usize = 16;

fn value(message: &Message) -> Option<Cell> {
    let value = Value { bytes: message.payload.clone(), expires_ms: expires(message) };
    (!message.is_gone()).then_some(Cell { version: message.seq, value })
}

fn expires(message: &Message) -> Option<i64> {
    message.headers.get(EXPIRES)?.as_str().parse().ok()
}

impl NatsLog {
    fn cell_subject(&self, key: &CellKey) -> String {
        let rest = format!("{}.{}", key.kind.number(), hex(&key.name));
        self.shared.streams.subject(Of::Cells, &rest)
    }

    async fn cell_at(&self, subject: &str) -> Result<Option<Cell>, LogError> {
        let stream = self.shared.streams.name(Of::Cells);
        let last = self.shared.broker.last(stream, subject).await;
        Ok(last.map_err(|error| self.failed(error))?.as_ref().and_then(value))
    }

    pub(super) fn failed(&self, error: Failure) -> LogError {
        self.shared.doubt();
        failed(error)
    }

    async fn change(
        &self,
        key: &CellKey,
        expected: u64,
        value_wanted: Option<Value>,
    ) -> Result<Put, LogError> {
        self.shared.may_write_log()?;
        let stream = self.shared.streams.name(Of::Cells);
        let subject = self.cell_subject(key);
        let is_gone = value_wanted.is_none();
        let mut headers = if is_gone { header(GONE, "1") } else { HeaderMap::new() };
        let payload = match value_wanted {
            Some(Value { bytes, expires_ms }) => {
                if let Some(expires_ms) = expires_ms {
                    headers.insert(EXPIRES, expires_ms.to_string());
                }
                bytes
            }
            None => bytes::Bytes::new(),
        };
        // What was taken away leaves a mark for a moment, which is as good as nothing.
        let mut marked = expected;
        loop {
            let write = Write {
                subject: subject.clone(),
                expected: marked,
                headers: headers.clone(),
                payload: payload.clone(),
            };
            let patience = self.shared.settings.timeout;
            let written = table::write(&self.shared.broker, stream, write, patience).await;
            let there = match written.map_err(|error| self.failed(error))? {
                Written::Done(seq) => {
                    if is_gone {
                        // Nobody misses the mark; where this fails it stays.
                        let _ = self.shared.broker.delete(stream, seq).await;
                    }
                    return Ok(Put::Done(seq));
                }
                Written::Changed(there) => there,
            };
            let cell = there.as_ref().and_then(value);
            if cell.is_some() || expected != 0 {
                return Ok(Put::Changed(cell));
            }
            marked = there.map_or(0, |mark| mark.seq);
        }
    }

    async fn known_cells(&self) -> Result<Current<'_, Names>, LogError> {
        // Lists wait for each other: while nobody answers, none is begun.
        self.shared.may_write_log()?;
        let stream = self.shared.streams.name(Of::Cells);
        let patience = self.shared.settings.patience;
        self.cells.current(&self.shared.broker, stream, patience).await.map_err(|error| match error
        {
            NoList::Failed(error) => self.failed(error),
            NoList::Damaged(text) => LogError::Damaged(text),
        })
    }

    /// Takes away the cells whose time is over; answers how many.
    pub(super) async fn tidy_cells(&self, now_ms: i64) -> Result<u64, LogError> {
        let over = self.known_cells().await?.over(now_ms);
        let mut count = 0;
        for key in over {
            let Some(cell) = self.cell_at(&self.cell_subject(&key)).await? else { continue };
            let is_over = cell.value.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
            if is_over && matches!(self.change(&key, cell.version, None).await?, Put::Done(_)) {
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Cells for NatsLog {
    fn cell<'a>(&'a self, key: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>> {
        async move { self.cell_at(&self.cell_subject(key)).await }.boxed()
    }

    fn put(
        &self,
        key: CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> BoxFuture<'_, Result<Put, LogError>> {
        async move {
            cell::check(&key, value.as_ref())?;
            self.change(&key, expected, value).await
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn cells<'a>(
        &'a self,
        kind: CellKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(CellKey, Cell)>, LogError>> {
        async move {
            let (mut found, mut after) = (Vec::new(), after.map(<[u8]>::to_vec));
            // What goes between the look into the index and the reading is made up for.
            while found.len() < limit {
                let names = self.known_cells().await?.page(
                    kind,
                    prefix,
                    after.as_deref(),
                    limit - found.len(),
                );
                let Some(last) = names.last() else { break };
                after = Some(last.name.to_vec());
                let mut asked = stream::iter(names)
                    .map(|key| async move {
                        let cell = self.cell_at(&self.cell_subject(&key)).await?;
                        Ok::<_, LogError>(cell.map(|cell| (key, cell)))
                    })
                    .buffered(AT_ONCE);
                while let Some(one) = asked.next().await {
                    found.extend(one?);
                }
            }
            Ok(found)
        }
        .boxed()
    }
}

/// Every cell, and when it may go.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<CellKey, Option<i64>>);

impl Entries for Names {
    fn apply(&mut self, message: &Message) -> Result<(), String> {
        let mut parts = message.subject.rsplit('.');
        let (name, kind) = (parts.next(), parts.next());
        let kind = kind.and_then(|kind| kind.parse().ok()).and_then(CellKind::from_number);
        // Marks and trial writes have names of their own; a newer version may know more kinds.
        let (Some(name), Some(kind)) = (name.and_then(unhex), kind) else { return Ok(()) };
        let key = CellKey::new(kind, name);
        if message.is_gone() {
            self.0.remove(&key);
        } else {
            self.0.insert(key, expires(message));
        }
        Ok(())
    }
}

impl Names {
    fn page(
        &self,
        kind: CellKind,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<CellKey> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(CellKey::new(kind, after)),
            _ => Bound::Included(CellKey::new(kind, prefix)),
        };
        self.0
            .range((start, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.kind == kind && key.name.starts_with(prefix))
            .take(limit)
            .cloned()
            .collect()
    }

    fn over(&self, now_ms: i64) -> Vec<CellKey> {
        let over = self.0.iter().filter(|(_, expires)| expires.is_some_and(|at| at <= now_ms));
        over.map(|(key, _)| key.clone()).collect()
    }
}
