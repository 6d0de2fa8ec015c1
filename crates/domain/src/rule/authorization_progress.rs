//! The progress of an authorization request, as the pages show it to the customer who started it.

use crate::model::authorization_request::{AuthorizationRequest, RequestStatus};
use crate::model::client::{Client, ClientState};
use crate::model::connection::{Connection, ConnectionState, EndCause};
use crate::time::Timestamp;

use super::authorization_failure::is_denial;

/// The progress of an authorization request. Each value has a page of its own, which states what is true only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationProgress {
    /// The customer has not decided on the consent page yet.
    AwaitingConsent,
    /// The customer consented and was sent to the provider, which has not sent the browser back yet.
    AtProvider,
    /// The provider sent its code, which is being exchanged for tokens.
    Exchanging,
    /// The provider granted access, and the recipient has not redeemed its code yet.
    Confirmed,
    /// The recipient can read data.
    Shared,
    /// The connection has ended.
    Ended,
    /// A newer connection of the same customer has replaced the connection.
    Replaced,
    /// The recipient did not redeem its code in time, so it was never able to read data.
    NotRedeemed,
    /// The customer declined, at the hub or at the provider.
    Declined,
    /// The authorization failed for another reason.
    Failed,
    /// The customer did not complete the steps in time.
    Expired,
}

/// Determines the progress of a request. `client` is its recipient, `connection` the connection that it opened.
pub fn determine_progress(
    request: &AuthorizationRequest,
    client: &Client,
    connection: Option<&Connection>,
    now: Timestamp,
) -> AuthorizationProgress {
    match request.status {
        RequestStatus::AwaitingConsent | RequestStatus::AtProvider if now >= request.expires_at => {
            AuthorizationProgress::Expired
        }
        RequestStatus::AwaitingConsent => AuthorizationProgress::AwaitingConsent,
        RequestStatus::AtProvider => AuthorizationProgress::AtProvider,
        RequestStatus::Exchanging => AuthorizationProgress::Exchanging,
        RequestStatus::Failed if request.failure.as_ref().is_some_and(is_denial) => {
            AuthorizationProgress::Declined
        }
        RequestStatus::Failed => AuthorizationProgress::Failed,
        RequestStatus::Connected => connection
            .map_or(AuthorizationProgress::Ended, |connection| connection_progress(connection, client, now)),
    }
}

fn connection_progress(connection: &Connection, client: &Client, now: Timestamp) -> AuthorizationProgress {
    match &connection.state {
        ConnectionState::Ended(end) if end.cause == EndCause::NeverRedeemed => {
            AuthorizationProgress::NotRedeemed
        }
        ConnectionState::Ended(end) if end.cause == EndCause::Replaced => AuthorizationProgress::Replaced,
        ConnectionState::Ended(_) => AuthorizationProgress::Ended,
        // The connections of a removed recipient are ended later, but its tokens are rejected already.
        _ if client.state == ClientState::Closed => AuthorizationProgress::Ended,
        // The sweep, which ends such connections, runs some seconds later.
        ConnectionState::Pending { until } if now >= *until => AuthorizationProgress::NotRedeemed,
        ConnectionState::Active if now >= connection.expires_at => AuthorizationProgress::Ended,
        ConnectionState::Pending { .. } => AuthorizationProgress::Confirmed,
        ConnectionState::Active => AuthorizationProgress::Shared,
    }
}
