//! Request metadata: its size, and the id of the call.

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

use crate::error::{Error, reason};

/// Longest request id a caller may choose.
const REQUEST_ID_MAX: usize = 128;

/// The caller's `x-request-id`, or a fresh one where it sent none that can be echoed safely.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let sent = headers.get("x-request-id").filter(|id| {
        let id = id.as_bytes();
        !id.is_empty()
            && id.len() <= REQUEST_ID_MAX
            && id.iter().all(|byte| (0x21..0x7f).contains(byte))
    });
    if let Some(id) = sent {
        return id.clone();
    }
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    // Hexadecimal digits and hyphens are always a valid header value.
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Refuses metadata above the limit; the HTTP/2 limit is set above ours, so that nobody meets a
/// bare 431.
///
/// # Errors
/// `METADATA_TOO_LARGE`.
pub fn check_size(headers: &HeaderMap, max: u64) -> Result<(), Error> {
    // As HPACK counts: 32 bytes for each entry.
    let size: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    if size as u64 <= max {
        Ok(())
    } else {
        Err(Error::new(&reason::METADATA_TOO_LARGE).log(format!("{size} bytes of metadata")))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_safe_request_id_is_echoed_and_any_other_replaced() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_bytes(text.as_bytes()).unwrap());
            request_id(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(read("order-17"), "order-17");
        for bad in ["", "two words", "é", &"x".repeat(129)] {
            let replaced = read(bad);
            assert_ne!(replaced, bad);
            assert_eq!(Uuid::parse_str(&replaced).unwrap().get_version_num(), 7);
        }
    }
}
