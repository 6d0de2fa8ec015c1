//! Access control of the FDX API: verifies access tokens, and limits responses to the grant and its scope.

use axum::http::HeaderMap;
use fdx::{Account, ErrorCode};

use super::fdx_format::FdxApiError;
use super::grants::CustomerGrant;
use super::ledger::BankCustomer;
use super::scope;
use super::state::Bank;

/// The data clusters that include full account numbers. FDX documents use these three names for the same cluster.
pub(super) const PAYMENT_CLUSTERS: &[&str] = &["paymentnetworks", "accountpayments", "paymentsupport"];
pub(super) const ACCOUNT_NOT_FOUND: FdxApiError =
    FdxApiError(ErrorCode::AccountNotFound, "The grant covers no such account");

/// The grant of a verified access token, and the customer who gave it.
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
    /// Verifies the access token and ensures that its scope covers one of the clusters, then waits while the fault
    /// setting `hold` is true.
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
        // The request is delayed after the check, so that it still succeeds if the grant ends in the meantime: tests
        // need a provider that returns data late.
        if self.faults().borrow().hold {
            let mut faults = self.faults().subscribe();
            let _ = faults.wait_for(|faults| !faults.hold).await;
        }
        Ok(AuthorizedReader { grant, customer })
    }

    /// Removes the fields of an account that the scope does not cover, if the bank's profile has `filters_by_scope`.
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
