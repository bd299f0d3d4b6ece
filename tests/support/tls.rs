//! Certificates of the tests' own authorities, and clients that show them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qiwi_gateway::config::Config;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::process::{folder, replace};

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Who issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Those who are trusted, without what it takes to issue anything in their name.
    pub fn trusted(pem: String) -> Self {
        Self { pem, ..Self::new("nobody") }
    }

    /// A certificate of a listener on this machine.
    pub fn server(&self) -> Pair {
        self.issue(server(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same, whose time is over.
    pub fn expired(&self) -> Pair {
        let mut params = server();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate with these names; those with a colon are URIs.
    pub fn client(&self, names: &[&str]) -> Pair {
        self.client_of(named("client"), names)
    }

    /// The same, whose time is over.
    pub fn expired_client(&self, names: &[&str]) -> Pair {
        let mut params = named("client");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        self.client_of(params, names)
    }

    fn client_of(&self, mut params: CertificateParams, names: &[&str]) -> Pair {
        let san = |name: &&str| match name.contains(':') {
            true => SanType::URI((*name).try_into().unwrap()),
            false => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(san).collect();
        self.issue(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Pair {
        let key = KeyPair::generate().unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn server() -> CertificateParams {
    let mut params = named("localhost");
    params.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    params
}

/// The files of a listener.
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

impl Files {
    /// With a certificate of this authority, and asking clients for one of it.
    pub fn of(authority: &Authority) -> Self {
        let folder = folder("tls");
        let at = |name: &str| folder.join(name);
        let files = Self { certificate: at("tls.crt"), key: at("tls.key"), ca: at("ca.crt") };
        files.show(&authority.server());
        replace(&files.ca, &authority.pem);
        files
    }

    /// Replaces certificate and key.
    pub fn show(&self, pair: &Pair) {
        // The key first: for a moment they do not fit, as with secrets that are not mounted whole.
        replace(&self.key, &pair.key);
        replace(&self.certificate, &pair.certificate);
    }

    /// Makes the gRPC listener speak TLS with them.
    pub fn for_grpc(&self, config: &mut Config) {
        config.grpc.tls_cert_file = Some(self.certificate.clone());
        config.grpc.tls_key_file = Some(self.key.clone());
        config.grpc.tls_client_ca_file = Some(self.ca.clone());
    }

    /// The keys of a section.
    pub fn toml(&self) -> String {
        let show = |path: &Path| path.to_str().unwrap().to_owned();
        format!(
            "tls_cert_file = \"{}\"\ntls_key_file = \"{}\"\ntls_client_ca_file = \"{}\"\n",
            show(&self.certificate),
            show(&self.key),
            show(&self.ca)
        )
    }
}

/// How a gRPC client connects.
pub fn endpoint(address: SocketAddr, authority: &Authority, own: Option<&Pair>) -> Endpoint {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(&authority.pem))
        .domain_name("localhost");
    if let Some(own) = own {
        tls = tls.identity(Identity::from_pem(&own.certificate, &own.key));
    }
    Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap()
}

/// A gRPC client.
pub async fn channel(
    address: SocketAddr,
    authority: &Authority,
    own: Option<&Pair>,
) -> Result<Channel, tonic::transport::Error> {
    endpoint(address, authority, own).connect().await
}

/// What a raw client shakes hands with.
pub fn connector(authority: &Authority, own: Option<&Pair>, protocols: &[&[u8]]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::from_pem_slice(own.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// A raw connection.
pub async fn connect(
    address: SocketAddr,
    connector: &TlsConnector,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}
