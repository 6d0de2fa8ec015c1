//! Clients and operator of a sandbox, created through the use cases that the hub's API calls.

use domain::Secret;
use domain::id::{ClientId, ProviderId};
use domain::model::audit_event::{Actor, ActorKind};
use domain::model::client::{ClientKind, LocalizedText};
use store::command::ClientSelector;

use super::super::error::CliError;
use super::super::hub::{ACTOR, upsert_providers};
use super::providers::{SANDBOX_PROVIDERS, full_scope};
use crate::admin_api;
use crate::app::App;
use crate::context::RequestContext;
use crate::jobs;
use crate::recipients::{self, NewClientCredentials, RecipientDraft, RecipientError};

/// The credentials of a client of the hub.
#[derive(Clone, Debug)]
pub struct SandboxCredentials {
    pub client_id: &'static str,
    pub client_secret: Secret<String>,
    /// The redirect URIs; a partner has none.
    pub redirect_uris: Vec<String>,
}

impl SandboxCredentials {
    fn to_client_credentials(&self) -> Result<NewClientCredentials, CliError> {
        let client_id = ClientId::parse(self.client_id).map_err(|e| CliError::Internal(e.into()))?;
        Ok(NewClientCredentials { client_id, client_secret: self.client_secret.clone() })
    }
}

/// Creates the providers, clients and operator of the sandbox. Those that an earlier start created are kept.
pub(super) async fn seed_hub(
    app: &App,
    [acme, yours]: &[SandboxCredentials; 2],
    partner: &SandboxCredentials,
    own: &Secret<String>,
) -> Result<(), CliError> {
    upsert_providers(app, &app.config().provider).await?;
    let ctx = jobs::new_job_context(app, ACTOR)?;
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
    let credentials = Some(partner.to_client_credentials()?);
    let created =
        recipients::create_partner(&ctx, "Sandbox Partner".into(), credentials, &sandbox_operator()).await;
    ignore_already_created(created)?;
    admin_api::operators::seed_sandbox_admin(&ctx, own, &sandbox_operator())
        .await
        .map_err(|e| CliError::Internal(e.into()))
}

async fn seed_recipient(
    ctx: &RequestContext,
    own: &SandboxCredentials,
    name: &str,
    purpose: LocalizedText,
) -> Result<(), CliError> {
    let credentials = own.to_client_credentials()?;
    let client_id = credentials.client_id.clone();
    let draft = RecipientDraft {
        name: name.to_owned(),
        purpose: Some(purpose),
        redirect_uris: own.redirect_uris.clone(),
        scope: full_scope(),
        max_duration_days: Some(90),
        ..RecipientDraft::default()
    };
    let created = recipients::create_recipient(ctx, draft, Some(credentials), &sandbox_operator()).await;
    if ignore_already_created(created)? {
        let providers = SANDBOX_PROVIDERS.map(|provider| ProviderId::new(provider.provider_id));
        let actor = sandbox_operator();
        let activated = recipients::activate_with_providers(ctx, &client_id, &providers, &actor).await;
        return activated.map_err(|e| CliError::Internal(e.into()));
    }
    // An earlier start created the recipient, and its redirect URIs may contain other ports than those of this start.
    let selector = ClientSelector::for_kind(ClientKind::Recipient, client_id);
    let uris = own.redirect_uris.clone();
    let replaced = recipients::replace_redirect_uris(ctx, selector, uris, sandbox_operator()).await;
    replaced.map(drop).map_err(map_recipient_error)
}

/// Returns `true` if the client was created, and `false` if an earlier start created it.
fn ignore_already_created<T>(result: Result<T, RecipientError>) -> Result<bool, CliError> {
    match result {
        Ok(_) => Ok(true),
        Err(RecipientError::IdTaken) => Ok(false),
        Err(error) => Err(map_recipient_error(error)),
    }
}

fn map_recipient_error(error: RecipientError) -> CliError {
    match error {
        // The redirect URIs come from the command line.
        RecipientError::Invalid(_) => CliError::Usage(error.to_string()),
        RecipientError::IdTaken | RecipientError::TooManyRecipients | RecipientError::Internal(_) => {
            CliError::Internal(error.into())
        }
    }
}

fn sandbox_operator() -> Actor {
    Actor::new(ActorKind::Operator, "sandbox")
}
