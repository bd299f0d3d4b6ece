//! Whether a notification comes from one of QIWI's networks: a second fence behind the signature.
//!
//! Behind proxies the client's address is what the nearest proxy that is not ours to trust would
//! be: `X-Forwarded-For` is walked from its right end, and only through networks that are trusted
//! to write it, for everything left of them may be made up.

// Types only: nothing here opens a socket.
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::fmt;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Where QIWI sends notifications from, as the documents list it.
const QIWI: [([u8; 4], u8); 4] = [
    ([79, 142, 16, 0], 20),
    ([195, 189, 100, 0], 22),
    ([91, 232, 230, 0], 23),
    ([91, 213, 51, 0], 24),
];

/// More hops than any chain of proxies has.
const HOPS_MAX: usize = 32;

/// A set of networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// A text that is no network; says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Neither an address nor a network.
    #[error("expected a network such as 79.142.16.0/20 or an address")]
    Unreadable,
    /// The address has bits behind the prefix, so that one of them is a slip.
    #[error("the network of this address is {0}")]
    BitsBehindPrefix(IpNet),
}

/// `X-Forwarded-For` holds something that is no address where one is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the forwarded addresses cannot be read")]
pub struct UnreadableChain;

impl Networks {
    /// QIWI's networks by the documents.
    #[must_use]
    pub fn qiwi() -> Self {
        let network =
            |(address, prefix): ([u8; 4], u8)| Ipv4Net::new(Ipv4Addr::from(address), prefix);
        Self(QIWI.into_iter().filter_map(|of| network(of).ok()).map(IpNet::V4).collect())
    }

    /// No network: trusts nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads networks and single addresses.
    ///
    /// # Errors
    /// The first text that is none, and why.
    pub fn parse<T: AsRef<str>>(
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, (T, InvalidNetwork)> {
        let read = |text: T| network(text.as_ref()).map_err(|why| (text, why));
        texts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address belongs to one of them; an IPv4 address in IPv6 notation is the same.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, network) in self.0.iter().enumerate() {
            write!(f, "{}{network}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

fn network(text: &str) -> Result<IpNet, InvalidNetwork> {
    let text = text.trim();
    if let Ok(address) = IpAddr::from_str(text) {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network = IpNet::from_str(text).map_err(|_| InvalidNetwork::Unreadable)?;
    if network.trunc() != network {
        return Err(InvalidNetwork::BitsBehindPrefix(network.trunc()));
    }
    Ok(network)
}

/// The address a request comes from, given who is connected, every `X-Forwarded-For` header in the
/// order received, and who is trusted to write them.
///
/// # Errors
/// When a trusted proxy wrote something that is no address. Falling back to the proxy's own
/// address would hide that; so the sender is unknown.
pub fn client_address<'h>(
    peer: IpAddr,
    forwarded: impl IntoIterator<Item = &'h [u8]>,
    trusted: &Networks,
) -> Result<IpAddr, UnreadableChain> {
    let mut client = peer.to_canonical();
    if !trusted.contain(client) {
        return Ok(client);
    }
    let headers: Vec<&[u8]> = forwarded.into_iter().collect();
    let hops = headers.iter().rev().flat_map(|header| header.rsplit(|byte| *byte == b','));
    for (place, hop) in hops.enumerate() {
        if place == HOPS_MAX {
            return Err(UnreadableChain);
        }
        client = std::str::from_utf8(hop).ok().and_then(address).ok_or(UnreadableChain)?;
        if !trusted.contain(client) {
            break;
        }
    }
    Ok(client)
}

/// One hop: an address, some proxies add its port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: Option<IpAddr> = hop.parse().ok().or_else(bracketed);
    let with_port = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[track_caller]
    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> Option<IpAddr> {
        let trusted = Networks::parse(trusted).unwrap();
        client_address(ip(peer), forwarded.iter().map(|header| header.as_bytes()), &trusted).ok()
    }

    #[test]
    fn the_documented_networks_end_where_the_documents_say() {
        let qiwi = Networks::qiwi();
        assert_eq!(
            qiwi.to_string(),
            "79.142.16.0/20, 195.189.100.0/22, 91.232.230.0/23, 91.213.51.0/24"
        );
        for inside in [
            "79.142.16.0",
            "79.142.31.255",
            "195.189.100.0",
            "195.189.103.255",
            "91.232.230.0",
            "91.232.231.255",
            "91.213.51.0",
            "91.213.51.255",
            "91.232.231.35",
            "91.232.231.36",
            "::ffff:79.142.16.1",
        ] {
            assert!(qiwi.contain(ip(inside)), "{inside}");
        }
        for outside in [
            "79.142.15.255",
            "79.142.32.0",
            "195.189.99.255",
            "195.189.104.0",
            "91.232.229.255",
            "91.232.232.0",
            "91.213.50.255",
            "91.213.52.0",
            "127.0.0.1",
            "::1",
            "::4f8e:1001",
        ] {
            assert!(!qiwi.contain(ip(outside)), "{outside}");
        }
        assert_eq!(Networks::parse(qiwi.to_string().split(", ")).unwrap(), qiwi);
    }

    #[test]
    fn networks_are_read_strictly() {
        let networks = Networks::parse(["10.0.0.0/8", " 192.0.2.1 ", "2001:db8::/32"]).unwrap();
        for inside in ["10.255.0.1", "192.0.2.1", "2001:db8::1"] {
            assert!(networks.contain(ip(inside)), "{inside}");
        }
        assert!(!networks.contain(ip("192.0.2.2")));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "example.com", "10.0.0.0/", "-", "10.0.0.0/8,"]
        {
            assert_eq!(Networks::parse([wrong]), Err((wrong, InvalidNetwork::Unreadable)));
        }
        let (_, why) = Networks::parse(["79.142.17.5/20"]).unwrap_err();
        assert_eq!(why.to_string(), "the network of this address is 79.142.16.0/20");
        assert!(!Networks::none().contain(ip("10.0.0.1")));
    }

    #[test]
    fn only_trusted_proxies_are_believed_about_others() {
        let trusted = &["10.0.0.0/8", "::1"][..];
        for (peer, forwarded, expected) in [
            // Nobody trusted is connected: the header is hearsay.
            ("192.0.2.9", &["79.142.16.1"][..], "192.0.2.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["79.142.16.1"], "79.142.16.1"),
            ("::ffff:10.0.0.1", &["79.142.16.1"], "79.142.16.1"),
            // A client that writes the header itself does not become somebody else.
            ("10.0.0.1", &["79.142.16.1, 192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1", &["79.142.16.1, 192.0.2.9, 10.1.1.1"], "192.0.2.9"),
            ("10.0.0.1", &["79.142.16.1", "192.0.2.9,10.1.1.1"], "192.0.2.9"),
            ("::1", &["rubbish, 192.0.2.9"], "192.0.2.9"),
            ("10.0.0.1", &["10.3.0.1, 10.2.0.1"], "10.3.0.1"),
            ("10.0.0.1", &["79.142.16.1:443"], "79.142.16.1"),
            ("10.0.0.1", &["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["::ffff:79.142.16.1"], "79.142.16.1"),
        ] {
            assert_eq!(
                client(peer, forwarded, trusted),
                Some(ip(expected)),
                "{peer} {forwarded:?}"
            );
        }
        let long = vec!["10.0.0.2"; 33].join(",");
        for unreadable in ["", "unknown", "79.142.16.1,", "79.142.16.1;", &long] {
            assert_eq!(client("10.0.0.1", &[unreadable], trusted), None, "{unreadable}");
        }
        assert_eq!(client("10.0.0.1", &["79.142.16.1"], &[]), Some(ip("10.0.0.1")));
    }

    proptest! {
        #[test]
        fn no_header_panics_and_none_moves_an_untrusted_peer(
            header in proptest::collection::vec(any::<u8>(), 0..80),
            peer in any::<[u8; 4]>(),
        ) {
            let peer = IpAddr::from(peer);
            let all = Networks::parse(["0.0.0.0/0"]).unwrap();
            let _any_result = client_address(peer, [&*header], &all);
            prop_assert_eq!(client_address(peer, [&*header], &Networks::none()), Ok(peer));
        }

        #[test]
        fn what_the_client_wrote_never_counts(
            wrote in "[0-9a-z., :]{0,40}",
            real in any::<[u8; 4]>(),
        ) {
            let real = IpAddr::from(real);
            let trusted = Networks::parse(["10.0.0.0/8"]).unwrap();
            prop_assume!(!trusted.contain(real));
            let header = format!("{wrote}, {real}");
            let found = client_address(ip("10.0.0.1"), [header.as_bytes()], &trusted);
            prop_assert_eq!(found, Ok(real));
        }
    }
}
