//! Events that are under way, so that a second attempt need not read the log.

use std::collections::HashMap;

use crate::events::cell::load;
use crate::events::dead::DeadLetter;
use crate::events::group::Group;
use crate::events::record::Stored;
use crate::events::store::{EventLog, Limit, LogError, ReadError};
use uuid::Uuid;

/// Most bytes of payloads kept.
const BYTES_MAX: usize = 8 << 20;

/// Events that are under way.
#[derive(Default)]
pub struct Shelf {
    events: HashMap<u64, Stored>,
    bytes: usize,
}

/// What is at a place.
pub enum Found {
    /// An event, and the log it has its sequence in.
    Event(Box<Stored>, Uuid),
    /// A dead letter that is gone.
    NoLetter,
    /// Retention took it; the log begins there by now.
    Expired(u64),
}

impl Shelf {
    /// Keeps an event if there is room.
    pub fn put(&mut self, stored: Stored) {
        let size = stored.event.payload.len();
        if self.bytes + size <= BYTES_MAX {
            self.bytes += size;
            if let Some(before) = self.events.insert(stored.seq, stored) {
                self.bytes -= before.event.payload.len();
            }
        }
    }

    /// Forgets what a group is done with.
    pub fn prune(&mut self, group: &Group) {
        let mut bytes = 0;
        self.events.retain(|seq, stored| {
            let stays = group.claims.contains_key(seq);
            bytes += if stays { stored.event.payload.len() } else { 0 };
            stays
        });
        self.bytes = bytes;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The event at a place of a group.
    ///
    /// # Errors
    /// When the log does not work.
    pub async fn find(
        &self,
        log: &dyn EventLog,
        name: &str,
        group: &Group,
        place: u64,
    ) -> Result<Found, LogError> {
        if let Some(stored) = self.events.get(&place) {
            return Ok(Found::Event(Box::new(stored.clone()), group.epoch));
        }
        if let Some(redriven) = group.redriven.get(&place) {
            let letter = DeadLetter::named(name, redriven.seq, &redriven.id);
            let letter = load::<DeadLetter>(log, &letter).await?;
            return Ok(letter.map_or(Found::NoLetter, |of| {
                Found::Event(Box::new(of.kept.stored), of.kept.epoch)
            }));
        }
        match log.read(place.saturating_sub(1), Limit::events(1)).await {
            Ok(events) => events.into_iter().next().map_or_else(
                || Err(LogError::Unavailable("an event that was read is not there".to_owned())),
                |stored| Ok(Found::Event(Box::new(stored), group.epoch)),
            ),
            Err(ReadError::Expired { first }) => Ok(Found::Expired(first)),
            Err(ReadError::Ahead { last }) => {
                Err(LogError::Unavailable(format!("the log ends at {last}, before a claim")))
            }
            Err(ReadError::Log(error)) => Err(error),
        }
    }
}
