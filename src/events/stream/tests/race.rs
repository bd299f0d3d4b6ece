//! Heartbeats race with events, in one order of steps after another.
//!
//! A scheduler with a seed decides at each step who goes on: whoever appends, the feed, the stream
//! itself, its client, the clock, or a log that answers when it likes, with what it knew before.
//! So a heartbeat falls between any two steps of an event on its way. `EVENT_INTERLEAVINGS` says
//! how many orders are tried, `EVENT_SEED` which.
#![allow(clippy::print_stdout)]

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, poll};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;
use crate::events::testing::Slow;

/// Orders of a normal run.
const ORDERS: u64 = 2_000;
/// Steps of an order before everything comes to rest.
const STEPS: u32 = 32;
/// Orders after which old events go.
const TIDY_EVERY: u64 = 250;

fn number(name: &str, default: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).ok().map_or_else(default, |text| text.parse().unwrap())
}

/// A future that is not ready for so many times.
async fn later(times: u64) {
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A log whose answers are late by up to two polls before and after they are found.
fn slow_log() -> Slow {
    let state = AtomicU64::new(1);
    let log: Arc<dyn EventLog> =
        Arc::new(MemoryLog::new(Retention { age_ms: -1, keep_ms: -1, ..Retention::DEFAULT }));
    Slow {
        pause: Box::new(move || {
            let drawn = state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            later((drawn >> 33) % 3).boxed()
        }),
        ..Slow::new(log)
    }
}

type Running<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One stream and its client.
struct Side {
    pump: Option<Running<End>>,
    outlet: Outlet,
    place: Position,
}

struct World {
    hub: Arc<Hub>,
    dice: SmallRng,
    filter: Filter,
    kind: u32,
    side: Side,
    filling: Option<BoxFuture<'static, ()>>,
    next: u32,
    got: Vec<u64>,
    expected: Vec<u64>,
    reached: u64,
    heartbeats: u64,
}

impl World {
    /// Begins a stream behind a place.
    fn begin(hub: &Arc<Hub>, place: Position, filter: &Filter, heartbeat: Duration) -> Side {
        let (inlet, outlet) = outlet::pair();
        let pump = Pump::new(Arc::clone(hub), order(place, filter.clone(), heartbeat), inlet);
        let pump = async move { pump.run(std::future::pending(), status).await };
        Side { pump: Some(Box::pin(tokio::task::unconstrained(pump))), outlet, place }
    }

    fn roll(&mut self, sides: u32) -> u32 {
        self.dice.random_range(0..sides)
    }

    fn heartbeat(&mut self) -> Duration {
        // Always due, often due, seldom due.
        [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(9)][self.roll(3) as usize]
    }

    async fn append(&mut self) {
        let append = testing::event(&self.hub, self.next);
        let is_system = append.event.kind == crate::events::Kind::System;
        self.next += 1;
        let outcome = self.hub.append(append).await.unwrap();
        let crate::events::Outcome::Appended { seq } = outcome else { panic!("{outcome:?}") };
        if self.kind == 0 || (self.kind == 1) == is_system {
            self.expected.push(seq);
        }
    }

    async fn fill(&mut self) {
        let hub = Arc::clone(&self.hub);
        let filling = self.filling.get_or_insert_with(|| {
            async move {
                hub.fill().await.unwrap();
            }
            .boxed()
        });
        if poll!(filling).is_ready() {
            self.filling = None;
        }
    }

    async fn pump(&mut self) {
        if let Some(pump) = &mut self.side.pump
            && poll!(pump).is_ready()
        {
            panic!("nothing ends this stream");
        }
    }

    async fn take(&mut self) {
        let Some(taken) = self.side.outlet.next().now_or_never() else { return };
        let message = taken.expect("no end").unwrap();
        let message = pb::SubscribeResponse::decode(message).unwrap();
        let sequence = u64::try_from(message.sequence).unwrap();
        self.heartbeats += u64::from(message.events.is_empty());
        for event in &message.events {
            let at = u64::try_from(event.sequence).unwrap();
            assert!(at > self.reached, "{at} comes at or below the cursor {}", self.reached);
            self.reached = at;
            self.got.push(at);
        }
        assert!(sequence >= self.reached, "the cursor goes back to {sequence}");
        assert!(message.head_sequence >= message.sequence);
        self.reached = sequence;
        let place = self.hub.cursors.open(&message.cursor).unwrap();
        assert_eq!(place.seq, sequence, "cursor and sequence name one place");
        self.side.place = place;
    }

    /// Leaves in the middle of whatever goes on, and comes back with the cursor it has.
    fn leave(&mut self) {
        let heartbeat = self.heartbeat();
        self.side = Self::begin(&self.hub, self.side.place, &self.filter, heartbeat);
    }

    async fn step(&mut self) {
        match self.roll(32) {
            0..=4 => self.append().await,
            5..=11 => self.fill().await,
            12..=20 => self.pump().await,
            21..=27 => self.take().await,
            28 => self.hub.feed.forget(),
            29 => self.leave(),
            _ => {
                let passed = u64::from(self.roll(5));
                tokio::time::advance(Duration::from_millis(passed)).await;
            }
        }
    }

    /// Lets everything come to rest: the client has all there is.
    async fn rest(&mut self) {
        let last = self.hub.log.info().await.unwrap().last;
        for _ in 0..2_000 {
            if self.reached == last {
                return;
            }
            self.fill().await;
            self.pump().await;
            self.take().await;
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        panic!("the stream stands still at {} of {last}", self.reached);
    }
}

#[tokio::test(start_paused = true)]
async fn no_order_of_steps_puts_an_event_at_or_below_a_cursor() {
    let seed = number("EVENT_SEED", rand::random);
    let orders = number("EVENT_INTERLEAVINGS", || ORDERS);
    println!("EVENT_SEED={seed}");
    let hub = Arc::new(testing::hub_of(Arc::new(slow_log()), settings(|_| {})));
    hub.fill().await.unwrap();
    let mut dice = SmallRng::seed_from_u64(seed);
    let filters =
        [everything(), of_kind(&hub, pb::EventKind::System), of_kind(&hub, pb::EventKind::Bill)];
    let (mut place, mut next) = (start(&hub).await, 0);
    let (mut events, mut heartbeats) = (0, 0);
    for round in 0..orders {
        let kind = dice.random_range(0..3_u32);
        let filter = filters[kind as usize].clone();
        let side = World::begin(&hub, place, &filter, Duration::ZERO);
        let mut world = World {
            hub: Arc::clone(&hub),
            dice,
            filter,
            kind,
            side,
            filling: None,
            next,
            got: Vec::new(),
            expected: Vec::new(),
            reached: place.seq,
            heartbeats: 0,
        };
        world.leave();
        for _ in 0..STEPS {
            world.step().await;
        }
        world.rest().await;
        assert_eq!(world.got, world.expected, "order {round} of EVENT_SEED={seed}");
        events += world.got.len();
        heartbeats += world.heartbeats;
        World { dice, next, side: Side { place, .. }, .. } = world;
        if round % TIDY_EVERY == 0 {
            hub.log.tidy(i64::MAX).await.unwrap();
        }
    }
    println!("{orders} orders, {events} events, {heartbeats} heartbeats");
    assert!(events as u64 > orders && heartbeats > orders);
}
