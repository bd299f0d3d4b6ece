//! How a credential is told apart without being shown.

use std::fmt;

use ring::hmac;

/// The first 128 bits of HMAC-SHA256(pepper, token). Printing it shows eight hex characters,
/// enough for a log; [`Fingerprint::hex`] gives all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// The whole value, for keys of stores and caches.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The whole value as 32 hex characters.
    #[must_use]
    pub fn as_u128(&self) -> u128 {
        u128::from_be_bytes(self.0)
    }

    /// All of it in hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The secret that makes fingerprints, so that nobody can guess a token from one.
pub struct Pepper(hmac::Key);

impl Pepper {
    /// The pepper of an installation.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A pepper for the life of this process.
    ///
    /// # Errors
    ///
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, ring::error::Unspecified> {
        let random = ring::rand::SystemRandom::new();
        hmac::Key::generate(hmac::HMAC_SHA256, &random).map(Self)
    }

    /// The fingerprint of a token or secret.
    #[must_use]
    pub fn fingerprint(&self, secret: &[u8]) -> Fingerprint {
        let tag = hmac::sign(&self.0, secret);
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Fingerprint(bytes)
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_start_of_the_hmac_and_prints_short() {
        // RFC 4231, test case 2.
        let fingerprint = Pepper::new(b"Jefe").fingerprint(b"what do ya want for nothing?");
        assert_eq!(fingerprint.hex(), "5bdcc146bf60754e6a042426089575c7");
        assert_eq!(fingerprint.to_string(), "5bdcc146");
        assert_eq!(format!("{fingerprint:?}"), "Fingerprint(5bdcc146)");
    }

    #[test]
    fn random_peppers_differ() {
        let one = Pepper::random().expect("random numbers").fingerprint(b"token");
        let two = Pepper::random().expect("random numbers").fingerprint(b"token");
        assert_ne!(one, two);
    }
}
