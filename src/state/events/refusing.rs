//! An engine that answers everything with the reason why there is none.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokio::sync::watch;

use crate::events::{
    Append, Cell, CellKey, CellKind, Cells, Chain, EventId, EventLog, Info, Limit, LogError,
    Outcome, Put, ReadError, Stored, Tidied, Value,
};

/// Stands in for an event log that could not be opened.
#[derive(Debug, Clone)]
pub struct RefusingLog(LogError);

impl RefusingLog {
    /// Refuses with this.
    pub fn new(reason: LogError) -> Self {
        Self(reason)
    }

    fn refuse<'a, T: Send + 'a, E: From<LogError> + Send + 'a>(
        &self,
    ) -> BoxFuture<'a, Result<T, E>> {
        ready(Err(self.0.clone().into())).boxed()
    }
}

impl Cells for RefusingLog {
    fn cell<'a>(&'a self, _: &'a CellKey) -> BoxFuture<'a, Result<Option<Cell>, LogError>> {
        self.refuse()
    }

    fn put(&self, _: CellKey, _: u64, _: Option<Value>) -> BoxFuture<'_, Result<Put, LogError>> {
        self.refuse()
    }

    fn cells<'a>(
        &'a self,
        _: CellKind,
        _: &'a [u8],
        _: Option<&'a [u8]>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<(CellKey, Cell)>, LogError>> {
        self.refuse()
    }
}

impl EventLog for RefusingLog {
    fn append(&self, _: Append) -> BoxFuture<'_, Result<Outcome, LogError>> {
        self.refuse()
    }

    fn read(&self, _: u64, _: Limit) -> BoxFuture<'_, Result<Vec<Stored>, ReadError>> {
        self.refuse()
    }

    fn get(&self, _: EventId) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        self.refuse()
    }

    fn last_of(&self, _: Chain) -> BoxFuture<'_, Result<Option<Stored>, LogError>> {
        self.refuse()
    }

    fn seek(&self, _: i64) -> BoxFuture<'_, Result<u64, LogError>> {
        self.refuse()
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, LogError>> {
        self.refuse()
    }

    /// A log that is closed from the start.
    fn tail(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }

    fn tidy(&self, _: i64) -> BoxFuture<'_, Result<Tidied, LogError>> {
        self.refuse()
    }

    fn health(&self) -> Result<(), LogError> {
        Err(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_says_why_to_everything() {
        let reason = LogError::Damaged("cut short".to_owned());
        let log = RefusingLog::new(reason.clone());
        assert_eq!(log.health(), Err(reason.clone()));
        assert_eq!(log.info().await, Err(reason.clone()));
        assert_eq!(log.read(0, Limit::events(1)).await, Err(ReadError::Log(reason)));
        assert!(log.tail().changed().await.is_err(), "nobody waits for it");
    }
}
