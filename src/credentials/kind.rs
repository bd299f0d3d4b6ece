//! What sort of credential something is.

use crate::config::choices::{choice_value, choices};

use super::Scopes;

choices! {
    /// The sorts of credential QIWI has.
    pub enum Kind {
        /// OAuth token of a wallet, with the permissions its owner chose.
        Wallet = "wallet",
        /// Read-only token of a wallet: profile, list of payments, list of balances.
        Information = "information",
        /// Secret key of P2P invoices.
        P2p = "p2p",
        /// Secret key and client certificate of a QIWI PAY merchant.
        Merchant = "merchant",
    }
}
// A kind is never guessed: what a credential may do follows from it.
choice_value!(Kind, required: true);

impl Kind {
    /// The scopes of such a credential when the configuration names none. P2P and merchant keys
    /// have none: scopes are the wallet's.
    #[must_use]
    pub const fn scopes(self) -> Scopes {
        match self {
            Self::Wallet => Scopes::ALL,
            Self::Information => Scopes::INFORMATION,
            Self::P2p | Self::Merchant => Scopes::NONE,
        }
    }

    /// Whether the credential is sent in the `authorization` header. A merchant's is not: its
    /// secret signs, and the connection carries its certificate.
    #[must_use]
    pub const fn is_bearer(self) -> bool {
        !matches!(self, Self::Merchant)
    }
}
