//! Addresses of QIWI's hosts and of the NATS cluster. Passwords in them are never printed.

use std::borrow::Cow;
use std::fmt;

use url::Url;

use super::value::{Raw, Value};
use crate::redact::MASK;

/// The address all paths of one QIWI host are appended to: http or https, no user, no query,
/// and never a slash at the end, so that `format!("{base}/path")` is always right.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    url: Url,
}

impl BaseUrl {
    /// Parses and normalises an address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return None;
        }
        let text = url.as_str().trim_end_matches('/').to_owned();
        let url = Url::parse(&text).ok()?;
        Some(Self { text, url })
    }

    /// The address without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, parsed. Its path is `/` where none was given.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Whether what is sent there is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether the host is this machine by its literal address or the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.url)
    }
}

/// Whether the host of an address is this machine by its literal address or the name `localhost`.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Value for BaseUrl {
    fn expected() -> Cow<'static, str> {
        "an http or https address without user, query or fragment".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        Self::parse(raw.text()?)
    }

    fn write(&self) -> Option<Raw> {
        Some(Raw::Text(self.text.clone()))
    }

    // What is refused here may be refused because of the password in it.
    fn found(raw: &Raw) -> String {
        hide_user(raw)
    }
}

/// The addresses of a NATS cluster, comma separated. May hold a user and password, which are
/// never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(String);

impl NatsUrl {
    /// The addresses as written, password included: for the client only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide_user(&Raw::Text(self.0.clone())))
    }
}

impl Value for NatsUrl {
    fn expected() -> Cow<'static, str> {
        "one or more nats, tls, ws or wss addresses, comma separated".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        let good = text.split(',').all(|one| {
            Url::parse(one.trim()).is_ok_and(|url| {
                matches!(url.scheme(), "nats" | "tls" | "ws" | "wss") && url.has_host()
            })
        });
        good.then(|| Self(text.to_owned()))
    }

    fn write(&self) -> Option<Raw> {
        let shown: Vec<_> = self.0.split(',').map(hide_user_of_one).collect();
        Some(Raw::Text(shown.join(",")))
    }

    fn found(raw: &Raw) -> String {
        hide_user(raw)
    }
}

/// Where brokers tell about themselves, comma separated. They ask nobody for a password there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorUrls(Vec<BaseUrl>);

impl MonitorUrls {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &BaseUrl> {
        self.0.iter()
    }
}

impl Value for MonitorUrls {
    fn expected() -> Cow<'static, str> {
        "one or more http addresses, comma separated".into()
    }

    fn read(raw: &Raw) -> Option<Self> {
        let urls: Option<Vec<_>> =
            raw.text()?.split(',').map(|one| BaseUrl::parse(one.trim())).collect();
        let urls = urls?;
        urls.iter().all(|url| url.as_str().starts_with("http://")).then_some(Self(urls))
    }

    fn write(&self) -> Option<Raw> {
        let shown: Vec<_> = self.0.iter().map(BaseUrl::as_str).collect();
        Some(Raw::Text(shown.join(",")))
    }

    // What is refused here may be refused because of a password in it.
    fn found(raw: &Raw) -> String {
        hide_user(raw)
    }
}

fn hide_user(raw: &Raw) -> String {
    let Some(text) = raw.text() else {
        return String::found(raw);
    };
    let shown: Vec<_> = text.split(',').map(hide_user_of_one).collect();
    String::found(&Raw::Text(shown.join(",")))
}

/// Hides everything between the scheme and the last `@`, whether or not the rest is an address.
/// A query goes too: keys like to travel there.
fn hide_user_of_one(text: &str) -> String {
    let text = text.trim();
    let (text, query) = match text.split_once('?') {
        Some((text, _)) => (text, "?***"),
        None => (text, ""),
    };
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.find("://").and_then(|at| before.get(..at + 3));
            format!("{}{MASK}@{host}{query}", scheme.unwrap_or_default())
        }
        None => format!("{text}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Raw {
        Raw::Text(text.to_owned())
    }

    #[test]
    fn a_base_address_never_ends_in_a_slash_and_never_holds_a_secret() {
        for (written, expected) in [
            ("https://edge.qiwi.com", Some("https://edge.qiwi.com")),
            ("https://edge.qiwi.com/", Some("https://edge.qiwi.com")),
            ("http://127.0.0.1:8090/edge//", Some("http://127.0.0.1:8090/edge")),
            ("ftp://edge.qiwi.com", None),
            ("https://user:word@edge.qiwi.com", None),
            ("https://edge.qiwi.com?key=1", None),
            ("edge.qiwi.com", None),
        ] {
            assert_eq!(
                BaseUrl::parse(written).as_ref().map(BaseUrl::as_str),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn a_password_in_an_address_is_hidden_wherever_the_address_is_shown() {
        let written = text("nats://me:word@a:4222,tls://b:4222");
        let url = NatsUrl::read(&written).expect("a good address");
        assert_eq!(url.write(), Some(text("nats://***@a:4222,tls://b:4222")));
        assert!(!format!("{url:?}").contains("word"));
        assert_eq!(BaseUrl::found(&text("https://me:w@rd@x/?k=1")), "\"https://***@x/?***\"");
        assert_eq!(NatsUrl::read(&text("http://a")), None);
    }
}
