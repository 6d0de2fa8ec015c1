//! Settings of a PostgreSQL connection that durability depends on.

use crate::error::{Result, StoreError};

/// Sets the isolation level, and checks that this server makes a commit durable before it acknowledges it.
pub(super) async fn ensure_durable(client: &tokio_postgres::Client) -> Result<()> {
    client
        .batch_execute("SET default_transaction_isolation = 'read committed'; SET timezone = 'UTC'")
        .await?;
    let row = client
        .query_one(
            "SELECT current_setting('synchronous_commit') AS synchronous_commit,
                    pg_is_in_recovery() AS is_standby,
                    current_setting('default_transaction_read_only') AS read_only",
            &[],
        )
        .await?;
    if row.get::<_, bool>("is_standby") || row.get::<_, &str>("read_only") == "on" {
        return Err(StoreError::Incompatible(
            "this PostgreSQL server is a standby or read-only; connect to the primary".into(),
        ));
    }
    match row.get("synchronous_commit") {
        "on" | "remote_write" | "remote_apply" => Ok(()),
        // `off` loses acknowledged commits in a crash of the server; `local` loses them at a failover.
        weak => Err(StoreError::Incompatible(format!(
            "synchronous_commit is {weak}, so a crash could lose commits; set it to on"
        ))),
    }
}
