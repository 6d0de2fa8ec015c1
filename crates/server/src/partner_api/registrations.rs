//! Requests, lists and reads the registrations of a partner's recipients with providers.

use domain::id::{ClientId, ProviderId};
use domain::model::registration::RegistrationState;
use domain::rule::validation::ValidationError;
use store::command::{PairRejection, RejectedPair};
use store::query::{GetRegistrationSummary, ListPartnerRegistrations, NamedRegistration};

use super::access::AuthenticatedPartner;
use super::array_page::{ArrayPage, ArrayPageRequest};
use super::error::PartnerApiError;
use super::recipients::find_active;
use crate::context::RequestContext;
use crate::paging::ListQuery;
use crate::recipients::{self, MAX_PAIRS, ensure_pair_limit};
use crate::request::DUPLICATE_FIELD;

const NO_REGISTRATION: PartnerApiError =
    PartnerApiError::NotFound("This data recipient has no registration with the provider");

/// Requests the registration of each recipient with each provider, all-or-nothing. Both lists of ids are
/// comma-separated. Returns the requested registrations.
pub(super) async fn request(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    recipient_ids: &str,
    provider_ids: &str,
) -> Result<Vec<NamedRegistration>, PartnerApiError> {
    let parse_client_id = |text: &str| ClientId::parse(text).ok();
    let clients = parse_list("recipient_ids", "an id of a data recipient", recipient_ids, parse_client_id)?;
    let providers = parse_list("provider_ids", "a positive integer", provider_ids, ProviderId::parse)?;
    ensure_pair_limit("recipient_ids", clients.len(), providers.len())?;
    let (owner, pairs) = (Some(partner.id().clone()), (clients.clone(), providers.clone()));
    let outcome = recipients::request_registrations(ctx, owner, pairs, partner.actor()).await?;
    outcome.map_err(PartnerApiError::Pairs)?;
    let mut registrations = Vec::new();
    for client_id in clients {
        registrations.extend(list_of_recipient(ctx, partner, client_id).await?);
    }
    registrations.retain(|r| providers.contains(&r.registration.provider_id));
    Ok(registrations)
}

/// Parses a comma-separated list. An invalid or duplicate item, or a list of more than `MAX_PAIRS` items, is an error.
fn parse_list<T: PartialEq>(
    field: &str,
    expected: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, ValidationError> {
    let mut items = Vec::new();
    for (index, item) in text.split(',').enumerate() {
        // The limit is checked inside the loop, because the search for duplicates takes quadratic time.
        if index == MAX_PAIRS {
            return Err(ValidationError::new(field, format_args!("must be at most {MAX_PAIRS} items")));
        }
        let item = parse(item).ok_or_else(|| {
            ValidationError::new(format!("{field}[{index}]"), format_args!("must be {expected}"))
        })?;
        if items.contains(&item) {
            return Err(ValidationError::new(format!("{field}[{index}]"), DUPLICATE_FIELD));
        }
        items.push(item);
    }
    Ok(items)
}

/// Lists the registrations of all recipients that the partner manages. `path` is the URL path of the list.
pub(super) async fn list_all(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    path: &str,
    query: &ListQuery,
) -> Result<ArrayPage<NamedRegistration>, PartnerApiError> {
    list_page(ctx, partner, None, path, query).await
}

/// Lists the registrations of one recipient that the partner manages.
pub(super) async fn list_for_recipient(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    query: &ListQuery,
) -> Result<ArrayPage<NamedRegistration>, PartnerApiError> {
    let client_id = find_active(ctx, partner, client_id).await?.client.id;
    let path = format!("/api/v1/recipients/{client_id}/providers/requests");
    list_page(ctx, partner, Some(client_id), &path, query).await
}

async fn list_page(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: Option<ClientId>,
    path: &str,
    query: &ListQuery,
) -> Result<ArrayPage<NamedRegistration>, PartnerApiError> {
    let page = ArrayPageRequest::parse(ctx, partner.id().as_str(), path, query)?;
    let after = page.after.as_deref().and_then(parse_sort_key);
    let limit = page.row_limit();
    let list = ListPartnerRegistrations { partner: partner.id().clone(), client_id, after, limit };
    page.build_page(ctx, ctx.ask(&list).await?, |named| {
        let registration = &named.registration;
        format!("{} {}", registration.client_id, registration.provider_id)
    })
}

/// Parses the recipient and the provider of the last registration of a page, separated by a space.
fn parse_sort_key(text: &str) -> Option<(ClientId, ProviderId)> {
    let (client_id, provider_id) = text.split_once(' ')?;
    Some((ClientId::parse(client_id).ok()?, ProviderId::parse(provider_id)?))
}

/// Lists all registrations of one recipient, of which there are at most as many as providers.
async fn list_of_recipient(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: ClientId,
) -> Result<Vec<NamedRegistration>, PartnerApiError> {
    const ALL: u32 = 10_000;
    let (partner, client_id) = (partner.id().clone(), Some(client_id));
    Ok(ctx.ask(&ListPartnerRegistrations { partner, client_id, after: None, limit: ALL }).await?.rows)
}

/// Returns the registration of one recipient with one provider.
pub(super) async fn find(
    ctx: &RequestContext,
    partner: &AuthenticatedPartner,
    client_id: &str,
    provider_id: &str,
) -> Result<NamedRegistration, PartnerApiError> {
    let client_id = find_active(ctx, partner, client_id).await?.client.id;
    // A malformed id matches no registration, so it gets the same error as an unknown one.
    let provider_id = ProviderId::parse(provider_id).ok_or(NO_REGISTRATION)?;
    let found = ctx.ask(&GetRegistrationSummary { client_id, provider_id }).await?;
    found.map(|summary| summary.named_registration).ok_or(NO_REGISTRATION)
}

/// Returns the text with which version 1 of the API shows the state of a registration: its name in upper case.
pub(super) fn v1_status(state: RegistrationState) -> String {
    state.as_str().to_uppercase()
}

/// Returns the message, for developers, of the reason why a pair of recipient and provider was rejected.
pub(super) fn rejection_message(pair: &RejectedPair) -> String {
    match pair.reason {
        PairRejection::RecipientNotFound => "client_id names no data recipient of this partner".into(),
        PairRejection::ProviderNotAvailable => "provider_id names no provider of this hub".into(),
        PairRejection::Duplicate(state) => {
            format!("This registration was requested before and is {}", v1_status(state))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_separated_list_is_parsed_and_duplicates_rejected() {
        let parse = |text: &str| {
            parse_list("provider_ids", "a positive integer", text, ProviderId::parse)
                .map_err(|e| e.to_string())
        };
        assert_eq!(parse("1000"), Ok(vec![ProviderId::new(1000)]));
        assert_eq!(parse("1000,2000"), Ok(vec![ProviderId::new(1000), ProviderId::new(2000)]));

        let error_message = |text: &str| parse(text).unwrap_err();
        assert_eq!(error_message(""), "provider_ids[0] must be a positive integer");
        assert_eq!(error_message("1000,"), "provider_ids[1] must be a positive integer");
        assert_eq!(error_message("1000, 2000"), "provider_ids[1] must be a positive integer");
        assert_eq!(error_message("1,2,1"), "provider_ids[2] is given twice");
        let many = (1..=1001).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(error_message(&many), "provider_ids must be at most 1000 items");
    }
}
