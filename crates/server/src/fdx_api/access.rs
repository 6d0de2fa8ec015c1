//! The access check of the FDX API. It runs before the provider is called, and again before the response is sent.

use domain::Timestamp;
use domain::model::access_token::TokenSubject;
use domain::rule::access::{
    AccessDecision, AccessState, GrantedAccess, RecheckError, check_access, check_client_access,
};
use domain::rule::access_denial::{DenialReason, DeniedCaller};
use domain::scope::DataOperation;
use store::query::{GetAccessState, GetClient};

use super::error::DataError;
use crate::access_attempt::AccessAttempt;
use crate::context::RequestContext;
use crate::oauth::Bearer;
use crate::paging::{ListQuery, PageQuery};

/// A request to the FDX API whose access token is not verified yet.
pub(super) struct FdxRequest {
    pub(super) ctx: RequestContext,
    pub(super) attempt: AccessAttempt,
    pub(super) bearer: Option<Bearer>,
    pub(super) query: ListQuery,
}

/// The caller of the FDX API, identified by a verified access token.
pub(super) enum FdxCaller {
    /// A recipient whose token passed the access check for its connection.
    Connection(Box<GrantedAccess>),
    /// A client with a token from the client credentials grant, which allows no access to customer data.
    Client,
}

impl FdxCaller {
    /// Verifies the token of a request, and checks the current state of its connection or client.
    pub(super) async fn authenticate(request: &FdxRequest) -> Result<Self, DataError> {
        let ctx = &request.ctx;
        let attempt = &request.attempt;
        let claims =
            attempt.verify_bearer(ctx, request.bearer.as_ref()).map_err(|_| DataError::InvalidToken)?;
        // Calls are counted only after the check, so that forged tokens cannot use up a client's quota.
        let limits = ctx.app().limits();
        let TokenSubject::Connection { id, .. } = &claims.subject else {
            let client = ctx.ask(&GetClient { id: claims.client_id.clone() }).await?;
            check_client_access(&claims, client).map_err(|_| {
                attempt.deny(
                    ctx.app(),
                    ctx.now(),
                    DeniedCaller::Client(claims.client_id.clone()),
                    DenialReason::EndedToken,
                );
                DataError::InvalidToken
            })?;
            limits.ensure_read_allowed(&claims.client_id, None)?;
            return Ok(Self::Client);
        };
        let state = ctx.ask(&GetAccessState { connection_id: id.clone() }).await?;
        match check_access(claims, state, ctx.now()) {
            AccessDecision::Rejected(_) => {
                attempt.deny_ended_token(ctx, request.bearer.as_ref());
                Err(DataError::InvalidToken)
            }
            AccessDecision::Ended(ended) => Err(DataError::ConnectionEnded(ended.cause)),
            AccessDecision::Granted(access) => {
                limits.ensure_read_allowed(access.client_id(), Some(access.connection_id()))?;
                Ok(Self::Connection(access))
            }
        }
    }
}

/// A request that passed the first access check, for one operation.
pub(super) struct DataReader {
    request: FdxRequest,
    access: GrantedAccess,
    operation: DataOperation,
}

/// A response that passed the second access check. Only [`DataReader::confirm`] and
/// [`DataReader::confirm_guarded`] create one, and customer data is sent
/// in no other type, so no read can skip the check. A middleware would not guarantee this: it could be forgotten on a
/// route, and runs before the provider is called.
pub(super) struct ConfirmedResponse<T>(T);

impl<T> ConfirmedResponse<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl DataReader {
    /// Authenticates a request and ensures that its connection allows a data operation. A token without a connection is
    /// rejected.
    pub(super) async fn authorize(request: FdxRequest, operation: DataOperation) -> Result<Self, DataError> {
        match FdxCaller::authenticate(&request).await? {
            FdxCaller::Client => Err(DataError::ClientToken),
            FdxCaller::Connection(access) => {
                access.ensure_allows(operation)?;
                Ok(Self { request, access: *access, operation })
            }
        }
    }

    pub(super) const fn ctx(&self) -> &RequestContext {
        &self.request.ctx
    }

    pub(super) const fn query(&self) -> &ListQuery {
        &self.request.query
    }

    pub(super) const fn access(&self) -> &GrantedAccess {
        &self.access
    }

    /// Parses the query parameters `limit` and `offset`.
    pub(super) fn parse_page_query(&self) -> Result<PageQuery, DataError> {
        Ok(PageQuery::parse(&self.request.query, &self.ctx().app().config().page)?)
    }

    /// Checks access again, with the current time and a newly read state.
    ///
    /// The connection may have ended while the provider was called. Without this check, customer data could be returned
    /// after the hub had confirmed the end.
    pub(super) async fn confirm<T>(self, response: T) -> Result<ConfirmedResponse<T>, DataError> {
        self.recheck().await?;
        Ok(ConfirmedResponse(response))
    }

    /// Checks access again before a response begins that repeats the check while it is sent. `build` gets the reader for this.
    pub(super) async fn confirm_guarded<T>(
        self,
        build: impl FnOnce(Self) -> T,
    ) -> Result<ConfirmedResponse<T>, DataError> {
        self.recheck().await?;
        Ok(ConfirmedResponse(build(self)))
    }

    /// Checks access again before a response begins.
    async fn recheck(&self) -> Result<(), DataError> {
        self.recheck_with(GrantedAccess::recheck).await
    }

    /// Checks access again while a response is being sent.
    pub(super) async fn recheck_while_sending(&self) -> Result<(), DataError> {
        self.recheck_with(GrantedAccess::recheck_state).await
    }

    async fn recheck_with(&self, recheck: Recheck) -> Result<(), DataError> {
        let ctx = self.request.ctx.refreshed()?;
        let connection_id = self.access.connection_id().clone();
        let state = ctx.ask(&GetAccessState { connection_id }).await?;
        match recheck(&self.access, state, self.operation, ctx.now()) {
            Ok(_) => Ok(()),
            Err(RecheckError::Ended(ended)) => Err(DataError::ConnectionEnded(ended.cause)),
            Err(RecheckError::TokenRejected(_)) => Err(DataError::InvalidToken),
            Err(RecheckError::Data(error)) => Err(error.into()),
        }
    }
}

/// A rule of `domain` that checks access again.
type Recheck =
    fn(&GrantedAccess, Option<AccessState>, DataOperation, Timestamp) -> Result<GrantedAccess, RecheckError>;
