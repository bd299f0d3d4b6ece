//! Sealing what the log keeps: payloads name wallets, accounts and people, and files get copied.
//!
//! The key follows from the installation's own; what is sealed is bound to the event it belongs to,
//! so that it cannot be put under another one.

use bytes::Bytes;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::store::LogError;

/// Seals and opens what is kept.
pub struct Cipher {
    key: Option<LessSafeKey>,
    random: SystemRandom,
}

impl Cipher {
    /// A cipher under a key.
    pub fn new(key: &[u8; 32]) -> Self {
        // Fails for keys of another length only.
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new);
        Self { key, random: SystemRandom::new() }
    }

    /// Seals a text that belongs to `to`.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn seal(&self, text: &[u8], to: &[u8]) -> Result<Bytes, LogError> {
        let failed = || LogError::Unavailable("the system has no randomness".to_owned());
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed())?;
        let mut sealed = Vec::with_capacity(NONCE_LEN + text.len() + CHACHA20_POLY1305.tag_len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(text);
        let key = self.key.as_ref().ok_or_else(failed)?;
        let (_, open) = sealed.split_at_mut(NONCE_LEN);
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(to), open)
            .map_err(|_| failed())?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed.into())
    }

    /// Opens what was sealed for `to`.
    ///
    /// # Errors
    /// When it was sealed under another key or for something else, or was altered.
    pub fn open(&self, sealed: &[u8], to: &[u8]) -> Result<Vec<u8>, LogError> {
        self.open_inner(sealed, to).ok_or_else(|| {
            LogError::Damaged("an event was sealed under another key, or was altered".to_owned())
        })
    }

    fn open_inner(&self, sealed: &[u8], to: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = sealed.to_vec();
        let length =
            self.key.as_ref()?.open_in_place(nonce, Aad::from(to), &mut buffer).ok()?.len();
        buffer.truncate(length);
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn what_is_sealed_is_opened_by_its_key_and_for_its_event_only() {
        let (ours, theirs) = (Cipher::new(&[1; 32]), Cipher::new(&[2; 32]));
        let text = b"79991112233";
        let sealed = ours.seal(text, b"event").unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"7999"));
        assert_eq!(ours.open(&sealed, b"event").unwrap(), text);
        assert!(theirs.open(&sealed, b"event").is_err());
        assert!(ours.open(&sealed, b"other").is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.to_vec();
            altered[at] ^= 1;
            assert!(ours.open(&altered, b"event").is_err(), "{at}");
            assert!(ours.open(&sealed[..at], b"event").is_err(), "{at}");
        }
        assert_ne!(sealed, ours.seal(text, b"event").unwrap());
    }
}
