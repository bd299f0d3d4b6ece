//! Whom QIWI counts: the key of limits and cool-downs.

use crate::credentials::{Credential, Wallet};

/// A token or a wallet, as a key that reveals neither.
///
/// QIWI counts history requests per wallet number and allows one live token per wallet, so both
/// identify the same quota. Both are charged: the token is always known, and the wallet number
/// holds the quota together when a token is replaced or two credentials share a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject(u128);

impl Subject {
    /// The subjects one call counts for: its token, and its wallet where that is known.
    pub fn of(credential: Option<&Credential>, wallet: Option<&Wallet>) -> Subjects {
        let token = credential.map(|credential| Self(credential.fingerprint.as_u128()));
        let number = wallet
            .or_else(|| credential.and_then(|credential| credential.wallet.as_ref()))
            .and_then(|wallet| wallet.digits().parse::<u64>().ok())
            // Fingerprints are random 128-bit numbers and wallet numbers have at most 15 digits, so
            // the two never meet.
            .map(|number| Self(u128::from(number)));
        Subjects { token, number }
    }
}

/// The subjects one call counts for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subjects {
    token: Option<Subject>,
    number: Option<Subject>,
}

impl Subjects {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Subject> {
        self.token.into_iter().chain(self.number)
    }

    /// The wallet's number, where it is known.
    pub fn number(self) -> Option<u64> {
        self.number.and_then(|Subject(number)| u64::try_from(number).ok())
    }

    /// One that identifies the token, for counting distinct ones.
    pub fn token(self) -> Option<Subject> {
        self.token
    }
}
