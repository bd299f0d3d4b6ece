//! Every fault in every phase, each until a careful caller has its answer.
//!
//! A case is a row: what goes wrong, what the first answer may be, and how it ends. The judge looks
//! at every answer in between; see `judge.rs` for what it demands.

use futures_util::StreamExt as _;
use qiwi_gateway::config::Config;
use serde_json::{Value, json};
use tonic::Code;

use super::judge::{self, PATIENCE, Said};
use super::proxy::{Proxy, Trick};
use super::*;

/// Cases under way at once.
const AT_ONCE: usize = 8;
const ID: &str = "1700000000001";

/// What goes wrong with the first payment.
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
    /// One payment, and the answer says so.
    Paid,
    /// No payment, and every answer from then on gives this reason.
    Not(&'static str),
}
use End::*;

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

/// Found in the history by the first call, or by a later one.
const FOUND: &[&str] = &["", UNKNOWN];
const UNKNOWN: &str = "PAYMENT_OUTCOME_UNKNOWN";
const ABSENT: &str = "PAYMENT_NOT_EXECUTED";

fn quick(config: &mut Config) {
    config.payments.send_max = Duration::from_millis(1500);
    config.cooldown.other = Duration::from_millis(50);
    config.cooldown.max = Duration::from_millis(50);
}

async fn run(cases: Vec<Case>) {
    assert!(!cases.is_empty());
    futures_util::stream::iter(cases).for_each_concurrent(AT_ONCE, play).await;
}

async fn play(case: Case) {
    let what = case.what;
    let sandbox = sandbox(|_| {}).await;
    let mut proxy = Proxy::to(sandbox.address()).await;
    let gateway = setup(&sandbox).upstream(&proxy.url()).set(quick).start().await;
    let channel = gateway.channel().await;
    let request = transfer(ID, 10);
    let mut all = Vec::new();
    match case.trouble {
        Fault(fault) => {
            let only = json!({ "path_prefix": "/sinap/api", "body_contains": ID });
            let rule = json!({ "match": only, "times": 1, "fault": fault });
            sandbox.add_fault(rule).unwrap();
        }
        Wire(trick) => proxy.next(trick),
        Refused => {
            proxy.refuse().await;
            let outcome = pay(&channel, request.clone()).await;
            proxy.listen().await;
            let said = Said::read(&outcome).expect("the gateway answers");
            judge::is_true(&said, commits(&sandbox, ID), what);
            judge::agrees(&sandbox, &channel, ID, &said, what).await;
            all.push(said);
        }
    }
    all.extend(judge::repeat(&sandbox, &channel, &request, what).await);
    let first = all.first().unwrap();
    assert!(case.first.contains(&first.reason.as_str()), "{what}: {all:?}");
    let last = all.last().unwrap();
    let again = Said::read(&pay(&channel, request.clone()).await).unwrap();
    judge::is_true(&again, commits(&sandbox, ID), what);
    assert!(again.replayed, "{what}: {again:?}");
    assert_eq!(again.reason, last.reason, "{what}");
    match case.end {
        Paid => {
            assert_eq!((last.reason.as_str(), commits(&sandbox, ID)), ("", 1), "{what}: {all:?}");
            assert_eq!(last.attempts, 1, "{what}");
        }
        Not(reason) => {
            assert_eq!(last.reason, reason, "{what}: {all:?}");
            assert_eq!((last.pushback, commits(&sandbox, ID)), (Some(-1), 0), "{what}: {all:?}");
        }
    }
    assert!(sandbox.payments().len() <= 1, "{what}: somebody else was paid");
    gateway.stop().await;
}

#[tokio::test]
async fn connections_that_break() {
    run(vec![
        case("nobody listens", Refused, &["UPSTREAM_UNREACHABLE"], Paid),
        case("closed unread", Wire(Trick::Close), &[UNKNOWN], Not(ABSENT)),
        case("closed after a byte", Wire(Trick::Part(1)), &[UNKNOWN], Not(ABSENT)),
        case("closed within the request", Wire(Trick::Part(150)), &[UNKNOWN], Not(ABSENT)),
        case("swallowed", Wire(Trick::Swallow), &[UNKNOWN], Not(ABSENT)),
        case("cut before the answer", Wire(Trick::Head(0)), FOUND, Paid),
        case("cut in the status line", Wire(Trick::Head(9)), FOUND, Paid),
        case("cut in the headers", Wire(Trick::Head(40)), FOUND, Paid),
        case("silence before the answer", Wire(Trick::HeadAndHang(0)), FOUND, Paid),
        case("silence in the headers", Wire(Trick::HeadAndHang(40)), FOUND, Paid),
    ])
    .await;
}

#[tokio::test]
async fn answers_that_never_become_whole() {
    let fault = Fault;
    run(vec![
        case(
            "cut unprocessed",
            fault(json!({"cut": "before_processing"})),
            &[UNKNOWN],
            Not(ABSENT),
        ),
        case(
            "reset unprocessed",
            fault(json!({"cut": "before_processing", "reset": true})),
            &[UNKNOWN],
            Not(ABSENT),
        ),
        case(
            "hang unprocessed",
            fault(json!({"hang": "before_processing"})),
            &[UNKNOWN],
            Not(ABSENT),
        ),
        case("cut after commit", fault(json!({"cut": "before_headers"})), FOUND, Paid),
        case(
            "reset after commit",
            fault(json!({"cut": "before_headers", "reset": true})),
            FOUND,
            Paid,
        ),
        case("hang after commit", fault(json!({"hang": "before_headers"})), FOUND, Paid),
        case("cut after the headers", fault(json!({"cut": "after_headers"})), FOUND, Paid),
        case("hang after the headers", fault(json!({"hang": "after_headers"})), FOUND, Paid),
        case("cut in the body", fault(json!({"cut": "mid_body"})), FOUND, Paid),
        case("reset in the body", fault(json!({"cut": "mid_body", "reset": true})), FOUND, Paid),
        case("hang in the body", fault(json!({"hang": "mid_body"})), FOUND, Paid),
        case("too short a body", fault(json!({"wrong_length": 10})), FOUND, Paid),
        case("too long a body", fault(json!({"wrong_length": -10})), FOUND, Paid),
        case(
            "a body drop by drop, for too long",
            fault(json!({"slow_body": {"bytes": 1, "interval_ms": 100}})),
            FOUND,
            Paid,
        ),
        case("late, for too long", fault(json!({"answer_latency_ms": 2500})), FOUND, Paid),
        case(
            "a body drop by drop, in time",
            fault(json!({"slow_body": {"bytes": 50, "interval_ms": 10}})),
            &[""],
            Paid,
        ),
        case(
            "late, in time",
            fault(json!({"latency_ms": 100, "answer_latency_ms": 100})),
            &[""],
            Paid,
        ),
    ])
    .await;
}

#[tokio::test]
async fn answers_of_200_that_say_nothing() {
    let said = |code: &str| json!({"body": {"id": ID, "transaction": {"id": "11", "state": {"code": code}}}});
    run(vec![
        case("garbage after commit", Fault(json!({"garbage": true})), FOUND, Paid),
        case("nothing after commit", Fault(json!({"empty": true})), FOUND, Paid),
        case("no transaction", Fault(json!({"no_transaction": true})), FOUND, Paid),
        case("another word", Fault(said("Whatever")), FOUND, Paid),
        case("null", Fault(json!({"body": "null"})), FOUND, Paid),
        case("a page", Fault(json!({"body": "<html>ok</html>"})), FOUND, Paid),
        case("nothing, and nothing done", Fault(json!({"status": 200})), &[UNKNOWN], Not(ABSENT)),
        case("204, and nothing done", Fault(json!({"status": 204})), &[UNKNOWN], Not(ABSENT)),
        case(
            "a page, and nothing done",
            Fault(json!({"status": 200, "body": "<html>ok</html>"})),
            &[UNKNOWN],
            Not(ABSENT),
        ),
        case(
            "a refusal with 200",
            Fault(json!({"status": 200, "body": {"code": "QWPRC-220", "message": "x"}})),
            &["INSUFFICIENT_FUNDS"],
            Not("INSUFFICIENT_FUNDS"),
        ),
        case(
            "a technical code with 200",
            Fault(json!({"status": 200, "body": {"code": "QWPRC-300", "message": "x"}})),
            &[UNKNOWN, "UPSTREAM_TECHNICAL"],
            Not("UPSTREAM_TECHNICAL"),
        ),
    ])
    .await;
}

/// Statuses that say nothing about the payment, whether or not it was carried out.
#[tokio::test]
async fn statuses_behind_which_anything_may_have_happened() {
    let mut cases = Vec::new();
    for status in [302, 400, 408, 409, 418, 423, 425, 429, 451, 500, 502, 503, 504] {
        let bare = json!({"status": status});
        cases.push(case("a status, nothing done", Fault(bare), &[UNKNOWN], Not(ABSENT)));
        let done = json!({"status": status, "process": true});
        cases.push(case("a status after commit", Fault(done), FOUND, Paid));
    }
    let moved = json!({"redirect": "http://127.0.0.1:9/elsewhere", "process": true});
    cases.push(case("a redirect after commit", Fault(moved), FOUND, Paid));
    let page = json!({"status": 400, "body": "<html>bad</html>", "process": true});
    cases.push(case("a page of 400 after commit", Fault(page), FOUND, Paid));
    let blocked = json!({"errorCode": "request.blocked", "userMessage": "x"});
    let blocked = json!({"status": 423, "body": blocked, "process": true, "retry_after": 1});
    cases.push(case("blocked after commit", Fault(blocked), FOUND, Paid));
    run(cases).await;
}

#[tokio::test]
async fn codes_of_qiwi() {
    let coded = |status: u16, code: &str, process: bool| {
        let body = json!({"code": code, "message": "x"});
        Fault(json!({"status": status, "body": body, "process": process}))
    };
    let refused = |code: u16| Fault(json!({"payment_code": code}));
    run(vec![
        case("no money", refused(220), &["INSUFFICIENT_FUNDS"], Not("INSUFFICIENT_FUNDS")),
        case("recipient", refused(5), &["RECIPIENT_INVALID"], Not("RECIPIENT_INVALID")),
        case("limit", refused(700), &["WALLET_LIMIT_EXCEEDED"], Not("WALLET_LIMIT_EXCEEDED")),
        case("too much", refused(242), &["AMOUNT_TOO_LARGE"], Not("AMOUNT_TOO_LARGE")),
        case("provider", refused(131), &["PROVIDER_UNAVAILABLE"], Not("PROVIDER_UNAVAILABLE")),
        case(
            "technical, nothing done",
            refused(300),
            &[UNKNOWN, "UPSTREAM_TECHNICAL"],
            Not("UPSTREAM_TECHNICAL"),
        ),
        case("technical after commit", coded(400, "QWPRC-300", true), FOUND, Paid),
        case(
            "unknown, nothing done",
            coded(400, "QWPRC-98765", false),
            &[UNKNOWN, "UPSTREAM_DECLINED"],
            Not("UPSTREAM_DECLINED"),
        ),
        case("unknown after commit", coded(400, "QWPRC-98765", true), FOUND, Paid),
        case(
            "a duplicate of nothing",
            refused(408),
            &[UNKNOWN, "UPSTREAM_DUPLICATE"],
            Not("UPSTREAM_DUPLICATE"),
        ),
        case("a duplicate of itself", coded(400, "QWPRC-408", true), FOUND, Paid),
        // A definite code is not trusted where a server is in trouble.
        case("no money, says a 500 after commit", coded(500, "QWPRC-220", true), FOUND, Paid),
        case("no money, says a 503 after commit", coded(503, "QWPRC-220", true), FOUND, Paid),
        case(
            "validation",
            Fault(json!({"status": 400, "body": {"errorCode": "validation.error"}})),
            &["UPSTREAM_INVALID_REQUEST"],
            Not("UPSTREAM_INVALID_REQUEST"),
        ),
        case(
            "not found",
            Fault(json!({"status": 404})),
            &["PROVIDER_NOT_FOUND"],
            Not("PROVIDER_NOT_FOUND"),
        ),
        case(
            "a method QIWI does not take",
            Fault(json!({"status": 405})),
            &["GATEWAY_PROTOCOL_BUG"],
            Not("GATEWAY_PROTOCOL_BUG"),
        ),
        // The token was looked at and no more, so the id is free again.
        case("token", Fault(json!({"status": 401})), &["TOKEN_REJECTED"], Paid),
        case("scope", Fault(json!({"status": 403})), &["TOKEN_SCOPE_INSUFFICIENT"], Paid),
    ])
    .await;
}

#[tokio::test]
async fn transactions_that_show_late_or_fail_later() {
    run(vec![
        case(
            "late in the history",
            Fault(json!({"cut": "before_headers", "late_history_ms": 1200})),
            FOUND,
            Paid,
        ),
        case(
            "fails when it settles",
            Fault(json!({"settle_code": 220, "settle_ms": 0})),
            &[""],
            Paid,
        ),
        case(
            "fails unseen",
            Fault(json!({"cut": "before_headers", "settle_code": 220, "settle_ms": 0})),
            FOUND,
            Paid,
        ),
        case("waits", Fault(json!({"stays_waiting": true})), &[""], Paid),
        case(
            "waits unseen",
            Fault(json!({"cut": "before_headers", "stays_waiting": true})),
            FOUND,
            Paid,
        ),
    ])
    .await;
}

/// The rarest of all: the history shows the payment when nobody believes in it any more.
#[tokio::test]
async fn a_payment_that_counts_as_not_executed_is_found_all_the_same_and_not_made_again() {
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let fault = json!({"cut": "before_headers", "late_history_ms": 6000});
    sandbox
        .add_fault(json!({"match": {"path_prefix": "/sinap"}, "times": 1, "fault": fault}))
        .unwrap();
    let begun = tokio::time::Instant::now();
    let mut request = transfer(ID, 10);
    loop {
        let said = Said::read(&pay(&channel, request.clone()).await).unwrap();
        if said.state == "NOT_EXECUTED" {
            assert_eq!((said.code, said.reason.as_str()), (Code::Aborted, ABSENT));
            break;
        }
        assert_eq!(said.reason, UNKNOWN);
        assert!(begun.elapsed() < Duration::from_secs(6), "the machine is too slow for this test");
    }
    // Without permission it is not sent again, and nobody has to ask: the watch finds it.
    while judge::name(get(&channel, ID).await.unwrap().state()) == "NOT_EXECUTED" {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    request.reattempt = true;
    let said = Said::read(&pay(&channel, request).await).unwrap();
    judge::is_true(&said, commits(&sandbox, ID), "found late");
    assert!(said.is_settled() && said.replayed && said.reason.is_empty(), "{said:?}");
    assert_eq!((commits(&sandbox, ID), judge::posts(&sandbox)), (1, 1));
    assert!(gateway.log().contains("in QIWI's history after all"));
}

#[tokio::test]
async fn a_reattempt_looks_before_it_pays() {
    let sandbox = sandbox(|_| {}).await;
    // Nobody looks in the background for a while after the payment counts as not executed.
    let slow = |config: &mut Config| config.payments.look_later = Duration::from_secs(60);
    let gateway = setup(&sandbox).set(slow).start().await;
    let channel = gateway.channel().await;
    let fault = json!({"cut": "before_headers", "late_history_ms": 8000});
    sandbox
        .add_fault(json!({"match": {"path_prefix": "/sinap"}, "times": 1, "fault": fault}))
        .unwrap();
    let begun = tokio::time::Instant::now();
    loop {
        let said = Said::read(&pay(&channel, transfer(ID, 10)).await).unwrap();
        if said.state == "NOT_EXECUTED" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "the machine is too slow for this test");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep_until(begun + Duration::from_millis(8500)).await;
    let request = pb::CreatePaymentRequest { reattempt: true, ..transfer(ID, 10) };
    let said = Said::read(&pay(&channel, request).await).unwrap();
    judge::is_true(&said, commits(&sandbox, ID), "reattempt");
    assert_eq!((said.reason.as_str(), said.replayed), ("", true), "{said:?}");
    assert_eq!((commits(&sandbox, ID), judge::posts(&sandbox)), (1, 1));
}

#[tokio::test]
async fn a_reattempt_that_cannot_be_sent_leaves_the_payment_not_executed() {
    let sandbox = sandbox(|_| {}).await;
    let mut proxy = Proxy::to(sandbox.address()).await;
    let gateway = setup(&sandbox).upstream(&proxy.url()).start().await;
    let channel = gateway.channel().await;
    let fault = json!({"cut": "before_processing"});
    sandbox
        .add_fault(json!({"match": {"path_prefix": "/sinap"}, "times": 1, "fault": fault}))
        .unwrap();
    let all = judge::repeat(&sandbox, &channel, &transfer(ID, 10), "first").await;
    assert_eq!(all.last().unwrap().state, "NOT_EXECUTED");

    // Neither the look before it nor the payment itself can be made.
    let request = pb::CreatePaymentRequest { reattempt: true, ..transfer(ID, 10) };
    proxy.refuse().await;
    let said = Said::read(&pay(&channel, request.clone()).await).unwrap();
    proxy.listen().await;
    judge::is_true(&said, 0, "unreachable");
    assert_eq!((said.sent.as_str(), said.state.as_str()), ("no", "NOT_EXECUTED"), "{said:?}");
    let said = Said::read(&pay(&channel, transfer(ID, 10)).await).unwrap();
    assert_eq!((said.reason.as_str(), commits(&sandbox, ID)), (ABSENT, 0), "{said:?}");

    // The look can, the payment meets a token QIWI does not accept.
    let fault = json!({"status": 403});
    sandbox
        .add_fault(json!({"match": {"path_prefix": "/sinap"}, "times": 1, "fault": fault}))
        .unwrap();
    let said = Said::read(&pay(&channel, request.clone()).await).unwrap();
    assert_eq!(said.reason, "TOKEN_SCOPE_INSUFFICIENT");
    assert_eq!(said.state, "NOT_EXECUTED");
    let said = Said::read(&pay(&channel, transfer(ID, 10)).await).unwrap();
    assert_eq!((said.reason.as_str(), commits(&sandbox, ID)), (ABSENT, 0), "{said:?}");

    let said = Said::read(&pay(&channel, request).await).unwrap();
    judge::is_true(&said, commits(&sandbox, ID), "reattempt");
    assert_eq!((said.reason.as_str(), said.replayed, said.attempts), ("", false, 2), "{said:?}");
    assert_eq!(commits(&sandbox, ID), 1);
}

/// A caller that goes away changes nothing about the payment.
#[tokio::test]
async fn callers_that_go_away() {
    // Before the request was carried out, after it, and after the answer went wrong.
    let faults = [
        json!({"latency_ms": 400}),
        json!({"answer_latency_ms": 400}),
        json!({"answer_latency_ms": 200, "cut": "before_headers"}),
        json!({"latency_ms": 200, "cut": "before_processing"}),
    ];
    let cases = faults.into_iter().enumerate().flat_map(|(number, fault)| {
        [0, 1, 5, 30, 100, 250, 350].map(|after| (number, fault.clone(), after))
    });
    futures_util::stream::iter(cases).for_each_concurrent(AT_ONCE, leave).await;
}

async fn leave((number, fault, after): (usize, Value, u64)) {
    let what = format!("{fault} left after {after} ms");
    let sandbox = sandbox(|_| {}).await;
    let gateway = setup(&sandbox).start().await;
    let channel = gateway.channel().await;
    let only = json!({"path_prefix": "/sinap/api"});
    sandbox.add_fault(json!({"match": only, "times": 1, "fault": fault})).unwrap();
    let request = transfer(ID, 10);
    // Not before the call is made, however little time it has.
    let (left, _) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(after), pay(&channel, request.clone())),
        tokio::task::yield_now(),
    );
    if let Ok(outcome) = left {
        judge::is_true(&Said::read(&outcome).unwrap(), commits(&sandbox, ID), &what);
    }
    let all = judge_again(&sandbox, &channel, &request, &what).await;
    let end = all.last().unwrap();
    // What was sent is never sent again, and what was not is sent now.
    assert_eq!(judge::posts(&sandbox), 1, "{what}: {all:?}");
    let (reason, paid) = if number == 3 { (ABSENT, 0) } else { ("", 1) };
    assert_eq!((end.reason.as_str(), commits(&sandbox, ID)), (reason, paid), "{what}: {all:?}");
    gateway.stop().await;
}

/// As [`judge::repeat`] for a caller whose first answer was lost: replays may come at once.
async fn judge_again(
    sandbox: &Sandbox,
    channel: &Channel,
    request: &pb::CreatePaymentRequest,
    what: &str,
) -> Vec<Said> {
    let begun = tokio::time::Instant::now();
    let mut all: Vec<Said> = Vec::new();
    while all.last().is_none_or(|said| !said.is_settled()) {
        assert!(begun.elapsed() < PATIENCE, "{what}: {all:?}");
        let said = Said::read(&pay(channel, request.clone()).await).expect("it answers");
        judge::is_true(&said, commits(sandbox, &request.payment_id), what);
        judge::agrees(sandbox, channel, &request.payment_id, &said, what).await;
        all.push(said);
    }
    all
}

/// The caller's deadline ends its waiting and not the payment, and the answer says which.
#[tokio::test]
async fn callers_whose_time_is_over() {
    let short = |config: &mut Config| config.deadline.money_min = Duration::from_millis(100);
    // Shorter than the time after which a payment counts as not executed.
    let late = [json!({"latency_ms": 2000}), json!({"answer_latency_ms": 2000})];
    futures_util::stream::iter(late)
        .for_each_concurrent(2, async |fault| {
            let what = fault.to_string();
            let sandbox = sandbox(|_| {}).await;
            let gateway = setup(&sandbox).set(short).start().await;
            let channel = gateway.channel().await;
            let only = json!({"path_prefix": "/sinap/api"});
            sandbox.add_fault(json!({"match": only, "times": 1, "fault": fault})).unwrap();
            let ask = Ask::with(&[DEMO]).within(Duration::from_millis(1500));
            let outcome = ask.unary(&channel, CREATE, transfer(ID, 10)).await;
            let said = Said::read(&outcome).expect("the gateway's own word comes in time");
            judge::is_true(&said, commits(&sandbox, ID), &what);
            // Sending ends a little before the caller's time does, and then the history is looked at.
            assert!(FOUND.contains(&said.reason.as_str()), "{what}: {said:?}");
            let all = judge_again(&sandbox, &channel, &transfer(ID, 10), &what).await;
            assert_eq!(judge::posts(&sandbox), 1, "{what}: {all:?}");
            // Carried out after the gateway gave up, or before: either way there is one truth now.
            tokio::time::sleep(Duration::from_millis(3000)).await;
            let all = judge_again(&sandbox, &channel, &transfer(ID, 10), &what).await;
            assert_eq!((commits(&sandbox, ID), judge::posts(&sandbox)), (1, 1), "{what}: {all:?}");
            gateway.stop().await;
        })
        .await;
    // Too little time is no time: nothing leaves.
    let (sandbox, gateway) = both().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(&[DEMO]).within(Duration::from_secs(4));
    let said = Said::read(&ask.unary(&channel, CREATE, transfer(ID, 10)).await).unwrap();
    assert_eq!((said.reason.as_str(), said.sent.as_str()), ("DEADLINE_TOO_SHORT", "no"));
    assert_eq!(judge::posts(&sandbox), 0);
}
