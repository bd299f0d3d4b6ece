//! Why a call failed, and the only place where that becomes a gRPC status.
//!
//! Inside the gateway an [`Error`] is a row of [`reason::REASONS`] with the facts of the moment. It
//! stays typed on the way up and is turned into `google.rpc.Status` once, at the edge, by
//! [`Error::to_status`]. The caller's message says what to do; [`Error::log_detail`] says what
//! happened and goes to the log only. Neither holds a token, a card or a whole wallet number.

pub mod acquiring;
pub mod code;
pub mod kept;
pub mod reason;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic_types::{
    ErrorDetails, FieldViolation, PreconditionViolation, QuotaViolation, StatusExt as _,
};

use reason::{Decision, Reason};

/// `ErrorInfo.domain` of every error the gateway sends.
pub const DOMAIN: &str = "gateway.qiwi.internal";

/// Details must stay below 4 KiB, because clients limit trailers too; so lists are cut here.
const VIOLATIONS_MAX: usize = 12;
/// Longest text of one violation, in bytes.
const VIOLATION_TEXT_MAX: usize = 200;
/// What a caller waits when the gateway knows nothing better.
const RETRY_DELAY_DEFAULT: Duration = Duration::from_secs(1);

/// Whether the request reached QIWI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: no byte of it left.
    No,
    /// It did.
    Yes,
    /// It may have.
    Unknown,
}

impl Sent {
    /// The value of the `upstreamSent` metadata key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::Unknown => "unknown",
        }
    }
}

/// A failed call.
#[derive(Clone)]
pub struct Error(Box<Facts>);

#[derive(Clone)]
struct Facts {
    reason: &'static Reason,
    violations: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    precondition: Option<Cow<'static, str>>,
    quota: Option<(Cow<'static, str>, Cow<'static, str>)>,
    resource: Option<(&'static str, Cow<'static, str>)>,
    localized: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    sent: Option<Sent>,
    attempts: Option<u32>,
    payment: Option<(Box<str>, &'static str)>,
    cursors: Vec<(&'static str, Vec<u8>)>,
    http_status: Option<u16>,
    upstream_code: Option<Cow<'static, str>>,
    upstream_trace_id: Option<String>,
    log_detail: Option<Cow<'static, str>>,
}

impl Error {
    /// An error without further facts.
    pub fn new(reason: &'static Reason) -> Self {
        Self(Box::new(Facts {
            reason,
            violations: Vec::new(),
            precondition: None,
            quota: None,
            resource: None,
            localized: None,
            retry_after: None,
            sent: None,
            attempts: None,
            payment: None,
            cursors: Vec::new(),
            http_status: None,
            upstream_code: None,
            upstream_trace_id: None,
            log_detail: None,
        }))
    }

    /// The request breaks a rule: `field` is the dotted proto path, `what` says what to do.
    pub fn invalid(
        field: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(&reason::REQUEST_INVALID).field(field, what)
    }

    /// Names a field of the request and what to do about it.
    #[must_use]
    pub fn field(
        mut self,
        field: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.0.violations.push((field.into(), what.into()));
        self
    }

    /// How long the caller should wait before the same request again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.0.retry_after = Some(delay);
        self
    }

    /// Whether the request reached QIWI.
    #[must_use]
    pub fn sent(mut self, sent: Sent) -> Self {
        self.0.sent = Some(sent);
        self
    }

    /// How many times the request was put on the wire.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// The payment the error is about, and the name of its state.
    #[must_use]
    pub fn payment(mut self, id: &str, state: &'static str) -> Self {
        self.0.payment = Some((id.into(), state));
        self
    }

    /// A place in the event log: `key` is `earliestCursor`, `latestCursor` or `lastCursor`.
    #[must_use]
    pub fn cursor(mut self, key: &'static str, cursor: impl Into<Vec<u8>>) -> Self {
        self.0.cursors.push((key, cursor.into()));
        self
    }

    /// QIWI's HTTP status.
    #[must_use]
    pub fn http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// QIWI's own code, verbatim (`QWPRC-220`, `hook.not.found`).
    #[must_use]
    pub fn upstream_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.upstream_code = Some(code.into());
        self
    }

    /// QIWI's trace id, for a talk with its support.
    #[must_use]
    pub fn upstream_trace_id(mut self, id: impl Into<String>) -> Self {
        self.0.upstream_trace_id = Some(id.into());
        self
    }

    /// A Russian text for people; upstream text must be masked before.
    #[must_use]
    pub fn localized(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.0.localized = Some(text.into());
        self
    }

    /// Names the exhausted quota: `subject` is the kind of thing, never the thing itself.
    #[must_use]
    pub fn quota(
        mut self,
        subject: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.0.quota = Some((subject.into(), what.into()));
        self
    }

    /// Names what is missing: its type and, where it is not personal, its name.
    #[must_use]
    pub fn resource(mut self, kind: &'static str, name: impl Into<Cow<'static, str>>) -> Self {
        self.0.resource = Some((kind, name.into()));
        self
    }

    /// Names the state of the wallet or recipient that stands in the way.
    #[must_use]
    pub fn precondition(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.0.precondition = Some(what.into());
        self
    }

    /// The same facts under another reason. A stated delay is none of them: it said when to repeat
    /// under the reason before.
    #[must_use]
    pub fn means(mut self, reason: &'static Reason) -> Self {
        self.0.reason = reason;
        self.0.retry_after = None;
        self.0.quota = None;
        self
    }

    /// What happened, for the log only.
    #[must_use]
    pub fn log(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.log_detail = Some(detail.into());
        self
    }

    /// The row of the error table.
    pub fn reason(&self) -> &'static Reason {
        self.0.reason
    }

    /// Whether the request reached QIWI, where that was decided.
    pub fn was_sent(&self) -> Option<Sent> {
        self.0.sent
    }

    /// What happened, for the log.
    pub fn log_detail(&self) -> Option<&str> {
        self.0.log_detail.as_deref()
    }

    /// QIWI's HTTP status, if there was an answer.
    pub fn upstream_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// QIWI's own code, verbatim.
    pub fn code_of_upstream(&self) -> Option<&str> {
        self.0.upstream_code.as_deref()
    }

    /// The stated delay before the same request may help.
    pub fn delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The status a caller sees.
    pub fn to_status(&self, about: &About<'_>) -> Status {
        let facts = &*self.0;
        let mut info = HashMap::with_capacity(8);
        let mut tell = |key: &str, value: &str| {
            info.insert(key.to_owned(), value.to_owned());
        };
        if let Some(api) = about.api {
            tell("api", api);
        }
        if let Some(operation) = about.operation {
            tell("operation", operation);
        }
        if let Some(status) = facts.http_status {
            tell("httpStatus", itoa::Buffer::new().format(status));
        }
        if let Some(code) = &facts.upstream_code {
            tell("upstreamCode", cut(code, 64));
        }
        if let Some(id) = &facts.upstream_trace_id {
            tell("upstreamTraceId", cut(id, 64));
        }
        if let Some(sent) = facts.sent {
            tell("upstreamSent", sent.as_str());
        }
        if let Some(attempts) = facts.attempts {
            tell("attempts", itoa::Buffer::new().format(attempts));
        }
        if let Some((id, state)) = &facts.payment {
            tell("paymentId", id);
            tell("paymentState", state);
        }
        for (key, cursor) in &facts.cursors {
            tell(key, &STANDARD.encode(cursor));
        }
        let mut details = ErrorDetails::with_error_info(facts.reason.name, DOMAIN, info);
        details.set_request_info(about.request_id, about.trace_id.unwrap_or(""));
        let delay = self.retry_delay();
        if let Some(delay) = delay {
            details.set_retry_info(Some(delay));
        }
        if !facts.violations.is_empty() {
            let violations = facts.violations.iter().take(VIOLATIONS_MAX);
            details.set_bad_request(
                violations
                    .map(|(field, what)| {
                        FieldViolation::new(field.as_ref(), cut(what, VIOLATION_TEXT_MAX))
                    })
                    .collect::<Vec<_>>(),
            );
        }
        if let Some((subject, what)) = &facts.quota {
            details.set_quota_failure(vec![QuotaViolation::new(subject.as_ref(), what.as_ref())]);
        }
        if let Some(what) = &facts.precondition {
            details.set_precondition_failure(vec![PreconditionViolation::new(
                facts.reason.name,
                "wallet",
                what.as_ref(),
            )]);
        }
        if let Some((kind, name)) = &facts.resource {
            details.set_resource_info(*kind, name.as_ref(), "", facts.reason.message);
        }
        if let Some(text) = &facts.localized {
            details.set_localized_message("ru-RU", text.as_ref());
        }
        if facts.reason.decision == Decision::Ask {
            let anchor = facts.reason.name.to_ascii_lowercase().replace('_', "-");
            details.add_help_link("What to do now.", format!("docs/errors.md#{anchor}"));
        }
        let mut metadata = MetadataMap::new();
        let never =
            facts.reason.decision == Decision::Ask || (about.money && facts.sent != Some(Sent::No));
        if never {
            // Clients and meshes that repeat by themselves must not; callers decide.
            metadata.insert("grpc-retry-pushback-ms", MetadataValue::from_static("-1"));
        } else if let Some(delay) = delay
            && facts.reason.code == tonic::Code::Unavailable
        {
            // Standard clients act on this key; they do not act on RetryInfo. Java's repeats after
            // any code that brings it: after DEADLINE_EXCEEDED or a long RESOURCE_EXHAUSTED it
            // would wait into its own deadline and never show this answer.
            let ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            metadata.insert("grpc-retry-pushback-ms", MetadataValue::from(ms));
        }
        Status::with_error_details_and_metadata(
            facts.reason.code,
            facts.reason.message,
            details,
            metadata,
        )
    }

    /// `RetryInfo` goes out exactly where a repeat of the same request may help.
    fn retry_delay(&self) -> Option<Duration> {
        match (self.0.reason.decision, self.0.retry_after) {
            (Decision::Later, delay) => Some(delay.unwrap_or(RETRY_DELAY_DEFAULT)),
            (Decision::Ask, delay) => delay,
            (Decision::Fix | Decision::Refused | Decision::Report, _) => None,
        }
    }
}

/// What the edge knows about a call when it turns an error into a status.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// `wallet`, `p2p`, `pay`: the upstream interface.
    pub api: Option<&'a str>,
    /// The method's name without its service.
    pub operation: Option<&'a str>,
    /// The id the caller sent or was given.
    pub request_id: &'a str,
    /// Whether the method moves money, so that only what was certainly not sent may be repeated by
    /// machines.
    pub money: bool,
    /// The trace the call belongs to.
    pub trace_id: Option<&'a str>,
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Error");
        shown.field("reason", &self.0.reason.name);
        if let Some(status) = self.0.http_status {
            shown.field("http_status", &status);
        }
        if let Some(detail) = &self.0.log_detail {
            shown.field("detail", detail);
        }
        if !self.0.violations.is_empty() {
            shown.field("violations", &self.0.violations);
        }
        shown.finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.reason.name, self.0.reason.message)
    }
}

impl std::error::Error for Error {}

/// A part of QIWI's answer that is outside its documents: where, and what was expected there.
///
/// Only for answers that cannot be read at all. An unknown enum value or a broken date is not one:
/// it is passed on raw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undocumented {
    /// JSON pointer or field name.
    pub at: Cow<'static, str>,
    /// What the documents promise there.
    pub expected: &'static str,
}

impl Undocumented {
    /// `at` must not contain values of the answer.
    pub fn new(at: impl Into<Cow<'static, str>>, expected: &'static str) -> Self {
        Self { at: at.into(), expected }
    }
}

impl fmt::Display for Undocumented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}", self.at, self.expected)
    }
}

/// Cuts at a character boundary.
fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let mut end = max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About<'static> {
        About {
            api: Some("wallet"),
            operation: Some("ListBalances"),
            request_id: "r-1",
            money: false,
            trace_id: None,
        }
    }

    #[test]
    fn every_reason_is_well_formed_and_unique() {
        let mut names = std::collections::HashSet::new();
        for reason in reason::REASONS {
            assert!(names.insert(reason.name), "{} twice", reason.name);
            assert!(reason.name.len() <= 63);
            assert!(
                reason
                    .name
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            );
            assert!(reason.message.ends_with('.'), "{}", reason.name);
        }
    }

    #[test]
    fn resource_exhausted_always_carries_retry_info() {
        for reason in reason::REASONS {
            let status = Error::new(reason).to_status(&about());
            let details = status.get_error_details();
            if reason.code == tonic::Code::ResourceExhausted {
                assert!(details.retry_info().is_some(), "{}", reason.name);
            }
            assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some(reason.name));
            assert_eq!(details.request_info().map(|info| info.request_id.as_str()), Some("r-1"));
        }
    }

    #[test]
    fn details_stay_below_four_kibibytes_whatever_the_facts() {
        let mut error = Error::new(&reason::REQUEST_INVALID)
            .upstream_code("x".repeat(5000))
            .upstream_trace_id("y".repeat(5000))
            .localized("я".repeat(256));
        for i in 0..100 {
            error = error.field(format!("field_{i}"), "ш".repeat(1000));
        }
        assert!(error.to_status(&about()).details().len() <= 4096);
    }

    #[test]
    fn debug_shows_no_free_text_of_the_upstream() {
        let error = Error::new(&reason::UPSTREAM_DECLINED).localized("карта 4111");
        assert!(!format!("{error:?}").contains("4111"));
    }
}
