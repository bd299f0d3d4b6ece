//! Faults, phases and callers at random, many at once, judged by what the sandbox carried out.
//!
//! `MONEY_ROUNDS` says how many rounds are played (1,000 without it), `MONEY_KILLS` how often the
//! program is killed (20), and `MONEY_SEED` repeats the choices of an earlier run, which printed it.
//! How the tasks of a run interleave is not part of the seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use qiwi_gateway::config::{Engine, Percent};
use serde_json::{Value, json};

use super::crash::{World, kill};
use super::dice::{Dice, number_of};
use super::judge::{self, PATIENCE, Said};
use super::*;
use crate::support::process::folder;
use crate::support::told;

/// Rounds of one gateway and sandbox; the history they read grows with it.
const WORLD: u64 = 250;
/// Gateways at once.
const WORLDS_AT_ONCE: usize = 4;
/// Rounds of a world at once.
const ROUNDS_AT_ONCE: usize = 48;

/// What goes wrong with the next payment of an id, if anything. Nothing here lasts so long that a
/// payment is carried out, or shows, after it counts as not executed.
fn fault(dice: &mut Dice) -> Option<Value> {
    let place = ["before_processing", "before_headers", "after_headers", "mid_body"];
    let status = [302, 400, 405, 408, 409, 423, 429, 500, 502, 503, 504];
    let code = [3_u16, 5, 131, 220, 242, 300, 408, 700, 749, 12_345];
    let process = dice.chance(50);
    let mut fault = match dice.below(10) {
        0 | 1 => return None,
        2 => json!({ "cut": dice.pick(&place), "reset": dice.chance(50) }),
        3 => json!({ "hang": dice.pick(&place) }),
        // A status that says for certain that nothing was done comes only where nothing was.
        4 => match dice.pick(&status) {
            405 => json!({ "status": 405 }),
            status => json!({ "status": status, "process": process }),
        },
        5 => json!({ "payment_code": dice.pick(&code) }),
        6 => {
            let code = dice.pick(&["QWPRC-300", "QWPRC-408", "QWPRC-99999"]);
            let body = json!({ "code": code, "message": "x" });
            json!({ "status": 400, "body": body, "process": process })
        }
        7 => match dice.below(4) {
            0 => json!({ "garbage": true }),
            1 => json!({ "empty": true }),
            2 => json!({ "no_transaction": true }),
            _ => json!({ "wrong_length": 7 }),
        },
        8 => json!({ "status": 403 }),
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
    add(30, "late_history_ms", 700, dice);
    add(20, "settle_ms", 300, dice);
    if dice.chance(10) {
        more.insert("settle_code".to_owned(), json!(220));
    }
    Some(fault)
}

/// The trouble of one id: its first payment, and sometimes the second.
fn trouble(sandbox: &Sandbox, id: &str, dice: &mut Dice) -> String {
    let mut told = String::new();
    let only = json!({ "path_prefix": "/sinap/api", "body_contains": format!("\"{id}\"") });
    let mut times = 1;
    while let Some(fault) = fault(dice) {
        told.push_str(&format!("{fault} "));
        sandbox
            .add_fault(json!({ "match": only, "times": 1, "skip": times - 1, "fault": fault }))
            .unwrap();
        times += 1;
        if times > 2 || dice.chance(80) {
            break;
        }
    }
    told
}

/// How a caller behaves.
#[derive(Clone, Copy, Debug)]
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
    /// Permits another attempt when there was no payment.
    Reattempts,
}

impl Caller {
    fn any(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0..3 => Self::Patient,
            3 | 4 => Self::Leaves(dice.below(300)),
            5 => Self::Hurried(150 + dice.below(1500)),
            6 => Self::Twice,
            7 => Self::Contested,
            _ => Self::Reattempts,
        }
    }
}

/// What is known of an id in the end.
type Ends = BTreeMap<String, Vec<Said>>;

#[derive(Clone)]
struct Round {
    sandbox: Arc<Sandbox>,
    channel: Channel,
    id: String,
    /// For messages: the caller and its trouble.
    what: String,
    /// Whether nobody else pays under this id: neither another caller nor a call that was left, which a
    /// busy machine may begin with after the next one was answered.
    alone: bool,
}

impl Round {
    fn judge(&self, said: &Said) {
        let mut said = said.clone();
        if !self.alone && said.state == "NOT_SENT" {
            // Somebody else may have sent it since.
            said.state.clear();
        }
        judge::is_true(&said, commits(&self.sandbox, &self.id), &self.what);
    }

    /// Repeats until it is settled, and looks at the payment in between.
    async fn settle(&self, mut request: pb::CreatePaymentRequest, reattempts: bool) -> Said {
        let begun = tokio::time::Instant::now();
        let mut all = Vec::new();
        loop {
            let said = Said::read(&pay(&self.channel, request.clone()).await).expect("it answers");
            self.judge(&said);
            all.push(said.clone());
            match get(&self.channel, &self.id).await {
                Ok(payment) => {
                    let shown = judge::name(payment.state());
                    if self.alone || shown != "NOT_SENT" {
                        let commits = commits(&self.sandbox, &self.id);
                        judge::state_is_true(&shown, commits, &format!("{}: shown", self.what));
                    }
                }
                Err(status) => {
                    assert_eq!(told(&status).reason, "PAYMENT_NOT_FOUND", "{}", self.what)
                }
            }
            if reattempts && said.state == "NOT_EXECUTED" && !request.reattempt {
                request.reattempt = true;
            } else if said.is_settled() || said.reason == "PAYMENT_ID_REUSED" {
                return said;
            }
            assert!(begun.elapsed() < PATIENCE, "{}: not settled: {all:?}", self.what);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn play(&self, caller: Caller, dice: &mut Dice) -> Vec<Said> {
        let roubles = 1 + i64::try_from(dice.below(3)).unwrap();
        let request = transfer(self.id.as_str(), roubles);
        match caller {
            Caller::Patient => vec![self.settle(request, false).await],
            Caller::Leaves(ms) => {
                let first = pay(&self.channel, request.clone());
                if let Ok(outcome) = tokio::time::timeout(Duration::from_millis(ms), first).await {
                    self.judge(&Said::read(&outcome).expect("it answers"));
                }
                vec![self.settle(request, false).await]
            }
            Caller::Hurried(ms) => {
                let ask = Ask::with(&[DEMO]).within(Duration::from_millis(ms));
                // The client's own clock may be first on a busy machine.
                let outcome = ask.unary(&self.channel, CREATE, request.clone()).await;
                if let Some(said) = Said::read(&outcome) {
                    self.judge(&said);
                }
                vec![self.settle(request, false).await]
            }
            Caller::Twice => {
                let (one, two) =
                    tokio::join!(self.settle(request.clone(), false), self.settle(request, false));
                assert_eq!(one.reason, two.reason, "{}: one truth", self.what);
                vec![one, two]
            }
            Caller::Contested => {
                let other = transfer(self.id.as_str(), roubles + 1);
                let (one, two) =
                    tokio::join!(self.settle(request, false), self.settle(other, false));
                let reused = [&one, &two].map(|said| said.reason == "PAYMENT_ID_REUSED");
                assert_ne!(reused[0], reused[1], "{}: {one:?} {two:?}", self.what);
                vec![if reused[0] { two } else { one }]
            }
            Caller::Reattempts => vec![self.settle(request, true).await],
        }
    }
}

/// Nothing was paid twice, and what everybody was told in the end is what happened.
fn balance(sandbox: &Sandbox, ends: &Ends) {
    let mut paid: BTreeMap<String, usize> = BTreeMap::new();
    for payment in sandbox.payments() {
        *paid.entry(payment.client_id).or_default() += 1;
    }
    for (id, count) in &paid {
        assert_eq!(*count, 1, "{id} was paid {count} times");
        assert!(ends.contains_key(id), "{id} was paid and nobody asked for it");
    }
    for (id, said) in ends {
        for said in said {
            let told_paid = said.reason.is_empty();
            assert_eq!(told_paid, paid.contains_key(id), "{id}: in the end {said:?}");
        }
    }
}

async fn world(seed: u64, rounds: std::ops::Range<u64>) {
    let sandbox = Arc::new(sandbox(|_| {}).await);
    let on_disk = rounds.start / WORLD % 2 == 1;
    let gateway = setup(&sandbox)
        .set(|config| {
            config.payments.send_max = Duration::from_millis(800);
            config.payments.look_first = Duration::from_millis(60);
            // Longer than a payment is hidden from the history at most.
            config.payments.settle_window_answered = Duration::from_millis(1200);
            // How long a duplicate that QIWI reports after a reattempt stays in doubt.
            config.payments.watch = Duration::from_secs(4);
            config.deadline.money_min = Duration::from_millis(100);
            config.admission.caller_share_percent = Percent(100);
            config.cooldown.other = Duration::from_millis(20);
            config.cooldown.max = Duration::from_millis(20);
            config.limit.period = Duration::from_millis(100);
            if on_disk {
                config.state.engine = Engine::Embedded;
                config.state.path = folder("rounds").join("state");
            }
        })
        .start()
        .await;
    let channel = gateway.channel().await;
    let ends: Ends = futures_util::stream::iter(rounds)
        .map(|round| {
            let (sandbox, channel) = (Arc::clone(&sandbox), channel.clone());
            let played = tokio::spawn(async move {
                let mut dice = Dice::of(seed, round);
                // Neighbours in number, so that nobody takes one for another.
                let id = format!("{}", 17_000_000_000_000_000_000_u64 + round);
                let caller = Caller::any(&mut dice);
                let trouble = trouble(&sandbox, &id, &mut dice);
                let what = format!("MONEY_SEED={seed} round {round} ({caller:?}; {trouble})");
                let alone = matches!(caller, Caller::Patient | Caller::Reattempts);
                let round = Round { sandbox, channel, id, what, alone };
                let said = round.play(caller, &mut dice).await;
                (round.id, said)
            });
            async {
                played.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            }
        })
        .buffer_unordered(ROUNDS_AT_ONCE)
        .collect()
        .await;
    balance(&sandbox, &ends);
    // The ledger tells the same of each, to whoever asks later.
    for (id, said) in &ends {
        let shown = judge::name(get(&channel, id).await.unwrap().state());
        judge::state_is_true(&shown, commits(&sandbox, id), id);
        let open = ["UNCERTAIN", "IN_PROGRESS", "NOT_SENT"];
        assert!(!open.contains(&shown.as_str()), "{id}: {said:?} and now {shown}");
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_at_random() {
    let seed = Dice::seed("MONEY_SEED");
    let all = number_of("MONEY_ROUNDS", 1_000);
    let worlds = (0..all).step_by(usize::try_from(WORLD).unwrap());
    futures_util::stream::iter(worlds)
        .for_each_concurrent(WORLDS_AT_ONCE, |from| world(seed, from..(from + WORLD).min(all)))
        .await;
}

/// Payments of a life that ends at a random moment; each life has these new ones, and all that the
/// lives before it left open.
const NEW_IN_A_LIFE: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_at_random() {
    let seed = Dice::seed("MONEY_SEED");
    let mut dice = Dice::of(seed, u64::MAX);
    let world = World::new().await;
    let sandbox = Arc::clone(&world.sandbox);
    let mut open: Vec<String> = Vec::new();
    let mut ends = Ends::new();
    let lives = number_of("MONEY_KILLS", 20);
    for life in 0..=lives {
        let (process, channel) = world.start().await;
        if life < lives {
            for number in 0..NEW_IN_A_LIFE {
                let id = format!("{}", 1_800_000_000_000 + life * 100 + number);
                trouble(&sandbox, &id, &mut dice);
                open.push(id);
            }
        }
        let calls = std::mem::take(&mut open).into_iter().map(|id| {
            let (sandbox, channel) = (Arc::clone(&sandbox), channel.clone());
            let what = format!("MONEY_SEED={seed} life {life}, payment {id}");
            tokio::spawn(async move {
                let begun = tokio::time::Instant::now();
                loop {
                    let outcome = pay(&channel, transfer(id.as_str(), 1)).await;
                    // No word: the process is dead, and the next one is asked.
                    let Some(said) = Said::read(&outcome) else { return (id, None) };
                    judge::is_true(&said, commits(&sandbox, &id), &what);
                    if said.is_settled() {
                        return (id, Some(said));
                    }
                    assert!(begun.elapsed() < PATIENCE, "{what}: {said:?}");
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
            })
        });
        let calls: Vec<_> = calls.collect();
        if life < lives {
            tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
            kill(process).await;
            drop(channel);
        }
        for call in calls {
            match call.await.unwrap() {
                (id, Some(said)) => drop(ends.insert(id, vec![said])),
                (id, None) => open.push(id),
            }
        }
    }
    assert!(open.is_empty(), "the last life is not killed");
    assert_eq!(ends.len() as u64, lives * NEW_IN_A_LIFE);
    balance(&sandbox, &ends);
}
