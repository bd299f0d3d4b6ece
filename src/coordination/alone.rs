//! A process that shares its wallets with nobody.

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};

use super::{Away, Coordination, Heard, Name, Register, Swap};

/// Nobody else is there: what memory and embedded engines coordinate with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

fn nobody<T: Send + 'static>() -> BoxFuture<'static, Result<T, Away>> {
    ready(Err(Away("this engine is for one process".to_owned()))).boxed()
}

impl Coordination for Alone {
    fn is_shared(&self) -> bool {
        false
    }

    fn get(&self, _: Name) -> BoxFuture<'_, Result<Option<Register>, Away>> {
        nobody()
    }

    fn swap(&self, _: Name, _: u64, _: Bytes) -> BoxFuture<'_, Result<Swap, Away>> {
        nobody()
    }

    fn tell(&self, _: Bytes) {}

    fn beat(&self, _: Bytes) -> BoxFuture<'_, Result<(), Away>> {
        nobody()
    }

    fn hear(&self) -> BoxStream<'static, Heard> {
        stream::empty().boxed()
    }
}
