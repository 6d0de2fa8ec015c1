//! The access check of a data read: passed once before the provider is asked, and once more before the
//! first byte of the answer.

use domain::model::access_token::TokenSubject;
use domain::rule::access::{AccessDecision, GrantedAccess, RecheckError, check_access, check_client_access};
use domain::scope::DataOperation;
use store::query::{GetAccessState, GetClient};

use super::error::DataError;
use crate::context::RequestContext;
use crate::oauth::{Bearer, verify_bearer};

/// Whoever presents an authentic token that is still good.
pub(super) enum FdxCaller {
    /// A recipient, for a connection.
    Connection(Box<GrantedAccess>),
    /// A client, for itself.
    Client,
}

impl FdxCaller {
    /// Looks at the bearer, and at the state of what it names as it is now.
    pub(super) async fn authenticate(
        ctx: &RequestContext,
        bearer: Option<&Bearer>,
    ) -> Result<Self, DataError> {
        let claims = verify_bearer(ctx, bearer).map_err(|_| DataError::InvalidToken)?;
        let TokenSubject::Connection { id, .. } = &claims.subject else {
            let client = ctx.ask(&GetClient { id: claims.client_id.clone() }).await?;
            let client = check_client_access(&claims, client);
            client.map_err(|_| DataError::InvalidToken)?;
            ctx.app().limits().ensure_read_allowed(&claims.client_id, None)?;
            return Ok(Self::Client);
        };
        let state = ctx.ask(&GetAccessState { connection_id: id.clone() }).await?;
        match check_access(claims, state, ctx.now()) {
            AccessDecision::Rejected(_) => Err(DataError::InvalidToken),
            AccessDecision::Ended(_) => Err(DataError::Ended),
            AccessDecision::Granted(access) => {
                ctx.app().limits().ensure_read_allowed(access.client_id(), Some(access.connection_id()))?;
                Ok(Self::Connection(access))
            }
        }
    }
}

/// Leave to read, and what it was given for.
pub struct DataReader {
    ctx: RequestContext,
    access: GrantedAccess,
    operation: DataOperation,
}

/// An answer that may be sent: its connection was alive after the provider had answered. There is no other
/// way to make one.
pub struct ConfirmedResponse<T>(T);

impl<T> ConfirmedResponse<T> {
    /// The answer.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl DataReader {
    /// Looks at the bearer and at its connection's state as it is now.
    pub async fn new(
        ctx: RequestContext,
        bearer: Option<&Bearer>,
        operation: DataOperation,
    ) -> Result<Self, DataError> {
        match FdxCaller::authenticate(&ctx, bearer).await? {
            FdxCaller::Client => Err(DataError::InvalidToken),
            FdxCaller::Connection(access) => {
                access.ensure_allows(operation)?;
                Ok(Self { ctx, access: *access, operation })
            }
        }
    }

    /// The request.
    pub const fn ctx(&self) -> &RequestContext {
        &self.ctx
    }

    /// What the check found.
    pub const fn access(&self) -> &GrantedAccess {
        &self.access
    }

    /// The second passage, with a time and a state that are read anew: what ended meanwhile is not served.
    pub async fn confirm<T>(self, response: T) -> Result<ConfirmedResponse<T>, DataError> {
        let refreshed = self.ctx.refreshed()?;
        let state =
            refreshed.ask(&GetAccessState { connection_id: self.access.connection_id().clone() }).await?;
        match self.access.recheck(state, self.operation, refreshed.now()) {
            Ok(_) => Ok(ConfirmedResponse(response)),
            Err(RecheckError::Ended(_)) => Err(DataError::Ended),
            Err(RecheckError::TokenRejected(_)) => Err(DataError::InvalidToken),
            Err(RecheckError::Data(refusal)) => Err(refusal.into()),
        }
    }
}
