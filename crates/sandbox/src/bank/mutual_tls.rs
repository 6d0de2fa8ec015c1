//! Mutual TLS (RFC 8705): a listener that requires a certificate of the client, and the certificates themselves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::{IncomingStream, Listener};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The header with the thumbprint of the client's certificate. Only the bank itself sets it, as a TLS proxy would do.
const THUMBPRINT: HeaderName = HeaderName::from_static("x-client-certificate-thumbprint");

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_CONCURRENT_HANDSHAKES: usize = 64;

/// A certificate and its private key, in PEM form.
#[derive(Clone)]
pub struct TlsIdentity {
    pub certificate: String,
    pub key: String,
}

/// A certificate authority for servers and clients of this machine.
pub struct CertificateAuthority(CertifiedIssuer<'static, KeyPair>);

impl CertificateAuthority {
    pub fn create(name: &str) -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().map_err(io::Error::other)?;
        Ok(Self(CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?))
    }

    /// Returns the certificate of the authority, in PEM form.
    pub fn certificate(&self) -> String {
        self.0.as_ref().pem()
    }

    /// Issues a certificate for a server with this host name or address.
    pub fn issue_for_server(&self, host: &str) -> io::Result<TlsIdentity> {
        self.issue(host, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate for a client with this name.
    pub fn issue_for_client(&self, name: &str) -> io::Result<TlsIdentity> {
        self.issue(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> io::Result<TlsIdentity> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(io::Error::other)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.0).map_err(io::Error::other)?;
        Ok(TlsIdentity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Generates a private key for signatures with ES256, in PEM form (PKCS#8).
pub fn generate_private_key() -> io::Result<String> {
    Ok(KeyPair::generate().map_err(io::Error::other)?.serialize_pem())
}

/// A listener that accepts only connections of clients with a certificate of an authority.
pub struct MutualTlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<TlsConnection>>,
}

type TlsConnection = (TlsStream<TcpStream>, SocketAddr);

impl MutualTlsListener {
    /// Creates a listener. `client_authority` is the certificate of the authority of the clients, in PEM form.
    pub fn new(tcp: TcpListener, identity: &TlsIdentity, client_authority: &str) -> io::Result<Self> {
        let config = build_config(identity, client_authority)?;
        Ok(Self { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), handshakes: JoinSet::new() })
    }

    fn begin_handshake(&mut self, stream: TcpStream, address: SocketAddr) {
        let handshake = self.acceptor.accept(stream);
        self.handshakes.spawn(async move {
            let finished = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await;
            Some((finished.ok()?.ok()?, address))
        });
    }
}

fn build_config(identity: &TlsIdentity, client_authority: &str) -> io::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(client_authority)? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?.with_client_cert_verifier(verifier);
    config.with_single_cert(read_certificates(&identity.certificate)?, key).map_err(io::Error::other)
}

fn read_certificates(pem: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().map_err(io::Error::other)
}

impl Listener for MutualTlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> TlsConnection {
        loop {
            // A slow handshake must not delay other connections.
            let can_begin = self.handshakes.len() < MAX_CONCURRENT_HANDSHAKES;
            tokio::select! {
                (stream, address) = Listener::accept(&mut self.tcp), if can_begin => {
                    self.begin_handshake(stream, address);
                }
                Some(finished) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = finished {
                        return connection;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The certificate of the client of a connection, by its thumbprint (RFC 8705 §3.1).
#[derive(Clone)]
pub struct ClientCertificate(Option<String>);

impl Connected<IncomingStream<'_, MutualTlsListener>> for ClientCertificate {
    fn connect_info(stream: IncomingStream<'_, MutualTlsListener>) -> Self {
        let (_, connection) = stream.io().get_ref();
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        Self(certificate.map(|der| URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der))))
    }
}

/// Sets the header with the thumbprint of the client's certificate, and removes one that the client sent.
pub(super) async fn set_thumbprint(mut request: Request, next: Next) -> Response {
    let certificate = request.extensions().get::<ConnectInfo<ClientCertificate>>();
    let thumbprint = certificate.and_then(|ConnectInfo(ClientCertificate(thumbprint))| thumbprint.as_deref());
    let thumbprint = thumbprint.and_then(|thumbprint| HeaderValue::from_str(thumbprint).ok());
    let headers = request.headers_mut();
    headers.remove(THUMBPRINT);
    if let Some(thumbprint) = thumbprint {
        headers.insert(THUMBPRINT, thumbprint);
    }
    next.run(request).await
}

/// Returns the thumbprint of the certificate with which the client connected.
pub(super) fn find_certificate(headers: &HeaderMap) -> Option<&str> {
    headers.get(THUMBPRINT)?.to_str().ok()
}
