//! Finding the places of the log that requests name, and saying why one cannot be found.

use std::time::Duration;

use prost_types::Timestamp;
use tokio::time::Instant;

use super::cursor::{self, CursorError, Position};
use super::hub::{Hub, now_ms};
use super::store::{Durability, Info, Limit, LogError, ReadError};
use crate::error::{Error, reason};
use crate::pb::events::v1::{LogAnchor, LogPosition, log_position};

/// How long a replica that is behind may take to catch up with a cursor.
const BEHIND_MAX: Duration = Duration::from_secs(3);
/// How far the clock may have been set since events went.
const STEP_MS: i64 = 60 * 60 * 1000;
/// Such a replica is looked at this often.
const LOOK: Duration = Duration::from_millis(20);

/// The log does not do what it is for.
pub(crate) fn unavailable(error: &LogError) -> Error {
    Error::new(&reason::EVENT_LOG_UNAVAILABLE).log(error.to_string())
}

/// The place that a request names; `at` is the dotted path of the field.
///
/// # Errors
/// `REQUEST_INVALID` names the field; `BAD_CURSOR`, `CURSOR_EXPIRED`, `LOG_REWOUND`,
/// `REPLICA_BEHIND` and `EVENT_LOG_UNAVAILABLE` as the contract describes them.
pub async fn find(hub: &Hub, named: Option<&LogPosition>, at: &str) -> Result<Position, Error> {
    let invalid = |what: &'static str| Error::invalid(at.to_owned(), what);
    let named = named.and_then(|named| named.position.as_ref());
    match named.ok_or_else(|| invalid("Say where: a cursor, a time or an end of the log."))? {
        log_position::Position::Cursor(bytes) => {
            let Ok(position) = hub.cursors.open(bytes) else {
                let error = Error::new(&reason::BAD_CURSOR);
                let what = "Send a cursor as it was received, or start from an end of the log.";
                return Err(with_ends(hub, error.field(at.to_owned(), what)).await);
            };
            resumed(hub, &position).await?;
            Ok(position)
        }
        log_position::Position::Time(time) => {
            let time_ms = millis(time).ok_or_else(|| invalid("Give a valid time."))?;
            at_time(hub, time_ms).await
        }
        log_position::Position::Anchor(anchor) => match LogAnchor::try_from(*anchor) {
            Ok(LogAnchor::Earliest) => earliest(hub).await,
            Ok(LogAnchor::Latest) => latest(hub).await,
            Ok(LogAnchor::Unspecified) | Err(_) => Err(invalid("Give a named end of the log.")),
        },
    }
}

/// Checks that the log goes on from a place without a gap, after a moment where a replica is behind.
///
/// # Errors
/// As [`find`].
pub async fn resumed(hub: &Hub, position: &Position) -> Result<(), Error> {
    let give_up = Instant::now() + BEHIND_MAX;
    loop {
        match cursor::resume(&*hub.log, position).await {
            Ok(_) => return Ok(()),
            Err(CursorError::Ahead { .. }) if Instant::now() < give_up && is_shared(hub).await => {
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => return Err(refusal(hub, error).await),
        }
    }
}

/// Whether others append to the same log, so that this process may be behind them.
async fn is_shared(hub: &Hub) -> bool {
    hub.log.info().await.is_ok_and(|info| info.durability == Durability::Quorum)
}

/// What a caller is told of a place that leads nowhere.
pub async fn refusal(hub: &Hub, error: CursorError) -> Error {
    let (reason, detail) = match error {
        CursorError::Log(error) => return unavailable(&error),
        CursorError::Malformed => (&reason::BAD_CURSOR, String::new()),
        CursorError::Foreign => (&reason::LOG_REWOUND, "another log or event".to_owned()),
        CursorError::Expired { first } => (&reason::CURSOR_EXPIRED, format!("begins at {first}")),
        // The only one who appends has never been there.
        CursorError::Ahead { last } if !is_shared(hub).await => {
            (&reason::LOG_REWOUND, format!("ends at {last}"))
        }
        CursorError::Ahead { last } => {
            return Error::new(&reason::REPLICA_BEHIND).log(format!("ends at {last}"));
        }
    };
    with_ends(hub, Error::new(reason).log(detail)).await
}

/// What a caller is told when reading behind a place fails.
pub(super) async fn unread(hub: &Hub, error: ReadError) -> Error {
    let error = match error {
        ReadError::Expired { first } => CursorError::Expired { first },
        ReadError::Ahead { last } => CursorError::Ahead { last },
        ReadError::Log(error) => CursorError::Log(error),
    };
    refusal(hub, error).await
}

/// Adds both ends of the log, where they can be found.
pub(super) async fn with_ends(hub: &Hub, mut error: Error) -> Error {
    if let Ok(earliest) = earliest(hub).await {
        error = error.cursor("earliestCursor", hub.cursors.seal(&earliest));
    }
    if let Ok(latest) = latest(hub).await {
        error = error.cursor("latestCursor", hub.cursors.seal(&latest));
    }
    error
}

/// The place before the oldest event.
pub(super) async fn earliest(hub: &Hub) -> Result<Position, Error> {
    let info = info(hub).await?;
    // The event before is gone, so that there is none to name.
    Ok(Position { seq: info.first.saturating_sub(1), ..Position::start(info.epoch) })
}

/// The place behind the newest event.
pub(super) async fn latest(hub: &Hub) -> Result<Position, Error> {
    loop {
        let info = info(hub).await?;
        match cursor::behind(&*hub.log, info.last).await {
            Ok(position) => return Ok(position),
            // Retention has just been there.
            Err(CursorError::Expired { .. }) => {}
            Err(CursorError::Log(error)) => return Err(unavailable(&error)),
            Err(error) => {
                return Err(Error::new(&reason::EVENT_LOG_UNAVAILABLE).log(error.to_string()));
            }
        }
    }
}

/// How the log is.
pub(super) async fn info(hub: &Hub) -> Result<Info, Error> {
    hub.log.info().await.map_err(|error| unavailable(&error))
}

/// The place before the first event of a moment or later, by the log's clock: that of this process
/// may have been set back since.
async fn at_time(hub: &Hub, time_ms: i64) -> Result<Position, Error> {
    let seq = hub.log.seek(time_ms).await.map_err(|error| unavailable(&error))?;
    let info = info(hub).await?;
    if info.first > 1 && seq < info.first && !is_kept(hub, &info, time_ms).await? {
        return Err(refusal(hub, CursorError::Expired { first: info.first }).await);
    }
    match cursor::behind(&*hub.log, seq).await {
        Ok(position) => Ok(position),
        Err(error) => Err(refusal(hub, error).await),
    }
}

/// Whether everything of a moment and later is still there, although something is gone.
async fn is_kept(hub: &Hub, info: &Info, time_ms: i64) -> Result<bool, Error> {
    let keep_ms = info.retention.keep_ms;
    if now_ms().saturating_sub(time_ms) < keep_ms - STEP_MS.min(keep_ms / 2) {
        // So young an event never goes, by whatever clock.
        return Ok(true);
    }
    let first = hub.log.read(info.first.saturating_sub(1), Limit::events(1)).await;
    match first {
        // What is gone is not younger than the first one left.
        Ok(events) => Ok(events.first().is_some_and(|first| first.logged_ms < time_ms)),
        Err(error) => Err(unread(hub, error).await),
    }
}

/// The first millisecond that is not earlier.
fn millis(time: &Timestamp) -> Option<i64> {
    let nanos = u32::try_from(time.nanos).ok().filter(|of| *of < 1_000_000_000)?;
    let millis = i64::from(nanos.div_ceil(1_000_000));
    time.seconds.checked_mul(1000)?.checked_add(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_between_two_milliseconds_is_the_later_one() {
        for (seconds, nanos, expected) in [
            (1, 0, Some(1000)),
            (1, 1, Some(1001)),
            (1, 999_999_999, Some(2000)),
            (-1, 1_000_000, Some(-999)),
            (1, -1, None),
            (1, 1_000_000_000, None),
            (i64::MAX, 0, None),
        ] {
            assert_eq!(millis(&Timestamp { seconds, nanos }), expected, "{seconds} {nanos}");
        }
    }
}
