//! Providers: what a recipient may use, what there is, and what each delivers.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderState};
use domain::model::registration::RegistrationState;
use domain::rule::validation::ValidationError;
use store::query::{GetProvider, ListProviders, ListRecipientProviders, ListRecipientRegistrations};

use super::access::{AuthenticatedClientKind, AuthenticatedRecipient};
use super::error::ManageError;
use crate::context::RequestContext;
use crate::paging::ListQuery;

const NO_PROVIDER: ManageError = ManageError::NotFound("provider_id names no provider of this hub");

/// A recipient's own providers, or every provider for a partner.
pub(super) async fn list_visible_providers(
    ctx: &RequestContext,
    party: &AuthenticatedClientKind,
) -> Result<Vec<Provider>, ManageError> {
    match party {
        AuthenticatedClientKind::Recipient(own) => list_active_providers(ctx, own).await,
        AuthenticatedClientKind::Partner(_) => list_all_providers(ctx).await,
    }
}

/// The providers that a recipient has an active registration with.
pub(super) async fn list_active_providers(
    ctx: &RequestContext,
    own: &AuthenticatedRecipient,
) -> Result<Vec<Provider>, ManageError> {
    let mut providers = ctx.ask(&ListRecipientProviders { client_id: own.id().clone() }).await?;
    providers.retain(|p| p.state != ProviderState::Retired);
    Ok(providers)
}

async fn list_all_providers(ctx: &RequestContext) -> Result<Vec<Provider>, ManageError> {
    let mut providers = ctx.ask(&ListProviders).await?;
    providers.retain(|p| p.state != ProviderState::Retired);
    Ok(providers)
}

/// One provider.
pub(super) async fn find_provider(ctx: &RequestContext, id: &str) -> Result<Provider, ManageError> {
    let id = ProviderId::parse(id).ok_or(NO_PROVIDER)?;
    ctx.ask(&GetProvider { id }).await?.ok_or(NO_PROVIDER)
}

/// The words of the second version for where a registration stands.
pub(super) const fn v2_status(state: Option<RegistrationState>) -> &'static str {
    match state {
        None | Some(RegistrationState::Rejected) => "Available",
        Some(RegistrationState::PendingApproval | RegistrationState::PendingActivation) => {
            "PendingActivation"
        }
        Some(RegistrationState::Active) => "Activated",
        Some(RegistrationState::Suspended) => "Suspended",
    }
}

/// Which providers of the second version's list are wanted.
struct ProviderFilter {
    countries: Vec<String>,
    enabled: Option<bool>,
}

impl ProviderFilter {
    fn parse(query: &ListQuery) -> Result<Self, ManageError> {
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

/// Every provider with where the caller's registration stands; a partner has none of its own.
pub(super) async fn list_providers_v2(
    ctx: &RequestContext,
    party: &AuthenticatedClientKind,
    query: &ListQuery,
) -> Result<Vec<(Provider, &'static str)>, ManageError> {
    let filter = ProviderFilter::parse(query)?;
    let registrations = match party {
        AuthenticatedClientKind::Recipient(own) => {
            ctx.ask(&ListRecipientRegistrations { client_id: own.id().clone() }).await?
        }
        AuthenticatedClientKind::Partner(_) => Vec::new(),
    };
    let with_status = |provider: Provider| {
        let own = registrations.iter().find(|r| r.provider_id == provider.id).map(|r| r.state);
        (provider, v2_status(own))
    };
    let mut all: Vec<_> = list_all_providers(ctx).await?.into_iter().map(with_status).collect();
    all.retain(|(provider, status)| {
        let country_matches =
            filter.countries.is_empty() || filter.countries.contains(&provider.settings.country);
        country_matches && filter.enabled.is_none_or(|enabled| enabled == (*status == "Activated"))
    });
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_filter_parses_or_rejects_v2_parameters() {
        let read = |raw: &str| {
            ProviderFilter::parse(&ListQuery::parse(Some(raw))).map(|w| (w.countries.len(), w.enabled)).ok()
        };
        assert_eq!(read(""), Some((0, None)));
        assert_eq!(read("country=&isEnabledForClient="), Some((0, None)));
        assert_eq!(read("country=CA&isEnabledForClient=TRUE"), Some((1, Some(true))));
        assert_eq!(read("country=CA,US&isEnabledForClient=false&colour=red"), Some((2, Some(false))));
        for bad in
            ["country=ca", "country=FR", "country=CA&country=US", "isEnabledForClient=1", "country=CA US"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
