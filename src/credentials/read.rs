//! Reads all that belongs to one credential, or says everything that is wrong with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::credential::{ClientIdentity, Credential, Hook, bearer};
use super::fingerprint::Pepper;
use super::kind::Kind;
use super::secret::{Content, Source, check_token};
use crate::config::{About, CredentialConfig, Mistake, Notifications, Origins, Webhook};

/// A credential's configuration with the places of its secrets.
pub struct Plan {
    name: Arc<str>,
    config: CredentialConfig,
    origins: Arc<Origins>,
    secret: Option<Source>,
    webhook_key: Option<Source>,
    path_secret: Option<Source>,
    certificate: Option<Source>,
    key: Option<Source>,
}

/// What the places held, as read at one moment.
struct Parts {
    secret: Option<SecretString>,
    webhook_key: Option<SecretString>,
    path_secret: Option<SecretString>,
    certificate: Option<SecretString>,
    key: Option<SecretString>,
}

impl Plan {
    pub fn new(
        name: &str,
        config: &CredentialConfig,
        origins: &Arc<Origins>,
        env: &impl Fn(&str) -> Option<String>,
    ) -> Self {
        let file = |path: &Option<PathBuf>| path.clone().map(Source::File);
        let token = config.token_file.as_ref().or(config.secret_file.as_ref());
        let variable = config.token_env.as_ref().or(config.secret_env.as_ref());
        Self {
            name: name.into(),
            config: config.clone(),
            origins: Arc::clone(origins),
            secret: Source::of(token, variable, env),
            webhook_key: Source::of(
                config.webhook_key_file.as_ref(),
                config.webhook_key_env.as_ref(),
                env,
            ),
            path_secret: file(&config.webhook_path_secret_file),
            certificate: file(&config.client_cert_file),
            key: file(&config.client_key_file),
        }
    }

    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the configuration says the same, so that only content can differ.
    pub fn is_same(&self, other: &Self) -> bool {
        self.config == other.config
    }

    /// What is wrong when a newer configuration gives the name to somebody else: what is under way,
    /// payments in doubt above all, would be looked for in another wallet and not be found.
    pub fn stands_for_another(&self, before: &Self) -> Option<Mistake> {
        if self.name != before.name {
            return None;
        }
        let (old, new) = (&before.config, &self.config);
        let key = if new.kind != old.kind {
            "kind"
        } else if new.wallet != old.wallet {
            "wallet"
        } else if new.merchant_site != old.merchant_site {
            "merchant_site"
        } else {
            return None;
        };
        let path = format!("credentials.{}.{key}", self.name);
        let text = "a name stands for the same wallet or site for as long as the gateway runs; give \
                    the credential another name, or restart the gateway";
        Some(Mistake::new(&*path, self.origins.of(&path), text))
    }

    /// Reads the places and builds the credential, unless their content is `known`: then `None`.
    /// The caller gives the shared [`Health`](super::health::Health) afterwards.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, each with its key and place.
    pub fn read(&self, pepper: &Pepper, known: &[u8]) -> Result<Option<Credential>, Vec<Mistake>> {
        let parts = self.parts()?;
        let content = parts.content();
        if content == known {
            return Ok(None);
        }
        self.build(parts, content, pepper).map(Some)
    }

    /// Whether the places hold this content now. A mounted secret changes file by file unless
    /// its mount swaps them together; a second look keeps halves of two versions apart.
    pub fn holds(&self, content: &[u8]) -> bool {
        self.parts().is_ok_and(|parts| parts.content() == content)
    }

    /// What is wrong when QIWI would not take the address for the credential's notifications, which
    /// only its secret makes too long.
    pub fn too_long(&self, at: &Notifications, credential: &Credential) -> Option<Mistake> {
        let (hook, source) = (credential.hook(), self.path_secret.as_ref()?);
        let secret = hook.path_secret.as_ref().map(|secret| secret.expose_secret());
        let about = match credential.kind {
            Some(Kind::Wallet) if hook.webhook == Webhook::Managed => About::Wallet,
            Some(Kind::Merchant) if at.enabled => About::Pay,
            _ => return None,
        };
        let length = at.address(about, &self.name, secret)?.len();
        let most = about.length_max().filter(|most| length > *most)?;
        let text = format!(
            "{} makes the address of its notifications {length} characters long, expected at most \
             {most}",
            source.place()
        );
        Some(self.mistake("webhook_path_secret", source, text))
    }

    fn parts(&self) -> Result<Parts, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut read = |what: &str, source: &Option<Source>| {
            let source = source.as_ref()?;
            source.read().map_err(|text| mistakes.push(self.mistake(what, source, text))).ok()
        };
        let parts = Parts {
            secret: read(self.secret_key(), &self.secret),
            webhook_key: read("webhook_key", &self.webhook_key),
            path_secret: read("webhook_path_secret", &self.path_secret),
            certificate: read("client_cert", &self.certificate),
            key: read("client_key", &self.key),
        };
        if mistakes.is_empty() { Ok(parts) } else { Err(mistakes) }
    }

    fn secret_key(&self) -> &'static str {
        let wallet = self.config.token_file.is_some() || self.config.token_env.is_some();
        if wallet { "token" } else { "secret" }
    }

    fn mistake(&self, what: &str, source: &Source, text: impl Into<String>) -> Mistake {
        let end = match source {
            Source::File(_) => "file",
            Source::Environment(..) => "env",
        };
        let key = format!("credentials.{}.{what}_{end}", self.name);
        let origin = self.origins.of(&key);
        Mistake::new(key, origin, text)
    }

    fn build(
        &self,
        parts: Parts,
        content: Vec<u8>,
        pepper: &Pepper,
    ) -> Result<Credential, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut complain = |what: &str, source: &Option<Source>, text: &str| {
            if let Some(source) = source {
                let text = format!("{} {text}", source.place());
                mistakes.push(self.mistake(what, source, text));
            }
        };
        let kind = self.config.kind;
        let secret = parts.secret.as_ref().map_or("", |secret| secret.expose_secret());
        let mut authorization = HeaderValue::from_static("");
        if let Err(text) = check_token(secret) {
            complain(self.secret_key(), &self.secret, text);
        } else if kind.is_bearer()
            && let Ok(header) = bearer(secret)
        {
            authorization = header;
        }
        let key = parts.webhook_key.as_ref().and_then(|key| {
            let decoded = STANDARD.decode(key.expose_secret()).ok();
            let decoded = decoded.filter(|key| !key.is_empty());
            if decoded.is_none() {
                complain("webhook_key", &self.webhook_key, "is not base64, as QIWI gives the key");
            }
            decoded.map(SecretSlice::from)
        });
        if let Some(secret) = &parts.path_secret
            && !is_path_segment(secret.expose_secret())
        {
            let text = "is not 16 to 64 characters of A-Z, a-z, 0-9, - and _";
            complain("webhook_path_secret", &self.path_secret, text);
        }
        let identity = match (&parts.certificate, &parts.key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.expose_secret(), key.expose_secret());
                match identity(certificate.as_bytes(), key.as_bytes()) {
                    Ok(identity) => Some(identity),
                    Err((Part::Certificate, text)) => {
                        complain("client_cert", &self.certificate, text);
                        None
                    }
                    Err((Part::Key, text)) => {
                        complain("client_key", &self.key, text);
                        None
                    }
                }
            }
            _ => None,
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let fingerprint = pepper.fingerprint(secret.as_bytes());
        Ok(Credential {
            name: Some(Arc::clone(&self.name)),
            kind: Some(kind),
            scopes: Some(self.config.scopes.unwrap_or(kind.scopes())),
            wallet: self.config.wallet.clone(),
            merchant_site: self.config.merchant_site.as_deref().map(Into::into),
            poll: self.config.poll,
            fingerprint,
            loaded: SystemTime::now(),
            authorization,
            expires: self.config.expires.map(|expiry| expiry.0.into()),
            secret: parts.secret.filter(|_| !self.is_wallet()),
            identity,
            hook: Hook {
                webhook: self.config.webhook,
                replace: self.config.webhook_replace,
                key,
                path_secret: parts.path_secret,
            },
            health: None,
            content,
        })
    }

    /// A wallet's token lives in its header alone.
    fn is_wallet(&self) -> bool {
        self.secret_key() == "token"
    }
}

impl Parts {
    fn content(&self) -> Vec<u8> {
        let mut content = Content::new();
        for part in
            [&self.secret, &self.webhook_key, &self.path_secret, &self.certificate, &self.key]
        {
            content.add(part.as_ref().map(|part| part.expose_secret().as_bytes()));
        }
        content.finish()
    }
}

/// The least length of a secret in a notification address.
pub const WEBHOOK_PATH_SECRET_MIN: usize = 16;

/// The whole notification address has 100 characters at QIWI, and a short secret can be guessed.
fn is_path_segment(text: &str) -> bool {
    (WEBHOOK_PATH_SECRET_MIN..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Which of the two is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificate.
    Certificate,
    /// The private key.
    Key,
}

/// Reads a certificate with its chain and its private key, and checks that they belong together.
///
/// # Errors
///
/// Which of them is wrong, and how.
pub fn certified(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, (Part, &'static str)> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
        .map(|one| one.map(CertificateDer::into_owned))
        .collect::<Result<_, _>>()
        .map_err(|_| (Part::Certificate, "is not PEM"))?;
    if chain.is_empty() {
        return Err((Part::Certificate, "holds no CERTIFICATE in PEM"));
    }
    let private = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| (Part::Key, "holds no unencrypted PRIVATE KEY in PEM"))?;
    let signing = rustls::crypto::ring::sign::any_supported_type(&private)
        .map_err(|_| (Part::Key, "holds a key of a kind that TLS cannot use"))?;
    let both = CertifiedKey::new(chain, signing);
    both.keys_match().map_err(|_| (Part::Key, "does not belong to the certificate beside it"))?;
    Ok(both)
}

/// Checks that there is a certificate, a private key, and that they belong together.
fn identity(certificate: &[u8], key: &[u8]) -> Result<ClientIdentity, (Part, &'static str)> {
    certified(certificate, key)?;
    Ok(ClientIdentity {
        certificate_pem: certificate.to_vec(),
        key_pem: SecretSlice::from(key.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;

    #[test]
    fn path_segments_are_long_enough_and_need_no_escaping() {
        assert!(is_path_segment("0123456789abcDEF-_"));
        for wrong in ["short", "0123456789abcdef/", &"x".repeat(65)] {
            assert!(!is_path_segment(wrong), "{wrong}");
        }
    }

    /// One DER element of up to 255 bytes.
    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut out = vec![tag];
        match u8::try_from(content.len()).expect("a small element") {
            length @ ..=127 => out.push(length),
            length => out.extend([0x81, length]),
        }
        out.extend(content);
        out
    }

    fn pem(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    /// A key and the least certificate for it; the signature in it is not one.
    fn pair() -> (String, String) {
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
        let public = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random).expect("a key");
        let ec_key = der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]]);
        let p256 = der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]]);
        let point = der(0x03, &[&[0], public.public_key().as_ref()]);
        let spki = der(0x30, &[&der(0x30, &[&ec_key, &p256]), &point]);
        let ecdsa_sha256 = der(0x06, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]]);
        let algorithm = der(0x30, &[&ecdsa_sha256]);
        let version = der(0xa0, &[&der(0x02, &[&[2]])]);
        let serial = der(0x02, &[&[1]]);
        let name = der(0x30, &[]);
        let time = der(0x17, &[b"260101000000Z"]);
        let validity = der(0x30, &[&time, &time]);
        let parts: [&[u8]; 7] = [&version, &serial, &algorithm, &name, &validity, &name, &spki];
        let body = der(0x30, &parts);
        let certificate = der(0x30, &[&body, &algorithm, &der(0x03, &[&[0], b"none"])]);
        (pem("CERTIFICATE", &certificate), pem("PRIVATE KEY", key.as_ref()))
    }

    #[test]
    fn a_certificate_goes_with_its_own_key_only() {
        let (certificate, key) = pair();
        let read = identity(certificate.as_bytes(), key.as_bytes());
        let Ok(read) = read else {
            panic!("the pair belongs together");
        };
        assert_eq!(&*read.pem(), format!("{certificate}\n{key}\n").as_bytes());
        assert!(!format!("{read:?}").contains("PRIVATE"));
        let (_, other) = pair();
        for (certificate, key, expected) in [
            (&certificate, &other, "does not belong"),
            (&certificate, &certificate, "holds no unencrypted PRIVATE KEY"),
            (&key, &key, "holds no CERTIFICATE"),
        ] {
            match identity(certificate.as_bytes(), key.as_bytes()) {
                Err((_, text)) => assert!(text.starts_with(expected), "{text}"),
                Ok(_) => panic!("expected: {expected}"),
            }
        }
    }
}
