//! Faults, phases and callers at random, many at once, and the program killed at random moments;
//! judged by what the sandbox carried out.
//!
//! `PAY_ROUNDS` says how many rounds are played (1,000 without it), `PAY_KILLS` how often the program
//! is killed (8), and `PAY_SEED` repeats the choices of an earlier run, which printed it. How the
//! tasks of a run interleave is not part of the seed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use qiwi_gateway::config::{Engine, Percent};
use qiwi_gateway::sandbox::{Sandbox, demo};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};

use super::judge::{self, PATIENCE, Said};
use super::shop::*;
use crate::money::dice::{Dice, number_of};
use crate::support::process::{Process, folder};
use crate::support::{Ask, SHOP, told};

/// Rounds of one gateway and sandbox.
const WORLD: u64 = 250;
/// Gateways at once.
const WORLDS_AT_ONCE: usize = 4;
/// Rounds of a world at once.
const ROUNDS_AT_ONCE: usize = 80;

/// What goes wrong with the next request of an operation, if anything. Nothing here lasts so long
/// that it is carried out, or shows, after it counts as not executed.
fn fault(dice: &mut Dice) -> Option<Value> {
    let place = ["before_processing", "before_headers", "after_headers", "mid_body"];
    let status = [302, 400, 405, 408, 409, 423, 429, 500, 502, 503, 504];
    // Codes that say for certain that nothing was done come only where nothing was.
    let certain = [8008, 8021, 8025, 8054, 8059, 8160];
    let open = [8001, 8004, 8062, 8154, 8999];
    let process = dice.chance(50);
    let mut fault = match dice.below(10) {
        0 | 1 => return None,
        2 => json!({ "cut": dice.pick(&place), "reset": dice.chance(50) }),
        3 => json!({ "hang": dice.pick(&place) }),
        4 => match dice.pick(&status) {
            405 => json!({ "status": 405 }),
            status => json!({ "status": status, "process": process }),
        },
        5 => json!({ "error_code": dice.pick(&certain) }),
        6 => json!({ "error_code": dice.pick(&open), "process": process }),
        7 => match dice.below(5) {
            0 => json!({ "garbage": true }),
            1 => json!({ "empty": true }),
            2 => json!({ "body": { "error_code": 0 } }),
            3 => json!({ "wrong_length": 7 }),
            // What QIWI calls in process or paid it also shows.
            _ => {
                return Some(
                    json!({ "error_code": dice.pick(&[8055, 8056, 8057]), "process": process }),
                );
            }
        },
        8 => json!({ "status": dice.pick(&[401, 403]) }),
        _ => json!({}),
    };
    let more = fault.as_object_mut().unwrap();
    let mut add = |percent, name: &str, most: u64, dice: &mut Dice| {
        if dice.chance(percent) {
            more.insert(name.to_owned(), json!(dice.below(most)));
        }
    };
    add(40, "latency_ms", 150, dice);
    add(40, "answer_latency_ms", 150, dice);
    add(30, "late_history_ms", 600, dice);
    if dice.chance(10) {
        more.insert("decline_code".to_owned(), json!(8160));
    }
    Some(fault)
}

/// The trouble of one operation: its first request, and sometimes the second.
fn trouble(sandbox: &Sandbox, order: &Order, dice: &mut Dice) -> String {
    let mut told = String::new();
    for skip in 0..2 {
        let Some(fault) = fault(dice) else { break };
        told.push_str(&format!("{fault} "));
        let mut rule = order.rule(fault);
        rule["skip"] = skip.into();
        sandbox.add_fault(rule).unwrap();
        if dice.chance(80) {
            break;
        }
    }
    told
}

/// How a caller behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Caller {
    /// Repeats until it knows.
    Patient,
    /// Leaves after so many milliseconds, and then is patient.
    Leaves(u64),
    /// Gives so many milliseconds at first.
    Hurried(u64),
    /// Two of them, who know nothing of each other.
    Twice,
    /// And somebody else who wants something else under the same id.
    Contested,
    /// Permits another attempt when nothing was done.
    Reattempts,
}

impl Caller {
    fn any(dice: &mut Dice, op: Op) -> Self {
        match dice.below(10) {
            0..3 => Self::Patient,
            3 | 4 => Self::Leaves(dice.below(300)),
            5 => Self::Hurried(150 + dice.below(1500)),
            6 => Self::Twice,
            // Without an amount there is nothing to differ in.
            7 if op != Op::Finish && op != Op::Capture => Self::Contested,
            _ => Self::Reattempts,
        }
    }
}

struct Round {
    sandbox: Arc<Sandbox>,
    channel: Channel,
    /// For messages: the caller and its trouble.
    what: String,
    /// Whether nobody else works under this id: neither another caller nor a call that was left, which
    /// a busy machine may begin with after the next one was answered.
    alone: bool,
}

impl Round {
    fn judge(&self, order: &Order, said: &Said) {
        let mut said = said.clone();
        if !self.alone && said.state == "NOT_SENT" {
            // Somebody else may have sent it since.
            said.state.clear();
        }
        judge::is_true(&said, order.facts(&self.sandbox), &self.what);
    }

    /// Repeats until it is settled, and looks at the operation in between.
    async fn settle(&self, order: &Order, reattempts: bool) -> Said {
        let begun = Instant::now();
        let mut all = Vec::new();
        let mut order = order.clone();
        loop {
            let said = Said::read(&send(&self.channel, &order).await).expect("it answers");
            all.push(said.clone());
            if said.reason == "PAYMENT_ID_REUSED" {
                return said;
            }
            self.judge(&order, &said);
            match get(&self.channel, &order).await {
                Ok(shown) if self.alone => {
                    let attempts = u32::try_from(shown.attempt_count).unwrap();
                    let facts = order.facts(&self.sandbox);
                    let what = format!("{}: shown", self.what);
                    judge::state_is_true(&judge::name(shown.state()), attempts, facts, &what);
                }
                Ok(_) => {}
                Err(status) => {
                    assert_eq!(told(&status).reason, "PAYMENT_NOT_FOUND", "{}", self.what)
                }
            }
            if reattempts && said.state == "NOT_EXECUTED" {
                order.reattempt = true;
            } else if said.is_settled() {
                return said;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: not settled: {all:?}", self.what);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn play(&self, order: Order, caller: Caller) -> Vec<(Order, Said)> {
        let one = |order: Order, said| vec![(order, said)];
        match caller {
            Caller::Patient => {
                let said = self.settle(&order, false).await;
                one(order, said)
            }
            Caller::Leaves(ms) => {
                let first = send(&self.channel, &order);
                if let Ok(outcome) = tokio::time::timeout(Duration::from_millis(ms), first).await {
                    self.judge(&order, &Said::read(&outcome).expect("it answers"));
                }
                let said = self.settle(&order, false).await;
                one(order, said)
            }
            Caller::Hurried(ms) => {
                let hurried = Ask::with(SHOP).within(Duration::from_millis(ms));
                // The client's own clock may be first on a busy machine.
                if let Some(said) = Said::read(&ask(&self.channel, &order, &hurried).await) {
                    self.judge(&order, &said);
                }
                let said = self.settle(&order, false).await;
                one(order, said)
            }
            Caller::Twice => {
                let (first, second) =
                    tokio::join!(self.settle(&order, false), self.settle(&order, false));
                // One may have stopped where QIWI permits a capture once more, which the other did.
                let open = [&first, &second].iter().any(|said| said.state == "NOT_EXECUTED");
                if !(order.op == Op::Capture && open) {
                    assert_eq!(first.reason, second.reason, "{}: one truth", self.what);
                }
                let last = self.settle(&order, false).await;
                one(order, last)
            }
            Caller::Contested => {
                let other = Order { amount: order.amount.map(|of| of + 50_000), ..order.clone() };
                let (first, second) =
                    tokio::join!(self.settle(&order, false), self.settle(&other, false));
                let reused = [&first, &second].map(|said| said.reason == "PAYMENT_ID_REUSED");
                assert_ne!(reused[0], reused[1], "{}: {first:?} {second:?}", self.what);
                let good = order.facts(&self.sandbox).good
                    + match order.op {
                        Op::Reverse | Op::Refund => other.facts(&self.sandbox).good,
                        _ => 0,
                    };
                assert!(good <= 1, "{}: both were carried out", self.what);
                if reused[0] { one(other, second) } else { one(order, first) }
            }
            Caller::Reattempts => {
                let said = self.settle(&order, true).await;
                one(order, said)
            }
        }
    }
}

/// Nothing was carried out twice, and what everybody was told in the end is what happened.
fn balance(sandbox: &Sandbox, ends: &[(Order, Said)]) {
    for (order, said) in ends {
        let facts = order.facts(sandbox);
        let what = format!("{order:?}: in the end {said:?} and {facts:?}");
        assert!(facts.good <= 1, "{what}");
        let told = said.reason.is_empty() && said.state != "FAILED";
        assert_eq!(told, facts.good == 1, "{what}");
    }
    // No transaction belongs to two operations, and none to nobody.
    let mut told: Vec<_> = ends
        .iter()
        .filter(|(order, said)| {
            said.reason.is_empty() && !matches!(order.op, Op::Finish | Op::Capture)
        })
        .map(|(_, said)| said.transaction.clone())
        .collect();
    told.sort();
    let all = told.len();
    told.dedup();
    assert_eq!(told.len(), all, "a transaction that two operations call theirs");
}

async fn world(seed: u64, rounds: std::ops::Range<u64>) {
    let sandbox = Arc::new(sandbox(|_| {}).await);
    let on_disk = rounds.start / WORLD % 2 == 1;
    let gateway = setup(&sandbox)
        .set(|config| {
            config.payments.send_max = Duration::from_millis(800);
            config.payments.look_first = Duration::from_millis(60);
            // Longer than anything is hidden from status queries.
            config.payments.settle_window = Duration::from_millis(1500);
            config.payments.settle_window_answered = Duration::from_millis(1200);
            config.payments.capture_repeat = Duration::from_millis(1800);
            // How long what QIWI calls done already after a reattempt stays in doubt.
            config.payments.watch = Duration::from_secs(4);
            config.deadline.money_min = Duration::from_millis(100);
            config.admission.caller_share_percent = Percent(100);
            config.cooldown.other = Duration::from_millis(20);
            config.cooldown.max = Duration::from_millis(20);
            if on_disk {
                config.state.engine = Engine::Embedded;
                config.state.path = folder("pay-rounds").join("state");
            }
        })
        .start()
        .await;
    let channel = gateway.channel().await;
    let mut orders = Vec::new();
    for round in rounds {
        let mut dice = Dice::of(seed, round);
        let op = dice.pick(&Op::ALL);
        orders.push((round, ready(&channel, op, round + 1).await, dice));
    }
    let ends: Vec<(Order, Said)> = futures_util::stream::iter(orders)
        .map(|(round, order, mut dice)| {
            let (sandbox, channel) = (Arc::clone(&sandbox), channel.clone());
            let played = tokio::spawn(async move {
                let caller = Caller::any(&mut dice, order.op);
                let trouble = trouble(&sandbox, &order, &mut dice);
                let what =
                    format!("PAY_SEED={seed} round {round} ({order:?}; {caller:?}; {trouble})");
                let alone = matches!(caller, Caller::Patient | Caller::Reattempts);
                Round { sandbox, channel, what, alone }.play(order, caller).await
            });
            async {
                played.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
        })
        .buffer_unordered(ROUNDS_AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .flatten()
        .collect();
    balance(&sandbox, &ends);
    // The ledger tells the same of each, to whoever asks later.
    for (order, said) in &ends {
        let shown = get(&channel, order).await.unwrap();
        let state = judge::name(shown.state());
        let attempts = u32::try_from(shown.attempt_count).unwrap();
        judge::state_is_true(&state, attempts, order.facts(&sandbox), &format!("{order:?}"));
        let open = ["UNCERTAIN", "IN_PROGRESS", "NOT_SENT"];
        assert!(!open.contains(&state.as_str()), "{order:?}: {said:?} and now {state}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_at_random() {
    let seed = Dice::seed("PAY_SEED");
    let all = number_of("PAY_ROUNDS", 1_000);
    let worlds = (0..all).step_by(usize::try_from(WORLD).unwrap());
    futures_util::stream::iter(worlds)
        .for_each_concurrent(WORLDS_AT_ONCE, |from| world(seed, from..(from + WORLD).min(all)))
        .await;
}

/// Operations of a life that ends at a random moment; each life has these new ones, and all that the
/// lives before it left open.
const NEW_IN_A_LIFE: u64 = 8;

fn toml(sandbox: &Sandbox, state: &Path) -> String {
    let (url, state, site) = (sandbox.address(), state.display(), demo::ONLINE_SITE);
    format!(
        r#"
grpc.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
drain = {{ lame_duck = "0s", grace = "20s" }}
upstream.direct_url = "http://{url}/merchant/direct"
breaker = {{ consecutive_failures = 1000, samples_min = 1000000 }}
cooldown = {{ other = "50ms", max = "50ms", history = "50ms" }}
state = {{ engine = "embedded", path = "{state}" }}
[payments]
look_first = "100ms"
look_later = "400ms"
settle_window = "1500ms"
settle_window_answered = "1200ms"
capture_repeat = "1800ms"
send_max = "5s"
refresh_pause = "20ms"
[credentials.shop]
kind = "merchant"
merchant_site = "{site}"
secret_env = "TEST_SECRET"
"#
    )
}

async fn start(sandbox: &Sandbox, state: &Path) -> (Process, Channel) {
    let env = [("TEST_SECRET", demo::MERCHANT_SECRET)];
    let process = Process::serve("pay-kills", &toml(sandbox, state), &env).await;
    let url = format!("http://{}", process.address("grpc"));
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    (process, channel)
}

/// An operation that needs nothing of a gateway before it.
async fn fresh(sandbox: &Sandbox, number: u64, dice: &mut Dice) -> Order {
    let (id, amount) = (format!("life-{number:06}"), 100 + i64::try_from(number).unwrap());
    let before = |opcode| bought_beside(sandbox, opcode, Some(&id));
    match dice.pick(&[Op::Sale, Op::Authorize, Op::Payout, Op::Capture, Op::Reverse, Op::Refund]) {
        Op::Sale => Order::sale(&id, amount),
        Op::Authorize => Order::authorize(&id, amount),
        Op::Payout => Order::payout(&id, amount),
        Op::Capture => Order::capture(request_id(number), &before(3).await),
        Op::Reverse => Order::reverse(request_id(number), &before(3).await, amount),
        _ => Order::refund(request_id(number), &before(1).await, amount),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random() {
    let seed = Dice::seed("PAY_SEED");
    let mut dice = Dice::of(seed, u64::MAX);
    let sandbox = Arc::new(sandbox(|_| {}).await);
    let state = folder("pay-kills").join("state");
    let mut open: Vec<Order> = Vec::new();
    let mut ends: Vec<(Order, Said)> = Vec::new();
    let lives = number_of("PAY_KILLS", 8);
    for life in 0..=lives {
        let (process, channel) = start(&sandbox, &state).await;
        if life < lives {
            for number in 0..NEW_IN_A_LIFE {
                let order = fresh(&sandbox, life * 100 + number + 1, &mut dice).await;
                trouble(&sandbox, &order, &mut dice);
                open.push(order);
            }
        }
        let calls = std::mem::take(&mut open).into_iter().map(|order| {
            let (sandbox, channel) = (Arc::clone(&sandbox), channel.clone());
            let what = format!("PAY_SEED={seed} life {life}, {order:?}");
            tokio::spawn(async move {
                let begun = Instant::now();
                loop {
                    let outcome = send(&channel, &order).await;
                    // No word: the process is dead, and the next one is asked.
                    let Some(said) = Said::read(&outcome) else { return (order, None) };
                    judge::is_true(&said, order.facts(&sandbox), &what);
                    if said.is_settled() {
                        return (order, Some(said));
                    }
                    assert!(begun.elapsed() < PATIENCE, "{what}: {said:?}");
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            })
        });
        let calls: Vec<_> = calls.collect();
        if life < lives {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
            process.signal("KILL");
            process.ended(Duration::from_secs(20)).await;
            drop(channel);
        }
        for call in calls {
            match call.await.unwrap() {
                (order, Some(said)) => ends.push((order, said)),
                (order, None) => open.push(order),
            }
        }
    }
    assert!(open.is_empty(), "the last life is not killed");
    assert_eq!(ends.len() as u64, lives * NEW_IN_A_LIFE);
    balance(&sandbox, &ends);
}
