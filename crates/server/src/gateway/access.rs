//! The access check of a data read: passed once before the provider is asked, and once more before the
//! first byte of the answer.

use domain::model::access_token::Bearing;
use domain::rule::access::{Access, Again, Presented, present, present_client};
use domain::scope::Operation;
use store::query::{AccessStateOf, ClientById};

use super::error::DataError;
use crate::authz::{Bearer, verified};
use crate::ctx::Ctx;

/// Whoever presents an authentic token that is still good.
pub(super) enum Caller {
    /// A recipient, for a connection.
    Connection(Box<Access>),
    /// A client, for itself.
    Client,
}

impl Caller {
    /// Looks at the bearer, and at the state of what it names as it is now.
    pub(super) async fn of(ctx: &Ctx, bearer: Option<&Bearer>) -> Result<Self, DataError> {
        let claims = verified(ctx, bearer).map_err(|_| DataError::BadToken)?;
        let Bearing::Connection { id, .. } = &claims.bearing else {
            let client = ctx.ask(&ClientById { id: claims.client_id.clone() }).await?;
            let client = present_client(&claims, client);
            client.map_err(|_| DataError::BadToken)?;
            ctx.app().limits().read(&claims.client_id, None)?;
            return Ok(Self::Client);
        };
        let state = ctx.ask(&AccessStateOf { connection_id: id.clone() }).await?;
        match present(claims, state, ctx.now()) {
            Presented::Refused(_) => Err(DataError::BadToken),
            Presented::Ended(_) => Err(DataError::Ended),
            Presented::Live(access) => {
                ctx.app().limits().read(access.client_id(), Some(access.connection_id()))?;
                Ok(Self::Connection(access))
            }
        }
    }
}

/// Leave to read, and what it was given for.
pub struct Reader {
    ctx: Ctx,
    access: Access,
    operation: Operation,
}

/// An answer that may be sent: its connection was alive after the provider had answered. There is no other
/// way to make one.
pub struct Served<T>(T);

impl<T> Served<T> {
    /// The answer.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl Reader {
    /// Looks at the bearer and at its connection's state as it is now.
    pub async fn new(ctx: Ctx, bearer: Option<&Bearer>, operation: Operation) -> Result<Self, DataError> {
        match Caller::of(&ctx, bearer).await? {
            Caller::Client => Err(DataError::BadToken),
            Caller::Connection(access) => {
                access.allows(operation)?;
                Ok(Self { ctx, access: *access, operation })
            }
        }
    }

    /// The request.
    pub const fn ctx(&self) -> &Ctx {
        &self.ctx
    }

    /// What the check found.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// The second passage, with a time and a state that are read anew: what ended meanwhile is not served.
    pub async fn confirm<T>(self, answer: T) -> Result<Served<T>, DataError> {
        let later = self.ctx.later()?;
        let state = later.ask(&AccessStateOf { connection_id: self.access.connection_id().clone() }).await?;
        match self.access.again(state, self.operation, later.now()) {
            Ok(_) => Ok(Served(answer)),
            Err(Again::Ended(_)) => Err(DataError::Ended),
            Err(Again::Refused(_)) => Err(DataError::BadToken),
            Err(Again::Data(refusal)) => Err(refusal.into()),
        }
    }
}
