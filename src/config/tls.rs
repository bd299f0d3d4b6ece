//! What a listener's section says about TLS, and which listeners there are.

use std::net::SocketAddr;
use std::path::Path;

use super::Config;
use super::choices::{choice_value, choices};
use super::listeners::{Admin, Grpc, Notifications};

choices! {
    /// Whether clients of a listener with TLS must show a certificate.
    pub enum ClientAuth {
        /// Whoever shows none is refused.
        Required = "required",
        /// Whoever shows none is let in without a name.
        Optional = "optional",
    }
}
choice_value!(ClientAuth);

choices! {
    /// The gateway's listeners.
    pub enum Listener {
        /// Where callers connect.
        Grpc = "grpc",
        /// Where QIWI's notifications come in.
        Notifications = "notifications",
        /// Probes and metrics.
        Admin = "admin",
    }
}
choice_value!(Listener);

/// The keys about TLS of one listener.
#[derive(Debug, Clone, Copy)]
pub struct TlsKeys<'a> {
    /// Which listener.
    pub listener: Listener,
    /// Its address.
    pub listen: SocketAddr,
    /// PEM file with the certificate and its chain.
    pub certificate: Option<&'a Path>,
    /// PEM file with the private key.
    pub key: Option<&'a Path>,
    /// PEM file with the authorities of client certificates.
    pub client_ca: Option<&'a Path>,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
}

impl TlsKeys<'_> {
    /// The path of one of the keys, such as `grpc.tls_key_file`.
    #[must_use]
    pub fn path(&self, key: &str) -> String {
        format!("{}.{key}", self.listener)
    }

    /// Whether the listener speaks TLS.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.certificate.is_some() || self.key.is_some()
    }

    /// Whether nobody gets in without a certificate of the authority.
    #[must_use]
    pub fn demands_certificate(&self) -> bool {
        self.is_on() && self.client_ca.is_some() && self.client_auth == ClientAuth::Required
    }

    /// Whether other machines reach the listener.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        !self.listen.ip().is_loopback()
    }
}

macro_rules! keys {
    ($($section:ident),+) => {$(
        impl $section {
            /// What the section says about TLS.
            #[must_use]
            pub fn tls(&self) -> TlsKeys<'_> {
                TlsKeys {
                    listener: Listener::$section,
                    listen: self.listen,
                    certificate: self.tls_cert_file.as_deref(),
                    key: self.tls_key_file.as_deref(),
                    client_ca: self.tls_client_ca_file.as_deref(),
                    client_auth: self.tls_client_auth,
                }
            }
        }
    )+};
}
keys!(Grpc, Notifications, Admin);

impl Config {
    /// What is said about TLS of all listeners that are opened.
    #[must_use]
    pub fn listeners(&self) -> Vec<TlsKeys<'_>> {
        let mut all = vec![self.grpc.tls(), self.admin.tls()];
        if self.notifications.enabled {
            all.push(self.notifications.tls());
        }
        all
    }
}
