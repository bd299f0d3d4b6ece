//! What a verified client certificate calls its holder.

/// The names in a client certificate that the listener has verified: DNS names and URIs of its
/// subject alternative name, and nothing else. A common name says nothing about who may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer(Box<[String]>);

impl Peer {
    /// The holder of a certificate with these names.
    pub fn new<'a>(
        dns: impl IntoIterator<Item = &'a str>,
        uris: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        // A name without a colon would otherwise stand for a DNS name of the same text.
        let uris = uris.into_iter().filter(|uri| uri.contains(':'));
        let dns = dns.into_iter().filter(|name| !name.contains(':'));
        Self(dns.chain(uris).map(normal).collect())
    }

    /// Its names, in the form they are compared in.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// DNS names are the same in any case; the paths of URIs are not.
pub(super) fn normal(san: &str) -> String {
    if san.contains(':') { san.to_owned() } else { san.to_ascii_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_their_kind_and_dns_names_of_any_case() {
        let peer = Peer::new(["Shop.Example", "spiffe://x/a"], ["spiffe://x/Shop", "desk.example"]);
        assert_eq!(peer.names().collect::<Vec<_>>(), ["shop.example", "spiffe://x/Shop"]);
    }
}
