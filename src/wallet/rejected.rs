//! Answers that succeed by their HTTP status and tell in their body that they did not.

use crate::error::{Error, reason};
use crate::redact::mask_digits;

/// Longer than any status QIWI documents.
const WORD_MAX: usize = 64;

/// `UPSTREAM_REJECTED`, unless the status is one of `good`. What QIWI says besides goes to the
/// caller masked.
pub fn unless(good: &[&str], status: &str, said: Option<&str>) -> Option<Error> {
    if good.contains(&status) {
        return None;
    }
    let mut error = Error::new(&reason::UPSTREAM_REJECTED);
    // A status outside the documents may be any text; only a word is passed on.
    let word = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    if (1..=WORD_MAX).contains(&status.len()) && status.bytes().all(word) {
        error = error.upstream_code(status.to_owned());
    }
    match said.filter(|said| !said.is_empty()) {
        Some(said) => Some(error.localized(mask_digits(said))),
        None => Some(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_good_status_is_a_success_and_only_words_are_told() {
        assert!(unless(&["OK"], "OK", Some("text")).is_none());
        for (status, told) in [
            ("FAIL", Some("FAIL")),
            ("CONFIRMATION_LIMIT_EXCEED", Some("CONFIRMATION_LIMIT_EXCEED")),
            ("ok", None),
            ("", None),
            ("4444111122223333", None),
            ("FAIL 79112223344", None),
        ] {
            let error = unless(&["OK"], status, None).unwrap();
            assert_eq!(error.reason().name, "UPSTREAM_REJECTED");
            assert_eq!(error.code_of_upstream(), told, "{status:?}");
        }
    }
}
