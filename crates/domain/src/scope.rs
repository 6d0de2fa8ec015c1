//! Scopes, FDX data clusters and the operations that each cluster allows.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

crate::str_enum! {
    /// An FDX data cluster, the unit of consent. The scope values of Flinks have the same names.
    #[derive(PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
    #[repr(u8)]
    #[expect(missing_docs, reason = "each variant is named after its cluster of FDX 5.2")]
    pub enum DataCluster {
        AccountBasic = "ACCOUNT_BASIC",
        AccountDetailed = "ACCOUNT_DETAILED",
        AccountPayments = "ACCOUNT_PAYMENTS",
        Investments = "INVESTMENTS",
        Transactions = "TRANSACTIONS",
        Statements = "STATEMENTS",
        CustomerContact = "CUSTOMER_CONTACT",
        CustomerPersonal = "CUSTOMER_PERSONAL",
    }
}

/// A set of data clusters: the parsed form of a scope.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Clusters(u8);

/// Error for a scope value that names no data cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope {0} is unknown")]
pub struct UnknownScopeError(pub String);

impl Clusters {
    /// The set without any data cluster.
    pub const NONE: Self = Self(0);

    /// Parses a scope; the same as `FromStr`.
    pub fn parse(scope: &str) -> Result<Self, UnknownScopeError> {
        scope.parse()
    }

    /// Returns the set as a number, which is shorter than the scope. Bits have the order of [`DataCluster::ALL`].
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns the set with these bits. Each of the eight belongs to a cluster.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Returns this set with another cluster.
    #[must_use]
    pub const fn with_cluster(self, cluster: DataCluster) -> Self {
        Self(self.0 | 1 << cluster as u8)
    }

    /// Returns the clusters that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns whether the set contains a cluster.
    pub const fn contains(self, cluster: DataCluster) -> bool {
        self.0 & 1 << cluster as u8 != 0
    }

    /// Returns the first cluster of this set that is not in `other`.
    pub fn first_missing_from(self, other: Self) -> Option<DataCluster> {
        self.iter().find(|c| !other.contains(*c))
    }

    /// Iterates over the clusters in the order of their declaration, which is the order of a printed scope.
    pub fn iter(self) -> impl Iterator<Item = DataCluster> {
        DataCluster::ALL.iter().copied().filter(move |c| self.contains(*c))
    }
}

impl FromStr for Clusters {
    type Err = UnknownScopeError;

    /// Parses a space-delimited scope (RFC 6749 §3.3). Order and repetition have no meaning.
    fn from_str(scope: &str) -> Result<Self, UnknownScopeError> {
        let values = scope.split(' ').filter(|value| !value.is_empty());
        values.map(|value| value.parse().map_err(|_| UnknownScopeError(value.to_owned()))).collect()
    }
}

impl FromIterator<DataCluster> for Clusters {
    fn from_iter<I: IntoIterator<Item = DataCluster>>(clusters: I) -> Self {
        clusters.into_iter().fold(Self::NONE, Self::with_cluster)
    }
}

impl TryFrom<String> for Clusters {
    type Error = UnknownScopeError;

    fn try_from(scope: String) -> Result<Self, UnknownScopeError> {
        scope.parse()
    }
}

impl From<Clusters> for String {
    fn from(clusters: Clusters) -> Self {
        clusters.to_string()
    }
}

impl fmt::Display for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, cluster) in self.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(cluster.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Clusters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// A data operation of the FDX API.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum DataOperation {
    /// `GET /customers/current`
    CurrentCustomer,
    /// `GET /accounts` with `resultType=lightweight`
    AccountList,
    /// `GET /accounts` with `resultType=details`
    AccountListDetailed,
    /// `GET /accounts/{accountId}`
    Account,
    /// `GET /accounts/{accountId}/transactions`
    Transactions,
    /// `GET /accounts/{accountId}/contact`
    Contact,
    /// `GET /accounts/{accountId}/payment-networks`
    PaymentNetworks,
    /// `GET /accounts/{accountId}/statements` and `GET /accounts/{accountId}/statements/{statementId}`
    Statements,
}

impl DataOperation {
    /// Returns the clusters that allow the operation. One of them is enough.
    const fn required_clusters(self) -> &'static [DataCluster] {
        match self {
            Self::CurrentCustomer => &[DataCluster::CustomerContact, DataCluster::CustomerPersonal],
            Self::AccountList => &[DataCluster::AccountBasic, DataCluster::AccountDetailed],
            Self::AccountListDetailed | Self::Account => &[DataCluster::AccountDetailed],
            Self::Transactions => &[DataCluster::Transactions],
            Self::Contact => &[DataCluster::CustomerContact],
            Self::Statements => &[DataCluster::Statements],
            Self::PaymentNetworks => &[DataCluster::AccountPayments],
        }
    }

    /// Returns whether a set of clusters allows the operation.
    pub fn is_allowed_by(self, clusters: Clusters) -> bool {
        self.required_clusters().iter().any(|c| clusters.contains(*c))
    }
}

crate::str_enum! {
    /// The scope of a token without a connection, issued for the grant `client_credentials`.
    pub enum ClientScope {
        /// Allows a recipient to list the providers with which it has an active registration.
        ProvidersRead = "providers:read",
        /// Allows a partner to manage its recipients.
        ClientAdmin = "client:admin",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scope_is_normalized_when_printed() {
        let clusters = "TRANSACTIONS ACCOUNT_BASIC  TRANSACTIONS".parse::<Clusters>().unwrap();
        assert_eq!(clusters.to_string(), "ACCOUNT_BASIC TRANSACTIONS");
    }

    #[test]
    fn rfc6749_s3_3_scope_is_case_sensitive_and_space_delimited() {
        for bad in
            ["account_basic", "ACCOUNT_BASIC,TRANSACTIONS", "ACCOUNT_BASIC\tTRANSACTIONS", "client:admin"]
        {
            assert_eq!(bad.parse::<Clusters>(), Err(UnknownScopeError(bad.to_owned())));
        }
    }

    #[test]
    fn basic_cluster_does_not_allow_detailed_operations() {
        let basic = Clusters::NONE.with_cluster(DataCluster::AccountBasic);
        assert!(DataOperation::AccountList.is_allowed_by(basic));
        assert!(!DataOperation::AccountListDetailed.is_allowed_by(basic));
        assert!(!DataOperation::Account.is_allowed_by(basic));
        assert!(!DataOperation::Transactions.is_allowed_by(basic.with_cluster(DataCluster::AccountDetailed)));
        assert!(
            !DataOperation::PaymentNetworks.is_allowed_by(basic.with_cluster(DataCluster::AccountDetailed))
        );
    }

    #[test]
    fn each_operation_is_allowed_by_listed_clusters_only() {
        use DataCluster as C;
        for (operation, clusters) in [
            (DataOperation::CurrentCustomer, &[C::CustomerContact, C::CustomerPersonal][..]),
            (DataOperation::AccountList, &[C::AccountBasic, C::AccountDetailed]),
            (DataOperation::AccountListDetailed, &[C::AccountDetailed]),
            (DataOperation::Account, &[C::AccountDetailed]),
            (DataOperation::Transactions, &[C::Transactions]),
            (DataOperation::Contact, &[C::CustomerContact]),
            (DataOperation::PaymentNetworks, &[C::AccountPayments]),
            (DataOperation::Statements, &[C::Statements]),
        ] {
            for cluster in DataCluster::ALL.iter().copied() {
                let is_allowed = operation.is_allowed_by(Clusters::NONE.with_cluster(cluster));
                assert_eq!(is_allowed, clusters.contains(&cluster), "{operation:?} {cluster}");
            }
        }
    }

    #[test]
    fn clusters_are_stored_as_scope() {
        let clusters = Clusters::parse("TRANSACTIONS ACCOUNT_BASIC").unwrap();

        let json = serde_json::to_value(clusters).unwrap();

        assert_eq!(json, "ACCOUNT_BASIC TRANSACTIONS");
        assert_eq!(serde_json::from_value::<Clusters>(json).unwrap(), clusters);
        assert!(serde_json::from_value::<Clusters>("account_basic".into()).is_err());
        assert_eq!(format!("{clusters:?}"), "[ACCOUNT_BASIC TRANSACTIONS]");
    }

    proptest! {
        #[test]
        fn clusters_text_round_trip_keeps_set(bits: u8) {
            prop_assert_eq!(Clusters(bits).to_string().parse::<Clusters>(), Ok(Clusters(bits)));
        }

        #[test]
        fn clusters_intersection_is_subset_of_both(a: u8, b: u8) {
            let both = Clusters(a).intersection(Clusters(b));
            prop_assert!(both.first_missing_from(Clusters(a)).is_none() && both.first_missing_from(Clusters(b)).is_none());
        }
    }
}
