//! Clients and operator of a sandbox, created through the use cases that the hub's API calls.

use domain::Secret;
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::LocalizedText;
use store::command::SetMetadata;

use super::super::error::CliError;
use super::super::hub::{ACTOR, SANDBOX_METADATA_NAME, upsert_providers};
use super::providers::{SANDBOX_PROVIDERS, full_scope};
use crate::admin_api;
use crate::app::App;
use crate::context::RequestContext;
use crate::jobs;
use crate::partner_api::{
    NewPartner, NewRecipient, RegisterClientError, register_active_recipient, register_partner,
    replace_redirect_uris,
};

/// The credentials of a client of the hub.
#[derive(Clone, Debug)]
pub struct SandboxCredentials {
    /// The client id.
    pub client_id: &'static str,
    /// The client secret.
    pub client_secret: Secret<String>,
    /// The redirect URIs; a partner has none.
    pub redirect_uris: Vec<String>,
}

/// Derives a secret from the seed. The same seed and label give the same secret in every sandbox.
pub(super) fn derive_secret(seed: &str, label: &str) -> String {
    use base64::Engine;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, seed.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, label.as_bytes()))
}

/// Creates providers, clients and the operator, unless an earlier start did.
pub(super) async fn seed_hub(
    app: &App,
    [acme, yours]: &[SandboxCredentials; 2],
    partner: &SandboxCredentials,
    own: &Secret<String>,
) -> Result<(), CliError> {
    upsert_providers(app).await?;
    let ctx = jobs::new_job_context(app, ACTOR)?;
    let moment = ctx.new_moment()?;
    let mark = SetMetadata { moment, name: SANDBOX_METADATA_NAME, value: "yes".into() };
    ctx.run(mark).await?;
    let purpose = LocalizedText {
        en: "To show your spending and your balances in one place.".into(),
        fr: "Pour montrer vos dépenses et vos soldes en un seul endroit.".into(),
    };
    seed_recipient(&ctx, acme, "Acme Budget", purpose).await?;
    let purpose = LocalizedText {
        en: "To try out what your own app will do.".into(),
        fr: "Pour essayer ce que fera votre propre application.".into(),
    };
    seed_recipient(&ctx, yours, "Your App", purpose).await?;
    let credentials = (partner.client_id.to_owned(), partner.client_secret.clone());
    let new = NewPartner { credentials: Some(credentials), name: "Sandbox Partner".into() };
    ignore_already_registered(register_partner(&ctx, new, &sandbox_operator()).await)?;
    admin_api::operator::seed_sandbox_admin(&ctx, own, &sandbox_operator())
        .await
        .map_err(|e| CliError::Internal(e.into()))
}

async fn seed_recipient(
    ctx: &RequestContext,
    own: &SandboxCredentials,
    name: &str,
    purpose: LocalizedText,
) -> Result<(), CliError> {
    let new = NewRecipient {
        credentials: Some((own.client_id.to_owned(), own.client_secret.clone())),
        name: name.to_owned(),
        purpose,
        redirect_uris: own.redirect_uris.clone(),
        scope: full_scope(),
        providers: SANDBOX_PROVIDERS.iter().map(|party| party.provider_id).collect(),
        require_pkce: false,
        max_duration_days: Some(90),
    };
    if ignore_already_registered(register_active_recipient(ctx, new, &sandbox_operator()).await)? {
        return Ok(());
    }
    // Known from an earlier start: the ports, and so the places of answers, may be others now.
    let replaced =
        replace_redirect_uris(ctx, own.client_id, own.redirect_uris.clone(), &sandbox_operator()).await;
    replaced.map_err(|error| match error {
        RegisterClientError::Invalid(_) => CliError::Usage(error.to_string()),
        error => CliError::Internal(error.into()),
    })
}

/// Returns whether the client was registered now.
fn ignore_already_registered<T>(registered: Result<T, RegisterClientError>) -> Result<bool, CliError> {
    match registered {
        Ok(_) => Ok(true),
        Err(RegisterClientError::IdTaken) => Ok(false),
        Err(error @ RegisterClientError::Invalid(_)) => Err(CliError::Usage(error.to_string())),
        Err(error) => Err(CliError::Internal(error.into())),
    }
}

fn sandbox_operator() -> Actor {
    Actor::new(ActorKind::Operator, "sandbox")
}
