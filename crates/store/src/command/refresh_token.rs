//! The command that records a use of a refresh token that the hub issued.

use domain::Moment;
use domain::model::refresh_token::RefreshToken;
use domain::secret::TokenHash;

use crate::entity::refresh_token::REFRESH_TOKEN_MAC;
use crate::error::Result;
use crate::operation::Command;
use crate::sql::sql;
use crate::tx::Tx;
use crate::value::values;

/// Records that a refresh token was used, and replaces its hash by one with the current pepper. The caller does this at
/// most once in 24 hours for each token, so that most uses of a token only read.
#[derive(Debug)]
pub struct RecordRefreshTokenUse {
    pub moment: Moment,
    /// The hash that the token is stored under.
    pub stored_hash: TokenHash,
    /// The hash of the same token with the current pepper.
    pub current_hash: TokenHash,
    /// The connection and the client that the stored token was verified to belong to.
    pub token: RefreshToken,
}

impl Command for RecordRefreshTokenUse {
    type Reply = ();

    fn moment(&self) -> &Moment {
        &self.moment
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        let update = sql!(
            "-- record the use of a refresh token
            UPDATE refresh_tokens SET last_used_at = ?3, token_hash = ?2, mac = ?4
            WHERE token_hash = ?1 AND last_used_at < ?3"
        );
        // The MAC is computed from the verified token, and not from the row, which may have been changed since.
        let token = &self.token;
        let covered = values![self.current_hash, token.connection_id, token.client_id];
        let mac = tx.compute_mac(&REFRESH_TOKEN_MAC, covered);
        let params = values![self.stored_hash, self.current_hash, self.moment.now, mac];
        let updated = tx.execute(update, params).await?;
        if updated > 0 && self.stored_hash != self.current_hash {
            tx.defer(
                sql!(
                    "-- replace the hash of a connection's refresh token
                    UPDATE connections SET refresh_token_hash = ?2
                    WHERE id = (SELECT connection_id FROM refresh_tokens WHERE token_hash = ?2)
                        AND refresh_token_hash = ?1"
                ),
                values![self.stored_hash, self.current_hash],
            );
        }
        Ok(())
    }
}
