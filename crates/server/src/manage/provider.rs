//! Providers: what a recipient may use, what there is, and what each delivers.

use domain::id::ProviderId;
use domain::model::provider::{Provider, ProviderState};
use domain::model::registration::RegistrationState;
use domain::rule::recipient::Invalid;
use store::query::{AllProviders, ProviderById, ProvidersOf, RegistrationsOf};

use super::access::{Own, Party};
use super::error::ManageError;
use crate::ctx::Ctx;
use crate::gateway::page::ListQuery;

const NO_PROVIDER: ManageError = ManageError::NotFound("provider_id names no provider of this hub");

/// A recipient's own providers, or every provider for a partner.
pub(super) async fn of(ctx: &Ctx, party: &Party) -> Result<Vec<Provider>, ManageError> {
    match party {
        Party::Recipient(own) => active(ctx, own).await,
        Party::Partner(_) => catalogue(ctx).await,
    }
}

/// The providers that a recipient has an active registration with.
pub(super) async fn active(ctx: &Ctx, own: &Own) -> Result<Vec<Provider>, ManageError> {
    let mut providers = ctx.ask(&ProvidersOf { client_id: own.id().clone() }).await?;
    providers.retain(|p| p.state != ProviderState::Retired);
    Ok(providers)
}

async fn catalogue(ctx: &Ctx) -> Result<Vec<Provider>, ManageError> {
    let mut providers = ctx.ask(&AllProviders).await?;
    providers.retain(|p| p.state != ProviderState::Retired);
    Ok(providers)
}

/// One provider.
pub(super) async fn one(ctx: &Ctx, id: &str) -> Result<Provider, ManageError> {
    let id = ProviderId::parse(id).ok_or(NO_PROVIDER)?;
    ctx.ask(&ProviderById { id }).await?.ok_or(NO_PROVIDER)
}

/// The words of the second version for where a registration stands.
pub(super) const fn status(state: Option<RegistrationState>) -> &'static str {
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
struct Wanted {
    countries: Vec<String>,
    enabled: Option<bool>,
}

impl Wanted {
    fn read(query: &ListQuery) -> Result<Self, ManageError> {
        let country = query.get("country", "country is given twice")?.unwrap_or_default();
        let countries: Vec<String> =
            country.split(',').map(str::to_owned).filter(|c| !c.is_empty()).collect();
        if countries.iter().any(|c| !matches!(c.as_str(), "CA" | "US")) {
            return Err(Invalid::new("country", "must be CA, US or CA,US").into());
        }
        let enabled =
            query.get("isEnabledForClient", "isEnabledForClient is given twice")?.unwrap_or_default();
        let enabled = match enabled.to_ascii_uppercase().as_str() {
            "" => None,
            "TRUE" => Some(true),
            "FALSE" => Some(false),
            _ => return Err(Invalid::new("isEnabledForClient", "must be TRUE or FALSE").into()),
        };
        Ok(Self { countries, enabled })
    }
}

/// Every provider with where the caller's registration stands; a partner has none of its own.
pub(super) async fn second(
    ctx: &Ctx,
    party: &Party,
    query: &ListQuery,
) -> Result<Vec<(Provider, &'static str)>, ManageError> {
    let wanted = Wanted::read(query)?;
    let registrations = match party {
        Party::Recipient(own) => ctx.ask(&RegistrationsOf { client_id: own.id().clone() }).await?,
        Party::Partner(_) => Vec::new(),
    };
    let of = |provider: Provider| {
        let own = registrations.iter().find(|r| r.provider_id == provider.id).map(|r| r.state);
        (provider, status(own))
    };
    let mut all: Vec<_> = catalogue(ctx).await?.into_iter().map(of).collect();
    all.retain(|(provider, status)| {
        let here = wanted.countries.is_empty() || wanted.countries.contains(&provider.settings.country);
        here && wanted.enabled.is_none_or(|enabled| enabled == (*status == "Activated"))
    });
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_versions_parameters_are_read_or_named() {
        let read = |raw: &str| {
            Wanted::read(&ListQuery::parse(Some(raw))).map(|w| (w.countries.len(), w.enabled)).ok()
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
