//! Lists and reads providers: the catalogue for partners, and the providers that a recipient may use.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderState};
use domain::model::registration::RegistrationState;
use domain::rule::validation::ValidationError;
use store::query::{GetProvider, ListProviders, ListRecipientProviders, ListRecipientRegistrations};

use super::access::{AuthenticatedClientKind, AuthenticatedRecipient};
use super::error::PartnerApiError;
use crate::context::RequestContext;
use crate::paging::ListQuery;

const NO_PROVIDER: PartnerApiError = PartnerApiError::NotFound("provider_id names no provider of this hub");

/// Lists the providers that a client may see: for a partner all of them, for a recipient those with which it has an
/// active registration. Retired providers are left out.
pub(super) async fn list_visible(
    ctx: &RequestContext,
    client: &AuthenticatedClientKind,
) -> Result<Vec<Provider>, PartnerApiError> {
    match client {
        AuthenticatedClientKind::Recipient(recipient) => list_active(ctx, recipient).await,
        AuthenticatedClientKind::Partner(_) => list_all(ctx).await,
    }
}

/// Lists the providers with which a recipient has an active registration, without retired ones.
pub(super) async fn list_active(
    ctx: &RequestContext,
    recipient: &AuthenticatedRecipient,
) -> Result<Vec<Provider>, PartnerApiError> {
    let mut providers = ctx.ask(&ListRecipientProviders { client_id: recipient.id().clone() }).await?;
    providers.retain(|p| p.state != ProviderState::Retired);
    Ok(providers)
}

async fn list_all(ctx: &RequestContext) -> Result<Vec<Provider>, PartnerApiError> {
    let mut providers = ctx.ask(&ListProviders).await?.rows;
    providers.retain(|p| p.state != ProviderState::Retired);
    Ok(providers)
}

/// Returns one provider, even if it is retired.
pub(super) async fn find(ctx: &RequestContext, id: &str) -> Result<Provider, PartnerApiError> {
    let id = ProviderId::parse(id).ok_or(NO_PROVIDER)?;
    ctx.ask(&GetProvider { id }).await?.ok_or(NO_PROVIDER)
}

/// Returns the text with which version 2 of the API shows the state of a registration.
pub(super) const fn v2_status(state: Option<RegistrationState>) -> &'static str {
    match state {
        // A rejected registration may be requested again.
        None | Some(RegistrationState::Rejected) => "Available",
        Some(RegistrationState::PendingApproval | RegistrationState::PendingActivation) => {
            "PendingActivation"
        }
        Some(RegistrationState::Active) => "Activated",
        Some(RegistrationState::Suspended) => "Suspended",
    }
}

/// The query parameters `country` and `isEnabledForClient` of the provider list in version 2 of the API.
struct ProviderFilter {
    countries: Vec<String>,
    enabled: Option<bool>,
}

impl ProviderFilter {
    fn parse(query: &ListQuery) -> Result<Self, PartnerApiError> {
        let country = query.get("country", "country is given twice")?.unwrap_or_default();
        let countries: Vec<String> =
            country.split(',').map(str::to_owned).filter(|c| !c.is_empty()).collect();
        if countries.iter().any(|c| !matches!(c.as_str(), "CA" | "US")) {
            return Err(ValidationError::new("country", "must be CA, US or CA,US").into());
        }
        let enabled =
            query.get("isEnabledForClient", "isEnabledForClient is given twice")?.unwrap_or_default();
        let enabled = match enabled.to_ascii_uppercase().as_str() {
            "" => None,
            "TRUE" => Some(true),
            "FALSE" => Some(false),
            _ => return Err(ValidationError::new("isEnabledForClient", "must be TRUE or FALSE").into()),
        };
        Ok(Self { countries, enabled })
    }
}

/// Lists the providers that match the query, each with the state of the caller's registration. For a partner, which has
/// no registrations, this is always `Available`.
pub(super) async fn list_v2(
    ctx: &RequestContext,
    client: &AuthenticatedClientKind,
    query: &ListQuery,
) -> Result<Vec<(Provider, &'static str)>, PartnerApiError> {
    let filter = ProviderFilter::parse(query)?;
    let registrations = match client {
        AuthenticatedClientKind::Recipient(recipient) => {
            ctx.ask(&ListRecipientRegistrations { client_id: recipient.id().clone() }).await?
        }
        AuthenticatedClientKind::Partner(_) => Vec::new(),
    };
    let with_status = |provider: Provider| {
        let state = registrations.iter().find(|r| r.provider_id == provider.id).map(|r| r.state);
        (provider, v2_status(state))
    };
    let mut providers: Vec<_> = list_all(ctx).await?.into_iter().map(with_status).collect();
    providers.retain(|(provider, status)| {
        let country_matches =
            filter.countries.is_empty() || filter.countries.contains(&provider.settings.country);
        country_matches && filter.enabled.is_none_or(|enabled| enabled == (*status == "Activated"))
    });
    Ok(providers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_provider_filter_accepts_documented_values_only() {
        let parse = |raw: &str| {
            ProviderFilter::parse(&ListQuery::parse(Some(raw)))
                .map(|filter| (filter.countries.len(), filter.enabled))
                .ok()
        };
        assert_eq!(parse(""), Some((0, None)));
        assert_eq!(parse("country=&isEnabledForClient="), Some((0, None)));
        assert_eq!(parse("country=CA&isEnabledForClient=TRUE"), Some((1, Some(true))));
        assert_eq!(parse("country=CA,US&isEnabledForClient=false&colour=red"), Some((2, Some(false))));
        for bad in
            ["country=ca", "country=FR", "country=CA&country=US", "isEnabledForClient=1", "country=CA US"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
