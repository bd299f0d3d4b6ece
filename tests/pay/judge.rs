//! Whether what a caller is told about an operation is true, as `money/judge.rs` has it for payments.
//!
//! The judge knows what the gateway cannot know: what the sandbox carried out. It looks after each
//! answer; money that moved stays moved, so an answer that was true is still true a moment later.

use std::time::Duration;

use qiwi_gateway::pb::pay::v1::OperationState;
use qiwi_gateway::sandbox::Sandbox;
use tonic::Code;
use tonic::transport::Channel;

use super::shop::{Facts, Order, Outcome, get, send};
use crate::support::told;

/// How long anybody waits for anything; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// An answer, as the judge sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub code: Code,
    /// Empty for a success.
    pub reason: String,
    /// The state the answer names, without its prefix.
    pub state: String,
    /// `upstreamSent` of an error.
    pub sent: String,
    /// `upstreamCode` of an error.
    pub qiwi: String,
    pub pushback: Option<i64>,
    pub replayed: bool,
    pub attempts: u32,
    /// The transaction it names.
    pub transaction: String,
}

impl Said {
    /// Reads an answer; `None` when no gateway gave it: the connection or the process ended.
    pub fn read(outcome: &Outcome) -> Option<Self> {
        let status = match outcome {
            Ok(reply) => {
                let operation = reply.get_ref().operation.clone().expect("always there");
                let transaction = operation.transaction.clone().unwrap_or_default();
                return Some(Self {
                    code: Code::Ok,
                    reason: String::new(),
                    state: name(operation.state()),
                    sent: String::new(),
                    qiwi: String::new(),
                    pushback: None,
                    replayed: replayed(reply.metadata()),
                    attempts: u32::try_from(operation.attempt_count).unwrap(),
                    transaction: transaction.transaction_id,
                });
            }
            Err(status) => status,
        };
        if status.details().is_empty() {
            let word = status.metadata().get("x-request-id");
            assert!(word.is_none(), "the gateway gives details: {status:?}");
            return None;
        }
        let told = told(status);
        let info = |key| told.info(key).unwrap_or_default().to_owned();
        Some(Self {
            code: told.code,
            reason: told.reason.clone(),
            state: info("paymentState"),
            sent: info("upstreamSent"),
            qiwi: info("upstreamCode"),
            pushback: told.pushback,
            replayed: replayed(status.metadata()),
            attempts: info("attempts").parse().unwrap_or(0),
            transaction: String::new(),
        })
    }

    /// Whether a careful caller stops here.
    pub fn is_settled(&self) -> bool {
        self.reason.is_empty() || ["REJECTED", "NOT_EXECUTED"].contains(&self.state.as_str())
    }
}

fn replayed(metadata: &tonic::metadata::MetadataMap) -> bool {
    let value = metadata.get("x-idempotent-replayed");
    assert!(value.is_none_or(|value| value == "1"));
    value.is_some()
}

/// A state without its prefix.
pub fn name(state: OperationState) -> String {
    state.as_str_name().trim_start_matches("OPERATION_STATE_").to_owned()
}

/// What holds for the name of a state when this was carried out.
#[track_caller]
pub fn state_is_true(state: &str, attempts: u32, facts: Facts, what: &str) {
    assert!(facts.good <= 1, "{what}: carried out {} times", facts.good);
    let what = format!("{what}: {state} and {facts:?}");
    match state {
        "SUCCEEDED" => assert_eq!(facts.good, 1, "{what}"),
        "FAILED" => assert!(facts.good == 0 && facts.declined > 0, "{what}"),
        "ACCEPTED" => assert!(facts.good + facts.declined > 0, "{what}"),
        "REJECTED" | "NOT_EXECUTED" | "NOT_SENT" => {
            assert_eq!(facts.good, 0, "{what}");
            // Of several attempts nobody can say which one was declined.
            assert!(facts.declined == 0 || attempts > 1, "{what}");
        }
        "UNCERTAIN" | "IN_PROGRESS" => {}
        other => panic!("{what}: no state {other}"),
    }
}

/// What holds for every answer; the facts are looked up after it came.
#[track_caller]
pub fn is_true(said: &Said, facts: Facts, what: &str) {
    let what = format!("{what}: {said:?}");
    assert!(facts.good <= 1, "{what}: carried out {} times", facts.good);
    if said.reason.is_empty() {
        state_is_true(&said.state, said.attempts, facts, &what);
        assert!(["ACCEPTED", "SUCCEEDED", "FAILED"].contains(&said.state.as_str()), "{what}");
        assert!(said.attempts >= 1 && !said.transaction.is_empty(), "{what}");
        return;
    }
    // Machines may repeat exactly what was not sent.
    assert_eq!(said.pushback == Some(-1), said.sent != "no", "{what}");
    // Meshes repeat UNAVAILABLE.
    if said.code == Code::Unavailable {
        assert_eq!(said.sent, "no", "{what}");
    }
    match said.reason.as_str() {
        // Says something about another operation under the id.
        "PAYMENT_ID_REUSED" => assert_eq!(said.sent, "no", "{what}"),
        "PAYMENT_OUTCOME_UNKNOWN" => {
            assert_eq!((said.code, said.sent.as_str()), (Code::DeadlineExceeded, "unknown"));
        }
        "PAYMENT_IN_PROGRESS" => assert_eq!(said.code, Code::Aborted, "{what}"),
        _ => {
            let known = ["ACCEPTED", "SUCCEEDED", "FAILED"].contains(&said.state.as_str());
            assert!(!known, "{what}: an operation that was taken is a success");
            assert_ne!(said.sent, "unknown", "{what}: doubt has one name");
            if !said.state.is_empty() {
                state_is_true(&said.state, said.attempts, facts, &what);
            }
        }
    }
}

/// Sends and judges once.
pub async fn once(sandbox: &Sandbox, channel: &Channel, order: &Order, what: &str) -> Said {
    let outcome = send(channel, order).await;
    let Some(said) = Said::read(&outcome) else {
        panic!("{what}: the gateway has gone: {outcome:?}");
    };
    is_true(&said, order.facts(sandbox), what);
    agrees(sandbox, channel, order, &said, what).await;
    said
}

/// Repeats a call until its answer is settled, and judges every answer and what `GetOperation` says
/// after it.
pub async fn repeat(sandbox: &Sandbox, channel: &Channel, order: &Order, what: &str) -> Vec<Said> {
    let begun = tokio::time::Instant::now();
    let mut all: Vec<Said> = Vec::new();
    loop {
        let before = order.posts(sandbox);
        let said = once(sandbox, channel, order, what).await;
        let sent = order.posts(sandbox) - before;
        assert!(sent <= 1, "{what}: one call sent {sent} requests");
        if all.is_empty() || sent == 1 {
            assert!(!said.replayed, "{what}: {said:?} is no replay");
        }
        let settled = said.is_settled();
        all.push(said);
        if settled {
            return all;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not settled: {all:?}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// `GetOperation` says nothing else than the answer before it, unless it knows more by now.
pub async fn agrees(sandbox: &Sandbox, channel: &Channel, order: &Order, said: &Said, what: &str) {
    let shown = match get(channel, order).await {
        Ok(operation) => operation,
        Err(status) => {
            let told = told(&status);
            assert_eq!(told.reason, "PAYMENT_NOT_FOUND", "{what}");
            assert_eq!(order.facts(sandbox).good, 0, "{what}: money nobody remembers");
            assert!(!said.is_settled(), "{what}: {said:?} and then not found");
            return;
        }
    };
    let (state, attempts) = (name(shown.state()), u32::try_from(shown.attempt_count).unwrap());
    let about = format!("{what}: GetOperation");
    state_is_true(&state, attempts, order.facts(sandbox), &about);
    let wider: &[&str] = match said.state.as_str() {
        "ACCEPTED" => &["ACCEPTED", "SUCCEEDED", "FAILED"],
        "SUCCEEDED" => &["SUCCEEDED"],
        "FAILED" => &["FAILED"],
        "REJECTED" => &["REJECTED"],
        "NOT_EXECUTED" => &["NOT_EXECUTED"],
        "NOT_SENT" => &["NOT_SENT"],
        _ => return,
    };
    assert!(wider.contains(&state.as_str()), "{what}: {said:?}, and then {state}");
}
