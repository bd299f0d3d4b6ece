//! The sections that exist once per name: credentials and callers.

use std::path::PathBuf;

use super::choices::{choice_value, choices};
use super::section::section;
use super::units::{Expiry, Variable};
use crate::credentials::{Group, Kind, Scopes, Wallet};

choices! {
    /// How a wallet's notification hook is looked after.
    pub enum Webhook {
        /// No notifications.
        Off = "off",
        /// The gateway registers the hook and keeps its key.
        Managed = "managed",
        /// The operator registered the hook and gives its key.
        Static = "static",
    }
}
choice_value!(Webhook);

choices! {
    /// What the history of a wallet is read for by itself.
    pub enum Poll {
        /// As `history` without a webhook; with one, for what its notifications missed.
        Auto = "auto",
        /// For its transactions, every few seconds.
        History = "history",
        /// For nothing.
        Off = "off",
    }
}
choice_value!(Poll);

section! {
    /// One credential the gateway holds for its callers. Secrets are named, never written here.
    CredentialConfig in "credentials.<name>" {
        /// What it opens.
        kind: Kind = Kind::Wallet;
        /// Wallet number, with or without `+`.
        wallet: Option<Wallet> = None;
        /// Merchant site identifier (`merchant` only).
        merchant_site: Option<String> = None;
        /// Permissions the wallet's owner gave the token (`wallet` only, where absent means all).
        scopes: Option<Scopes> = None;
        /// File with the token (`wallet`, `information`).
        token_file: Option<PathBuf> = None;
        /// Environment variable with the token, for a quick start.
        token_env: Option<Variable> = None;
        /// File with the secret key (`p2p`, `merchant`).
        secret_file: Option<PathBuf> = None;
        /// Environment variable with the secret key, for a quick start.
        secret_env: Option<Variable> = None;
        /// PEM file with the client certificate and its chain (`merchant`).
        client_cert_file: Option<PathBuf> = None;
        /// PEM file with the client certificate's private key (`merchant`).
        client_key_file: Option<PathBuf> = None;
        /// When QIWI will stop accepting it, as far as the operator knows.
        expires: Option<Expiry> = None;
        /// How the wallet's notification hook is looked after.
        webhook: Webhook = Webhook::Off;
        /// Whether a hook that somebody else registered is deleted to make room for the gateway's
        /// own (`webhook = "managed"`). Without it such a hook is left alone.
        webhook_replace: bool = false;
        /// File with the hook's key in base64, as QIWI gives it (`webhook = "static"`).
        webhook_key_file: Option<PathBuf> = None;
        /// Environment variable with the hook's key, for a quick start.
        webhook_key_env: Option<Variable> = None;
        /// File with the last segment of the notification address, when it has a secret one.
        webhook_path_secret_file: Option<PathBuf> = None;
        /// What the wallet's history is read for by itself: with `history` its transactions become
        /// events every few seconds; with `auto` too unless it has a webhook, and then only what the
        /// notifications missed.
        poll: Poll = Poll::Auto;
    }
}

section! {
    /// One caller and what it may do.
    CallerConfig in "callers.<name>" {
        /// File with the key the caller sends as `x-qiwi-caller-key`, or with two keys, one a line,
        /// while it changes from one to the other.
        key_file: Option<PathBuf> = None;
        /// Environment variable with that key, for a quick start.
        key_env: Option<Variable> = None;
        /// Names in the caller's TLS client certificate (DNS names or URIs).
        san: Vec<String> = Vec::new();
        /// Credentials it may use, or `*` for all.
        credentials: Vec<String> = Vec::new();
        /// Groups of operations it may call.
        groups: Vec<Group> = vec![Group::Read];
        /// Services it may call, such as `qiwi.wallet.v1.BalanceService`, or `*` for all.
        services: Vec<String> = vec!["*".to_owned()];
        /// Calls it may make a second at each replica; 0 for as many as it likes.
        calls_per_second: u32 = 0, 0..=1_000_000;
        /// Calls it may make at once after a pause, where there is such a limit; 0 for those of one
        /// second.
        calls_burst: u32 = 0, 0..=1_000_000;
        /// Whether it may bring a token of its own.
        pass_through: bool = false;
    }
}

/// Whether `name` can name a credential or a caller: it must fit an address and a variable.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

/// What to say to somebody who wrote a secret into the configuration. The value is not repeated.
pub(super) fn credential_hint(key: &str) -> Option<&'static str> {
    match key {
        "token" => Some(
            "a secret is never written into the configuration; give token_file, or token_env \
             for a quick start",
        ),
        "secret" => Some(
            "a secret is never written into the configuration; give secret_file, or secret_env \
             for a quick start",
        ),
        "webhook_key" | "webhook_path_secret" | "client_key" => Some(
            "a secret is never written into the configuration; give the same key with _file \
             at its end",
        ),
        _ => None,
    }
}

/// The same for callers.
pub(super) fn caller_hint(key: &str) -> Option<&'static str> {
    (key == "key").then_some(
        "a secret is never written into the configuration; give key_file, or key_env for a \
         quick start",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_an_address_and_a_variable() {
        for name in ["a", "main", "main-2", "main_2", "0", &"a".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Main", "-a", "_a", "a.b", "a b", "ж", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
