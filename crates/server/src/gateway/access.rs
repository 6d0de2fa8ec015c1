//! The access check of a data read: passed once before the provider is asked, and once more before the
//! first byte of the answer.

use domain::model::access_token::Bearing;
use domain::rule::access::{Access, Again, Presented, present};
use domain::scope::Operation;
use store::query::AccessStateOf;

use super::error::DataError;
use crate::authz::{Bearer, verified};
use crate::ctx::Ctx;

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
        let claims = verified(&ctx, bearer).map_err(|_| DataError::BadToken)?;
        let Bearing::Connection { id, .. } = &claims.bearing else {
            return Err(DataError::BadToken);
        };
        let state = ctx.ask(&AccessStateOf { connection_id: id.clone() }).await?;
        match present(claims, state, ctx.now()) {
            Presented::Refused(_) => Err(DataError::BadToken),
            Presented::Ended(_) => Err(DataError::Ended),
            Presented::Live(access) => {
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
