//! Parses the query parameters of the admin API, and rejects unknown and repeated ones.

use domain::Timestamp;
use domain::id::{ClientId, ProviderId};
use store::query::TimeRange;

use super::error::AdminError;
use crate::request::expected_one_of;

/// The decoded parameters of a query. Each name is one that the operation knows, and none occurs twice.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// A parameter that the query of every operation may contain. A middleware has processed it before.
const CORRELATION_ID: &str = "correlation_id";

impl Params {
    /// Decodes a query. Unknown parameters are rejected, because ignoring a misspelt filter would return too many
    /// results.
    pub fn from_query(raw: Option<&str>, known: &[&str]) -> Result<Self, AdminError> {
        let pairs = form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned();
        let pairs: Vec<_> = pairs.filter(|(name, _)| name != CORRELATION_ID).collect();
        for (index, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(64).collect();
                return Err(AdminError::invalid(name, expected_one_of(known)));
            }
            if pairs[..index].iter().any(|(previous, _)| previous == name) {
                return Err(AdminError::invalid(name, "expected once"));
            }
        }
        Ok(Self(pairs))
    }

    /// Returns the value of a parameter, if it is given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Parses the value of a parameter, if it is given. `expected` is the message for an invalid value.
    pub fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, AdminError> {
        let value =
            self.text(name).map(|text| parse(text).ok_or_else(|| AdminError::invalid(name, expected)));
        value.transpose()
    }

    /// Parses a parameter whose value must be the name of one of `variants`.
    pub fn parse_enum<T: Copy>(
        &self,
        name: &str,
        variants: &[T],
        to_name: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, AdminError> {
        let names: Vec<_> = variants.iter().map(|variant| to_name(*variant)).collect();
        let expected = format!("expected {}", names.join(", "));
        self.parse(name, &expected, |text| variants.iter().copied().find(|variant| to_name(*variant) == text))
    }

    /// Parses a parameter whose value is the id of a client.
    pub(super) fn client_id(&self, name: &str) -> Result<Option<ClientId>, AdminError> {
        self.parse(name, "expected a client's id", |text| ClientId::parse(text).ok())
    }

    /// Parses the parameter `provider_id`, if it is given; any other value than a positive integer is an error.
    pub(super) fn provider_id(&self) -> Result<Option<ProviderId>, AdminError> {
        self.parse("provider_id", "expected a positive integer", ProviderId::parse)
    }

    /// Parses the parameters for the bounds of a time range. A bound that is not given is open.
    pub(super) fn time_range(&self, from: &str, before: &str) -> Result<TimeRange, AdminError> {
        let expected = "expected a time in RFC 3339";
        Ok(TimeRange {
            from: self.parse(from, expected, Timestamp::parse)?.unwrap_or(TimeRange::ALL.from),
            before: self.parse(before, expected, Timestamp::parse)?.unwrap_or(TimeRange::ALL.before),
        })
    }

    /// Returns the filters as text in a fixed order. A cursor is valid only for the same text.
    pub(super) fn filter_key(&self) -> String {
        let mut pairs: Vec<_> =
            self.0.iter().filter(|(name, _)| name != "after" && name != "limit").collect();
        pairs.sort();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// Parses the query of an operation whose only parameter is `dry_run`.
pub(super) fn parse_dry_run(query: Option<&str>) -> Result<bool, AdminError> {
    let params = Params::from_query(query, &["dry_run"])?;
    let dry_run = params.parse_enum("dry_run", &[true, false], |flag| if flag { "true" } else { "false" })?;
    Ok(dry_run == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(raw: &str) -> Option<String> {
        Params::from_query(Some(raw), &["state", "limit"]).err().map(|error| error.to_string())
    }

    #[test]
    fn query_with_unknown_or_duplicate_parameter_is_rejected() {
        assert_eq!(rejection("state=active&limit=1&correlation_id=x"), None);
        assert_eq!(rejection("stat=active").as_deref(), Some("stat: expected one of state, limit"));
        assert_eq!(rejection("state=a&state=a").as_deref(), Some("state: expected once"));
    }

    #[test]
    fn cursor_filter_is_independent_of_parameter_order() {
        let filter = |raw| Params::from_query(Some(raw), &["a", "b", "limit", "after"]).unwrap().filter_key();
        assert_eq!(filter("a=1&b=2&limit=3"), filter("b=2&after=x&a=1"));
        assert_ne!(filter("a=1"), filter("a=2"));
    }
}
