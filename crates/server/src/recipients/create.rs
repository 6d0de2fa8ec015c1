//! Creates recipients and partners, and generates their credentials.

use domain::id::ClientId;
use domain::model::audit_event::{Actor, AuditHead};
use domain::model::client::{
    Client, ClientKind, ClientProfile, ClientState, LocalizedText, Profile, Recipient,
};
use domain::rule::validation::{MAX_NAME_CHARS, ValidationError, validate_text};
use domain::{Clusters, Secret};
use store::command::{RegisterClient, RegisterClientOutcome};

use super::draft::{RecipientDraft, loopback_policy};
use crate::context::RequestContext;
use crate::error::InternalError;

/// The credentials of a new client. The store keeps only a hash of the secret.
#[derive(Clone, Debug)]
pub struct NewClientCredentials {
    pub client_id: ClientId,
    pub client_secret: Secret<String>,
}

/// The message for a partner that has the maximum number of recipients.
pub const TOO_MANY_RECIPIENTS: &str =
    "The partner has the maximum number of data recipients: remove one first";

/// The reason why a recipient or partner was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum RecipientError {
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// A client with the requested id exists already.
    #[error("client_id: a client with this id exists already")]
    IdTaken,
    /// The partner has the maximum number of recipients (`limit.partner_recipients`).
    #[error("{TOO_MANY_RECIPIENTS}")]
    TooManyRecipients,
    #[error(transparent)]
    Internal(InternalError),
}

impl<E: Into<InternalError>> From<E> for RecipientError {
    fn from(error: E) -> Self {
        Self::Internal(error.into())
    }
}

/// Creates a recipient that is not registered with any provider. Returns it with its secret, which cannot be read
/// again.
///
/// `credentials` are passed only if they must be known in advance, as in a sandbox. Otherwise they are generated.
pub async fn create_recipient(
    ctx: &RequestContext,
    draft: RecipientDraft,
    credentials: Option<NewClientCredentials>,
    actor: &Actor,
) -> Result<(Recipient, Secret<String>), RecipientError> {
    let scope = draft.validate(loopback_policy(ctx))?;
    let purpose = draft.purpose_or_default();
    let credentials = credentials.map_or_else(|| generate_credentials(ctx), Ok)?;
    let client = Client {
        owner_id: draft.partner,
        purpose,
        scope,
        redirect_uris: draft.redirect_uris,
        require_pkce: draft.require_pkce,
        max_duration_days: draft.max_duration_days,
        ..new_client(ctx, ClientKind::Recipient, draft.name, &credentials)
    };
    let recipient = Recipient { client, client_profile: draft.profile };
    store_client(ctx, recipient.clone(), actor).await?;
    Ok((recipient, credentials.client_secret))
}

/// Creates a partner: a client that manages recipients and never receives data itself.
///
/// `credentials` are passed only if they must be known in advance, as in a sandbox. Otherwise they are generated.
pub async fn create_partner(
    ctx: &RequestContext,
    name: String,
    credentials: Option<NewClientCredentials>,
    actor: &Actor,
) -> Result<NewClientCredentials, RecipientError> {
    validate_text("name", &name, MAX_NAME_CHARS)?;
    let credentials = credentials.map_or_else(|| generate_credentials(ctx), Ok)?;
    let client = new_client(ctx, ClientKind::Partner, name, &credentials);
    store_client(ctx, Recipient { client, client_profile: ClientProfile::default() }, actor).await?;
    Ok(credentials)
}

fn generate_credentials(ctx: &RequestContext) -> Result<NewClientCredentials, InternalError> {
    Ok(NewClientCredentials { client_id: ctx.new_id_source()?.mint(), client_secret: ctx.random_secret()? })
}

/// Returns an active client without scope, redirect URIs and purpose.
fn new_client(
    ctx: &RequestContext,
    kind: ClientKind,
    name: String,
    credentials: &NewClientCredentials,
) -> Client {
    Client {
        id: credentials.client_id.clone(),
        kind,
        owner_id: None,
        // Only this profile is implemented. The access check rejects clients with the other profile.
        profile: Profile::Flinks,
        state: ClientState::Active,
        name,
        purpose: LocalizedText::default(),
        scope: Clusters::NONE,
        redirect_uris: Vec::new(),
        // Only a hash is stored, so that a copy of the store is not sufficient to authenticate as the client.
        secret_hash: ctx.app().vault().hash(credentials.client_secret.expose()),
        credential_generation: 1,
        require_pkce: false,
        max_duration_days: None,
        audit: AuditHead::default(),
    }
}

async fn store_client(
    ctx: &RequestContext,
    Recipient { client, client_profile }: Recipient,
    actor: &Actor,
) -> Result<(), RecipientError> {
    let max = ctx.app().config().limit.partner_recipients;
    let command = RegisterClient {
        moment: ctx.new_moment()?,
        client,
        client_profile,
        max_partner_recipients: (max > 0).then_some(max),
        actor: actor.clone(),
    };
    match ctx.run(command).await? {
        RegisterClientOutcome::Registered => Ok(()),
        RegisterClientOutcome::IdTaken => Err(RecipientError::IdTaken),
        RegisterClientOutcome::TooManyRecipients => Err(RecipientError::TooManyRecipients),
    }
}
