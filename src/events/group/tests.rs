//! The state of a group against what its members may do to it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::events::cell::{Kept as _, VALUE_MAX};

fn owner(tag: u8) -> Owner {
    Owner::from_bytes([tag; 16])
}

fn group(ordered: bool, owners: &[u8]) -> Group {
    let mut group = Group::new("filter", Uuid::from_u128(1), ordered, 10);
    for (seq, tag) in (11..).zip(owners) {
        assert!(group.look(seq, (*tag != 0).then(|| owner(*tag))));
    }
    group
}

fn seqs(tokens: &[Token]) -> Vec<u64> {
    tokens.iter().map(|token| token.seq).collect()
}

#[test]
fn what_is_not_settled_comes_again_and_late_word_counts() {
    let mut group = group(false, &[1, 0, 1]);
    assert_eq!((group.read, group.floor()), (13, 10));
    let first = group.deliver(0, 30, 9);
    assert_eq!(seqs(&first), [11, 13]);
    assert_eq!((group.held(0), group.next_due(0)), (2, Some(30)));
    assert_eq!((group.held(30), group.next_due(30)), (0, Some(1_030)), "a second of pause");
    assert_eq!(group.deliver(1_029, 60, 9), []);
    let again = group.deliver(1_030, 1_060, 1);
    assert_eq!(again, [Token { seq: 11, attempt: 2 }]);
    // The first member is late, the second one has it by now: the work is done.
    assert_eq!(group.settle(first[0]), Settled::Done);
    assert_eq!(group.settle(again[0]), Settled::AlreadyDone);
    assert_eq!(group.floor(), 12);
    assert_eq!(group.settle(Token { seq: 13, attempt: 2 }), Settled::Unknown);
    assert_eq!(group.settle(Token { seq: 14, attempt: 1 }), Settled::Unknown);
    assert_eq!(group.settle(Token { seq: 13, attempt: 0 }), Settled::Unknown);
    assert_eq!(group.settle(first[1]), Settled::Done);
    assert_eq!(group.floor(), 13);
}

#[test]
fn only_the_last_holder_extends_and_gives_back() {
    let mut group = group(false, &[1]);
    let first = group.deliver(0, 30, 9)[0];
    assert_eq!(group.extend(first, 100), Settled::Done);
    assert_eq!(group.extend(first, 50), Settled::Done, "and does not make it shorter");
    assert_eq!(group.deliver(1_099, 2_000, 9), []);
    let mut late = group.clone();
    assert_eq!(late.extend(first, 1_500), Settled::Done, "nobody else has it yet");
    assert_eq!(late.deliver(2_499, 3_000, 9), []);
    let second = group.deliver(1_100, 1_130, 9)[0];
    assert_eq!(group.extend(first, 5_000), Settled::AlreadyDone);
    assert_eq!(group.give_back(first, 1_101), Settled::AlreadyDone);
    assert_eq!(group.give_back(second, 2_000), Settled::Done);
    assert_eq!((group.held(1_101), group.next_due(1_101)), (0, Some(2_000)));
    assert_eq!(group.extend(second, 9_000), Settled::AlreadyDone, "nobody has it");
    assert_eq!(group.deliver(2_000, 2_030, 9), [Token { seq: 11, attempt: 3 }]);
    group.paused = true;
    assert_eq!(group.deliver(5_000, 6_000, 9), []);
}

#[test]
fn an_owners_next_event_waits_and_nobody_elses() {
    let mut group = group(true, &[1, 1, 2, 1]);
    let first = group.deliver(0, 30, 9);
    assert_eq!(seqs(&first), [11, 13]);
    assert_eq!(group.deliver(0, 30, 9), []);
    assert_eq!(group.give_back(first[0], 1_000), Settled::Done);
    assert_eq!(seqs(&group.deliver(1_040, 2_000, 9)), [11, 13], "12 waits for the one before");
    assert_eq!(group.settle(first[0]), Settled::Done);
    assert_eq!(seqs(&group.deliver(1_040, 2_000, 9)), [12]);
}

#[test]
fn pauses_double_from_a_second_to_ten_minutes() {
    let pauses = [1, 2, 3, 10, 11, 12, 100, u32::MAX].map(pause_ms);
    assert_eq!(pauses, [1_000, 2_000, 4_000, 512_000, 600_000, 600_000, 600_000, 600_000]);
}

#[test]
fn what_was_tried_too_often_waits_to_be_buried_and_holds_up_its_owner_only() {
    let mut group = group(true, &[1, 1, 2]);
    group.attempts_max = 2;
    let first = group.deliver(0, 30, 9);
    group.settle(first[1]);
    assert_eq!(seqs(&group.deliver(1_030, 1_060, 9)), [11]);
    assert_eq!(group.spent(1_059), [], "somebody still has it");
    assert_eq!(group.deliver(i64::MAX, i64::MAX, 9), [], "and there is no third time");
    let spent = group.spent(1_060);
    assert_eq!(spent, [Token { seq: 11, attempt: 2 }]);
    assert_eq!(group.settle(spent[0]), Settled::Done);
    assert_eq!(seqs(&group.deliver(1_060, 2_000, 9)), [12]);
    // Given back for the last time, it is buried at once.
    group.deliver(9_000, 9_030, 9);
    let given = Token { seq: 12, attempt: 2 };
    assert_eq!(group.give_back(given, 99_000), Settled::Done);
    assert_eq!(group.spent(9_001), [given]);
}

#[test]
fn a_dead_letter_is_delivered_again_beside_the_order() {
    let mut group = group(true, &[1, 1]);
    let id = EventId::bill(&owner(1), "b", "PAID");
    assert!(group.redrive(5, id, owner(1)));
    assert!(!group.redrive(5, id, owner(1)), "it is on its way");
    let tokens = group.deliver(0, 30, 9);
    assert_eq!(tokens.len(), 2, "it neither waits nor is waited for");
    assert_eq!((tokens[0].seq, group.floor()), (11, 10));
    assert_eq!(group.settle(tokens[1]), Settled::Done);
    assert_eq!(group.settle(tokens[1]), Settled::AlreadyDone);
    assert!(!group.is_redriving(5, &id));
    assert!(group.redrive(5, id, owner(1)), "it may be tried once more, under another token");
    assert_ne!(group.deliver(0, 30, 9), [tokens[1]]);
    let next = Token { seq: tokens[1].seq + 2, attempt: 1 };
    assert_eq!(group.settle(next), Settled::Unknown);
    group.move_to(Uuid::from_u128(2), 40, 7);
    assert!(!group.is_redriving(5, &id));
}

#[test]
fn a_token_is_of_one_group_at_one_place() {
    let (mut ours, token) = (group(false, &[1]), Token { seq: 11, attempt: 3 });
    ours.generation = 7;
    let sealed = ours.seal(token);
    assert!(sealed.len() <= 128);
    assert_eq!(ours.open(&sealed), Some(token));
    for at in 0..sealed.len() {
        assert_eq!(ours.open(&sealed[..at]), None);
    }
    assert_eq!(ours.open(&[&*sealed, &[0]].concat()), None);
    ours.move_to(Uuid::from_u128(1), 10, 8);
    assert_eq!(ours.open(&sealed), None);
}

#[test]
fn retention_that_passes_a_group_is_told() {
    let mut group = group(false, &[1, 1, 1]);
    assert_eq!(group.begins(11), None);
    let tokens = group.deliver(0, 30, 9);
    group.settle(tokens[0]);
    assert_eq!(group.begins(12), None, "nothing was lost");
    assert_eq!(group.begins(13), Some(Gap { from: 12, to: 12 }));
    assert_eq!(group.settle(tokens[1]), Settled::AlreadyDone);
    assert_eq!(group.settle(tokens[2]), Settled::Done);
    assert_eq!(group.begins(20), Some(Gap { from: 14, to: 19 }));
    assert_eq!((group.read, group.floor()), (19, 19));
    assert!(!group.look(19, None) && !group.look(21, None) && group.look(20, None));
}

#[test]
fn the_fullest_group_fits_into_a_cell() {
    let mut group = Group::new(vec![1; 64 << 10], Uuid::from_u128(1), false, (1 << 62) - 1);
    while group.look(group.read + 1, Some(owner(1))) {}
    assert_eq!(group.claims.len(), CLAIMS_MAX);
    assert!(group.look(group.read + 1, None), "what is not wanted needs no room");
    for seq in 0..=REDRIVEN_MAX as u64 {
        let redriven = group.redrive(u64::MAX - seq, EventId::from_bytes([255; 16]), owner(1));
        assert_eq!(redriven, seq < REDRIVEN_MAX as u64);
    }
    group.deliver(0, i64::MAX, usize::MAX);
    for claim in group.claims.values_mut() {
        claim.attempt = u32::MAX;
    }
    assert!(group.encode().len() <= VALUE_MAX, "{} bytes", group.encode().len());
}

#[derive(Debug, Clone)]
enum Step {
    Look(u8),
    Deliver(i64, usize),
    Settle(usize),
    GiveBack(usize, i64),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8).prop_map(Step::Look),
        (1..40_i64, 0..5_usize).prop_map(|(lasts, limit)| Step::Deliver(lasts, limit)),
        any::<usize>().prop_map(Step::Settle),
        (any::<usize>(), 0..40_i64).prop_map(|(which, pause)| Step::GiveBack(which, pause)),
        (0..6_000_i64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever members do, each wanted event is delivered until somebody settles it, and in an
    /// ordered group none before its owner's earlier ones are settled.
    #[test]
    fn nothing_is_forgotten(ordered: bool, steps in prop::collection::vec(step(), 0..200)) {
        let mut group = Group::new("", Uuid::nil(), ordered, 0);
        let (mut now, mut open, mut tokens) = (0, BTreeSet::new(), Vec::new());
        for step in steps {
            match step {
                Step::Look(tag) => {
                    let seq = group.read + 1;
                    prop_assert!(group.look(seq, (tag != 0).then(|| owner(tag))));
                    if tag != 0 {
                        open.insert((seq, owner(tag)));
                    }
                }
                Step::Deliver(lasts, limit) => {
                    let delivered = group.deliver(now, now + lasts, limit);
                    prop_assert!(delivered.len() <= limit);
                    for token in delivered {
                        let own = group.claims.get(&token.seq).unwrap().owner;
                        let first = open.iter().find(|(_, owner)| *owner == own).unwrap();
                        prop_assert!(!ordered || first.0 == token.seq);
                        prop_assert!(!tokens.contains(&token), "a token is given once");
                        tokens.push(token);
                    }
                }
                Step::Settle(which) if !tokens.is_empty() => {
                    let token: Token = tokens[which % tokens.len()];
                    let was_open = open.iter().any(|(seq, _)| *seq == token.seq);
                    let settled = group.settle(token);
                    prop_assert_eq!(settled == Settled::Done, was_open);
                    open.retain(|(seq, _)| *seq != token.seq);
                }
                Step::GiveBack(which, pause) if !tokens.is_empty() => {
                    group.give_back(tokens[which % tokens.len()], now + pause);
                }
                Step::Pass(time) => now += time,
                Step::Settle(_) | Step::GiveBack(..) => {}
            }
            let floor = open.first().map_or(group.read, |(seq, _)| seq - 1);
            prop_assert_eq!(group.floor(), floor);
            prop_assert_eq!(Group::decode(&group.encode()).unwrap(), group.clone());
        }
        for _ in 0..open.len() {
            now += 1_000_000;
            for token in group.deliver(now, now + 1, usize::MAX) {
                group.settle(token);
            }
        }
        prop_assert_eq!(group.floor(), group.read, "all of it can be settled in the end");
    }
}
