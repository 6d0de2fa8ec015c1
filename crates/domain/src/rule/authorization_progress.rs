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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::OAuthError;
    use crate::model::audit_event::Actor;
    use crate::model::authorization_request::tests::request;
    use crate::model::connection::EndDetails;
    use crate::model::connection::tests::connection;
    use crate::rule::authorization_failure::{FAILED, UNAVAILABLE};
    use crate::rule::authorize::ACCESS_DENIED;
    use crate::rule::authorize::tests::client;

    const CREATED: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const MOMENT: Duration = Duration::from_millis(1);

    fn progress_of_connection(
        state: ConnectionState,
        client: &Client,
        now: Timestamp,
    ) -> AuthorizationProgress {
        let connection = Connection { expires_at: CREATED.plus(MOMENT * 100), ..connection(state) };
        determine_progress(&request(RequestStatus::Connected, CREATED), client, Some(&connection), now)
    }

    #[test]
    fn open_request_expires_with_its_lifetime() {
        let end = request(RequestStatus::AtProvider, CREATED).expires_at;
        let progress = |status, now| determine_progress(&request(status, CREATED), &client(), None, now);

        for (status, before) in [
            (RequestStatus::AwaitingConsent, AuthorizationProgress::AwaitingConsent),
            (RequestStatus::AtProvider, AuthorizationProgress::AtProvider),
        ] {
            assert_eq!(progress(status, end.minus(MOMENT)), before);
            assert_eq!(progress(status, end), AuthorizationProgress::Expired, "{status}");
        }
        for now in [CREATED, end] {
            assert_eq!(progress(RequestStatus::Exchanging, now), AuthorizationProgress::Exchanging);
        }
    }

    #[test]
    fn failed_request_is_declined_only_by_customer() {
        let progress = |failure: Option<OAuthError>| {
            let request = AuthorizationRequest { failure, ..request(RequestStatus::Failed, CREATED) };
            determine_progress(&request, &client(), None, CREATED)
        };

        assert_eq!(progress(Some(ACCESS_DENIED)), AuthorizationProgress::Declined);
        for other in [Some(FAILED), Some(UNAVAILABLE), None] {
            assert_eq!(progress(other), AuthorizationProgress::Failed);
        }
    }

    #[test]
    fn pending_connection_is_confirmed_until_code_expires() {
        let until = CREATED.plus(MOMENT * 10);
        let progress = |now| progress_of_connection(ConnectionState::Pending { until }, &client(), now);

        assert_eq!(progress(until.minus(MOMENT)), AuthorizationProgress::Confirmed);
        assert_eq!(progress(until), AuthorizationProgress::NotRedeemed);
        // The code is never redeemed later, whatever the consent allows.
        assert_eq!(progress(until.plus(MOMENT * 200)), AuthorizationProgress::NotRedeemed);
    }

    #[test]
    fn active_connection_is_shared_until_consent_expires() {
        let end = CREATED.plus(MOMENT * 100);
        let progress = |now| progress_of_connection(ConnectionState::Active, &client(), now);

        assert_eq!(progress(end.minus(MOMENT)), AuthorizationProgress::Shared);
        assert_eq!(progress(end), AuthorizationProgress::Ended);
    }

    #[test]
    fn ended_connection_names_replacement_and_unused_code() {
        for cause in EndCause::ALL.iter().copied() {
            let expected = match cause {
                EndCause::NeverRedeemed => AuthorizationProgress::NotRedeemed,
                EndCause::Replaced => AuthorizationProgress::Replaced,
                _ => AuthorizationProgress::Ended,
            };
            let end = EndDetails { cause, actor: Actor::system("test"), at: CREATED };
            let progress = progress_of_connection(ConnectionState::Ended(end), &client(), CREATED);
            assert_eq!(progress, expected, "{cause}");
        }
        let without_connection =
            determine_progress(&request(RequestStatus::Connected, CREATED), &client(), None, CREATED);
        assert_eq!(without_connection, AuthorizationProgress::Ended);
    }

    #[test]
    fn connection_of_removed_recipient_is_shown_as_ended() {
        let pending = ConnectionState::Pending { until: CREATED.plus(MOMENT) };

        for live in [pending, ConnectionState::Active] {
            for (state, is_ended) in
                [(ClientState::Active, false), (ClientState::Suspended, false), (ClientState::Closed, true)]
            {
                let client = Client { state, ..client() };
                let progress = progress_of_connection(live.clone(), &client, CREATED);
                assert_eq!(progress == AuthorizationProgress::Ended, is_ended, "{live:?} {state}");
            }
        }
    }
}
