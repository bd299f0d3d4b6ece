//! Reads an error the way a careful client does, and checks what is promised of every error.

use std::collections::BTreeMap;
use std::time::Duration;

use prost::Message as _;
use qiwi_gateway::error::DOMAIN;
use qiwi_gateway::error::reason::{Decision, REASONS, Reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// `ErrorInfo.metadata` keys a caller may meet.
const METADATA_KEYS: [&str; 12] = [
    "api",
    "operation",
    "httpStatus",
    "upstreamCode",
    "upstreamTraceId",
    "paymentId",
    "paymentState",
    "upstreamSent",
    "attempts",
    "earliestCursor",
    "latestCursor",
    "lastCursor",
];
/// Clients limit trailers; details above this would be lost on the way.
const DETAILS_BYTES_MAX: usize = 4096;

/// An error, decoded.
#[derive(Debug)]
pub struct Told {
    pub code: Code,
    pub reason: String,
    pub info: BTreeMap<String, String>,
    pub details: ErrorDetails,
    pub request_id: String,
    /// `grpc-retry-pushback-ms`; negative is "never".
    pub pushback: Option<i64>,
    /// Everything a caller can read, for searching.
    pub everything: String,
}

impl Told {
    /// The value of an `ErrorInfo.metadata` key.
    pub fn info(&self, key: &str) -> Option<&str> {
        self.info.get(key).map(String::as_str)
    }

    /// `RetryInfo.retry_delay`.
    pub fn retry(&self) -> Option<Duration> {
        self.details.retry_info().and_then(|info| info.retry_delay)
    }

    /// The fields `BadRequest` names.
    pub fn fields(&self) -> Vec<String> {
        let bad = self.details.bad_request();
        bad.map(|bad| bad.field_violations.iter().map(|of| of.field.clone()).collect())
            .unwrap_or_default()
    }

    /// The Russian text.
    pub fn localized(&self) -> Option<&str> {
        let text = self.details.localized_message()?;
        assert_eq!(text.locale, "ru-RU");
        Some(&text.message)
    }
}

/// The row of a reason.
#[track_caller]
pub fn row(name: &str) -> &'static Reason {
    REASONS.iter().find(|reason| reason.name == name).unwrap_or_else(|| panic!("no reason {name}"))
}

/// Decodes an error and checks everything that holds for every error.
#[track_caller]
pub fn told(status: &Status) -> Told {
    let raw = status.details();
    assert!(!raw.is_empty(), "{:?} without details: {}", status.code(), status.message());
    assert!(raw.len() <= DETAILS_BYTES_MAX, "{} bytes of details", raw.len());
    let envelope = tonic_types::pb::Status::decode(raw).expect("details are a google.rpc.Status");
    assert_eq!(envelope.code, status.code() as i32, "the code inside differs from the one outside");
    assert_eq!(envelope.message, status.message());
    let mut types: Vec<_> = envelope.details.iter().map(|any| any.type_url.clone()).collect();
    types.sort_unstable();
    let all = types.len();
    types.dedup();
    assert_eq!(types.len(), all, "a type of detail twice: {types:?}");

    let details = status.get_error_details();
    let info = details.error_info().expect("ErrorInfo is mandatory");
    assert_eq!(info.domain, DOMAIN);
    for key in info.metadata.keys() {
        assert!(METADATA_KEYS.contains(&key.as_str()), "metadata key {key}");
    }
    let reason = row(&info.reason);
    assert_eq!(reason.code, status.code(), "{}", reason.name);
    assert_eq!(reason.message, status.message(), "the message is the row's own, without values");
    assert!(status.message().is_ascii());
    if let Some(sent) = info.metadata.get("upstreamSent") {
        assert!(["yes", "no", "unknown"].contains(&sent.as_str()), "{sent}");
    }
    let request = details.request_info().expect("RequestInfo is always there");
    assert!(!request.request_id.is_empty());
    let header = status.metadata().get("x-request-id").expect("the request id is echoed");
    assert_eq!(header.to_str().unwrap(), request.request_id);

    let retry = details.retry_info().and_then(|info| info.retry_delay);
    let pushback = status.metadata().get("grpc-retry-pushback-ms");
    let pushback = pushback.map(|value| value.to_str().unwrap().parse::<i64>().unwrap());
    if pushback.is_some_and(|ms| ms < 0) {
        assert_eq!(pushback, Some(-1));
        let sent = info.metadata.get("upstreamSent").map(String::as_str);
        assert_ne!(sent, Some("no"), "{}: what was not sent may be repeated", reason.name);
    }
    match reason.decision {
        Decision::Later => {
            assert!(retry.is_some_and(|delay| !delay.is_zero()), "{} {retry:?}", reason.name);
            if reason.code == Code::Unavailable {
                assert!(pushback.is_some(), "{} without pushback", reason.name);
            } else {
                assert!(pushback.is_none_or(|ms| ms == -1), "{} is the caller's", reason.name);
            }
        }
        Decision::Ask => {}
        Decision::Fix | Decision::Refused | Decision::Report => {
            assert_eq!(retry, None, "{}: the same request cannot help", reason.name);
            assert!(pushback.is_none_or(|ms| ms == -1), "{}", reason.name);
        }
    }
    if status.code() == Code::ResourceExhausted {
        assert!(details.quota_failure().is_some(), "{} names no quota", reason.name);
    }
    if status.code() == Code::NotFound {
        assert!(details.resource_info().is_some(), "{} names no resource", reason.name);
    }
    Told {
        code: status.code(),
        reason: info.reason.clone(),
        info: info.metadata.clone().into_iter().collect(),
        request_id: request.request_id.clone(),
        pushback,
        everything: format!("{status:?} {envelope:?} {}", String::from_utf8_lossy(raw)),
        details,
    }
}
