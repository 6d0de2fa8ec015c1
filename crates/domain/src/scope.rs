//! Scope, FDX data cluster, endpoint: the one table.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An FDX data cluster: the unit of consent. The Flinks scope words are the same words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is the word of FDX 5.2 that `as_str` gives")]
pub enum DataCluster {
    AccountBasic,
    AccountDetailed,
    AccountPayments,
    Investments,
    Transactions,
    Statements,
    CustomerContact,
    CustomerPersonal,
}

impl DataCluster {
    /// Every cluster, in the order in which a scope is printed.
    pub const ALL: [Self; 8] = [
        Self::AccountBasic,
        Self::AccountDetailed,
        Self::AccountPayments,
        Self::Investments,
        Self::Transactions,
        Self::Statements,
        Self::CustomerContact,
        Self::CustomerPersonal,
    ];

    /// The scope word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccountBasic => "ACCOUNT_BASIC",
            Self::AccountDetailed => "ACCOUNT_DETAILED",
            Self::AccountPayments => "ACCOUNT_PAYMENTS",
            Self::Investments => "INVESTMENTS",
            Self::Transactions => "TRANSACTIONS",
            Self::Statements => "STATEMENTS",
            Self::CustomerContact => "CUSTOMER_CONTACT",
            Self::CustomerPersonal => "CUSTOMER_PERSONAL",
        }
    }

    /// The cluster that a scope word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.as_str() == word)
    }
}

/// A set of clusters; what a scope string of a recipient means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Clusters(u8);

/// A scope that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope {0} is unknown")]
pub struct UnknownScopeError(pub String);

impl Clusters {
    /// No cluster.
    pub const NONE: Self = Self(0);

    /// Reads a scope: words separated by spaces (RFC 6749 §3.3); order and repetition mean nothing.
    pub fn parse(scope: &str) -> Result<Self, UnknownScopeError> {
        scope.split(' ').filter(|w| !w.is_empty()).try_fold(Self::NONE, |set, word| {
            DataCluster::from_word(word)
                .map(|c| set.with_cluster(c))
                .ok_or_else(|| UnknownScopeError(word.to_owned()))
        })
    }

    /// This set and one more.
    #[must_use]
    pub const fn with_cluster(self, cluster: DataCluster) -> Self {
        Self(self.0 | 1 << cluster as u8)
    }

    /// What both sets have.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the cluster is in the set.
    pub const fn contains(self, cluster: DataCluster) -> bool {
        self.0 & 1 << cluster as u8 != 0
    }

    /// The first cluster of this set that `other` lacks.
    pub fn first_missing_from(self, other: Self) -> Option<DataCluster> {
        self.iter().find(|c| !other.contains(*c))
    }

    /// The clusters, in printing order.
    pub fn iter(self) -> impl Iterator<Item = DataCluster> {
        DataCluster::ALL.into_iter().filter(move |c| self.contains(*c))
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
        Self::parse(&scope)
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

/// A data operation of the FDX face.
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
    /// `GET /accounts/{accountId}/statements`, and one of them
    Statements,
}

impl DataOperation {
    /// Any one of these clusters opens the operation.
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

    /// Whether these clusters open the operation.
    pub fn is_allowed_by(self, clusters: Clusters) -> bool {
        self.required_clusters().iter().any(|c| clusters.contains(*c))
    }
}

/// What a token without a connection may do (`build_client_credentials_request`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum ClientScope {
    /// A recipient lists its own active providers.
    ProvidersRead,
    /// A partner manages its recipients.
    ClientAdmin,
}

impl ClientScope {
    /// The scope word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProvidersRead => "providers:read",
            Self::ClientAdmin => "client:admin",
        }
    }

    /// The scope that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::ProvidersRead, Self::ClientAdmin].into_iter().find(|s| s.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn scope_is_normalized_when_printed() {
        let clusters = Clusters::parse("TRANSACTIONS ACCOUNT_BASIC  TRANSACTIONS").unwrap();
        assert_eq!(clusters.to_string(), "ACCOUNT_BASIC TRANSACTIONS");
    }

    #[test]
    fn rfc6749_s3_3_scope_is_case_sensitive_and_space_delimited() {
        for bad in
            ["account_basic", "ACCOUNT_BASIC,TRANSACTIONS", "ACCOUNT_BASIC\tTRANSACTIONS", "client:admin"]
        {
            assert_eq!(Clusters::parse(bad), Err(UnknownScopeError(bad.to_owned())));
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

    proptest! {
        #[test]
        fn clusters_text_round_trip_keeps_set(bits: u8) {
            prop_assert_eq!(Clusters::parse(&Clusters(bits).to_string()), Ok(Clusters(bits)));
        }

        #[test]
        fn clusters_intersection_is_subset_of_both(a: u8, b: u8) {
            let both = Clusters(a).intersection(Clusters(b));
            prop_assert!(both.first_missing_from(Clusters(a)).is_none() && both.first_missing_from(Clusters(b)).is_none());
        }
    }
}
