//! From QIWI's HTTP status and body to a reason.
//!
//! Two error bodies exist, and sometimes none: payment calls answer `{"code":"QWPRC-n","message"}`,
//! the rest `{"serviceName","errorCode","userMessage","description","dateTime","traceId"}`.

use std::time::Duration;

use serde::Deserialize;

use crate::error::reason::{self, Reason};
use crate::error::{Error, Sent, acquiring, code};
use crate::policy::{Area, Host, NotFound, Route};
use crate::redact::mask_digits;

/// What an error body says, whichever of the two shapes it has.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    code: Option<CodeText>,
    message: Option<String>,
    error_code: Option<CodeText>,
    user_message: Option<String>,
    description: Option<String>,
    trace_id: Option<String>,
    /// QIWI PAY's.
    #[serde(rename = "error_code")]
    acquiring_code: Option<CodeText>,
    /// QIWI PAY's.
    #[serde(rename = "error_message")]
    acquiring_message: Option<String>,
    /// QIWI PAY's, about parameters of the request.
    errors: Option<Vec<Wrong>>,
}

/// What is wrong with one parameter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wrong {
    field: String,
    message: String,
}

/// Codes come as text and as numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum CodeText {
    Text(String),
    Number(i64),
    Other(serde::de::IgnoredAny),
}

impl CodeText {
    fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Number(number) => Some(number.to_string()),
            Self::Text(_) | Self::Other(_) => None,
        }
    }
}

/// What a refusal says, in our words.
#[derive(Debug, Default)]
pub struct Said {
    code: Option<String>,
    text: Option<String>,
    trace_id: Option<String>,
    wrong: Vec<Wrong>,
}

impl Said {
    /// Reads an error body; anything unreadable is an empty one.
    pub fn read(body: &[u8]) -> Self {
        let Ok(body) = serde_json::from_slice::<Body>(body) else { return Self::default() };
        Self {
            code: body
                .code
                .or(body.error_code)
                .or(body.acquiring_code)
                .and_then(CodeText::into_text),
            text: body
                .message
                .or(body.user_message)
                .or(body.description)
                .or(body.acquiring_message),
            trace_id: body.trace_id,
            wrong: body.errors.unwrap_or_default(),
        }
    }

    /// Whether the body is one of the error shapes at all.
    pub fn is_refusal(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code != "0")
    }
}

/// The error for an answer whose status is not 2xx, or whose 2xx body is an error body.
pub fn refusal(route: &Route, status: u16, body: &[u8], retry_after: Option<Duration>) -> Error {
    explain(route, status, Said::read(body), retry_after)
}

/// As [`refusal`], for a body that was read already.
pub fn explain(route: &Route, status: u16, said: Said, retry_after: Option<Duration>) -> Error {
    let code = said.code.as_deref();
    let dotted = code.filter(|code| code.contains('.'));
    let payment = code
        .filter(|code| code.starts_with("QWPRC-"))
        .and_then(code::Code::number_in)
        .filter(|number| *number != 0);
    let acquiring = code.filter(|_| route.host == Host::Direct);
    let acquiring = acquiring.and_then(|code| code.parse::<i32>().ok()).filter(|code| *code != 0);
    let mut localized = None;
    let mut error = match status {
        401 | 403 if route.host == Host::Direct => Error::new(&reason::CERTIFICATE_REJECTED),
        423 | 429 => limited(route, retry_after),
        _ if dotted.is_some_and(|code| code.ends_with("request.blocked")) => {
            limited(route, retry_after)
        }
        401 => Error::new(&reason::TOKEN_REJECTED),
        _ if dotted.is_some_and(|code| code.ends_with("auth.unauthorized")) => {
            Error::new(&reason::TOKEN_REJECTED)
        }
        403 => Error::new(&reason::TOKEN_SCOPE_INSUFFICIENT),
        500..=599 => Error::new(&reason::UPSTREAM_ERROR),
        300..=399 => Error::new(&reason::UPSTREAM_REDIRECT),
        405 | 406 | 415 => Error::new(&reason::GATEWAY_PROTOCOL_BUG),
        _ if acquiring.is_some() => {
            let number = acquiring.unwrap_or_default();
            localized = acquiring::Code::find(number).map(|code| code.message_ru);
            acquiring_refusal(number, &said.wrong)
        }
        _ if payment.is_some() => {
            let known = payment.and_then(code::Code::find);
            localized = known.map(|code| code.message_ru);
            payment_refusal(known)
        }
        _ if dotted.is_some_and(|code| code.ends_with("cheque.not.available")) => {
            Error::new(&reason::RECEIPT_NOT_READY)
        }
        404 => missing(route),
        _ if dotted.is_some_and(|code| code.ends_with("not.found")) => missing(route),
        400 => Error::new(&reason::UPSTREAM_INVALID_REQUEST),
        _ if dotted.is_some_and(|code| code.ends_with("validation.error")) => {
            Error::new(&reason::UPSTREAM_INVALID_REQUEST)
        }
        408 | 409 | 425 => Error::new(&reason::UPSTREAM_CONFLICT),
        _ => Error::new(&reason::UPSTREAM_REJECTED),
    };
    error = error.http_status(status).sent(Sent::Yes);
    if let Some(text) = localized {
        error = error.localized(text);
    } else if let Some(text) = said.text.as_deref().filter(|text| !text.is_empty()) {
        error = error.localized(mask_digits(text));
    }
    if let Some(code) = said.code {
        error = error.upstream_code(code);
    }
    if let Some(id) = said.trace_id {
        error = error.upstream_trace_id(id);
    }
    error
}

fn limited(route: &Route, retry_after: Option<Duration>) -> Error {
    let delay = retry_after.unwrap_or(match route.area {
        Area::History => Duration::from_secs(300),
        _ => Duration::from_secs(5),
    });
    Error::new(&reason::RATE_LIMITED_UPSTREAM)
        .retry_after(delay)
        .quota(format!("qiwi:{}", route.area.as_str()), "QIWI limits requests of one wallet.")
}

/// The error for a thing QIWI does not have: what 404 means for the route.
pub fn missing(route: &Route) -> Error {
    let reason = match route.not_found {
        NotFound::Is(reason) => reason,
        NotFound::Empty(_) => &reason::WALLET_NOT_FOUND,
    };
    Error::new(reason).resource(kind_of(reason), "")
}

/// `ResourceInfo.resource_type` of a missing thing.
fn kind_of(reason: &'static Reason) -> &'static str {
    match reason.name {
        "WALLET_NOT_FOUND" => "wallet",
        "TRANSACTION_NOT_FOUND" => "transaction",
        "INVOICE_NOT_FOUND" => "invoice",
        "WEBHOOK_NOT_FOUND" => "webhook",
        "CARD_NOT_FOUND" => "card",
        "PROVIDER_NOT_FOUND" | "TARIFF_UNAVAILABLE" => "provider",
        "MERCHANT_SITE_NOT_FOUND" => "merchant_site",
        "CREDENTIAL_NOT_FOUND" => "credential",
        _ => "operation",
    }
}

/// The error of one of QIWI PAY's codes.
fn acquiring_refusal(code: i32, wrong: &[Wrong]) -> Error {
    let Some(mut error) = acquiring::error_of(code) else {
        return Error::new(&reason::UPSTREAM_DECLINED);
    };
    let reason = error.reason();
    if *reason == reason::TEST_QUOTA_EXCEEDED {
        // The day ends at midnight in Moscow; an hour is a guess that costs nobody anything.
        error = error
            .retry_after(Duration::from_secs(3600))
            .quota("qiwi:test", "The test mode permits 100 operations a day.");
    }
    if *reason == reason::CARD_DETAILS_INVALID || *reason == reason::CARD_EXPIRED {
        error = error.field("instrument", "QIWI does not accept this card; use another one.");
    }
    if *reason != reason::REQUEST_INVALID {
        return error;
    }
    match code {
        8008 => error.field("receiver", "QIWI does not accept the data of the receiver."),
        _ if wrong.is_empty() => Error::new(&reason::GATEWAY_PROTOCOL_BUG),
        _ => wrong.iter().fold(error, |error, Wrong { field, message }| {
            let told = cut(&mask_digits(message));
            let field = acquiring::field_of(field).to_owned();
            error.field(field, format!("QIWI does not accept the value: {told}"))
        }),
    }
}

/// The start of a text of QIWI's, without line ends.
fn cut(text: &str) -> String {
    text.chars().filter(|of| !of.is_control()).take(120).collect()
}

fn payment_refusal(known: Option<&'static code::Code>) -> Error {
    let Some(code) = known else { return Error::new(&reason::UPSTREAM_DECLINED) };
    let error = Error::new(code.reason);
    if *code.reason == reason::RECIPIENT_INVALID {
        error.field("account", "QIWI does not accept this recipient; check the number.")
    } else if *code.reason == reason::WALLET_LIMIT_EXCEEDED
        || *code.reason == reason::RECIPIENT_LIMIT_EXCEEDED
        || *code.reason == reason::WALLET_STATUS_INSUFFICIENT
        || *code.reason == reason::RECIPIENT_STATUS_INSUFFICIENT
    {
        error.precondition(code.reason.message)
    } else {
        error
    }
}
