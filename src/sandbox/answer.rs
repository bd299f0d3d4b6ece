//! Answers and refusals as the upstream writes them.
//!
//! Three shapes of error body exist: the service form with dotted codes, the processing form
//! with `QWPRC` codes, and no usable body at all. Which one an area uses is the area's business.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::moment::{self, MOSCOW};

/// What a handler gives back.
pub(super) type Reply = Result<Response, Refusal>;

/// An answer that refuses the request. Boxed because a response is large and errors are rare.
#[derive(Debug)]
pub(super) struct Refusal(Box<Response>);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl Refusal {
    /// `{"serviceName","errorCode","description","userMessage","dateTime","traceId"}`.
    pub(super) fn service(status: StatusCode, service: &str, code: &str, text: &str) -> Self {
        let trace = uuid::Uuid::new_v4().simple().to_string();
        let body = json!({
            "serviceName": service,
            "errorCode": code,
            "description": text,
            "userMessage": text,
            "dateTime": moment::with_milliseconds(jiff::Timestamp::now(), MOSCOW),
            "traceId": trace.get(..16),
        });
        Self(Box::new(json(status, &body)))
    }

    /// A malformed request, with the reason for whoever debugs a client against the sandbox.
    pub(super) fn malformed(reason: &str) -> Self {
        Self::service(
            StatusCode::BAD_REQUEST,
            "edge",
            "http.message.conversion.failed",
            &format!("Bad request: {reason}"),
        )
    }

    /// `{"code":"QWPRC-220","message":"…"}`, the form of the payment endpoints.
    pub(super) fn processing(status: StatusCode, code: u32, message: &str) -> Self {
        let body = json!({ "code": format!("QWPRC-{code}"), "message": message });
        Self(Box::new(json(status, &body)))
    }

    /// A payment refused with a code of QIWI's table. The documents name no HTTP status for it.
    pub(super) fn payment(code: u16) -> Self {
        let text = super::catalog::payment_error(code);
        Self::processing(StatusCode::BAD_REQUEST, u32::from(code), text)
    }

    /// A status with an empty body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self(Box::new(status.into_response()))
    }

    /// A status with a body that is not JSON, as a proxy in front of the service would write it.
    pub(super) fn page(status: StatusCode) -> Self {
        let page = format!("<html><body><h1>{status}</h1></body></html>");
        Self(Box::new(bytes(status, "text/html", page)))
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    bytes(status, "application/json", body.to_string())
}

/// An answer that is its status alone.
pub(super) fn status(status: StatusCode) -> Reply {
    Ok(status.into_response())
}

/// A JSON answer with status 200.
pub(super) fn ok(body: &Value) -> Reply {
    Ok(json(StatusCode::OK, body))
}

/// An answer of any content type.
pub(super) fn bytes(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
