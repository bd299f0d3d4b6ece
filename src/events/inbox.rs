//! Messages that are signed in a way the documents do not describe: kept until QIWI says what of
//! them is true.

use super::hub::Hub;
use super::store::LogError;
use crate::credentials::Wallet;

/// Keeps the transaction a message speaks of.
///
/// # Errors
/// When the log does not take it.
pub async fn put(
    _hub: &Hub,
    _credential: &str,
    _wallet: &Wallet,
    _transaction: &str,
    _kind: &str,
    _received_ms: i64,
) -> Result<(), LogError> {
    Err(LogError::Unavailable("not merged yet".to_owned()))
}
