//! Rules about what other machines reach, and how well it is protected there.

use super::Findings;
use crate::config::BaseUrl;
use crate::config::tls::{ClientAuth, Listener, TlsKeys};
use crate::credentials::Kind;

impl Findings<'_> {
    /// Keys about TLS that belong together.
    pub(super) fn tls(&mut self) {
        let config = self.config;
        for keys in [config.grpc.tls(), config.admin.tls(), config.notifications.tls()] {
            let (cert, key) = (keys.path("tls_cert_file"), keys.path("tls_key_file"));
            match (keys.certificate.is_some(), keys.key.is_some()) {
                (true, false) => {
                    self.mistake(key, &[&cert], "is missing; tls_cert_file needs its private key");
                }
                (false, true) => {
                    self.mistake(cert, &[&key], "is missing; tls_key_file needs its certificate");
                }
                (false, false) if keys.client_ca.is_some() => {
                    let text = "needs tls_cert_file and tls_key_file: without TLS no client shows a \
                                certificate";
                    self.mistake(keys.path("tls_client_ca_file"), &[&cert, &key], text);
                }
                _ => {}
            }
            if keys.client_auth != ClientAuth::Required && keys.client_ca.is_none() {
                let text =
                    "needs tls_client_ca_file: without it no client is asked for a certificate";
                let ca = keys.path("tls_client_ca_file");
                self.mistake(keys.path("tls_client_auth"), &[&ca], text);
            }
        }
    }

    /// A listener in the clear that other machines reach.
    fn listener(&mut self, keys: &TlsKeys<'_>) {
        let key = keys.path("listen");
        let (listener, listen) = (keys.listener, keys.listen);
        let accepted = self.config.security.plaintext_listeners.contains(&listener);
        if accepted && keys.is_on() {
            let text = format!("names {listener}, which speaks TLS");
            self.warn("security.plaintext_listeners", text);
        }
        if !keys.is_exposed() || keys.is_on() || accepted {
            return;
        }
        let travels = match listener {
            Listener::Grpc => "keys of callers, tokens and personal data travel",
            Listener::Notifications => "notifications and the secrets of their addresses travel",
            Listener::Admin => "metrics and probes are",
        };
        self.warn(
            key,
            format!(
                "{listen} can be reached from other machines without TLS: {travels} readable; set \
                 tls_cert_file and tls_key_file, or name {listener} in \
                 security.plaintext_listeners where something before the gateway encrypts"
            ),
        );
    }

    /// What is open to everybody who can connect to the gRPC listener.
    fn grpc_for_everybody(&mut self) {
        let c = self.config;
        let keys = c.grpc.tls();
        if !keys.is_exposed() {
            return;
        }
        let listen = keys.listen;
        let certified = keys.demands_certificate();
        let whoever =
            if certified { "everybody with a certificate" } else { "everybody who can connect" };
        if c.callers.is_empty() {
            self.warn(
                "grpc.listen",
                format!(
                    "{listen} can be reached from other machines and there are no [callers]: \
                     {whoever} may use every credential"
                ),
            );
            if c.security.pass_through {
                self.warn(
                    "security.pass_through",
                    format!(
                        "is on and there are no [callers]: {whoever} may send tokens of their own \
                         through the gateway"
                    ),
                );
            }
        }
        let behind = c.security.plaintext_listeners.contains(&Listener::Grpc);
        if c.grpc.reflection && !certified && !behind {
            self.warn(
                "grpc.reflection",
                format!("is on: {whoever} may read the contract of {listen}; set it to false"),
            );
        }
    }

    pub(super) fn exposure(&mut self) {
        let c = self.config;
        for keys in c.listeners() {
            self.listener(&keys);
        }
        self.grpc_for_everybody();
        let mut url = |key: &str, url: &BaseUrl| {
            if !url.is_https() && !url.is_loopback() {
                self.warn(key, format!("{url} is not encrypted: credentials travel readable"));
            }
        };
        url("upstream.edge_url", &c.upstream.edge_url);
        url("upstream.site_url", &c.upstream.site_url);
        url("upstream.bill_url", &c.upstream.bill_url);
        url("upstream.direct_url", &c.upstream.direct_url);
        if let Some(url) = &c.notifications.public_url
            && !url.is_https()
            && !url.is_loopback()
        {
            let text = format!(
                "{url} is not encrypted: notifications and their addresses travel readable"
            );
            self.warn("notifications.public_url", text);
        }
        let merchants = c.credentials.values().any(|of| of.kind == Kind::Merchant);
        if let Some(url) = &c.notifications.public_url
            && merchants
            && url.is_https()
            && url.url().port().is_some()
        {
            let text = format!("QIWI PAY sends notifications to port 443 only, and this is {url}");
            self.warn("notifications.public_url", text);
        }
    }
}
