//! Whose balances somebody wants to see right now.
//!
//! Balances are polled only while a stream asks for them; each such stream holds an interest, and
//! however many do, one poll serves them all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::id::Owner;

/// Who is wanted, and by how many.
#[derive(Default)]
pub struct Interest(Mutex<HashMap<Owner, usize>>);

impl Interest {
    /// Wants these for as long as what is returned lives.
    pub fn hold(self: &Arc<Self>, owners: impl IntoIterator<Item = Owner>) -> Held {
        let owners: Vec<_> = owners.into_iter().collect();
        let mut wanted = self.0.lock();
        for owner in &owners {
            *wanted.entry(*owner).or_default() += 1;
        }
        Held { interest: Arc::clone(self), owners }
    }

    /// Whether anybody wants any.
    pub fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Whether anybody wants this one.
    pub fn wants(&self, owner: &Owner) -> bool {
        self.0.lock().contains_key(owner)
    }
}

/// An interest; it ends when this is dropped.
pub struct Held {
    interest: Arc<Interest>,
    owners: Vec<Owner>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut wanted = self.interest.0.lock();
        for owner in &self.owners {
            if let Some(count) = wanted.get_mut(owner) {
                *count -= 1;
                if *count == 0 {
                    wanted.remove(owner);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_lasts_as_long_as_any_of_its_holders() {
        let interest = Arc::new(Interest::default());
        let (one, two) = (Owner::from_bytes([1; 16]), Owner::from_bytes([2; 16]));
        let first = interest.hold([one, two]);
        let second = interest.hold([one]);
        drop(first);
        assert!(interest.wants(&one) && !interest.wants(&two));
        drop(second);
        assert!(!interest.wants(&one));
    }
}
