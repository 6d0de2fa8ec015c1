//! A sandbox bank: sign-in and consent pages, OAuth endpoints, an FDX API and fault injection.

mod access;
mod authorization_request;
mod client_assertion;
mod client_authentication;
mod consent_api;
mod consent_sessions;
mod data_faults;
mod fault_injection;
mod fault_settings;
mod fdx_api;
mod fdx_format;
mod fdx_version;
mod form_fields;
mod grants;
mod id_token_key;
mod introspection;
mod ledger;
mod login_sessions;
mod metadata;
mod mutual_tls;
mod oauth;
mod oauth_error;
mod pages;
mod profile;
mod pushed_requests;
mod register;
mod scope;
mod security;
mod state;
mod statement_pdf;
mod statements;
mod token_faults;

use std::io;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};

pub use fault_settings::{DataFault, EndpointStatus, FaultSettings};
pub use mutual_tls::{
    CertificateAuthority, ClientCertificate, MutualTlsListener, TlsIdentity, generate_private_key,
};
pub use security::{FapiSettings, SecurityProfile};
pub use state::{Bank, BankClock, BankSettings, Login};

impl Bank {
    /// Opens *Maple Trust*, whose pages are in English by default. Grants of earlier runs are read from the journal.
    pub fn maple(settings: BankSettings) -> io::Result<Self> {
        Self::open(&profile::MAPLE, settings)
    }

    /// Opens *Caisse Rideau*, whose pages are in French by default. It shows the requested data before the customer
    /// signs in, and rotates refresh tokens.
    pub fn rideau(settings: BankSettings) -> io::Result<Self> {
        Self::open(&profile::RIDEAU, settings)
    }

    /// Opens *Prairie Credit Union*, a bank for tests. All tokens of a customer and a client belong to one grant, so
    /// revoking one of them ends them all.
    pub fn prairie(settings: BankSettings) -> io::Result<Self> {
        Self::open(&profile::PRAIRIE, settings)
    }

    /// Builds the router for browsers: pages, metadata and fault injection. The endpoints for clients are there too, unless the
    /// bank requires mutual TLS.
    pub fn router(&self) -> Router {
        let security = &self.settings().security;
        let mut router = Router::new().merge(metadata::routes(security)).merge(pages::routes(self));
        if !matches!(security, SecurityProfile::Fapi(_)) {
            router = router.merge(self.client_routes());
        }
        self.with_layers(router)
    }

    /// Builds the router for clients that connect with a certificate, at a bank that requires mutual TLS.
    pub fn mutual_tls_router(&self) -> Router {
        self.with_layers(self.client_routes())
    }

    /// Returns the endpoints that clients call: OAuth, registration, and the FDX API.
    fn client_routes(&self) -> Router<Self> {
        let security = &self.settings().security;
        let version = self.profile().fdx_version;
        // Faults apply to the endpoints that the hub calls. The pages stay usable, so that a tester can undo them.
        let faults_layer = || from_fn_with_state(self.clone(), fault_injection::apply_faults);
        let mut oauth = oauth::routes(security)
            .merge(authorization_request::routes(security))
            .merge(introspection::routes(security))
            .merge(consent_api::routes(version, security));
        if security.accepts_secrets() {
            oauth = oauth.merge(register::routes());
        }
        let data_layer = from_fn_with_state(self.clone(), data_faults::apply_data_fault);
        let data = fdx_api::routes(version).layer(data_layer);
        Router::new().merge(oauth.layer(faults_layer())).merge(data.layer(faults_layer()))
    }

    fn with_layers(&self, router: Router<Self>) -> Router {
        router
            .layer(from_fn_with_state(self.clone(), fault_injection::add_bank_headers))
            .layer(from_fn(mutual_tls::set_thumbprint))
            .with_state(self.clone())
    }
}
