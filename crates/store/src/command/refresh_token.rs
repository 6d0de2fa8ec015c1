//! The use of a refresh token.

use domain::Moment;
use domain::secret::TokenHash;

use crate::Command;
use crate::error::Result;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Records that a refresh token was used, and remembers it under the current pepper. Sent at most once in
/// 24 hours for a token: a refresh otherwise only reads.
#[derive(Debug)]
pub struct RecordRefreshTokenUse {
    /// When.
    pub moment: Moment,
    /// How the token is remembered.
    pub stored_hash: TokenHash,
    /// How it shall be remembered.
    pub current_hash: TokenHash,
}

impl Command for RecordRefreshTokenUse {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let update = sql!(
            "-- record the use of a refresh token
            UPDATE refresh_tokens SET last_used_at = ?3, token_hash = ?2
            WHERE token_hash = ?1 AND last_used_at < ?3"
        );
        tx.execute(update, values![self.stored_hash, self.current_hash, self.moment.now]).await?;
        Ok(())
    }
}
