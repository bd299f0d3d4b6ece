//! Page tokens: sealed, bound to one list, and good for a limited time.
//!
//! A token holds where QIWI's next page begins. It is encrypted and authenticated together with the
//! wallet and the filters it was issued for, so a token that was altered, borrowed from another
//! wallet or used with other filters is refused instead of answering something else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::error::{Error, Undocumented, reason};

const VERSION: u8 = 1;
const TOKEN_MAX: usize = 1024;
const KEY_LEN: usize = 32;

/// The longest page QIWI serves.
pub const ROWS_MAX: usize = 50;

/// How many elements a page may hold: 0 asks for the longest one, more than that means it too.
///
/// # Errors
/// When a request asks for a negative number.
pub fn size(asked: i32) -> Result<usize, Error> {
    match usize::try_from(asked) {
        Ok(0) => Ok(ROWS_MAX),
        Ok(asked) => Ok(asked.min(ROWS_MAX)),
        Err(_) => Err(Error::invalid("page_size", "Give 1 to 50, or 0 for the default of 50.")),
    }
}

/// Seals and opens page tokens.
pub struct PageTokens {
    /// The first seals; all open, so that a key can be replaced while old tokens are in use.
    keys: Vec<LessSafeKey>,
    lifetime: Duration,
    random: SystemRandom,
}

impl PageTokens {
    /// Tokens under the given keys; without any, under one that ends with this process.
    pub fn new(keys: &[[u8; KEY_LEN]], lifetime: Duration) -> Self {
        let random = SystemRandom::new();
        let mut keys: Vec<_> = keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            let mut bytes = [0; KEY_LEN];
            // Without randomness no key is made and every token is refused, which is safe.
            if random.fill(&mut bytes).is_ok() {
                keys.extend(key(&bytes));
            }
        }
        Self { keys, lifetime, random }
    }

    /// Seals where the next page begins for one list, named by `list`: method, wallet, filters.
    ///
    /// # Errors
    /// When the system has no randomness. An empty token would claim that the list ends here.
    pub fn seal(&self, next: &[&str], list: &str) -> Result<String, Undocumented> {
        self.seal_at(next, list, jiff::Timestamp::now().as_second())
            .ok_or_else(|| Undocumented::new("next_page_token", "randomness of the system"))
    }

    fn seal_at(&self, next: &[&str], list: &str, now: i64) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        let key = self.keys.first()?;
        self.random.fill(&mut nonce).ok()?;
        let mut sealed = now.to_be_bytes().to_vec();
        sealed.extend_from_slice(next.join("\n").as_bytes());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_used, Aad::from(list), &mut sealed).ok()?;
        let mut token = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
        token.push(VERSION);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens a token of the same list.
    ///
    /// # Errors
    /// `PAGE_TOKEN_INVALID` when it is not one of ours, too old, or of another list.
    pub fn open(&self, token: &str, list: &str) -> Result<Vec<String>, Error> {
        self.open_at(token, list, jiff::Timestamp::now().as_second()).ok_or_else(|| {
            Error::new(&reason::PAGE_TOKEN_INVALID).field(
                "page_token",
                "Use the token of the previous page with the same wallet and filters, or none.",
            )
        })
    }

    fn open_at(&self, token: &str, list: &str, now: i64) -> Option<Vec<String>> {
        if token.len() > TOKEN_MAX {
            return None;
        }
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = token.split_first()?;
        if *version != VERSION {
            return None;
        }
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let opened = self.keys.iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut buffer = sealed.to_vec();
            let opened = key.open_in_place(nonce, Aad::from(list), &mut buffer).ok()?;
            Some(opened.to_vec())
        })?;
        let (issued, next) = opened.split_first_chunk::<8>()?;
        let age = now.checked_sub(i64::from_be_bytes(*issued))?;
        if age > i64::try_from(self.lifetime.as_secs()).ok()? {
            return None;
        }
        let next = std::str::from_utf8(next).ok()?;
        Some(next.split('\n').map(str::to_owned).collect())
    }
}

fn key(bytes: &[u8; KEY_LEN]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, bytes).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const LIST: &str = "ListTransactions|79990000001|OUT";

    fn tokens() -> PageTokens {
        PageTokens::new(&[[7; 32]], Duration::from_secs(72 * 3600))
    }

    #[test]
    fn pages_hold_at_most_fifty_elements() {
        for (asked, expected) in [(0, 50), (1, 1), (49, 49), (50, 50), (51, 50), (i32::MAX, 50)] {
            assert_eq!(size(asked).unwrap(), expected, "{asked}");
        }
        assert_eq!(size(-1).unwrap_err().reason().name, "REQUEST_INVALID");
    }

    #[test]
    fn a_token_opens_only_for_its_own_list() {
        let tokens = tokens();
        let token = tokens.seal(&["9103121", "2017-01-21T13:34:22+03:00"], LIST).unwrap();
        assert_eq!(tokens.open(&token, LIST).unwrap(), ["9103121", "2017-01-21T13:34:22+03:00"]);
        for other in ["ListTransactions|79990000002|OUT", "ListTransactions|79990000001|IN", ""] {
            let error = tokens.open(&token, other).unwrap_err();
            assert_eq!(error.reason().name, "PAGE_TOKEN_INVALID");
        }
    }

    #[test]
    fn no_altered_byte_opens() {
        let tokens = tokens();
        let token = tokens.seal(&["1", "2"], LIST).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for i in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[i] ^= 1;
            assert!(tokens.open(&URL_SAFE_NO_PAD.encode(altered), LIST).is_err(), "byte {i}");
        }
        for text in ["", "a", "%%%", &"A".repeat(5000)] {
            assert!(tokens.open(text, LIST).is_err());
        }
    }

    #[test]
    fn an_old_token_does_not_open_and_an_old_key_still_does() {
        let old = tokens();
        let token = old.seal_at(&["1", "2"], LIST, 1_000_000).unwrap();
        assert!(old.open_at(&token, LIST, 1_000_000 + 72 * 3600).is_some());
        assert!(old.open_at(&token, LIST, 1_000_001 + 72 * 3600).is_none());
        let renewed = PageTokens::new(&[[8; 32], [7; 32]], Duration::from_secs(60));
        assert!(renewed.open_at(&token, LIST, 1_000_030).is_some());
    }
}
