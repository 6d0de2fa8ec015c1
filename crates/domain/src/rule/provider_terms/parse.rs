//! Reads the statements of providers about a grant. They are untrusted input.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{TermsProblem, TermsStatement};
use crate::model::connection::is_valid_account_list;
use crate::model::provider::ProviderSettings;
use crate::scope::{Clusters, DataCluster};
use crate::time::Timestamp;

/// The type of the consent requests of FDX in `authorization_details`.
const FDX_TYPE: &str = "fdx_v1.0";
const DAY: Duration = Duration::from_hours(24);
/// The longest stated duration of a consent that is respected: 100 years. The consent at the hub ends earlier in any case.
const MAX_DURATION_DAYS: u32 = 36_600;

/// The provider states that a consent is not active. The value is its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the consent has the status {0}")]
pub struct ConsentEndedError(pub &'static str);

/// Reads `authorization_details`, as the token response and introspection contain them (RFC 9396 §7, §9.2). `agreed_at` is the time of
/// the consent, from which durations count. Types other than that of FDX state nothing.
pub fn parse_authorization_details(details: &Value, agreed_at: Timestamp) -> TermsStatement {
    const MEMBER: &str = "authorization_details";
    let mut statement = TermsStatement::default();
    let Some(details) = details.as_array() else {
        statement.problems.push(TermsProblem::Unreadable(MEMBER));
        return statement;
    };
    let mut resources = Some(ResourceTerms::default());
    let mut has_resources = false;
    for detail in details.iter().filter(|detail| detail.get("type").is_some_and(|kind| kind == FDX_TYPE)) {
        let Some(consent) = detail.get("consentRequest").and_then(Value::as_object) else {
            statement.problems.push(TermsProblem::Unreadable("consentRequest"));
            // Several details together are one grant. If one of them cannot be read, the others are not all of it.
            resources = None;
            continue;
        };
        statement.read_end(consent, agreed_at);
        if let Some(stated) = find_member(consent, "resources") {
            has_resources = true;
            resources = resources.and_then(|known| known.add(stated));
        }
    }
    if has_resources {
        statement.set_resources(resources);
    }
    statement
}

/// Reads a consent (FDX Consent API, `ConsentGrant`) with the id `id`. Returns an error if the provider states that it is not active.
pub fn parse_consent(
    consent: &Map<String, Value>,
    id: &str,
    agreed_at: Timestamp,
) -> Result<TermsStatement, ConsentEndedError> {
    let mut statement = TermsStatement::default();
    if find_member(consent, "id").is_some_and(|stated| read_id(stated).as_deref() != Some(id)) {
        statement.problems.push(TermsProblem::OtherConsent);
        return Ok(statement);
    }
    match find_member(consent, "status").map(Value::as_str) {
        None | Some(Some("ACTIVE")) => {}
        Some(Some("REVOKED")) => return Err(ConsentEndedError("REVOKED")),
        Some(Some("EXPIRED")) => return Err(ConsentEndedError("EXPIRED")),
        Some(_) => statement.problems.push(TermsProblem::Unreadable("status")),
    }
    let created_at =
        find_member(consent, "createdTime").map(|created| statement.read_time(created, "createdTime"));
    statement.read_end(consent, created_at.flatten().unwrap_or(agreed_at));
    if let Some(resources) = find_member(consent, "resources") {
        statement.set_resources(ResourceTerms::default().add(resources));
    }
    Ok(statement)
}

/// Reads the scope and the expiry of a refresh token from its introspection (RFC 7662 §2.2). The response also may contain
/// `authorization_details`, which are another statement.
pub fn parse_introspection(response: &Map<String, Value>, settings: &ProviderSettings) -> TermsStatement {
    let mut statement = TermsStatement::default();
    if let Some(scope) = find_member(response, "scope") {
        match scope.as_str() {
            Some(scope) => statement.set_clusters("scope", settings.clusters_from_scope(scope)),
            None => statement.problems.push(TermsProblem::Unreadable("scope")),
        }
    }
    if let Some(expiry) = find_member(response, "exp") {
        // RFC 7519 §2: a number, which may have a fraction.
        match expiry.as_f64() {
            // The cast saturates. A time in the distant future has no effect, because the consent ends earlier.
            #[expect(clippy::cast_possible_truncation, reason = "fractions of a second have no meaning here")]
            Some(seconds) => statement.refresh_expires_at = Some(Timestamp::from_seconds(seconds as i64)),
            None => statement.problems.push(TermsProblem::Unreadable("exp")),
        }
    }
    statement
}

/// Returns a member. A value of null counts as absent.
fn find_member<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    members.get(name).filter(|value| !value.is_null())
}

/// Returns an id, which some providers write as a number.
fn read_id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

impl TermsStatement {
    /// Reads the end of a consent: `expirationTime`, and a duration that counts from `begin`. The earlier one applies.
    fn read_end(&mut self, consent: &Map<String, Value>, begin: Timestamp) {
        let stated = find_member(consent, "expirationTime");
        let stated = stated.and_then(|end| self.read_time(end, "expirationTime"));
        let lasting = match find_member(consent, "durationType").map(Value::as_str) {
            None | Some(Some("TIME_BOUND")) => self.read_duration(consent).map(|days| begin.plus(days)),
            Some(Some("PERSISTENT")) => None,
            Some(Some("ONE_TIME")) => {
                self.problems.push(TermsProblem::SingleUse);
                None
            }
            Some(_) => {
                self.problems.push(TermsProblem::Unreadable("durationType"));
                None
            }
        };
        let ends = [self.consent_ends_at, stated, lasting];
        self.consent_ends_at = ends.into_iter().flatten().min();
    }

    fn read_duration(&mut self, consent: &Map<String, Value>) -> Option<Duration> {
        const MEMBER: &str = "durationPeriod";
        let period = find_member(consent, MEMBER)?;
        let Some(days) = period.as_u64().filter(|days| *days > 0) else {
            self.problems.push(TermsProblem::Unreadable(MEMBER));
            return None;
        };
        Some(DAY * u32::try_from(days).unwrap_or(MAX_DURATION_DAYS).min(MAX_DURATION_DAYS))
    }

    fn read_time(&mut self, value: &Value, member: &'static str) -> Option<Timestamp> {
        let time = value.as_str().and_then(Timestamp::parse);
        if time.is_none() {
            self.problems.push(TermsProblem::Unreadable(member));
        }
        time
    }

    /// States data clusters. If the hub knows none of the provider's names, it has not understood the statement.
    fn set_clusters(&mut self, member: &'static str, clusters: Clusters) {
        if clusters == Clusters::NONE {
            self.problems.push(TermsProblem::UnknownClusters(member));
        } else {
            self.clusters = Some(clusters);
        }
    }

    fn set_resources(&mut self, resources: Option<ResourceTerms>) {
        const MEMBER: &str = "resources";
        let Some(resources) = resources else {
            self.problems.push(TermsProblem::Unreadable(MEMBER));
            return;
        };
        if resources.accounts.is_empty() && resources.has_unknown_kind {
            // The customer must not lose a login because of a name. The terms of the hub's own consent remain.
            self.problems.push(TermsProblem::Unreadable(MEMBER));
            return;
        }
        let (accounts, clusters) = resources.summarize();
        let Some(ids) = accounts else {
            self.set_clusters(MEMBER, clusters);
            return;
        };
        if !ids.is_empty() {
            self.set_clusters(MEMBER, clusters);
        }
        // An account whose id is not valid is not served either.
        let count = ids.len();
        let usable: Vec<String> =
            ids.into_iter().filter(|id| is_valid_account_list(std::slice::from_ref(id))).collect();
        if usable.len() < count {
            self.problems.push(TermsProblem::UnusableAccountId);
        }
        if usable.is_empty() && count > 0 {
            return;
        }
        self.accounts = Some(usable);
    }
}

/// The resources of a grant (FDX, `ConsentGrant`).
#[derive(Default)]
struct ResourceTerms {
    /// The data clusters of each account. The key is its id, or absent if the clusters are those of all accounts.
    accounts: BTreeMap<Option<String>, Clusters>,
    /// The data clusters of everything that is no account, such as the customer.
    others: Clusters,
    /// True if a resource has a type that the hub does not know. It may be an account under another name.
    has_unknown_kind: bool,
}

/// The types of resources (FDX, `ConsentResourceType`).
const KNOWN_KINDS: [&str; 3] = ["ACCOUNT", "CUSTOMER", "DOCUMENT"];

impl ResourceTerms {
    /// Adds the resources of a list. Returns `None` if one of them cannot be read: the rest would not be the whole grant.
    fn add(mut self, resources: &Value) -> Option<Self> {
        for resource in resources.as_array()? {
            let resource = resource.as_object()?;
            let kind = find_member(resource, "resourceType")?.as_str()?;
            let names = find_member(resource, "dataClusters")?.as_array()?;
            let names: Option<Vec<&str>> = names.iter().map(Value::as_str).collect();
            let clusters: Clusters = names?.into_iter().flat_map(read_cluster).collect();
            self.has_unknown_kind |= !KNOWN_KINDS.contains(&kind);
            if kind == "ACCOUNT" {
                let id = match find_member(resource, "resourceId") {
                    Some(id) => Some(read_id(id)?),
                    None => None,
                };
                add_clusters(self.accounts.entry(id).or_default(), clusters);
            } else {
                add_clusters(&mut self.others, clusters);
            }
        }
        Some(self)
    }

    /// Returns the ids of the accounts, and the data clusters that all of them have. The ids are absent if the grant names no single
    /// accounts.
    fn summarize(mut self) -> (Option<Vec<String>>, Clusters) {
        if let Some(mut clusters) = self.accounts.remove(&None) {
            add_clusters(&mut clusters, self.others);
            return (None, clusters);
        }
        let has_basic = |clusters: &Clusters| clusters.contains(DataCluster::AccountBasic);
        // No operation serves an account without this cluster, so such an account does not limit the others.
        if self.accounts.values().any(has_basic) {
            self.accounts.retain(|_, clusters| has_basic(clusters));
        }
        // A connection has the same clusters for each of its accounts.
        let of_all = self.accounts.values().copied().reduce(Clusters::intersection);
        let mut clusters = of_all.unwrap_or_default();
        add_clusters(&mut clusters, self.others);
        (Some(self.accounts.into_keys().flatten().collect()), clusters)
    }
}

fn add_clusters(clusters: &mut Clusters, added: Clusters) {
    *clusters = added.iter().fold(*clusters, Clusters::with_cluster);
}

/// Returns the clusters of the hub that a cluster of FDX contains. An unknown one contains none.
fn read_cluster(name: &str) -> Vec<DataCluster> {
    match name {
        // FDX 6 names it so.
        "PAYMENT_SUPPORT" => vec![DataCluster::AccountPayments],
        // FDX: detailed information includes the basic one.
        "ACCOUNT_DETAILED" => vec![DataCluster::AccountDetailed, DataCluster::AccountBasic],
        _ => name.parse().ok().into_iter().collect(),
    }
}
