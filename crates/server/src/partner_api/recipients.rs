//! Creates, lists, reads, changes and removes the recipients of a partner.

use domain::model::client::{ClientProfile, ClientState, Recipient};
use domain::rule::validation::{ValidationError, validate_contacts};
use domain::{DataCluster, Secret, id::ClientId};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use store::command::{ClientSelector, RemoveClientOutcome};
use store::query::{GetRecipient, ListRecipients};

use super::access::AuthenticatedPartner;
use super::array_page::{ArrayPage, ArrayPageRequest};
use super::error::{NO_RECIPIENT, PartnerApiError};
use crate::context::RequestContext;
use crate::paging::ListQuery;
use crate::recipients::{self, RecipientDraft, redirect_uris_schema};
use crate::request::{RequestBody, SpaceDelimitedList, read_as};

/// The request of a partner to create a data recipient. Unknown members are ignored, as in the API of Flinks.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreateDataRecipientRequest {
    /// The name, exactly as customers see it.
    #[schemars(length(min = 1, max = 256))]
    name: String,
    /// The data clusters that the recipient may request.
    #[schemars(schema_with = "scope_schema")]
    scope: SpaceDelimitedList,
    /// The redirect URIs: HTTPS without a fragment; in a sandbox also HTTP on loopback.
    #[schemars(schema_with = "redirect_uris_or_string_schema")]
    redirect_uris: SpaceDelimitedList,
    /// The description, which customers see as the purpose of reading data.
    #[schemars(length(max = 512))]
    description: Option<String>,
    #[schemars(extend("enum" = ["CA", "US", "", null]))]
    country: Option<String>,
    /// The URL of the recipient's logo.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    logo_uri: Option<String>,
    /// The URL of the recipient's terms of service.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    terms_uri: Option<String>,
    /// The URL of the recipient's website.
    #[schemars(regex(pattern = "^(https://.*)?$"), length(max = 2000))]
    client_uri: Option<String>,
    #[schemars(length(max = 20))]
    contacts: Option<ContactList>,
}

impl RequestBody for CreateDataRecipientRequest {}

impl CreateDataRecipientRequest {
    /// Validates the contacts and returns a draft, whose other fields [`recipients::create_recipient`] validates.
    fn validate(self, partner: ClientId) -> Result<RecipientDraft, ValidationError> {
        let contacts = self.contacts.map(|list| list.0).unwrap_or_default();
        let contacts: Vec<_> = contacts.into_iter().map(|contact| contact.email).collect();
        // Only in this API is a contact an object. It is validated here, so that the error can name its member `email`.
        validate_contacts("contacts", ".email", &contacts)?;
        Ok(RecipientDraft {
            name: self.name,
            purpose: None,
            scope: self.scope.0.join(" "),
            redirect_uris: self.redirect_uris.0,
            profile: ClientProfile {
                description: self.description,
                country: self.country,
                logo_uri: self.logo_uri,
                terms_uri: self.terms_uri,
                client_uri: self.client_uri,
                contacts,
            },
            partner: Some(partner),
            ..RecipientDraft::default()
        })
    }
}

/// The contact persons of a recipient: a list of objects with an e-mail address.
#[derive(Debug, JsonSchema)]
#[schemars(transparent)]
struct ContactList(Vec<ContactRequest>);

impl<'de> Deserialize<'de> for ContactList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_as(deserializer, "an array of objects with email").map(Self)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ContactRequest {
    #[schemars(extend("format" = "email"))]
    email: String,
}

/// The request to replace the redirect URIs of a data recipient. Other members cannot be changed and are ignored.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct UpdateDataRecipientRequest {
    /// The redirect URIs: HTTPS without a fragment; in a sandbox also HTTP on loopback.
    #[schemars(schema_with = "redirect_uris_or_string_schema")]
    redirect_uris: SpaceDelimitedList,
}

impl RequestBody for UpdateDataRecipientRequest {}

fn scope_schema(_: &mut SchemaGenerator) -> Schema {
    let clusters: Vec<_> = DataCluster::ALL.iter().map(|cluster| cluster.as_str()).collect();
    let any = clusters.join("|");
    json_schema!({"oneOf": [
        {"type": "string", "pattern": format!("^ *(({any}) +)*ACCOUNT_BASIC( +({any}))* *$")},
        {"type": "array", "items": {"type": "string", "enum": clusters}, "contains": {"const": "ACCOUNT_BASIC"}},
    ]})
}

fn redirect_uris_or_string_schema(generator: &mut SchemaGenerator) -> Schema {
    let list = redirect_uris_schema(generator);
    json_schema!({"oneOf": [list.get("items"), list]})
}

/// Creates a recipient, and returns it with its secret, which cannot be read again.
pub(super) async fn create(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    request: CreateDataRecipientRequest,
) -> Result<(Recipient, Secret<String>), PartnerApiError> {
    let draft = request.validate(partner.id().clone())?;
    Ok(recipients::create_recipient(ctx, draft, None, &partner.actor()).await?)
}

/// Returns a recipient that the partner manages, unless it was removed. It may be suspended.
pub(super) async fn find_active(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<Recipient, PartnerApiError> {
    let recipient = find(ctx, partner, client_id).await?;
    if recipient.client.state == ClientState::Closed { Err(NO_RECIPIENT) } else { Ok(recipient) }
}

/// Returns a recipient that the partner manages, even if it was removed.
pub(super) async fn find(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<Recipient, PartnerApiError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    ctx.ask(&GetRecipient { partner: partner.id().clone(), client_id }).await?.ok_or(NO_RECIPIENT)
}

/// Lists the recipients that the partner manages, the oldest first. `path` is the URL path of the list.
pub(super) async fn list(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    path: &str,
    query: &ListQuery,
) -> Result<ArrayPage<Recipient>, PartnerApiError> {
    let page = ArrayPageRequest::parse(ctx, partner.id().as_str(), path, query)?;
    let after = page.after.as_deref().and_then(|id| ClientId::parse(id).ok());
    let list = ListRecipients { partner: partner.id().clone(), after, limit: page.row_limit() };
    page.build_page(ctx, ctx.ask(&list).await?, |recipient| recipient.client.id.to_string())
}

/// Replaces the redirect URIs of a recipient that the partner manages, and returns the updated recipient.
pub(super) async fn update(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    request: UpdateDataRecipientRequest,
) -> Result<Recipient, PartnerApiError> {
    let id = find_active(ctx, partner, client_id).await?.client.id;
    let selector = ClientSelector::for_partner(partner.id().clone(), id);
    if recipients::replace_redirect_uris(ctx, selector, request.redirect_uris.0, partner.actor()).await? {
        find_active(ctx, partner, client_id).await
    } else {
        Err(NO_RECIPIENT)
    }
}

/// Replaces the secret of a recipient that the partner manages. The previous secret and the tokens of the client itself
/// become invalid, but its connections stay active.
pub(super) async fn rotate_secret(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<(ClientId, Secret<String>), PartnerApiError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    let selector = ClientSelector::for_partner(partner.id().clone(), client_id.clone());
    let secret = recipients::rotate_secret(ctx, selector, partner.actor()).await?.ok_or(NO_RECIPIENT)?;
    Ok((client_id, secret))
}

/// Removes a recipient that the partner manages. Its connections end in the background. Removing it again has no
/// effect.
pub(super) async fn remove(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
) -> Result<(), PartnerApiError> {
    let client_id = ClientId::parse(client_id).map_err(|_| NO_RECIPIENT)?;
    let selector = ClientSelector::for_partner(partner.id().clone(), client_id);
    match recipients::remove_client(ctx, selector, partner.actor()).await? {
        RemoveClientOutcome::Removed | RemoveClientOutcome::AlreadyRemoved => Ok(()),
        RemoveClientOutcome::NotFound => Err(NO_RECIPIENT),
    }
}
