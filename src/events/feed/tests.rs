//! The ring, and reading behind it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::events::id::{EventId, Owner};
use crate::events::record::{Event, Kind, Source, Trust};
use crate::events::visible::Visible;

fn entry(seq: u64, size: usize) -> Entry {
    let owner = Owner::from_bytes([1; 16]);
    let id = EventId::bill(&owner, &seq.to_string(), "PAID");
    let event = Event::new(id, Kind::Bill, Source::Webhook, Trust::SignatureOnly, owner);
    let stored = Stored { seq, logged_ms: 0, late: false, event };
    Entry { stored, bytes: Ok(vec![0; size].into()) }
}

proptest! {
    /// Whatever the ring holds, a reader gets the next events or is sent to the log.
    #[test]
    fn a_ring_leaves_no_event_out(
        begun in 0_u64..5,
        sizes in prop::collection::vec(1_usize..300, 0..60),
        room in 1_usize..20_000,
        after in 0_u64..70,
        events in 1_usize..10,
        bytes in 1_usize..900,
        until in 0_u64..80,
    ) {
        let epoch = Uuid::from_u128(7);
        let feed = Feed::new(1);
        let last = begun + sizes.len() as u64;
        {
            let mut ring = feed.ring.write();
            ring.begin(epoch, begun);
            for (seq, size) in (begun + 1..).zip(&sizes) {
                ring.push(entry(seq, *size), room);
            }
            prop_assert_eq!(ring.last, last);
            prop_assert!(ring.bytes <= room.max(ENTRY + 300));
        }
        let from = Position { seq: after, ..Position::start(epoch) };
        let filter = Filter::everything(Visible::All);
        let take = Take { events, bytes, until };
        match feed.from_ring(from, &filter, &take) {
            None => {
                let first = feed.ring.read().entries.front().map_or(last + 1, |of| of.stored.seq);
                prop_assert!(after + 1 < first, "{} is in the ring", after + 1);
            }
            Some(batch) => {
                let seqs: Vec<_> = batch.events.iter().map(|of| of.stored.seq).collect();
                let expected: Vec<_> = (after + 1..).take(seqs.len()).collect();
                prop_assert_eq!(&seqs, &expected);
                prop_assert_eq!(batch.through.seq, seqs.last().copied().unwrap_or(after));
                prop_assert!(seqs.len() <= events);
                prop_assert!(seqs.len() <= 1 || batch.size <= bytes);
                let more = after < last && after < until;
                prop_assert_eq!(seqs.is_empty(), !more);
                prop_assert!(seqs.iter().all(|seq| *seq <= until.min(last)));
            }
        }
        let other = Position { epoch: Uuid::from_u128(8), ..from };
        prop_assert!(feed.from_ring(other, &filter, &take).is_none());
    }
}
