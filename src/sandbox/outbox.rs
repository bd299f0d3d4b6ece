//! Everything that goes out by itself: receipts by e-mail, which are only noted, and notifications.
//!
//! The order is that of the real sender as far as anybody can rely on it: what is told of one
//! transaction is told in order, everything else at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::Notify;

use super::letter::{Attempt, Letter, Parcel, State};
use super::notice::Notice;

/// How many entries are kept.
const KEPT: usize = 10_000;

#[derive(Debug)]
enum Entry {
    Mail(Value),
    Letter(Box<Letter>),
}

/// What went out and what is to go out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    /// Letters that have not ended.
    open: BTreeSet<u64>,
    /// What has not become letters yet.
    notices: Vec<Notice>,
    last_id: u64,
    wake: Arc<Notify>,
    /// Told whenever an attempt has ended.
    progress: Arc<Notify>,
}

impl Outbox {
    /// An empty one in the place of this. Ids go on, so that an attempt that outlives the change
    /// finds no other one's letter.
    pub(super) fn successor(&self) -> Self {
        let (wake, progress) = (Arc::clone(&self.wake), Arc::clone(&self.progress));
        // Who waits for one of these letters waits for nothing.
        progress.notify_waiters();
        Self { last_id: self.last_id, wake, progress, ..Self::default() }
    }

    /// Told whenever something may be due earlier than it was.
    pub(super) fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Told whenever an attempt has ended.
    pub(super) fn progress(&self) -> Arc<Notify> {
        Arc::clone(&self.progress)
    }

    /// Whether something about a subject is still to be tried for the first time.
    pub(super) fn is_untried(&self, owner: &str, subject: &str) -> bool {
        let letters = self.open.iter().filter_map(|id| self.letter(*id));
        let mut about = letters.filter(|one| (&*one.wallet, &*one.subject) == (owner, subject));
        about.any(|one| !one.is_copy && !one.was_tried())
    }

    /// Rings the bell.
    pub(super) fn ring(&self) {
        self.wake.notify_one();
    }

    /// Notes a receipt sent by e-mail.
    pub(super) fn mail(&mut self, letter: Value) {
        self.insert(Entry::Mail(letter));
    }

    /// Takes a notice in.
    pub(super) fn announce(&mut self, notice: Notice) {
        self.notices.push(notice);
        self.ring();
    }

    /// The notices since the last time.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Takes the letters of one notice in.
    pub(super) fn post(&mut self, letters: Vec<Letter>) {
        let first = self.last_id + 1;
        for mut letter in letters {
            let waits = letter.state == State::Waiting;
            let id = self.last_id + 1;
            if waits && !letter.is_copy {
                let overtaken = self.overtaken_by(&letter, id, first);
                letter.after = self.before(&letter, &overtaken);
            }
            self.insert(Entry::Letter(Box::new(letter)));
            if waits {
                self.open.insert(id);
            }
        }
    }

    /// Lets the letters that wait for the next one of their wallet wait for this; those of its own
    /// notice go on waiting.
    fn overtaken_by(&mut self, letter: &Letter, id: u64, first: u64) -> Vec<u64> {
        let mut overtaken = Vec::new();
        for open in self.open.range(..first) {
            if let Some(Entry::Letter(other)) = self.entries.get_mut(open)
                && other.behind_next
                && other.wallet == letter.wallet
            {
                other.behind_next = false;
                other.after = Some(id);
                overtaken.push(*open);
            }
        }
        overtaken
    }

    /// The newest letter about the same subject that is still to be tried.
    fn before(&self, letter: &Letter, overtaken: &[u64]) -> Option<u64> {
        let same = |id: &&u64| {
            !overtaken.contains(*id)
                && self.letter(**id).is_some_and(|other| {
                    !other.is_copy
                        && !other.was_tried()
                        && (&other.wallet, &other.subject) == (&letter.wallet, &letter.subject)
                })
        };
        self.open.iter().rev().find(same).copied()
    }

    fn insert(&mut self, entry: Entry) {
        self.last_id += 1;
        self.entries.insert(self.last_id, entry);
        if self.entries.len() > KEPT {
            let oldest = self.entries.keys().find(|id| !self.open.contains(id)).copied();
            oldest.and_then(|id| self.entries.remove(&id));
        }
    }

    fn letter(&self, id: u64) -> Option<&Letter> {
        match self.entries.get(&id)? {
            Entry::Letter(letter) => Some(letter),
            Entry::Mail(_) => None,
        }
    }

    /// When a letter can go, if nothing else has to happen before.
    fn free_at(&self, id: u64) -> Option<Instant> {
        let letter = self.letter(id)?;
        let before = letter.after.and_then(|before| self.letter(before));
        let blocked = letter.behind_next || before.is_some_and(|before| !before.was_tried());
        (letter.state == State::Waiting && !blocked).then_some(letter.due)
    }

    /// When the next letter is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.open.iter().filter_map(|id| self.free_at(*id)).min()
    }

    /// At most so many letters that are due.
    pub(super) fn take_due(&mut self, now: Instant, room: usize) -> Vec<(u64, Parcel)> {
        let due = |id: &&u64| self.free_at(**id).is_some_and(|due| due <= now);
        let ids: Vec<u64> = self.open.iter().filter(due).take(room).copied().collect();
        let mut parcels = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(Entry::Letter(letter)) = self.entries.get_mut(&id) {
                parcels.push((id, letter.send()));
            }
        }
        parcels
    }

    /// Enters how an attempt ended.
    pub(super) fn enter(&mut self, id: u64, attempt: Attempt) {
        if let Some(Entry::Letter(letter)) = self.entries.get_mut(&id) {
            letter.enter(attempt);
            if letter.state != State::Waiting {
                self.open.remove(&id);
            }
        }
        self.progress.notify_waiters();
        self.ring();
    }

    /// Everything, oldest first.
    pub(super) fn to_json(&self) -> Value {
        let shown = self.entries.iter().map(|(id, entry)| match entry {
            Entry::Mail(letter) => letter.clone(),
            Entry::Letter(letter) => letter.to_json(*id),
        });
        shown.collect()
    }
}
