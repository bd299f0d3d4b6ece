//! Why a notification is not believed: one reason each, for counters and for the answer.

/// The reason. None of them tells anything of what the notification said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The body is longer than the caller allows.
    #[error("the body is too large")]
    TooLarge,
    /// The body is no UTF-8 text, no JSON, or more than one value.
    #[error("the body is not JSON")]
    NotJson,
    /// A key occurs twice in one object, so that two readers could see two values.
    #[error("a key occurs twice")]
    DuplicateKey,
    /// A member is missing, or is not what the documents say.
    #[error("{0} is missing or not as documented")]
    Malformed(&'static str),
    /// There is no signature.
    #[error("there is no signature")]
    SignatureMissing,
    /// The signature is not 32 bytes in a documented notation.
    #[error("the signature cannot be read")]
    SignatureMalformed,
    /// The list of signed fields names something that is not there or is no text.
    #[error("the list of signed fields leads nowhere")]
    SignFieldsUnresolved,
    /// A signed text holds the separator, so that it could stand for two values.
    #[error("a signed value holds the separator")]
    SeparatorInValue,
    /// Nobody knows the webhook. A refreshed list of webhooks may.
    #[error("the webhook is unknown")]
    UnknownHook,
    /// The webhook or address is known and its key is not.
    #[error("no key is known")]
    KeyUnknown,
    /// No key made this signature for this content.
    #[error("the signature does not match")]
    SignatureMismatch,
    /// The signature is right and the wallet is not the webhook's.
    #[error("the wallet is not the webhook's")]
    WalletMismatch,
    /// The signature is right and the merchant site is not the credential's.
    #[error("the merchant site is not the credential's")]
    SiteMismatch,
}

impl Refusal {
    /// The name for counters; there are as many as reasons.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::DuplicateKey => "duplicate_key",
            Self::Malformed(_) => "malformed",
            Self::SignatureMissing => "signature_missing",
            Self::SignatureMalformed => "signature_malformed",
            Self::SignFieldsUnresolved => "sign_fields_unresolved",
            Self::SeparatorInValue => "separator_in_value",
            Self::UnknownHook => "unknown_hook",
            Self::KeyUnknown => "key_unknown",
            Self::SignatureMismatch => "signature_mismatch",
            Self::WalletMismatch => "wallet_mismatch",
            Self::SiteMismatch => "site_mismatch",
        }
    }

    /// Whether the gateway may lack what it needs to tell: the sender is to try again.
    #[must_use]
    pub const fn may_pass_later(self) -> bool {
        matches!(self, Self::UnknownHook | Self::KeyUnknown)
    }
}
