//! Redirects to recipients: the response to an authorization request.

use domain::error::OAuthError;
use domain::model::authorization_request::AuthorizationRequest;
use domain::model::client::Client;
use domain::rule::authorize::VerifiedRedirect;
use store::query::ListRecipientProviders;

use crate::context::RequestContext;
use crate::error::InternalError;

/// Returns whether browsers may be redirected to a recipient: it needs an active registration with some provider.
///
/// Without this rule the hub would be an open redirector (RFC 9700 §4.11.2): anyone who can submit a recipient for
/// registration could use the hub's name for links to any site.
pub async fn may_redirect(ctx: &RequestContext, client: &Client) -> Result<bool, InternalError> {
    Ok(!ctx.ask(&ListRecipientProviders { client_id: client.id.clone() }).await?.is_empty())
}

/// Builds the redirect to the recipient with a code or an error. Returns `None` if the recipient no longer has the
/// redirect URI.
pub(super) fn build_client_redirect(
    client: &Client,
    request: &AuthorizationRequest,
    result: Result<&str, &OAuthError>,
) -> Option<String> {
    let redirect = VerifiedRedirect::verify(client, &request.redirect_uri)?;
    Some(build_redirect_url(&redirect, request.client_state.as_deref(), result))
}

/// Builds a redirect URI with a code (RFC 6749 §4.1.2) or an error (RFC 6749 §4.1.2.1).
pub fn build_redirect_url(
    redirect: &VerifiedRedirect,
    state: Option<&str>,
    result: Result<&str, &OAuthError>,
) -> String {
    let mut params = match result {
        Ok(code) => vec![("code", code)],
        Err(error) => vec![("error", error.code.as_str()), ("error_description", &*error.description)],
    };
    params.extend(state.map(|state| ("state", state)));
    redirect.with_params(&params)
}
