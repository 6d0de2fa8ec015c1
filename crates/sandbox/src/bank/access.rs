//! Access control of the FDX API: who reads, and what their grant covers.

use axum::http::HeaderMap;
use fdx::{Account, ErrorCode};

use super::fdx_format::FdxApiError;
use super::grants::CustomerGrant;
use super::ledger::BankCustomer;
use super::scope;
use super::state::Bank;

/// The clusters that cover full account numbers; FDX documents use three names.
pub(super) const PAYMENT_CLUSTERS: &[&str] = &["paymentnetworks", "accountpayments", "paymentsupport"];
pub(super) const ACCOUNT_NOT_FOUND: FdxApiError =
    FdxApiError(ErrorCode::AccountNotFound, "The grant covers no such account");

/// A client with a valid access token, and the customer it reads for.
pub(super) struct AuthorizedReader {
    pub(super) grant: CustomerGrant,
    pub(super) customer: &'static BankCustomer,
}

impl AuthorizedReader {
    pub(super) fn ensure_covers(&self, account: &str) -> Result<(), FdxApiError> {
        self.grant.accounts.iter().any(|id| id == account).then_some(()).ok_or(ACCOUNT_NOT_FOUND)
    }
}

impl Bank {
    /// Verifies the access token and that its scope covers one of the clusters, then waits while the `hold` fault is
    /// active.
    pub(super) async fn authorize_reader(
        &self,
        headers: &HeaderMap,
        clusters: &[&str],
    ) -> Result<AuthorizedReader, FdxApiError> {
        const INVALID_TOKEN: FdxApiError =
            FdxApiError(ErrorCode::NotAuthorized, "The access token is unknown, expired or revoked");
        let grant = self.authenticate_bearer(headers).ok_or(INVALID_TOKEN)?;
        if !scope::covers(&grant.scope, clusters) {
            return Err(FdxApiError(ErrorCode::NotAuthorized, "The scope does not cover this resource"));
        }
        let customer = self.profile().catalog.find_customer(&grant.username).ok_or(INVALID_TOKEN)?;
        // The wait comes after the check, so that a grant that ends in the meantime still gets its response: tests
        // need a provider that answers late with data.
        if self.faults().borrow().hold {
            let mut faults = self.faults().subscribe();
            let _ = faults.wait_for(|faults| !faults.hold).await;
        }
        Ok(AuthorizedReader { grant, customer })
    }

    /// Removes from an account what the scope does not cover, at a bank that does so.
    pub(super) fn filter_by_scope(&self, reader: &AuthorizedReader, mut account: Account) -> Account {
        if self.profile().filters_by_scope {
            if !scope::covers(&reader.grant.scope, PAYMENT_CLUSTERS) {
                account.remove_payment_details();
            }
            if !scope::covers(&reader.grant.scope, &["investments"]) {
                account.remove_holdings();
            }
        }
        account
    }
}
