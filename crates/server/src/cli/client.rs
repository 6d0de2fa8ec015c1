//! Operations that recipients and partners have in common: both are OAuth clients of the hub.

use serde_json::{Value, json};

use super::admin_client::AdminClient;
use super::args::build_path;
use super::error::CliError;
use super::output::print_json;

/// Suspends or reinstates a client and prints its state.
pub(super) async fn change_client_state(
    admin: &AdminClient,
    collection: &str,
    id: &str,
    step: &str,
) -> Result<(), CliError> {
    let client = admin.post(&build_path(&[collection, id, step])).await?;
    admin.output.print_fields(&client, &["client_id", "state"]);
    Ok(())
}

/// Rotates the secret of a client and prints the new one.
pub(super) async fn rotate_secret(admin: &AdminClient, collection: &str, id: &str) -> Result<(), CliError> {
    let response = admin.post(&build_path(&[collection, id, "secret"])).await?;
    print_secret(admin, &response, &response["client_id"]);
    Ok(())
}

/// Prints a response that contains a client secret.
pub(super) fn print_secret(admin: &AdminClient, response: &Value, client_id: &Value) {
    if admin.output.is_json() {
        print_json(response);
        return;
    }
    let credentials = json!({"client_id": client_id, "client_secret": response["client_secret"]});
    admin.output.print_object(&credentials);
    // The hub stores only a hash of the secret.
    admin.output.print_note("Store the secret now: it cannot be shown again.");
}
