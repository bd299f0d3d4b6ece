//! Keys of notifications and the signatures they make.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::GeneralPurposeConfig;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use ring::hmac;
use zeroize::Zeroizing;

use super::Refusal;

/// QIWI pads; what passes through hands in between may have lost it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that cannot verify anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRejected {
    /// Anybody could sign with an empty key.
    #[error("the key is empty")]
    Empty,
    /// The key is not Base64.
    #[error("the key is not Base64")]
    NotBase64,
}

/// A key of HMAC-SHA256. Printing it shows nothing.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// A key by its bytes: of a webhook decoded, of a P2P secret key its text.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(secret: &[u8]) -> Result<Self, KeyRejected> {
        if secret.is_empty() {
            return Err(KeyRejected::Empty);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// A webhook's key as QIWI hands it out.
    ///
    /// # Errors
    /// When it is not Base64, or of nothing.
    pub fn from_base64(text: &str) -> Result<Self, KeyRejected> {
        let secret = BASE64.decode(text.trim()).map(Zeroizing::new);
        Self::new(&secret.map_err(|_| KeyRejected::NotBase64)?)
    }

    /// Whether this key made the signature; in constant time.
    pub(super) fn made(&self, signature: &Signature, text: &str) -> bool {
        hmac::verify(&self.0, text.as_bytes(), &signature.0).is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// A signature as it came, not yet believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature([u8; 32]);

impl Signature {
    /// Reads 64 hexadecimal digits of either case.
    pub(super) fn from_hex(text: &str) -> Result<Self, Refusal> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(Refusal::SignatureMalformed);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let mut pair = pair.iter().map(|digit| char::from(*digit).to_digit(16));
            let (Some(Some(high)), Some(Some(low))) = (pair.next(), pair.next()) else {
                return Err(Refusal::SignatureMalformed);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| Refusal::SignatureMalformed)?;
        }
        Ok(Self(bytes))
    }

    /// Reads hexadecimal digits or Base64, whichever has the right length.
    pub(super) fn from_hex_or_base64(text: &str) -> Result<Self, Refusal> {
        if text.len() == 64 {
            return Self::from_hex(text);
        }
        let bytes = BASE64.decode(text).map_err(|_| Refusal::SignatureMalformed)?;
        bytes.try_into().map(Self).map_err(|_| Refusal::SignatureMalformed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_signature_is_read_in_both_notations_and_in_no_other() {
        let hex = "07e0ebb10916d97760c196034105d010607a6c6b7d72bfa1c3451448ac484a3b";
        let signature = Signature::from_hex(hex).unwrap();
        assert_eq!(Signature::from_hex(&hex.to_uppercase()).unwrap(), signature);
        for text in [
            hex,
            "B+DrsQkW2XdgwZYDQQXQEGB6bGt9cr+hw0UUSKxISjs=",
            "B+DrsQkW2XdgwZYDQQXQEGB6bGt9cr+hw0UUSKxISjs",
        ] {
            assert_eq!(Signature::from_hex_or_base64(text).unwrap(), signature);
        }
        for text in ["", "07", &hex[1..], &format!("{hex}0"), &hex.replace('7', "g"), "AAAA"] {
            assert_eq!(Signature::from_hex_or_base64(text), Err(Refusal::SignatureMalformed));
            assert_eq!(Signature::from_hex(text), Err(Refusal::SignatureMalformed));
        }
        // Sixty-four bytes of letters beyond ASCII are no digits.
        assert!(Signature::from_hex(&"я".repeat(32)).is_err());
    }

    #[test]
    fn an_empty_key_is_refused_and_no_key_shows_itself() {
        assert_eq!(Key::new(b"").unwrap_err(), KeyRejected::Empty);
        for empty in ["", "  ", "\n"] {
            assert_eq!(Key::from_base64(empty).unwrap_err(), KeyRejected::Empty);
        }
        assert_eq!(Key::from_base64("не ключ").unwrap_err(), KeyRejected::NotBase64);
        assert_eq!(format!("{:?}", Key::new(b"secret").unwrap()), "Key(***)");
    }
}
