//! An engine that answers everything with the reason why there is none.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};

use crate::ledger::{
    Cursor, Insert, Key, LedgerStore, Page, Query, Record, Replace, StoreError, Tidied,
};

/// Stands in for an engine that could not be opened.
#[derive(Debug, Clone)]
pub struct Refusing(StoreError);

impl Refusing {
    /// Refuses with this.
    pub fn new(reason: StoreError) -> Self {
        Self(reason)
    }

    fn refuse<'a, T: Send + 'a>(&self) -> BoxFuture<'a, Result<T, StoreError>> {
        ready(Err(self.0.clone())).boxed()
    }
}

impl LedgerStore for Refusing {
    fn insert(&self, _: Record) -> BoxFuture<'_, Result<Insert, StoreError>> {
        self.refuse()
    }

    fn replace(&self, _: u64, _: Record) -> BoxFuture<'_, Result<Replace, StoreError>> {
        self.refuse()
    }

    fn get<'a>(&'a self, _: &'a Key) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        self.refuse()
    }

    fn list<'a>(
        &'a self,
        _: &'a Query,
        _: Option<&'a Cursor>,
        _: usize,
    ) -> BoxFuture<'a, Result<Page, StoreError>> {
        self.refuse()
    }

    fn unsettled(&self, _: usize) -> BoxFuture<'_, Result<Vec<Record>, StoreError>> {
        self.refuse()
    }

    fn tidy(&self, _: i64) -> BoxFuture<'_, Result<Tidied, StoreError>> {
        self.refuse()
    }

    fn health(&self) -> Result<(), StoreError> {
        Err(self.0.clone())
    }
}
