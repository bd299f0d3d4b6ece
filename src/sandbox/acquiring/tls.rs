//! The acquiring listener's TLS: an authority of its own, made at the start, and the gate that
//! lets in whoever shows a certificate of it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::direct::Visitor;
use super::settings::Strangers;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A certificate with its private key, both in PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, PKCS#8.
    pub key_pem: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate(***)")
    }
}

/// Who issues certificates.
pub(in crate::sandbox) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(***)")
    }
}

impl Authority {
    /// A new one, which nobody else trusts.
    pub(in crate::sandbox) fn new() -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = named("qiwi-gateway sandbox authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// Its own certificate.
    pub(in crate::sandbox) fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate by which a client is known.
    pub(in crate::sandbox) fn client(&self, name: &str) -> io::Result<Certificate> {
        self.issue(named(name)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A certificate for a listener.
    fn server(&self, address: IpAddr) -> io::Result<Certificate> {
        let mut params = named("localhost")?;
        let local = "localhost".try_into().map_err(io::Error::other)?;
        params.subject_alt_names = vec![SanType::DnsName(local), SanType::IpAddress(address)];
        self.issue(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> io::Result<Certificate> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(io::Error::other)?;
        Ok(Certificate { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn named(name: &str) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// What stands before the acquiring listener.
#[derive(Clone)]
pub(in crate::sandbox) struct Gate {
    acceptor: TlsAcceptor,
    known: Arc<dyn ClientCertVerifier>,
    strangers: Strangers,
}

impl Gate {
    /// A gate of a listener at this address.
    pub(in crate::sandbox) fn new(
        authority: &Authority,
        address: IpAddr,
        strangers: Strangers,
    ) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.certificate_pem.as_bytes());
        roots.add(root.map_err(io::Error::other)?).map_err(io::Error::other)?;
        let known =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(io::Error::other)?;
        let verifier: Arc<dyn ClientCertVerifier> = match strangers {
            Strangers::Refused => Arc::clone(&known),
            Strangers::Answered(_) => Arc::new(Anybody(Arc::clone(&known))),
        };
        let own = authority.server(address)?;
        let chain = CertificateDer::from_pem_slice(own.certificate_pem.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![chain.map_err(io::Error::other)?],
                key.map_err(io::Error::other)?,
            )
            .map_err(io::Error::other)?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), known, strangers })
    }

    /// Shakes hands; nothing with whom the gate does not let in.
    pub(in crate::sandbox) async fn open(
        &self,
        stream: TcpStream,
    ) -> Option<(TlsStream<TcpStream>, Visitor)> {
        let hands = self.acceptor.accept(stream);
        let stream = tokio::time::timeout(HANDSHAKE_MAX, hands).await.ok()?.ok()?;
        let visitor = match self.strangers {
            Strangers::Refused => Visitor::Known,
            Strangers::Answered(status) if !self.knows(&stream) => Visitor::Stranger(status),
            Strangers::Answered(_) => Visitor::Known,
        };
        Some((stream, visitor))
    }

    fn knows(&self, stream: &TlsStream<TcpStream>) -> bool {
        let Some([own, chain @ ..]) = stream.get_ref().1.peer_certificates() else { return false };
        self.known.verify_client_cert(own, chain, UnixTime::now()).is_ok()
    }
}

/// Lets everybody in whose signature fits the certificate; who it is, is looked at afterwards.
#[derive(Debug)]
struct Anybody(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hint: clients may keep a certificate back when it does not match.
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
