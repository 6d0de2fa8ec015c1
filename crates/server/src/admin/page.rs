//! Parameters and pages of the operators' lists: `limit`, `after`, `{"items", "next"}`.

use schemars::JsonSchema;
use serde::Serialize;

use super::AdminError;
use crate::ctx::Ctx;
use crate::gateway::{cut, open_cursor, seal_cursor};
use crate::manage::one_of;

/// Parameters of a query or a body: each is known, and given once.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// What every query may have: the correlation id is taken up elsewhere.
const ALWAYS: [&str; 1] = ["correlation_id"];

impl Params {
    /// From a raw query. What is not known is refused: a filter that is misspelt would show too much.
    pub fn query(raw: Option<&str>, known: &[&str]) -> Result<Self, AdminError> {
        let pairs = form_urlencoded::parse(raw.unwrap_or_default().as_bytes()).into_owned();
        Self::of(pairs.filter(|(name, _)| !ALWAYS.contains(&name.as_str())).collect(), known)
    }

    /// From pairs.
    pub fn of(pairs: Vec<(String, String)>, known: &[&str]) -> Result<Self, AdminError> {
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(64).collect();
                return Err(AdminError::invalid(name, one_of(known)));
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
    pub fn read<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, AdminError> {
        let read = self.text(name).map(|text| parse(text).ok_or_else(|| AdminError::invalid(name, expected)));
        read.transpose()
    }

    /// A word of a list of words.
    pub fn word<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        word: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, AdminError> {
        let words: Vec<_> = all.iter().map(|one| word(*one)).collect();
        let expected = format!("expected {}", words.join(", "));
        self.read(name, &expected, |text| all.iter().copied().find(|one| word(*one) == text))
    }

    /// Everything but where the list goes on: what a cursor is bound to.
    fn filter(&self) -> String {
        let mut pairs: Vec<_> =
            self.0.iter().filter(|(name, _)| name != "after" && name != "limit").collect();
        pairs.sort();
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// Whether a deed is only to be tried: the parameter `dry_run`, the one that there is.
pub(super) fn dry_run(query: Option<&str>) -> Result<bool, AdminError> {
    let params = Params::query(query, &["dry_run"])?;
    let dry = params.word("dry_run", &[true, false], |dry| if dry { "true" } else { "false" })?;
    Ok(dry == Some(true))
}

/// A page of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the list goes on: the parameter `after` of the next page; `null` on the last.
    pub next: Option<String>,
}

/// Which page is asked for.
pub(super) struct Asked {
    limit: u32,
    bound_to: String,
    after: Option<String>,
}

impl Asked {
    /// `limit` and `after` of a list.
    pub(super) fn of(ctx: &Ctx, list: &str, params: &Params) -> Result<Self, AdminError> {
        let section = &ctx.app().config().page;
        let digits = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0 && !text.starts_with('+'));
        let limit = params.read("limit", "expected a positive integer", digits)?.unwrap_or(section.size);
        let bound_to = format!("admin\n{list}\n{}", params.filter());
        let open = |text: &str| open_cursor(ctx.app().vault().cursor(), &bound_to, text, ctx.now());
        let expected = "expected `next` of the same list, not altered and not expired";
        let after = params.read("after", expected, open)?;
        Ok(Self { limit: limit.min(section.max), bound_to, after })
    }

    /// How many rows to read: one more than is shown, so that the last page is known.
    pub(super) const fn rows(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// What the former page ended with.
    pub(super) fn after<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, AdminError> {
        let broken = || AdminError::Fault(crate::fault::Fault::new("a cursor of ours is not one"));
        self.after.as_deref().map(|text| parse(text).ok_or_else(broken)).transpose()
    }

    /// The page of what was read.
    pub(super) fn page<T, V>(
        &self,
        ctx: &Ctx,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(T) -> V,
    ) -> Result<Page<V>, AdminError> {
        let until = ctx.now().plus(ctx.app().config().page.cursor_ttl.duration());
        let seal = |row: &T| seal_cursor(ctx.app().vault().cursor(), &self.bound_to, &key(row), until);
        let next = cut(&mut rows, self.limit).map(seal).transpose()?;
        Ok(Page { items: rows.into_iter().map(show).collect(), next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(raw: &str) -> Option<String> {
        Params::query(Some(raw), &["state", "limit"]).err().map(|error| error.to_string())
    }

    #[test]
    fn what_is_unknown_or_given_twice_is_refused_by_name() {
        assert_eq!(refused("state=active&limit=1&correlation_id=x"), None);
        assert_eq!(refused("stat=active").as_deref(), Some("stat: expected one of state, limit"));
        assert_eq!(refused("state=a&state=a").as_deref(), Some("state: expected once"));
    }

    #[test]
    fn a_cursor_is_bound_to_the_filter_in_whatever_order() {
        let filter = |raw| Params::query(Some(raw), &["a", "b", "limit", "after"]).unwrap().filter();
        assert_eq!(filter("a=1&b=2&limit=3"), filter("b=2&after=x&a=1"));
        assert_ne!(filter("a=1"), filter("a=2"));
    }
}
