//! A provider's server with TLS, and the authorities of its certificates.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Method, Version};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// An authority with a certificate that it issued, in PEM form.
pub(crate) struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        // The name must differ from that of its certificates. Two authorities with one name must not be confused.
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.as_ref().pem()
    }

    /// Issues a certificate for a name; returns it and its key.
    pub(crate) fn issue(&self, name: &str) -> (String, String) {
        self.issue_with(name, |_| {})
    }

    /// Issues a certificate that has expired.
    pub(crate) fn issue_expired(&self, name: &str) -> (String, String) {
        self.issue_with(name, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A server with TLS that offers HTTP/2 and HTTP/1.1, and records the requests that it receives.
pub(crate) struct TlsStub {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<(Method, String, Version)>>>,
    refusals: Arc<AtomicUsize>,
}

impl TlsStub {
    /// Starts a server with a certificate and its key.
    pub(crate) async fn start(
        (certificate, key): (String, String),
        answer: impl Fn(&str) -> http::Response<String> + Send + Sync + 'static,
    ) -> Self {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (recorded, answer) = (Arc::clone(&requests), Arc::new(answer));
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| async move {
            let path = request.uri().path().to_owned();
            recorded.lock().unwrap().push((request.method().clone(), path.clone(), request.version()));
            answer(&path)
        });
        let refusals = Arc::new(AtomicUsize::new(0));
        let remaining = Arc::clone(&refusals);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, inner) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                let remaining = Arc::clone(&remaining);
                let service = service_fn(move |request| {
                    let counted = |count: usize| count.checked_sub(1);
                    let is_refused =
                        remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted).is_ok();
                    let response = (!is_refused).then(|| inner.call(request));
                    async move {
                        match response {
                            Some(response) => Ok(response.await.unwrap_or_else(|error| match error {})),
                            None => Err(h2::Error::from(h2::Reason::REFUSED_STREAM)),
                        }
                    }
                });
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, requests, refusals }
    }

    /// Refuses the next request of HTTP/2, without reading it.
    pub(crate) fn refuse_next_request(&self) {
        self.refusals.store(1, Ordering::Relaxed);
    }

    /// Returns the requests that the server has received so far, with the version of HTTP.
    pub(crate) fn requests(&self) -> Vec<(Method, String, Version)> {
        self.requests.lock().unwrap().clone()
    }
}
