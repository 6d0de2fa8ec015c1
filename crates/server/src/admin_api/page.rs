//! Parameters and pages of the operators' lists: `limit`, `after`, `{"items", "next"}`.

use schemars::JsonSchema;
use serde::Serialize;

use super::AdminError;
use crate::context::RequestContext;
use crate::paging::{open_cursor, seal_cursor, truncate_page};
use crate::partner_api::expected_one_of;

/// Parameters of a query or a body: each is known, and given once.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// What every query may have: the correlation id is taken up elsewhere.
const ALWAYS_ALLOWED: [&str; 1] = ["correlation_id"];

impl Params {
    /// From a raw query. What is not known is refused: a filter that is misspelt would show too much.
    pub fn from_query(raw: Option<&str>, known: &[&str]) -> Result<Self, AdminError> {
        let pairs = form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned();
        Self::from_pairs(pairs.filter(|(name, _)| !ALWAYS_ALLOWED.contains(&name.as_str())).collect(), known)
    }

    /// From pairs.
    pub fn from_pairs(pairs: Vec<(String, String)>, known: &[&str]) -> Result<Self, AdminError> {
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(64).collect();
                return Err(AdminError::invalid(name, expected_one_of(known)));
            }
            if pairs[..place].iter().any(|(before, _)| before == name) {
                return Err(AdminError::invalid(name, "expected once"));
            }
        }
        Ok(Self(pairs))
    }

    /// A parameter's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, read.
    pub fn parse<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, AdminError> {
        let read = self.text(name).map(|text| parse(text).ok_or_else(|| AdminError::invalid(name, expected)));
        read.transpose()
    }

    /// A word of a list of words.
    pub fn parse_enum<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, AdminError> {
        let words: Vec<_> = all.iter().map(|one| word(*one)).collect();
        let expected = format!("expected {}", words.join(", "));
        self.parse(name, &expected, |text| all.iter().copied().find(|one| word(*one) == text))
    }

    /// Everything but where the list goes on: what a cursor is bound to.
    fn filter_key(&self) -> String {
        let mut pairs: Vec<_> =
            self.0.iter().filter(|(name, _)| name != "after" && name != "limit").collect();
        pairs.sort();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// Whether a deed is only to be tried: the parameter `parse_dry_run`, the one that there is.
pub(super) fn parse_dry_run(query: Option<&str>) -> Result<bool, AdminError> {
    let params = Params::from_query(query, &["dry_run"])?;
    let dry = params.parse_enum("dry_run", &[true, false], |dry| if dry { "true" } else { "false" })?;
    Ok(dry == Some(true))
}

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct AdminPage<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the list goes on: the parameter `after` of the next page; `null` on the last.
    pub next: Option<String>,
}

/// Which page is asked for.
pub(super) struct PageRequest {
    limit: u32,
    bound_to: String,
    after: Option<String>,
}

impl PageRequest {
    /// `limit` and `after` of a list.
    pub(super) fn from_params(ctx: &RequestContext, list: &str, params: &Params) -> Result<Self, AdminError> {
        let section = &ctx.app().config().page;
        let digits = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0 && !text.starts_with('+'));
        let limit = params.parse("limit", "expected a positive integer", digits)?.unwrap_or(section.size);
        let bound_to = format!("admin\n{list}\n{}", params.filter_key());
        let open = |text: &str| open_cursor(ctx.app().vault().cursor_key(), &bound_to, text, ctx.now());
        let expected = "expected `next` of the same list, not altered and not expired";
        let after = params.parse("after", expected, open)?;
        Ok(Self { limit: limit.min(section.max), bound_to, after })
    }

    /// How many rows to read: one more than is shown, so that the last page is known.
    pub(super) const fn row_limit(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// What the former page ended with.
    pub(super) fn parse_after<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, AdminError> {
        let broken = || AdminError::Internal(crate::error::InternalError::new("a cursor of ours is not one"));
        self.after.as_deref().map(|text| parse(text).ok_or_else(broken)).transpose()
    }

    /// The page of what was read.
    pub(super) fn build_page<T, V>(
        &self,
        ctx: &RequestContext,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(T) -> V,
    ) -> Result<AdminPage<V>, AdminError> {
        let until = ctx.now().plus(ctx.app().config().page.cursor_ttl.duration());
        let seal = |row: &T| seal_cursor(ctx.app().vault().cursor_key(), &self.bound_to, &key(row), until);
        let next = truncate_page(&mut rows, self.limit).map(seal).transpose()?;
        Ok(AdminPage { items: rows.into_iter().map(show).collect(), next })
    }
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
