//! What a client holds to go on where it was.
//!
//! A cursor names a place of one log and carries a piece of the identity of the event there, so
//! that a log that went back and was filled again is noticed. It is authenticated: with the
//! configured keys, so that all replicas take each other's, or, without any, with one that follows
//! from the log, which notices accidents and not intent. A cursor gives no rights, so that is
//! enough to run without keys.

use ring::hmac;
use uuid::Uuid;

use super::record::Stored;
use super::store::{EventLog, Info, Limit, LogError, ReadError};

const VERSION: u8 = 1;

/// Version, epoch, sequence, piece of the identity.
const BODY: usize = 1 + 16 + 8 + PIECE;
const PIECE: usize = 8;
const MAC: usize = 16;

/// A place in one log: behind an event, or before all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Which log.
    pub epoch: Uuid,
    /// The event's place; 0 before all.
    pub seq: u64,
    /// A piece of its identity; zeroes where there was no event to name.
    pub piece: [u8; PIECE],
}

impl Position {
    /// The place behind an event.
    pub fn behind(epoch: Uuid, stored: &Stored) -> Self {
        let piece = stored.event.id.as_bytes().first_chunk().copied();
        Self { epoch, seq: stored.seq, piece: piece.unwrap_or_default() }
    }

    /// The place before the first event of a log.
    pub const fn start(epoch: Uuid) -> Self {
        Self { epoch, seq: 0, piece: [0; PIECE] }
    }
}

/// Why a cursor leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is none of ours, or was altered.
    #[error("the cursor is not one of this gateway's")]
    Malformed,
    /// It is of another log, or of this one before it went back.
    #[error("the cursor is of another log")]
    Foreign,
    /// What comes after it is gone.
    #[error("the log begins at {first} by now")]
    Expired {
        /// The first event there is, or will be.
        first: u64,
    },
    /// The log does not reach that far: it went back, or this engine is behind.
    #[error("the log ends at {last}")]
    Ahead {
        /// The last event there is.
        last: u64,
    },
    /// The log does not work.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Makes and reads cursors.
pub struct Cursors {
    /// The first signs; all verify, so that a key can be replaced while old cursors are held.
    keys: Vec<hmac::Key>,
}

impl Cursors {
    /// Cursors under the given keys; without any, under one that follows from the log.
    pub fn new(keys: &[[u8; 32]], epoch: Uuid) -> Self {
        // Not the keys themselves: they have other uses.
        let derived = |from: &[u8]| {
            let from = hmac::Key::new(hmac::HMAC_SHA256, from);
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&from, b"event cursor").as_ref())
        };
        let mut keys: Vec<_> = keys.iter().map(|key| derived(key)).collect();
        if keys.is_empty() {
            keys.push(derived(epoch.as_bytes()));
        }
        Self { keys }
    }

    /// A place as a cursor.
    pub fn seal(&self, position: &Position) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BODY + MAC);
        bytes.push(VERSION);
        bytes.extend_from_slice(position.epoch.as_bytes());
        bytes.extend_from_slice(&position.seq.to_be_bytes());
        bytes.extend_from_slice(&position.piece);
        if let Some(key) = self.keys.first() {
            let mac = hmac::sign(key, &bytes);
            bytes.extend(mac.as_ref().iter().take(MAC));
        }
        bytes
    }

    /// The place that a cursor names.
    ///
    /// # Errors
    /// `Malformed` when it is not one of ours.
    pub fn open(&self, cursor: &[u8]) -> Result<Position, CursorError> {
        self.open_inner(cursor).ok_or(CursorError::Malformed)
    }

    fn open_inner(&self, cursor: &[u8]) -> Option<Position> {
        let (body, mac) = cursor.split_last_chunk::<MAC>()?;
        let is_ours = self.keys.iter().any(|key| {
            let expected = hmac::sign(key, body);
            let expected = expected.as_ref().first_chunk::<MAC>();
            // One difference for all bytes: how many are right takes no less time to find out.
            expected.is_some_and(|of| of.iter().zip(mac).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0)
        });
        let (version, body) = body.split_first()?;
        let (epoch, body) = body.split_first_chunk::<16>()?;
        let (seq, piece) = body.split_first_chunk::<8>()?;
        let position = Position {
            epoch: Uuid::from_bytes(*epoch),
            seq: u64::from_be_bytes(*seq),
            piece: piece.try_into().ok()?,
        };
        (is_ours && *version == VERSION).then_some(position)
    }
}

/// The event at a place, which the log goes on from without a gap; none when retention took it.
async fn event_at(
    log: &dyn EventLog,
    info: &Info,
    seq: u64,
) -> Result<Option<Stored>, CursorError> {
    if seq > info.last {
        return Err(CursorError::Ahead { last: info.last });
    }
    if seq < info.first {
        let is_next = seq.saturating_add(1) == info.first;
        return if is_next { Ok(None) } else { Err(CursorError::Expired { first: info.first }) };
    }
    match log.read(seq.saturating_sub(1), Limit::events(1)).await {
        Ok(there) => Ok(there.into_iter().next()),
        // Retention took it a moment ago; the next one is there.
        Err(ReadError::Expired { first }) if first == seq.saturating_add(1) => Ok(None),
        Err(ReadError::Expired { first }) => Err(CursorError::Expired { first }),
        Err(ReadError::Ahead { last }) => Err(CursorError::Ahead { last }),
        Err(ReadError::Log(error)) => Err(error.into()),
    }
}

/// The place behind a sequence.
///
/// # Errors
/// When the log has no such place any more, or not yet.
pub async fn behind(log: &dyn EventLog, seq: u64) -> Result<Position, CursorError> {
    let info = log.info().await?;
    let unnamed = Position { seq, ..Position::start(info.epoch) };
    let stored = event_at(log, &info, seq).await?;
    Ok(stored.map_or(unnamed, |stored| Position::behind(info.epoch, &stored)))
}

/// Whether a log goes on from a place without a gap; answers the sequence to read after.
///
/// # Errors
/// Says why it does not.
pub async fn resume(log: &dyn EventLog, position: &Position) -> Result<u64, CursorError> {
    let info = log.info().await?;
    if info.epoch != position.epoch {
        return Err(CursorError::Foreign);
    }
    match event_at(log, &info, position.seq).await? {
        Some(stored) if Position::behind(info.epoch, &stored) != *position => {
            Err(CursorError::Foreign)
        }
        _ => Ok(position.seq),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const POSITION: Position =
        Position { epoch: Uuid::from_u128(7), seq: u64::MAX, piece: [1, 2, 3, 4, 5, 6, 7, 8] };

    #[test]
    fn no_altered_cursor_opens() {
        let cursors = Cursors::new(&[[7; 32]], Uuid::nil());
        let cursor = cursors.seal(&POSITION);
        assert_eq!(cursors.open(&cursor), Ok(POSITION));
        for at in 0..cursor.len() {
            for bit in 0..8 {
                let mut altered = cursor.clone();
                altered[at] ^= 1 << bit;
                assert_eq!(cursors.open(&altered), Err(CursorError::Malformed));
            }
            assert_eq!(cursors.open(&cursor[..at]), Err(CursorError::Malformed));
        }
        let longer = [&*cursor, &[0]].concat();
        assert_eq!(cursors.open(&longer), Err(CursorError::Malformed));
    }

    #[test]
    fn an_old_key_still_opens_and_another_one_does_not() {
        let cursor = Cursors::new(&[[7; 32]], Uuid::nil()).seal(&POSITION);
        let renewed = Cursors::new(&[[8; 32], [7; 32]], Uuid::nil());
        assert_eq!(renewed.open(&cursor), Ok(POSITION));
        let other = Cursors::new(&[[8; 32]], Uuid::nil());
        assert_eq!(other.open(&cursor), Err(CursorError::Malformed));
    }

    #[test]
    fn without_keys_cursors_outlive_the_process_and_not_the_log() {
        let cursor = Cursors::new(&[], Uuid::from_u128(7)).seal(&POSITION);
        assert_eq!(Cursors::new(&[], Uuid::from_u128(7)).open(&cursor), Ok(POSITION));
        assert!(Cursors::new(&[], Uuid::from_u128(8)).open(&cursor).is_err());
    }
}
