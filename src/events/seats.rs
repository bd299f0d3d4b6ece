//! How many event streams there may be, all together and of one caller.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::credentials::Caller;
use crate::error::{Error, Sent, reason};

/// The places of all streams.
pub struct Seats {
    all: Arc<Semaphore>,
    max: usize,
    callers: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

/// Held for as long as a stream is served.
pub struct Seat {
    _one: OwnedSemaphorePermit,
    caller: Option<Arc<str>>,
    callers: Arc<Mutex<HashMap<Arc<str>, usize>>>,
}

impl Seats {
    /// So many places.
    pub fn new(max: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(max)), max, callers: Arc::default() }
    }

    /// All places there are.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// One place, of which a caller may have `each`.
    ///
    /// # Errors
    /// `TOO_MANY_STREAMS` when none is left.
    pub fn take(&self, caller: Option<&Caller>, each: usize) -> Result<Seat, Error> {
        let full = |subject: &'static str, what: &'static str| {
            Error::new(&reason::TOO_MANY_STREAMS).quota(subject, what).sent(Sent::No)
        };
        let none_left = |_| full("gateway:streams", "The gateway serves so many event streams.");
        let one = Arc::clone(&self.all).try_acquire_owned().map_err(none_left)?;
        let caller = caller.map(|caller| Arc::clone(&caller.name));
        if let Some(name) = &caller {
            let mut callers = self.callers.lock();
            let taken = callers.entry(Arc::clone(name)).or_default();
            if *taken >= each.max(1) {
                let what = "One caller may have a part of the event streams only.";
                return Err(full("gateway:caller_streams", what));
            }
            *taken += 1;
        }
        Ok(Seat { _one: one, caller, callers: Arc::clone(&self.callers) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(name) = &self.caller else { return };
        let mut callers = self.callers.lock();
        if let Some(taken) = callers.get_mut(name) {
            *taken -= 1;
            if *taken == 0 {
                callers.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_that_is_left_can_be_taken_again() {
        let seats = Seats::new(2);
        let (first, second) = (seats.take(None, 1).unwrap(), seats.take(None, 1).unwrap());
        assert_eq!(seats.take(None, 1).err().unwrap().reason().name, "TOO_MANY_STREAMS");
        drop(first);
        let third = seats.take(None, 1).unwrap();
        drop((second, third));
        assert_eq!(seats.all.available_permits(), 2);
    }
}
