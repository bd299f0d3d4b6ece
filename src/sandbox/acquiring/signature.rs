//! HMAC-SHA256 in hexadecimal digits: lower case in requests, upper case in notifications.

use ring::hmac;

/// The signature of a request's text.
pub(super) fn of_request(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
