//! The key of the ledger: entries name wallets and compare requests without holding either.
//!
//! Wallet numbers and card numbers are so few that a plain digest of one is as good as the number
//! itself, so both are digested under a secret key. The key lives as long as the ledger and is never
//! replaced: with another one no payment would be found again, and each could be made twice. A check
//! value in the ledger tells whether a key is the right one.

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::record::{Amount, Key, OperationKind, Record, State};
use crate::credentials::Wallet;

/// Length of a key.
pub const KEY_LEN: usize = 32;

/// The secret key of a ledger.
pub struct LedgerKey(hmac::Key);

impl LedgerKey {
    /// The key of these bytes.
    pub fn new(secret: &[u8; KEY_LEN]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A key that ends with this process, and its bytes.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<[u8; KEY_LEN], ring::error::Unspecified> {
        let mut secret = [0; KEY_LEN];
        SystemRandom::new().fill(&mut secret)?;
        Ok(secret)
    }

    /// What entries call a wallet: 128 bits in hexadecimal digits.
    pub fn owner(&self, wallet: &Wallet) -> Box<str> {
        self.owner_tag(wallet).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same as bytes, as events name it.
    pub fn owner_tag(&self, wallet: &Wallet) -> [u8; 16] {
        self.short(b"owner", wallet.digits())
    }

    /// What entries call a merchant site.
    pub fn site(&self, site: &str) -> Box<str> {
        self.site_tag(site).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same as bytes, as events name it.
    pub fn site_tag(&self, site: &str) -> [u8; 16] {
        self.short(b"site", site)
    }

    /// What events call an issuer of whom nothing but the credential is known.
    pub fn issuer_tag(&self, credential: &str) -> [u8; 16] {
        self.short(b"issuer", credential)
    }

    fn short(&self, purpose: &[u8], of: &str) -> [u8; 16] {
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(self.tag(purpose, of.as_bytes())) {
            *to = from;
        }
        short
    }

    /// Another key that depends on this one, for what is kept beside the ledger.
    pub fn derived(&self, purpose: &str) -> [u8; KEY_LEN] {
        self.tag(b"derived", purpose.as_bytes())
    }

    /// The digest by which two requests are compared.
    pub fn content(&self, content: &[u8]) -> [u8; 32] {
        self.tag(b"content", content)
    }

    /// The entry that tells whether a key belongs to a ledger.
    pub fn check(&self, now_ms: i64) -> Record {
        let key = Key::new("", OperationKind::Check, "key");
        let mut record =
            Record::reserved(key, self.tag(b"check", b""), "", Amount::default(), now_ms);
        record.state = State::Succeeded;
        record
    }

    fn tag(&self, purpose: &[u8], of: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(&[0]);
        context.update(of);
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_wallet_has_one_name_under_one_key_and_another_under_another() {
        let [one, two] = [[1; KEY_LEN], [2; KEY_LEN]].map(|secret| LedgerKey::new(&secret));
        let wallet = Wallet::parse("79991112233").unwrap();
        let name = one.owner(&wallet);
        assert_eq!(name.len(), 32);
        assert_eq!(name, one.owner(&Wallet::parse("+79991112233").unwrap()));
        assert_ne!(name, two.owner(&wallet));
        assert_ne!(name, one.owner(&Wallet::parse("79991112234").unwrap()));
    }

    #[test]
    fn purposes_are_apart() {
        let key = LedgerKey::new(&[1; KEY_LEN]);
        assert_ne!(key.content(b""), key.check(0).body_mac);
        assert_ne!(key.content(b"a"), key.content(b"b"));
        assert_eq!(key.check(0).body_mac, LedgerKey::new(&[1; KEY_LEN]).check(5).body_mac);
    }
}
