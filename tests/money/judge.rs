//! Whether what a caller is told about a payment is true.
//!
//! The judge knows what the gateway cannot know: the list of payments the sandbox carried out. It
//! looks at it after each answer. A payment that is carried out stays so, hence an answer that was
//! true when it was given is still true a moment later; "nothing happened" is checked again at the
//! end.

use std::time::Duration;

use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::pb::wallet::v1::PaymentState;
use qiwi_gateway::sandbox::Sandbox;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::{commits, get, pay};
use crate::support::told;

/// How long anybody waits for anything; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// An answer to a method that pays, as the judge sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub code: Code,
    /// Empty for a success.
    pub reason: String,
    /// The state the answer names, without its prefix.
    pub state: String,
    /// `upstreamSent` of an error.
    pub sent: String,
    pub pushback: Option<i64>,
    pub replayed: bool,
    pub attempts: u32,
}

impl Said {
    /// Reads an answer; `None` when no gateway gave it: the connection or the process ended.
    pub fn read(outcome: &Result<Response<pb::CreatePaymentResponse>, Status>) -> Option<Self> {
        let status = match outcome {
            Ok(reply) => {
                let payment = reply.get_ref().payment.clone().expect("always there");
                return Some(Self {
                    code: Code::Ok,
                    reason: String::new(),
                    state: name(payment.state()),
                    sent: String::new(),
                    pushback: None,
                    replayed: replayed(reply.metadata()),
                    attempts: u32::try_from(payment.attempt_count).unwrap(),
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
            pushback: told.pushback,
            replayed: replayed(status.metadata()),
            attempts: info("attempts").parse().unwrap_or(0),
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
pub fn name(state: PaymentState) -> String {
    state.as_str_name().trim_start_matches("PAYMENT_STATE_").to_owned()
}

/// What holds for the name of a state when this many payments were carried out.
#[track_caller]
pub fn state_is_true(state: &str, commits: usize, what: &str) {
    assert!(commits <= 1, "{what}: paid {commits} times");
    match state {
        "ACCEPTED" | "SUCCEEDED" | "FAILED" => assert_eq!(commits, 1, "{what}: {state}"),
        "REJECTED" | "NOT_EXECUTED" | "NOT_SENT" => assert_eq!(commits, 0, "{what}: {state}"),
        "UNCERTAIN" | "IN_PROGRESS" => {}
        other => panic!("{what}: no state {other}"),
    }
}

/// What holds for every answer of a method that pays; `commits` is counted after it came.
#[track_caller]
pub fn is_true(said: &Said, commits: usize, what: &str) {
    let what = format!("{what}: {said:?}");
    assert!(commits <= 1, "{what}: paid {commits} times");
    if said.reason.is_empty() {
        state_is_true(&said.state, commits, &what);
        assert!(["ACCEPTED", "SUCCEEDED", "FAILED"].contains(&said.state.as_str()), "{what}");
        assert!(said.attempts >= 1, "{what}");
        return;
    }
    // Machines may repeat exactly what was not sent.
    assert_eq!(said.pushback == Some(-1), said.sent != "no", "{what}");
    // Meshes repeat UNAVAILABLE.
    if said.code == Code::Unavailable {
        assert_eq!(said.sent, "no", "{what}");
    }
    let known = ["ACCEPTED", "SUCCEEDED", "FAILED"].contains(&said.state.as_str());
    match said.reason.as_str() {
        // Says something about another payment under the id.
        "PAYMENT_ID_REUSED" => assert_eq!(said.sent, "no", "{what}"),
        "PAYMENT_OUTCOME_UNKNOWN" => {
            assert_eq!((said.code, said.sent.as_str()), (Code::DeadlineExceeded, "unknown"));
        }
        "PAYMENT_IN_PROGRESS" => assert_eq!(said.code, Code::Aborted, "{what}"),
        _ => {
            assert!(!known, "{what}: a payment that was taken is a success");
            assert_ne!(said.sent, "unknown", "{what}: doubt has one name");
            if !said.state.is_empty() {
                state_is_true(&said.state, commits, &what);
            }
        }
    }
}

/// Repeats a call until its answer is settled, and judges every answer and what `GetPayment` says
/// after it.
pub async fn repeat(
    sandbox: &Sandbox,
    channel: &Channel,
    request: &pb::CreatePaymentRequest,
    what: &str,
) -> Vec<Said> {
    let begun = tokio::time::Instant::now();
    let mut all: Vec<Said> = Vec::new();
    loop {
        let posts_before = posts(sandbox);
        let outcome = pay(channel, request.clone()).await;
        let Some(said) = Said::read(&outcome) else {
            panic!("{what}: the gateway has gone: {outcome:?}");
        };
        is_true(&said, commits(sandbox, &request.payment_id), what);
        let sent = posts(sandbox) - posts_before;
        assert!(sent <= 1, "{what}: one call sent {sent} payments");
        // An answer is a replay exactly where an entry of an earlier call gave it.
        let about_entry = said.is_settled() || said.reason == "PAYMENT_OUTCOME_UNKNOWN";
        if about_entry && !all.is_empty() && sent == 0 && said.reason != "PAYMENT_ID_REUSED" {
            let joined = all.iter().all(|earlier| earlier.sent == "no");
            assert!(said.replayed || joined, "{what}: {said:?} after {all:?}");
        }
        if all.is_empty() || sent == 1 {
            assert!(!said.replayed, "{what}: {said:?} is no replay");
        }
        agrees(sandbox, channel, &request.payment_id, &said, what).await;
        let settled = said.is_settled();
        all.push(said);
        if settled {
            return all;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not settled: {all:?}");
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// `GetPayment` says nothing else than the answer before it, unless it knows more by now.
pub async fn agrees(sandbox: &Sandbox, channel: &Channel, id: &str, said: &Said, what: &str) {
    let shown = match get(channel, id).await {
        Ok(payment) => name(payment.state()),
        Err(status) => {
            let told = told(&status);
            assert_eq!(told.reason, "PAYMENT_NOT_FOUND", "{what}");
            assert_eq!(commits(sandbox, id), 0, "{what}: a payment nobody remembers");
            assert!(!said.is_settled(), "{what}: {said:?} and then not found");
            return;
        }
    };
    state_is_true(&shown, commits(sandbox, id), &format!("{what}: GetPayment"));
    let wider: &[&str] = match said.state.as_str() {
        "ACCEPTED" => &["ACCEPTED", "SUCCEEDED", "FAILED"],
        "SUCCEEDED" => &["SUCCEEDED"],
        "FAILED" => &["FAILED"],
        "REJECTED" => &["REJECTED"],
        "NOT_EXECUTED" => &["NOT_EXECUTED"],
        "NOT_SENT" => &["NOT_SENT"],
        _ => return,
    };
    assert!(wider.contains(&shown.as_str()), "{what}: {said:?}, and then {shown}");
}

/// How many payments reached the sandbox, carried out or not.
pub fn posts(sandbox: &Sandbox) -> u64 {
    let requests = sandbox.requests();
    let by_route = requests["by_route"].as_object().unwrap();
    let paying = by_route.iter().filter(|(route, _)| route.starts_with("POST /sinap/api/"));
    paying.map(|(_, count)| count.as_u64().unwrap()).sum()
}
