//! Every fault in every phase for every operation that moves money, each until a careful caller has
//! its answer; the counterpart of `money/matrix.rs`.
//!
//! A case is a row: what goes wrong, what the first answer may be, and how it ends. It is played for
//! each operation with a sandbox and a gateway of its own, and the judge looks at every answer in
//! between.

use std::time::Duration;

use futures_util::StreamExt as _;
use qiwi_gateway::config::Config;
use serde_json::{Value, json};

use super::judge::{self, PATIENCE, Said};
use super::shop::*;
use crate::money::proxy::{Proxy, Trick};
use crate::support::{Ask, SHOP};

/// Cases under way at once; nearly all of their time is waiting.
const AT_ONCE: usize = 20;

/// What goes wrong with the first request.
#[derive(Clone)]
enum Trouble {
    /// The sandbox misbehaves, once.
    Fault(Value),
    /// The wire breaks, once.
    Wire(Trick),
    /// Nobody listens during the first call.
    Refused,
}
use Trouble::*;

/// How it ends.
#[derive(Clone, Copy)]
enum End {
    /// Carried out once, and the answer says so.
    Done,
    /// Not carried out, and every answer from then on gives this reason.
    Not(&'static str),
    /// Not carried out, and free to be sent again by whoever repeats it: then it is.
    Free,
    /// Declined, and the answer says so.
    Declined,
}
use End::*;

#[derive(Clone)]
struct Case {
    what: &'static str,
    trouble: Trouble,
    /// The reasons the first answer may give; an empty one is a success.
    first: &'static [&'static str],
    end: End,
}

const fn case(
    what: &'static str,
    trouble: Trouble,
    first: &'static [&'static str],
    end: End,
) -> Case {
    Case { what, trouble, first, end }
}

/// Found by the first call, or by a later one.
const FOUND: &[&str] = &["", UNKNOWN];
const UNKNOWN: &str = "PAYMENT_OUTCOME_UNKNOWN";
const ABSENT: &str = "PAYMENT_NOT_EXECUTED";
/// After one look where QIWI would refuse a second one, after two where it would make it.
const BUSY: &str = "OPERATION_IN_PROGRESS";
/// Not found, by the first call or by a later one.
const LOST: &[&str] = &[UNKNOWN, ABSENT];

fn quick(config: &mut Config) {
    config.payments.send_max = Duration::from_millis(700);
    // Silent connections end soon.
    config.upstream.attempt_timeout = Duration::from_millis(1500);
}

async fn run(ops: &[Op], cases: &[Case]) {
    assert!(!cases.is_empty());
    let all = ops.iter().flat_map(|op| cases.iter().map(|case| (*op, case.clone())));
    futures_util::stream::iter(all).for_each_concurrent(AT_ONCE, |(op, case)| play(op, case)).await;
}

async fn play(op: Op, case: Case) {
    let what = format!("{op:?}, {}", case.what);
    let sandbox = sandbox(|_| {}).await;
    let mut proxy = Proxy::to(sandbox.address()).await;
    let gateway = at(&proxy.url()).set(quick).start().await;
    let channel = gateway.channel().await;
    let order = ready(&channel, op, 5).await;
    // Looks have a connection of their own by now, so the next one is the operation's.
    status(&channel, "order-none").await;
    let begun = tokio::time::Instant::now();
    let mut all = Vec::new();
    match case.trouble {
        Fault(fault) => sandbox.add_fault(order.rule(fault)).unwrap(),
        Wire(trick) => proxy.next(trick),
        Refused => {
            proxy.refuse().await;
            let said = judge::once(&sandbox, &channel, &order, &what).await;
            proxy.listen().await;
            all.push(said);
        }
    }
    all.extend(judge::repeat(&sandbox, &channel, &order, &what).await);
    let first = all.first().unwrap();
    assert!(case.first.contains(&first.reason.as_str()), "{what}: {all:?}");
    let mut last = all.last().unwrap().clone();
    let facts = order.facts(&sandbox);
    match case.end {
        Done | Free => {
            assert_eq!((last.reason.as_str(), facts.good), ("", 1), "{what}: {all:?}");
            assert_eq!((last.state.as_str(), last.attempts), ("SUCCEEDED", 1), "{what}");
            let reached = if matches!(case.end, Free) { 1..=2 } else { 1..=1 };
            assert!(reached.contains(&order.posts(&sandbox)), "{what}: {all:?}");
        }
        Declined => {
            assert_eq!((last.state.as_str(), facts.good), ("FAILED", 0), "{what}: {all:?}");
        }
        // QIWI itself permits a capture to be repeated, later.
        Not(ABSENT | "UPSTREAM_TECHNICAL" | "UPSTREAM_DECLINED") if op == Op::Capture => {
            assert!(LOST.contains(&first.reason.as_str()) || !first.qiwi.is_empty(), "{what}");
            while !last.reason.is_empty() {
                assert!(begun.elapsed() < PATIENCE, "{what}: {last:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                last = judge::once(&sandbox, &channel, &order, &what).await;
                let early = begun.elapsed() < Duration::from_millis(1500);
                assert!(!early || order.facts(&sandbox).good == 0, "{what}: sent again too early");
            }
            assert_eq!((last.state.as_str(), last.attempts), ("SUCCEEDED", 2), "{what}");
        }
        Not(reason) => {
            assert_eq!(last.reason, reason, "{what}: {all:?}");
            assert_eq!((last.pushback, facts.good), (Some(-1), 0), "{what}: {all:?}");
        }
    }
    let again = judge::once(&sandbox, &channel, &order, &what).await;
    assert!(again.replayed, "{what}: {again:?}");
    assert_eq!((&again.reason, &again.state), (&last.reason, &last.state), "{what}");
    assert_eq!(again.transaction, last.transaction, "{what}");
    gateway.stop().await;
}

/// Operations that make a transaction or decide about one, in two halves for two processors.
const MAKE: [Op; 3] = [Op::Sale, Op::Authorize, Op::Payout];
const CHANGE: [Op; 4] = [Op::Finish, Op::Capture, Op::Reverse, Op::Refund];

fn connections() -> Vec<Case> {
    vec![
        case("nobody listens", Refused, &["UPSTREAM_UNREACHABLE"], Free),
        case("closed unread", Wire(Trick::Close), LOST, Not(ABSENT)),
        case("closed after a byte", Wire(Trick::Part(1)), LOST, Not(ABSENT)),
        case("closed within the request", Wire(Trick::Part(150)), LOST, Not(ABSENT)),
        case("swallowed", Wire(Trick::Swallow), LOST, Not(ABSENT)),
        case("cut before the answer", Wire(Trick::Head(0)), FOUND, Done),
        case("cut in the status line", Wire(Trick::Head(9)), FOUND, Done),
        case("cut in the headers", Wire(Trick::Head(40)), FOUND, Done),
        case("silence before the answer", Wire(Trick::HeadAndHang(0)), FOUND, Done),
        case("silence in the headers", Wire(Trick::HeadAndHang(40)), FOUND, Done),
    ]
}

#[tokio::test]
async fn connections_that_break_before_a_transaction_is_made() {
    run(&MAKE, &connections()).await;
}

#[tokio::test]
async fn connections_that_break_before_a_transaction_is_changed() {
    run(&CHANGE, &connections()).await;
}

fn answers() -> Vec<Case> {
    let lost = |what, fault| case(what, Fault(fault), LOST, Not(ABSENT));
    let found = |what, fault| case(what, Fault(fault), FOUND, Done);
    vec![
        lost("cut unprocessed", json!({"cut": "before_processing"})),
        lost("reset unprocessed", json!({"cut": "before_processing", "reset": true})),
        lost("hang unprocessed", json!({"hang": "before_processing"})),
        found("cut after commit", json!({"cut": "before_headers"})),
        found("reset after commit", json!({"cut": "before_headers", "reset": true})),
        found("hang after commit", json!({"hang": "before_headers"})),
        found("cut after the headers", json!({"cut": "after_headers"})),
        found("hang after the headers", json!({"hang": "after_headers"})),
        found("cut in the body", json!({"cut": "mid_body"})),
        found("reset in the body", json!({"cut": "mid_body", "reset": true})),
        found("hang in the body", json!({"hang": "mid_body"})),
        found("too short a body", json!({"wrong_length": 10})),
        found("garbage after commit", json!({"garbage": true})),
        found("nothing after commit", json!({"empty": true})),
        found("no transaction", json!({"body": {"error_code": 0}})),
        found("no number", json!({"body": {"error_code": 0, "txn_status": 3, "txn_id": ""}})),
        found("null", json!({"body": "null"})),
        found("a page", json!({"body": "<html>ok</html>"})),
        lost("nothing, and nothing done", json!({"status": 200})),
        lost("204, and nothing done", json!({"status": 204})),
        lost("a page, and nothing done", json!({"status": 200, "body": "<html>ok</html>"})),
    ]
}

#[tokio::test]
async fn answers_that_say_nothing_about_a_transaction_that_is_made() {
    run(&MAKE, &answers()).await;
}

#[tokio::test]
async fn answers_that_say_nothing_about_a_transaction_that_is_changed() {
    run(&CHANGE, &answers()).await;
}

/// Statuses that say nothing about the operation, whether or not it was carried out.
fn statuses() -> Vec<Case> {
    let mut cases = Vec::new();
    for status in [302, 400, 408, 409, 418, 423, 425, 429, 500, 502, 503] {
        let bare = json!({"status": status});
        cases.push(case("a status, nothing done", Fault(bare), LOST, Not(ABSENT)));
        let done = json!({"status": status, "process": true});
        cases.push(case("a status after commit", Fault(done), FOUND, Done));
    }
    let moved = json!({"redirect": "http://127.0.0.1:9/elsewhere", "process": true});
    cases.push(case("a redirect after commit", Fault(moved), FOUND, Done));
    // A definite code is not trusted where a server is in trouble.
    let body = json!({"error_code": 8054, "error_message": "Invalid signature"});
    let trouble = json!({"status": 500, "body": body, "process": true});
    cases.push(case("a signature, says a 500 after commit", Fault(trouble), FOUND, Done));
    // The certificate was looked at and no more, so the id is free again.
    for status in [401, 403] {
        let strange = Fault(json!({"status": status}));
        cases.push(case("certificate", strange, &["CERTIFICATE_REJECTED"], Free));
    }
    cases
}

#[tokio::test]
async fn statuses_behind_which_a_transaction_may_have_been_made() {
    run(&MAKE, &statuses()).await;
}

#[tokio::test]
async fn statuses_behind_which_a_transaction_may_have_been_changed() {
    run(&CHANGE, &statuses()).await;
}

/// QIWI's own codes: a definite one ends it, a technical one says nothing yet.
fn codes() -> Vec<Case> {
    let coded = |code: u32| Fault(json!({ "error_code": code }));
    let after = |code: u32| Fault(json!({ "error_code": code, "process": true }));
    let mut cases = vec![
        // The merchant was looked at and no more: whoever mends its credential repeats.
        case("no such site", coded(8021), &["MERCHANT_SITE_NOT_FOUND"], Free),
        case("signature", coded(8054), &["SIGNATURE_REJECTED"], Free),
        case("opcode", coded(8025), &["OPERATION_FORBIDDEN"], Free),
        case("no route", coded(8005), &["ROUTE_NOT_FOUND"], Not("ROUTE_NOT_FOUND")),
        case("currency", coded(8059), &["CURRENCY_NOT_ALLOWED"], Not("CURRENCY_NOT_ALLOWED")),
        // Declined without a transaction.
        case("declined", coded(8160), &["TRANSACTION_DECLINED"], Not("TRANSACTION_DECLINED")),
        case("unknown", coded(8999), &[UNKNOWN, "UPSTREAM_DECLINED"], Not("UPSTREAM_DECLINED")),
        case("unknown after commit", after(8999), FOUND, Done),
        // It does not begin with this before it has ended something else.
        case("in process", coded(8056), &[UNKNOWN, BUSY], Free),
        case("card locked", coded(8057), &[UNKNOWN, BUSY], Free),
        case("in process, says QIWI after commit", after(8056), FOUND, Done),
    ];
    for code in [8001, 8004, 8062, 8154] {
        let first: &[&str] = &[UNKNOWN, "UPSTREAM_TECHNICAL"];
        cases.push(case("technical, nothing done", coded(code), first, Not("UPSTREAM_TECHNICAL")));
        cases.push(case("technical after commit", after(code), FOUND, Done));
    }
    cases
}

#[tokio::test]
async fn codes_of_qiwi_instead_of_a_transaction() {
    run(&MAKE, &codes()).await;
}

#[tokio::test]
async fn codes_of_qiwi_instead_of_a_change() {
    run(&CHANGE, &codes()).await;
}

/// The request was repeated on its way, and the answer is about the second one; or somebody else
/// has paid.
#[tokio::test]
async fn an_order_that_is_paid_already() {
    let paid: &[&str] = &[UNKNOWN, "ORDER_ALREADY_PAID"];
    let coded = json!({ "error_code": 8055 });
    let after = json!({ "error_code": 8055, "process": true });
    run(
        &MAKE,
        &[
            case("by nobody", Fault(coded), paid, Not("ORDER_ALREADY_PAID")),
            case("by this very request", Fault(after), FOUND, Done),
        ],
    )
    .await;
}

/// Status queries show it later than it happened, or somebody says no.
#[tokio::test]
async fn transactions_that_show_late_or_are_declined() {
    let late = |ms: u64| Fault(json!({"cut": "before_headers", "late_history_ms": ms}));
    run(&Op::ALL, &[case("late", late(600), FOUND, Done)]).await;
    let declining = [Op::Sale, Op::Authorize, Op::Finish, Op::Reverse, Op::Refund, Op::Payout];
    run(
        &declining,
        &[
            case("declined", Fault(json!({"decline_code": 8160})), &[""], Declined),
            case(
                "declined unseen",
                Fault(json!({"decline_code": 8160, "cut": "before_headers"})),
                FOUND,
                Declined,
            ),
        ],
    )
    .await;
}

/// A caller that goes away changes nothing about the operation.
#[tokio::test]
async fn callers_that_go_away() {
    // Before the request was carried out, after it, and after the answer went wrong.
    let faults = [
        json!({"latency_ms": 200}),
        json!({"answer_latency_ms": 200}),
        json!({"answer_latency_ms": 100, "cut": "before_headers"}),
        json!({"latency_ms": 100, "cut": "before_processing"}),
    ];
    let cases = Op::ALL.into_iter().flat_map(|op| {
        let faults = faults.clone().into_iter().enumerate();
        faults.flat_map(move |(number, fault)| {
            [0, 5, 60, 150].map(|after| (op, number, fault.clone(), after))
        })
    });
    futures_util::stream::iter(cases).for_each_concurrent(AT_ONCE, leave).await;
}

async fn leave((op, number, fault, after): (Op, usize, Value, u64)) {
    let what = format!("{op:?}, {fault}, left after {after} ms");
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let order = ready(&channel, op, 5).await;
    sandbox.add_fault(order.rule(fault)).unwrap();
    // Not before the call is made, however little time it has.
    let (left, _) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(after), send(&channel, &order)),
        tokio::task::yield_now(),
    );
    if let Ok(outcome) = left {
        judge::is_true(&Said::read(&outcome).unwrap(), order.facts(&sandbox), &what);
    }
    let begun = tokio::time::Instant::now();
    let mut end = judge::once(&sandbox, &channel, &order, &what).await;
    // A capture that never arrived is permitted once more, and then it is done.
    while !end.is_settled() || (op == Op::Capture && !end.reason.is_empty()) {
        assert!(begun.elapsed() < PATIENCE, "{what}: {end:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        end = judge::once(&sandbox, &channel, &order, &what).await;
    }
    // What was sent is never sent again, and what was not is sent now.
    let (reason, good, posts) = match (number, op) {
        (3, Op::Capture) => ("", 1, 2),
        (3, _) => (ABSENT, 0, 1),
        _ => ("", 1, 1),
    };
    assert_eq!(
        (end.reason.as_str(), order.facts(&sandbox).good),
        (reason, good),
        "{what}: {end:?}"
    );
    assert_eq!(order.posts(&sandbox), posts, "{what}: {end:?}");
    gateway.stop().await;
}

/// The caller's deadline ends its waiting and not the operation, and the answer says which.
#[tokio::test]
async fn callers_whose_time_is_over() {
    let cases = Op::ALL.into_iter().flat_map(|op| {
        [json!({"latency_ms": 700}), json!({"answer_latency_ms": 700})].map(|fault| (op, fault))
    });
    futures_util::stream::iter(cases)
        .for_each_concurrent(AT_ONCE, async |(op, fault)| {
            let what = format!("{op:?}, {fault}");
            let sandbox = sandbox(|_| {}).await;
            let short = |config: &mut Config| {
                config.deadline.money_min = Duration::from_millis(100);
                // Longer than the request is held up.
                config.payments.settle_window = Duration::from_millis(2500);
                config.payments.capture_repeat = Duration::from_millis(2500);
            };
            let gateway = setup(&sandbox).set(short).start().await;
            let channel = gateway.channel().await;
            let order = ready(&channel, op, 5).await;
            sandbox.add_fault(order.rule(fault)).unwrap();
            let hurried = Ask::with(SHOP).within(Duration::from_millis(500));
            let outcome = ask(&channel, &order, &hurried).await;
            // The client's own clock may be first on a busy machine.
            if let Some(said) = Said::read(&outcome) {
                judge::is_true(&said, order.facts(&sandbox), &what);
                assert!(FOUND.contains(&said.reason.as_str()), "{what}: {said:?}");
            }
            let begun = tokio::time::Instant::now();
            loop {
                let said = judge::once(&sandbox, &channel, &order, &what).await;
                if said.is_settled() {
                    assert_eq!(said.reason, "", "{what}: {said:?}");
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "{what}: {said:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!((order.facts(&sandbox).good, order.posts(&sandbox)), (1, 1), "{what}");
            gateway.stop().await;
        })
        .await;
    // Too little time is no time: nothing leaves.
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    for op in Op::ALL {
        let order = ready(&channel, op, 5 + op.opcode()).await;
        let hurried = Ask::with(SHOP).within(Duration::from_secs(4));
        let said = Said::read(&ask(&channel, &order, &hurried).await).unwrap();
        assert_eq!((said.reason.as_str(), said.sent.as_str()), ("DEADLINE_TOO_SHORT", "no"));
        assert_eq!(order.posts(&sandbox), 0, "{op:?}");
    }
}
