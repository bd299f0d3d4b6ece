//! Whether the others can be heard, told by one's own beats and by the numbers of words.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Beats under way that are remembered.
const BEATS_MAX: usize = 8;
/// Whoever was not heard for so many beats is gone.
const GONE: u32 = 30;
/// Others that are remembered.
const OTHERS_MAX: usize = 10_000;

struct Beat {
    number: u64,
    sent: Instant,
    taken: bool,
    heard: bool,
}

struct Other {
    number: u64,
    heard: Instant,
}

/// What the number of a word tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is the next one.
    Next,
    /// Something before it was missed.
    Missed,
    /// It was heard before.
    Old,
}

/// What is known of the link.
pub(super) struct Link {
    beat: Duration,
    beats: VecDeque<Beat>,
    /// When the last beat began that came back.
    proven: Option<Instant>,
    others: HashMap<u64, Other>,
}

impl Link {
    pub(super) fn new(beat: Duration) -> Self {
        Self { beat, beats: VecDeque::new(), proven: None, others: HashMap::new() }
    }

    /// A beat goes out.
    pub(super) fn sent(&mut self, number: u64, now: Instant) {
        if self.beats.len() >= BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back(Beat { number, sent: now, taken: false, heard: false });
    }

    /// A majority of the brokers has a beat.
    pub(super) fn taken(&mut self, number: u64) {
        self.note(number, |beat| beat.taken = true);
    }

    /// A beat came back.
    pub(super) fn heard(&mut self, number: u64) {
        self.note(number, |beat| beat.heard = true);
    }

    fn note(&mut self, number: u64, note: impl FnOnce(&mut Beat)) {
        let Some(beat) = self.beats.iter_mut().find(|beat| beat.number == number) else { return };
        note(beat);
        if beat.taken && beat.heard {
            // The link was whole since this went out, not since it came back.
            self.proven = self.proven.max(Some(beat.sent));
        }
    }

    /// Whether no beat came back for two and a half.
    pub(super) fn is_cut(&self, now: Instant) -> bool {
        self.proven.is_none_or(|proven| now - proven >= self.beat * 5 / 2)
    }

    /// A word of another one, or its beat, which tells the number of the last word.
    pub(super) fn word(&mut self, teller: u64, number: u64, beat: bool, now: Instant) -> News {
        if self.others.len() >= OTHERS_MAX {
            self.others.clear();
        }
        let Some(other) = self.others.get_mut(&teller) else {
            self.others.insert(teller, Other { number, heard: now });
            // What it told before may have been lost here.
            return News::Missed;
        };
        other.heard = now;
        let before = other.number;
        other.number = before.max(number);
        match (number, beat) {
            (number, true) if number <= before => News::Next,
            (number, false) if number == before + 1 => News::Next,
            (number, false) if number <= before => News::Old,
            _ => News::Missed,
        }
    }

    /// How many others were heard lately.
    pub(super) fn others(&mut self, now: Instant) -> usize {
        let gone = self.beat * GONE;
        self.others.retain(|_, other| now - other.heard < gone);
        self.others.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_link_is_whole_while_beats_come_back_from_a_majority() {
        let now = Instant::now();
        let mut link = Link::new(BEAT);
        assert!(link.is_cut(now));
        link.sent(1, now);
        link.heard(1);
        assert!(link.is_cut(now), "an island hears itself, too");
        link.taken(1);
        assert!(!link.is_cut(now + BEAT * 2));
        assert!(link.is_cut(now + BEAT * 5 / 2));
        link.sent(2, now + BEAT);
        link.taken(2);
        assert!(link.is_cut(now + BEAT * 5 / 2), "taken and not heard");
        link.heard(2);
        assert!(!link.is_cut(now + BEAT * 3));
        link.heard(77);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_number_is_seen_by_the_next_word_or_beat() {
        let now = Instant::now();
        let mut link = Link::new(BEAT);
        let mut word = |number, beat| link.word(5, number, beat, now);
        assert_eq!(word(3, true), News::Missed, "a stranger");
        assert_eq!(word(3, true), News::Next);
        assert_eq!(word(4, false), News::Next);
        assert_eq!(word(4, false), News::Old);
        assert_eq!(word(6, false), News::Missed);
        assert_eq!(word(6, true), News::Next);
        assert_eq!(word(7, true), News::Missed, "the last word was lost");
        assert_eq!(word(7, true), News::Next);
        assert_eq!(link.others(now), 1);
        assert_eq!(link.others(now + BEAT * GONE), 0);
    }
}
