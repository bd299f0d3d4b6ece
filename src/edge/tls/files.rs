//! The files of a listener's TLS: reading, checking, and what a certificate says.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{RootCertStore, ServerConfig};
use secrecy::ExposeSecret as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::config::{ClientAuth, Config, Listener, Mistake, Mistakes, Origins, TlsKeys, Warning};
use crate::credentials::{Content, Part, Peer, Source, certified};

/// A certificate that ends so soon is worth a warning.
const SOON: Duration = Duration::from_secs(7 * 24 * 3600);

const CERTIFICATE: &str = "tls_cert_file";
const KEY: &str = "tls_key_file";
const CLIENT_CA: &str = "tls_client_ca_file";

/// Where a listener's TLS is read from.
pub(super) struct Files {
    listener: Listener,
    certificate: Option<Source>,
    key: Option<Source>,
    client_ca: Option<Source>,
    client_auth: ClientAuth,
    protocols: &'static [&'static [u8]],
    origins: Origins,
}

/// What the files held, ready for connections.
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    pub(super) expires: SystemTime,
    begins: SystemTime,
    content: Vec<u8>,
}

/// What the files held, as text.
struct Texts {
    certificate: String,
    key: secrecy::SecretString,
    client_ca: Option<String>,
}

impl Texts {
    fn content(&self) -> Vec<u8> {
        let mut content = Content::new();
        content.add(Some(self.certificate.as_bytes()));
        content.add(Some(self.key.expose_secret().as_bytes()));
        content.add(self.client_ca.as_deref().map(str::as_bytes));
        content.finish()
    }
}

impl Files {
    pub(super) fn new(
        keys: &TlsKeys<'_>,
        config: &Config,
        protocols: &'static [&'static [u8]],
    ) -> Self {
        let source = |path: Option<&std::path::Path>| path.map(|path| Source::File(path.into()));
        Self {
            listener: keys.listener,
            certificate: source(keys.certificate),
            key: source(keys.key),
            client_ca: source(keys.client_ca),
            client_auth: keys.client_auth,
            protocols,
            origins: config.origins.clone(),
        }
    }

    pub(super) const fn listener(&self) -> Listener {
        self.listener
    }

    /// Reads and checks everything.
    pub(super) fn read(&self) -> Result<Loaded, Mistakes> {
        let texts = self.texts()?;
        self.build(&texts)
    }

    /// The same where the content is another one than before, and is one that can be used now.
    pub(super) fn read_other(&self, before: &Loaded) -> Result<Option<Loaded>, Mistakes> {
        let texts = self.texts()?;
        if texts.content() == before.content {
            return Ok(None);
        }
        let loaded = self.build(&texts)?;
        // Files of a mounted secret may change one by one; a second look keeps halves of two apart.
        if self.texts()?.content() != loaded.content {
            return Ok(None);
        }
        let now = SystemTime::now();
        if !loaded.is_valid(now) && before.is_valid(now) {
            let text = "holds a certificate that is not valid now, and the one in use is";
            return Err(Mistakes(vec![self.mistake(CERTIFICATE, self.certificate.as_ref(), text)]));
        }
        Ok(Some(loaded))
    }

    fn texts(&self) -> Result<Texts, Mistakes> {
        let mut mistakes = Vec::new();
        let mut read = |name: &str, source: Option<&Source>| {
            let read = source?.read();
            read.map_err(|text| mistakes.push(self.wrong(name, text))).ok()
        };
        let public = |text: secrecy::SecretString| text.expose_secret().to_owned();
        let certificate = read(CERTIFICATE, self.certificate.as_ref()).map(public);
        let key = read(KEY, self.key.as_ref());
        let client_ca = read(CLIENT_CA, self.client_ca.as_ref()).map(public);
        match (certificate, key) {
            (Some(certificate), Some(key)) if mistakes.is_empty() => {
                Ok(Texts { certificate, key, client_ca })
            }
            _ => Err(Mistakes(mistakes)),
        }
    }

    fn build(&self, texts: &Texts) -> Result<Loaded, Mistakes> {
        let mut mistakes = Vec::new();
        let key = texts.key.expose_secret().as_bytes();
        let own = certified(texts.certificate.as_bytes(), key).map_err(|(part, text)| {
            let (name, source) = match part {
                Part::Certificate => (CERTIFICATE, &self.certificate),
                Part::Key => (KEY, &self.key),
            };
            mistakes.push(self.mistake(name, source.as_ref(), text));
        });
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = texts.client_ca.as_deref().map(|text| {
            let roots = authorities(text).map_err(str::to_owned)?;
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let builder = match self.client_auth {
                ClientAuth::Required => builder,
                ClientAuth::Optional => builder.allow_unauthenticated(),
            };
            builder.build().map_err(|error| error.to_string())
        });
        let verifier = verifier.transpose().map_err(|text| {
            mistakes.push(self.mistake(CLIENT_CA, self.client_ca.as_ref(), &text));
        });
        let validity = own.as_ref().ok().and_then(|own| own.end_entity_cert().ok().map(validity));
        if let Some(None) = validity {
            let text = "holds a certificate that cannot be read";
            mistakes.push(self.mistake(CERTIFICATE, self.certificate.as_ref(), text));
        }
        let (Ok(own), Ok(verifier), Some(Some((begins, expires)))) = (own, verifier, validity)
        else {
            return Err(Mistakes(mistakes));
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                let text = format!("cannot be used: {error}");
                Mistakes(vec![self.wrong(CERTIFICATE, text)])
            })?;
        let asks = verifier.is_some();
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
        if asks {
            // A session that is resumed is not asked for its certificate again, which may have
            // expired meanwhile. A full handshake costs a millisecond, once for each connection.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        server.alpn_protocols = self.protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Loaded { server: Arc::new(server), begins, expires, content: texts.content() })
    }

    fn mistake(&self, name: &str, source: Option<&Source>, text: &str) -> Mistake {
        let place = source.map(Source::place).unwrap_or_default();
        self.wrong(name, format!("{place} {text}"))
    }

    fn wrong(&self, name: &str, text: String) -> Mistake {
        let key = format!("{}.{name}", self.listener);
        let origin = self.origins.of(&key);
        Mistake::new(key, origin, text)
    }
}

impl Loaded {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.begins <= now && now < self.expires
    }

    /// What clients will soon complain about, or do already.
    pub(super) fn warning(&self, keys: &TlsKeys<'_>, now: SystemTime) -> Option<Warning> {
        let text = if now >= self.expires {
            "the certificate has expired: clients refuse the listener"
        } else if now < self.begins {
            "the certificate is not valid yet: clients refuse the listener"
        } else if now + SOON >= self.expires {
            "the certificate expires within a week"
        } else {
            return None;
        };
        Some(Warning { key: keys.path(CERTIFICATE), text: text.to_owned() })
    }
}

fn authorities(text: &str) -> Result<RootCertStore, &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        let certificate = certificate.map_err(|_| "is not PEM")?;
        roots.add(certificate).map_err(|_| "holds a certificate that no authority can have")?;
    }
    if roots.is_empty() { Err("holds no CERTIFICATE in PEM") } else { Ok(roots) }
}

/// From when and until when a certificate is good.
fn validity(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let validity = certificate.validity();
    Some((time(validity.not_before.timestamp()), time(validity.not_after.timestamp())))
}

/// The names in a certificate that callers are known by; `None` when it cannot be read.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Option<Peer> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let Some(names) = certificate.subject_alternative_name().ok()? else {
        return Some(Peer::default());
    };
    let (mut dns, mut uris) = (Vec::new(), Vec::new());
    for name in &names.value.general_names {
        match name {
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::URI(uri) => uris.push(*uri),
            _ => {}
        }
    }
    Some(Peer::new(dns, uris))
}
