//! A sandbox bank: sign-in and consent pages, OAuth endpoints, an FDX API and fault injection.

mod access;
mod consent_sessions;
mod data_faults;
mod fault_injection;
mod fault_settings;
mod fdx_api;
mod fdx_format;
mod fdx_version;
mod grants;
mod ledger;
mod login_sessions;
mod oauth;
mod oauth_error;
mod pages;
mod profile;
mod register;
mod scope;
mod state;
mod statement_pdf;
mod statements;
mod token_faults;

use std::io;

use axum::Router;
use axum::middleware::from_fn_with_state;

pub use fault_settings::{DataFault, EndpointStatus, FaultSettings};
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

    /// Builds the router with the pages, the OAuth endpoints, the FDX API and the fault injection of the bank.
    pub fn router(&self) -> Router {
        // Faults apply to the endpoints that the hub calls. The pages stay usable, so that a tester can undo them.
        let faults_layer = || from_fn_with_state(self.clone(), fault_injection::apply_faults);
        Router::new()
            .merge(oauth::routes().merge(register::routes()).layer(faults_layer()))
            .merge(
                fdx_api::routes(self.profile().fdx_version)
                    .layer(from_fn_with_state(self.clone(), data_faults::apply_data_fault))
                    .layer(faults_layer()),
            )
            .merge(pages::routes(self))
            .layer(from_fn_with_state(self.clone(), fault_injection::add_bank_headers))
            .with_state(self.clone())
    }
}
