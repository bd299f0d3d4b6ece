//! What wallets, tokens and credentials are called between replicas: keyed pseudonyms.
//!
//! The key follows from the ledger's, which all replicas have in common. Fingerprints would not do:
//! without a pepper of the installation each process makes its own.

use std::fmt;

use ring::hmac;
use secrecy::ExposeSecret as _;

use crate::credentials::Credential;
use crate::ledger::LedgerKey;

/// A wallet, a token or a credential, as the replicas call it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(u128);

impl Name {
    /// The name of this number.
    #[must_use]
    pub const fn from_u128(name: u128) -> Self {
        Self(name)
    }

    /// Its number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// All of it in hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Reads what [`Name::hex`] wrote.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let good = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({:08x})", self.0 >> 96)
    }
}

/// Makes names.
pub struct Names(hmac::Key);

impl Names {
    /// The names of an installation.
    #[must_use]
    pub fn new(key: &LedgerKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key.derived("coordination")))
    }

    /// A wallet's.
    #[must_use]
    pub fn wallet(&self, number: u64) -> Name {
        self.of(b"wallet", &number.to_be_bytes())
    }

    /// A token's or secret's, whatever it is called and whoever brought it.
    #[must_use]
    pub fn secret(&self, credential: &Credential) -> Name {
        // A merchant's is never sent.
        match credential.secret().filter(|_| credential.authorization().is_empty()) {
            Some(secret) => self.of(b"secret", secret.expose_secret().as_bytes()),
            None => self.of(b"token", credential.authorization().as_bytes()),
        }
    }

    /// A named credential's.
    #[must_use]
    pub fn credential(&self, name: &str) -> Name {
        self.of(b"credential", name.as_bytes())
    }

    fn of(&self, purpose: &[u8], of: &[u8]) -> Name {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(&[0]);
        context.update(of);
        let tag = context.sign();
        let first = tag.as_ref().iter().take(16);
        Name(first.fold(0, |name, byte| name << 8 | u128::from(*byte)))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_the_key_and_are_apart() {
        let [one, again, other] = [1, 1, 2].map(|byte| Names::new(&LedgerKey::new(&[byte; 32])));
        let name = one.wallet(79_990_000_001);
        assert_eq!(name, again.wallet(79_990_000_001));
        assert_ne!(name, other.wallet(79_990_000_001));
        assert_ne!(name, one.wallet(79_990_000_002));
        assert_ne!(one.credential("main"), one.credential("mains"));
        assert_eq!(Name::from_hex(&name.hex()), Some(name));
        for text in ["", "12", &name.hex()[1..], &format!("+{}", &name.hex()[1..])] {
            assert_eq!(Name::from_hex(text), None, "{text}");
        }
        assert!(!format!("{name:?}").contains(&name.hex()[8..]));
    }
}
