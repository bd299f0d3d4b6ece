//! Messages that are neither believed nor thrown away.
//!
//! A notification whose signature is right, but over other fields than the documents list, may be
//! QIWI's own after a change, or a captured one in a new dress. What it says is not kept: only which
//! transaction it names, sealed, so that QIWI can be asked.

use prost::Message as _;
use ring::digest::{Context, SHA256};
use zeroize::Zeroizing;

use super::cell::{CellKey, CellKind, Put, Value};
use super::cipher::Cipher;
use super::store::{EventLog, LogError};
use crate::credentials::Wallet;

/// Messages that wait at once.
pub const WAITING_MAX: usize = 1000;
/// How long one waits.
pub const WAIT_MS: i64 = 24 * 60 * 60 * 1000;
/// What nobody looked at goes by itself then.
const GONE_MS: i64 = WAIT_MS + 60 * 60 * 1000;

/// A transaction that a doubtful message named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubtful {
    /// The credential whose address it was posted to.
    pub credential: String,
    /// The wallet of that credential.
    pub wallet: Wallet,
    /// The number of the transaction.
    pub transaction: String,
    /// QIWI's word for its type.
    pub r#type: String,
    /// When it came: Unix milliseconds.
    pub received_ms: i64,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It waits.
    Waits,
    /// Another one about the same transaction waits already.
    Known,
    /// Too many wait; it is not kept.
    Full,
}

/// One that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What it names.
    pub doubtful: Doubtful,
    /// Its cell.
    pub key: CellKey,
    version: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Written {
    #[prost(string, tag = "1")]
    credential: String,
    #[prost(string, tag = "2")]
    wallet: String,
    #[prost(string, tag = "3")]
    transaction: String,
    #[prost(string, tag = "4")]
    r#type: String,
    #[prost(int64, tag = "5")]
    received_ms: i64,
}

/// Lets a message wait; durable when this returns.
///
/// # Errors
/// As the log says.
pub async fn put(
    log: &dyn EventLog,
    cipher: &Cipher,
    doubtful: &Doubtful,
) -> Result<Taken, LogError> {
    let key = key(doubtful);
    if log.cell(&key).await?.is_some() {
        return Ok(Taken::Known);
    }
    if log.cells(CellKind::Inbox, &[], None, WAITING_MAX).await?.len() >= WAITING_MAX {
        return Ok(Taken::Full);
    }
    let Doubtful { credential, wallet, transaction, r#type, received_ms } = doubtful.clone();
    let wallet = wallet.digits().to_owned();
    let written = Written { credential, wallet, transaction, r#type, received_ms };
    let text = Zeroizing::new(written.encode_to_vec());
    let bytes = cipher.seal(&text, &key.name)?;
    let value = Value { bytes, expires_ms: Some(received_ms.saturating_add(GONE_MS)) };
    match log.put(key, 0, Some(value)).await? {
        Put::Done(_) => Ok(Taken::Waits),
        Put::Changed(_) => Ok(Taken::Known),
    }
}

/// Those that wait, in no order that means anything.
///
/// # Errors
/// As the log says.
pub async fn take(
    log: &dyn EventLog,
    cipher: &Cipher,
    limit: usize,
) -> Result<Vec<Waiting>, LogError> {
    let mut waiting = Vec::new();
    for (key, cell) in log.cells(CellKind::Inbox, &[], None, limit).await? {
        let read = cipher.open(&cell.value.bytes, &key.name).map(Zeroizing::new);
        let written = read.ok().and_then(|text| Written::decode(&**text).ok());
        let doubtful = written.and_then(|written| {
            let Written { credential, wallet, transaction, r#type, received_ms } = written;
            let wallet = Wallet::parse(&wallet)?;
            Some(Doubtful { credential, wallet, transaction, r#type, received_ms })
        });
        match doubtful {
            Some(doubtful) => waiting.push(Waiting { doubtful, key, version: cell.version }),
            // Nobody will ever read it.
            None => {
                tracing::error!("a doubtful message could not be read again; it is dropped");
                log.put(key, cell.version, None).await?;
            }
        }
    }
    Ok(waiting)
}

/// Ends the waiting of one.
///
/// # Errors
/// As the log says.
pub async fn end(log: &dyn EventLog, waiting: &Waiting) -> Result<(), LogError> {
    // Whoever changed it meanwhile has ended it.
    log.put(waiting.key.clone(), waiting.version, None).await.map(|_| ())
}

fn key(doubtful: &Doubtful) -> CellKey {
    let mut context = Context::new(&SHA256);
    for part in [&doubtful.credential, &doubtful.transaction, &doubtful.r#type] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let name: Vec<u8> = context.finish().as_ref().iter().take(16).copied().collect();
    CellKey::new(CellKind::Inbox, name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::events::{Cells as _, Retention};
    use crate::state::MemoryLog;

    fn doubtful(transaction: &str) -> Doubtful {
        Doubtful {
            credential: "main".into(),
            wallet: Wallet::parse("79991112233").unwrap(),
            transaction: transaction.into(),
            r#type: "IN".into(),
            received_ms: 5,
        }
    }

    #[tokio::test]
    async fn what_is_put_is_taken_until_it_is_ended() {
        let (log, cipher) = (MemoryLog::new(Retention::DEFAULT), Cipher::new(&[1; 32]));
        assert_eq!(put(&log, &cipher, &doubtful("1")).await, Ok(Taken::Waits));
        assert_eq!(put(&log, &cipher, &doubtful("1")).await, Ok(Taken::Known));
        assert_eq!(put(&log, &cipher, &doubtful("2")).await, Ok(Taken::Waits));
        let cells = log.cells(CellKind::Inbox, &[], None, 9).await.unwrap();
        for (_, cell) in &cells {
            assert!(!cell.value.bytes.windows(4).any(|part| part == b"7999"), "it is sealed");
        }
        let waiting = take(&log, &cipher, 9).await.unwrap();
        let mut named: Vec<_> = waiting.iter().map(|of| of.doubtful.clone()).collect();
        named.sort_by(|left, right| left.transaction.cmp(&right.transaction));
        assert_eq!(named, [doubtful("1"), doubtful("2")]);
        end(&log, &waiting[0]).await.unwrap();
        assert_eq!(take(&log, &cipher, 9).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn there_is_an_end_to_how_many_wait() {
        let (log, cipher) = (MemoryLog::new(Retention::DEFAULT), Cipher::new(&[1; 32]));
        for number in 0..WAITING_MAX {
            let taken = put(&log, &cipher, &doubtful(&number.to_string())).await;
            assert_eq!(taken, Ok(Taken::Waits));
        }
        assert_eq!(put(&log, &cipher, &doubtful("one more")).await, Ok(Taken::Full));
        assert_eq!(put(&log, &cipher, &doubtful("0")).await, Ok(Taken::Known));
    }
}
