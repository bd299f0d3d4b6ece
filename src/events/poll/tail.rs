//! Following the log.

use crate::events::{EventLog, Limit, LogError, ReadError, Stored};

/// Events read at once.
const BATCH: usize = 256;

/// What comes after a place, in order; over what is gone it goes on.
///
/// # Errors
/// When the log does not work.
pub(super) async fn after(log: &dyn EventLog, place: &mut u64) -> Result<Vec<Stored>, LogError> {
    match log.read(*place, Limit::events(BATCH)).await {
        Ok(events) => {
            if let Some(last) = events.last() {
                *place = last.seq;
            }
            Ok(events)
        }
        Err(ReadError::Expired { first }) => {
            *place = first.saturating_sub(1).max(*place);
            Ok(Vec::new())
        }
        // Another log has begun meanwhile.
        Err(ReadError::Ahead { last }) => {
            *place = last;
            Ok(Vec::new())
        }
        Err(ReadError::Log(error)) => Err(error),
    }
}

/// One event by its place, while it is kept.
///
/// # Errors
/// When the log does not work.
pub(super) async fn at(log: &dyn EventLog, seq: u64) -> Result<Option<Stored>, LogError> {
    match log.read(seq.saturating_sub(1), Limit::events(1)).await {
        Ok(events) => Ok(events.into_iter().find(|of| of.seq == seq)),
        Err(ReadError::Expired { .. } | ReadError::Ahead { .. }) => Ok(None),
        Err(ReadError::Log(error)) => Err(error),
    }
}
