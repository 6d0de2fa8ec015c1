//! Builds the TLS client with which the hub verifies a PostgreSQL server.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::options::TlsOptions;
use crate::error::{Result, StoreError};

/// Builds the TLS client. It reads the files each time, so that renewed certificates are used without a restart.
pub(super) fn build_connector(options: &TlsOptions) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = Arc::new(load_roots(options.root_file.as_deref())?);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(StoreError::internal)?;
    let builder = if options.verify_name {
        builder.with_root_certificates(roots)
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| StoreError::Incompatible(format!("sslrootcert: {error}")))?;
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyNameVerifier(verifier)))
    };
    let config = match &options.client_files {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = load_certificates("sslcert", certificate)?;
            let key_der =
                PrivateKeyDer::from_pem_file(key).map_err(|error| reject_file("sslkey", key, error))?;
            builder
                .with_client_auth_cert(chain, key_der)
                .map_err(|error| reject_file("sslcert", certificate, error))?
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn reject_file(parameter: &str, file: &Path, error: impl std::fmt::Display) -> StoreError {
    StoreError::Incompatible(format!("{parameter}: {}: {error}", file.display()))
}

fn load_certificates(parameter: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>();
    match read() {
        Ok(certificates) if certificates.is_empty() => {
            Err(reject_file(parameter, file, "no certificate found"))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(reject_file(parameter, file, error)),
    }
}

/// Loads the certificates of trusted authorities from a file, or those of the system.
fn load_roots(file: Option<&Path>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in load_certificates("sslrootcert", file)? {
            roots.add(certificate).map_err(|error| reject_file("sslrootcert", file, error))?;
        }
    } else {
        // Certificates of the system that cannot be read are ignored, as by other programs: the others are sufficient.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(StoreError::Incompatible("sslrootcert: the system has no trusted certificates".into()));
    }
    Ok(roots)
}

/// A verifier that accepts any name in a certificate that is valid otherwise (`sslmode=verify-ca`).
#[derive(Debug)]
struct AnyNameVerifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyNameVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        // The name is the last thing that is verified, so a certificate with this error has passed all other checks.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
