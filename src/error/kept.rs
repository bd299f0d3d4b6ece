//! An error as the ledger keeps it: a refusal by QIWI is answered again, detail by detail, to
//! whoever repeats the payment.
//!
//! Fields stay in files for more than a year: they are only added to.

use std::borrow::Cow;

use prost::Message;

use super::reason::{self, REASONS};
use super::{Error, Sent};

/// The facts of an error that do not belong to one call.
#[derive(Clone, PartialEq, Message)]
pub struct Kept {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(message, repeated, tag = "2")]
    violations: Vec<Violation>,
    #[prost(string, optional, tag = "3")]
    precondition: Option<String>,
    #[prost(string, optional, tag = "4")]
    localized: Option<String>,
    #[prost(bool, tag = "5")]
    sent: bool,
    #[prost(uint32, optional, tag = "6")]
    attempts: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    http_status: Option<u32>,
    #[prost(string, optional, tag = "8")]
    upstream_code: Option<String>,
    #[prost(string, optional, tag = "9")]
    upstream_trace_id: Option<String>,
    #[prost(string, repeated, tag = "10")]
    resource: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Violation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    what: String,
}

impl From<&Error> for Kept {
    fn from(error: &Error) -> Self {
        let facts = &*error.0;
        let text = |text: &Cow<'static, str>| text.clone().into_owned();
        let violations = facts.violations.iter();
        Self {
            reason: facts.reason.name.to_owned(),
            violations: violations
                .map(|(field, what)| Violation { field: text(field), what: text(what) })
                .collect(),
            precondition: facts.precondition.as_ref().map(text),
            localized: facts.localized.as_ref().map(text),
            sent: facts.sent == Some(Sent::Yes),
            attempts: facts.attempts,
            http_status: facts.http_status.map(u32::from),
            upstream_code: facts.upstream_code.as_ref().map(text),
            upstream_trace_id: facts.upstream_trace_id.clone(),
            resource: facts
                .resource
                .iter()
                .flat_map(|(kind, name)| [(*kind).to_owned(), text(name)])
                .collect(),
        }
    }
}

impl Kept {
    /// The error again. A reason this version does not know stays a refusal.
    pub fn error(self) -> Error {
        let reason = REASONS.iter().copied().find(|of| of.name == self.reason);
        let mut error = Error::new(reason.unwrap_or(&reason::UPSTREAM_REJECTED));
        for Violation { field, what } in self.violations {
            error = error.field(field, what);
        }
        let facts = &mut *error.0;
        facts.precondition = self.precondition.map(Cow::Owned);
        facts.localized = self.localized.map(Cow::Owned);
        facts.sent = Some(if self.sent { Sent::Yes } else { Sent::Unknown });
        facts.attempts = self.attempts;
        facts.http_status = self.http_status.and_then(|status| u16::try_from(status).ok());
        facts.upstream_code = self.upstream_code.map(Cow::Owned);
        facts.upstream_trace_id = self.upstream_trace_id;
        if let [kind, name] = self.resource.as_slice() {
            // Kinds are few and constant; an unknown one is left out.
            let known = [
                "wallet",
                "transaction",
                "invoice",
                "card",
                "provider",
                "operation",
                "merchant_site",
            ];
            let kind = known.into_iter().find(|of| of == kind);
            facts.resource = kind.map(|kind| (kind, Cow::Owned(name.clone())));
        }
        error
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::About;

    #[test]
    fn an_error_comes_back_with_the_same_details() {
        let error = Error::new(&reason::RECIPIENT_INVALID)
            .field("payment.fields", "Check it.")
            .precondition("limit")
            .localized("Неверный номер")
            .sent(Sent::Yes)
            .attempts(1)
            .http_status(400)
            .upstream_code("QWPRC-5")
            .upstream_trace_id("abc")
            .resource("provider", "99")
            .payment("1", "REJECTED");
        let bytes = Kept::from(&error).encode_to_vec();
        let back = Kept::decode(bytes.as_slice()).unwrap().error().payment("1", "REJECTED");
        let about = About { request_id: "r", money: true, ..About::default() };
        let (one, two) = (error.to_status(&about), back.to_status(&about));
        assert_eq!((one.code(), one.message()), (two.code(), two.message()));
        use tonic_types::StatusExt as _;
        let details = |status: &tonic::Status| {
            format!("{:?}", {
                let mut details = status.get_error_details();
                let info = details.error_info().unwrap().metadata.clone();
                let mut sorted: Vec<_> = info.into_iter().collect();
                sorted.sort();
                details.set_request_info("", "");
                (
                    sorted,
                    details.bad_request().cloned(),
                    details.precondition_failure().cloned(),
                    details.localized_message().cloned(),
                    details.resource_info().cloned(),
                )
            })
        };
        assert_eq!(details(&one), details(&two));
    }

    #[test]
    fn a_reason_of_a_later_version_stays_a_refusal() {
        let kept = Kept { reason: "FROM_THE_FUTURE".into(), sent: true, ..Kept::default() };
        assert_eq!(kept.error().reason().name, "UPSTREAM_REJECTED");
    }
}
