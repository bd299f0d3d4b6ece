//! A log that tests come in between: it stops where it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use qiwi_gateway::events::{
    Append, Cell, CellKey, CellKind, Cells, Chain, EventId, EventLog, Info, Limit, LogError,
    Outcome, Put, ReadError, Stored, Tidied, Value,
};
use tokio::sync::watch;

/// Where the log stands still for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Before an event is appended.
    Append,
    /// When it is durable, before anybody hears of it.
    Answer,
    /// When somebody reads it.
    Read,
    /// When somebody asks for it alone.
    Get,
}

/// A log that stands still at a point, and fails when told to.
pub struct Between {
    pub log: Arc<dyn EventLog>,
    pub point: Option<Point>,
    /// Called when it stands still.
    pub reached: Box<dyn Fn() + Send + Sync>,
    pub fails: AtomicBool,
}

impl Between {
    pub fn over(log: Arc<dyn EventLog>) -> Self {
        Self { log, point: None, reached: Box::new(|| {}), fails: AtomicBool::new(false) }
    }

    async fn stop(&self, point: Point) {
        if self.point == Some(point) {
            (self.reached)();
            std::future::pending::<()>().await;
        }
    }

    fn works(&self) -> Result<(), LogError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable("told to fail; check the disk".to_owned()));
        }
        Ok(())
    }
}

impl Cells for Between {
    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }

    fn cell<'a>(&'a self, key: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>> {
        async move {
            self.works()?;
            self.log.cell(key).await
        }
        .boxed()
    }

    fn put(
        &self,
        key: CellKey,
        expected: u64,
        value: Option<Value>,
    ) -> BoxFuture<'_, Result<Put, LogError>> {
        async move {
            self.works()?;
            self.log.put(key, expected, value).await
        }
        .boxed()
    }

    fn cells<'a>(
        &'a self,
        kind: CellKind,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(CellKey, Cell)>, LogError>> {
        self.log.cells(kind, prefix, after, limit)
    }
}

impl EventLog for Between {
    fn append(&self, append: Append) -> BoxFuture<'_, Result<Outcome, LogError>> {
        async move {
            self.works()?;
            self.stop(Point::Append).await;
            let outcome = self.log.append(append).await;
            self.stop(Point::Answer).await;
            outcome
        }
        .boxed()
    }

    fn read(&self, after: u64, limit: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>> {
        async move {
            self.works()?;
            let read = self.log.read(after, limit).await?;
            if !read.is_empty() {
                self.stop(Point::Read).await;
            }
            Ok(read)
        }
        .boxed()
    }

    fn get(&self, id: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        async move {
            self.stop(Point::Get).await;
            self.log.get(id).await
        }
        .boxed()
    }

    fn last_of(&self, chain: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        self.log.last_of(chain)
    }

    fn seek(&self, time_ms: i64) -> BoxFuture<'_, Result<u64, LogError>> {
        self.log.seek(time_ms)
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>> {
        async move {
            self.works()?;
            self.log.info().await
        }
        .boxed()
    }

    fn tail(&self) -> watch::Receiver<u64> {
        self.log.tail()
    }

    fn tidy(&self, now_ms: i64) -> BoxFuture<'_, Result<Tidied, LogError>> {
        async move {
            self.works()?;
            self.log.tidy(now_ms).await
        }
        .boxed()
    }

    fn health(&self) -> Result<(), LogError> {
        self.works()?;
        self.log.health()
    }
}
