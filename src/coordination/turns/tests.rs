//! That no sliding minute holds more than QIWI permits, whoever can reach whom.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::config::{self, Config};
use crate::coordination::memory::{Member, Table};
use crate::coordination::pace::Quota;

const NAME: Name = Name::from_u128(7);
const PATIENCE: Duration = Duration::from_millis(250);
const MINUTE: Duration = Duration::from_secs(60);
const PERMITTED: usize = 100;

fn limit(replicas: u32) -> config::Limit {
    config::Limit { replicas, ..Config::default().limit }
}

fn turns(member: &Arc<Member>, replicas: u32) -> Turns {
    let shares = Shares::new(&limit(replicas), PATIENCE);
    Turns::new(Arc::clone(member) as Arc<dyn Coordination>, shares, PATIENCE)
}

fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap()
}

/// What went out lately.
#[derive(Default)]
struct Sent(VecDeque<Instant>);

impl Sent {
    fn note(&mut self) {
        let now = Instant::now();
        self.0.push_back(now);
        while self.0.front().is_some_and(|at| now - *at >= MINUTE) {
            self.0.pop_front();
        }
        assert!(self.0.len() <= PERMITTED, "{} in one minute", self.0.len());
    }
}

/// As a gateway takes a turn: with the others, or alone.
async fn turn(turns: &Turns, settling: bool) -> bool {
    match turns.take(NAME, settling).await {
        Ok(_) => true,
        Err(Denied::Refused(_)) => false,
        Err(Denied::Away) => turns.take_own(&[NAME], false, settling).is_ok(),
    }
}

#[derive(Debug, Clone)]
struct Step {
    gap_ms: u64,
    replica: usize,
    demand: usize,
    settling: bool,
    fault: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u64..3000, 0usize..3, 1usize..20, any::<bool>(), 0u8..16);
    let step = step.prop_map(|(gap_ms, replica, demand, settling, fault)| Step {
        gap_ms,
        replica,
        demand,
        settling,
        fault,
    });
    prop::collection::vec(step, 1..250)
}

/// Lets replicas hear what the others try.
fn listen(member: &Member, turns: &Arc<Turns>) -> tokio::task::JoinHandle<()> {
    use futures_util::StreamExt as _;
    let (mut heard, turns) = (member.hear(), Arc::clone(turns));
    tokio::spawn(async move {
        while let Some(heard) = heard.next().await {
            if let crate::coordination::Heard::Tried(name, value) = heard {
                turns.tried(name, &value);
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sliding_minute_holds_more_than_a_hundred_in_any_partition(steps in steps()) {
        paused().block_on(async {
            let table = Table::new();
            let members: Vec<_> = (0..3).map(|_| table.member()).collect();
            let all: Vec<_> = members.iter().map(|member| Arc::new(turns(member, 3))).collect();
            let ears: Vec<_> = members.iter().zip(&all).map(|(m, t)| listen(m, t)).collect();
            let mut sent = Sent::default();
            for step in steps {
                tokio::time::advance(Duration::from_millis(step.gap_ms)).await;
                tokio::task::yield_now().await;
                let member = &members[step.replica];
                match step.fault {
                    0 => member.cut(true),
                    1 => member.mute(true),
                    2 => member.slow(Duration::from_millis(step.gap_ms % 400)),
                    3 => member.deafen(true),
                    4 => members.iter().for_each(|member| member.cut(true)),
                    5 | 6 => members.iter().for_each(|member| {
                        member.cut(false);
                        member.mute(false);
                        member.deafen(false);
                        member.slow(Duration::ZERO);
                    }),
                    _ => {}
                }
                // All ask as much at once, so that they race.
                for _ in 0..step.demand {
                    let asked = all.iter().map(|turns| turn(turns, step.settling));
                    for taken in futures_util::future::join_all(asked).await {
                        if taken {
                            sent.note();
                        }
                    }
                }
            }
            ears.iter().for_each(tokio::task::JoinHandle::abort);
        });
    }

    /// Replicas whose clocks are up to an hour apart: each sees values when they are tried or only
    /// when it acts itself, and subtracts what passed since by its own clock.
    #[test]
    fn clocks_that_are_apart_make_nothing_faster(
        offsets in prop::array::uniform3(0u64..3600),
        events in prop::collection::vec((0usize..3, 0u64..600, 0u64..300, any::<bool>()), 1..600),
    ) {
        let shares = Shares::new(&limit(3), Duration::from_millis(300));
        let terms = shares.shared;
        let ms = Duration::from_millis;
        let (mut now, mut register) = (Duration::ZERO, Pace::default());
        // What each saw last, and when by its own clock.
        let mut views: [(u64, Pace, Duration); 3] =
            std::array::from_fn(|at| (0, Pace::default(), Duration::from_secs(offsets[at])));
        let (mut version, mut sent) = (0u64, VecDeque::new());
        for (at, gap, delay, heard) in events {
            now += ms(gap);
            let clock = now + Duration::from_secs(offsets[at]);
            if views[at].0 != version {
                views[at] = (version, register, clock);
            }
            let (_, pace, since) = views[at];
            let Ok((next, _)) = pace.aged(clock - since, &terms).charged(&terms, false, 1) else {
                continue;
            };
            // Written as it goes over the wire.
            register = Pace::decode(&next.encode(1)).unwrap().0;
            version += 1;
            for (of, view) in views.iter_mut().enumerate().filter(|(of, _)| heard || *of == at) {
                *view = (version, register, now + Duration::from_secs(offsets[of]));
            }
            // It arrives a little later; another one may be faster.
            sent.push_back(now + ms(delay));
            let arrived: Vec<_> = sent.iter().copied().collect();
            for begin in &arrived {
                let within = arrived.iter().filter(|of| *of >= begin && **of - *begin < MINUTE);
                prop_assert!(within.count() <= 72);
            }
            sent.retain(|of| now.saturating_sub(*of) < MINUTE * 2);
        }
    }
}

fn shared_most(quota: &Quota) -> usize {
    usize::try_from(quota.burst).unwrap()
}

#[tokio::test(start_paused = true)]
async fn three_replicas_share_one_burst_exactly() {
    let table = Table::new();
    let members: Vec<_> = (0..3).map(|_| table.member()).collect();
    let all: Vec<_> = members.iter().map(|member| Arc::new(turns(member, 3))).collect();
    let asked = (0..600).map(|at| all[at % 3].take(NAME, false));
    let taken = futures_util::future::join_all(asked).await;
    let granted = taken.iter().filter(|of| of.is_ok()).count();
    assert_eq!(granted, shared_most(&all[0].shares.shared.common));
    assert!(taken.iter().all(|of| *of != Err(Denied::Away)));
    // Of settling requests, the reserve is left.
    assert!(all[2].take(NAME, true).await.is_ok());
    assert!(all[1].take(Name::from_u128(8), false).await.is_ok(), "another wallet");
}

#[tokio::test(start_paused = true)]
async fn seldom_requests_that_alternate_are_never_refused() {
    let table = Table::new();
    let members: Vec<_> = (0..2).map(|_| table.member()).collect();
    let all: Vec<_> = members.iter().map(|member| Arc::new(turns(member, 2))).collect();
    let _ears: Vec<_> = members.iter().zip(&all).map(|(m, t)| listen(m, t)).collect();
    for at in 0..100 {
        // A little slower than the even rate; each time the other one has written last.
        tokio::time::sleep(Duration::from_millis(1000)).await;
        assert!(all[at % 2].take(NAME, false).await.is_ok(), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cut_off_goes_on_with_his_own_part_at_once_and_comes_back() {
    let table = Table::new();
    let member = table.member();
    let turns = turns(&member, 3);
    assert!(turns.take(NAME, false).await.is_ok());
    member.cut(true);
    let begun = Instant::now();
    assert_eq!(turns.take(NAME, false).await, Err(Denied::Away));
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(turns.take(NAME, false).await, Err(Denied::Away));
    assert_eq!(begun.elapsed(), PATIENCE, "nobody waits for what is known to be away");
    let mut own = 0;
    while turns.take_own(&[NAME], false, own % 2 == 0).is_ok() {
        own += 1;
    }
    assert!((1..=6).contains(&own), "{own}");
    member.cut(false);
    tokio::time::sleep(AWAY).await;
    assert!(turns.take(NAME, false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_probe_for_all_and_its_end_is_everybodys() {
    let table = Table::new();
    let (one, other) = (turns(&table.member(), 2), turns(&table.member(), 2));
    assert!(one.take(NAME, false).await.is_ok() && other.take(NAME, false).await.is_ok());
    let rest = Duration::from_secs(300);
    one.change(NAME, |pace| Some(pace.blocked(rest))).await.unwrap();
    // Also who last saw something else.
    assert_eq!(other.take(NAME, true).await, Err(Denied::Refused(Refused::Rests(rest))));
    tokio::time::sleep(rest).await;
    let (id, granted) = other.take(NAME, false).await.unwrap();
    assert_eq!(granted, Granted::Probe);
    assert!(matches!(one.take(NAME, false).await, Err(Denied::Refused(Refused::Probed(_)))));
    assert!(matches!(other.take(NAME, false).await, Err(Denied::Refused(Refused::Probed(_)))));
    other.change(NAME, |pace| pace.cleared(id)).await.unwrap();
    assert_eq!(one.take(NAME, false).await.unwrap().1, Granted::Usual);
}

#[tokio::test(start_paused = true)]
async fn registers_that_are_lost_are_missed() {
    let table = Table::new();
    let member = table.member();
    let turns = turns(&member, 2);
    while turns.take(NAME, false).await.is_ok() {}
    table.lose();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // What the others took is not known any more: until it does not count, the own part has to do.
    assert_eq!(turns.take(NAME, false).await, Err(Denied::Away));
    tokio::time::sleep(MINUTE / 2).await;
    assert_eq!(turns.take(NAME, false).await, Err(Denied::Away));
    tokio::time::sleep(MINUTE).await;
    assert!(turns.take(NAME, false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_uses_is_forgotten() {
    let table = Table::new();
    let member = table.member();
    let turns = turns(&member, 2);
    assert!(turns.take(NAME, false).await.is_ok());
    assert!(turns.take_own(&[NAME], false, false).is_ok());
    turns.tidy();
    assert_eq!((turns.known.lock().len(), turns.own.lock().len()), (1, 1));
    tokio::time::sleep(KEPT).await;
    turns.tidy();
    assert_eq!((turns.known.lock().len(), turns.own.lock().len()), (0, 0));
}
