//! The language of a page, and the link with which the customer chooses the other one.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use domain::rule::authorize::{AuthorizeQuery, Language};
use http::request::Parts;
use http::{HeaderMap, Uri, header};

use super::state::RequestState;

/// The language of a page, and the query of its URL.
#[derive(Clone, Debug, Default)]
pub struct PageLocale {
    language: Language,
    query: AuthorizeQuery,
    /// The parameters that the link to the other language repeats, because the page would be another one without them.
    link_parameters: Vec<(String, String)>,
}

impl PageLocale {
    /// Determines the language from a request: its query, otherwise `Accept-Language`, otherwise English.
    pub fn from_request(uri: &Uri, headers: &HeaderMap) -> Self {
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let query = AuthorizeQuery(query.into_owned().collect());
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Self { language: Language::select(&query, accepted), query, link_parameters: Vec::new() }
    }

    /// Returns the language of the page.
    pub const fn language(&self) -> Language {
        self.language
    }

    /// Returns the language that the query names, if any: the customer's choice on a page, or that of the recipient.
    pub fn requested_language(&self) -> Option<Language> {
        Language::from_query(&self.query)
    }

    /// Returns the query of the page's URL.
    pub const fn query(&self) -> &AuthorizeQuery {
        &self.query
    }

    /// Returns the same locale in the language of a stored request, unless the query names one.
    pub fn or_language(self, language: Language) -> Self {
        Self { language: self.requested_language().unwrap_or(language), ..self }
    }

    /// Returns the same locale with these parameters in its link.
    pub fn with_link_parameters(self, link_parameters: Vec<(String, String)>) -> Self {
        Self { link_parameters, ..self }
    }

    /// Returns the same locale with the parameters of its query that have one of these names in its link. All others are
    /// dropped, so that the page does not repeat arbitrary input.
    pub fn keep_in_link(self, names: &[&str]) -> Self {
        let kept = self.query.0.iter().filter(|(name, _)| names.contains(&name.as_str()));
        let kept = kept.cloned().collect();
        self.with_link_parameters(kept)
    }

    /// Returns a link to the same page in the other language. It contains no path, so that it stays on this page whatever the
    /// path is.
    pub fn other_language_link(&self) -> String {
        let mut link = form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
        let is_kept = |name: &str| !Language::PARAMETERS.contains(&name);
        link.extend_pairs(self.link_parameters.iter().filter(|(name, _)| is_kept(name)));
        link.append_pair("lang", self.language.other().as_str());
        link.finish()
    }
}

impl FromRequestParts<RequestState> for PageLocale {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &RequestState) -> Result<Self, Infallible> {
        Ok(Self::from_request(&parts.uri, &parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_link_keeps_named_parameters_and_sets_the_language() {
        let uri = "/api/v1/authorize?state=a%26b&ui_locales=fr&lang=en&language=en&x=y".parse().unwrap();

        let locale = PageLocale::from_request(&uri, &HeaderMap::new());

        assert_eq!(locale.language(), Language::Fr);
        assert_eq!(locale.other_language_link(), "?lang=en");
        assert_eq!(locale.keep_in_link(&["state", "lang"]).other_language_link(), "?state=a%26b&lang=en");
    }
}
