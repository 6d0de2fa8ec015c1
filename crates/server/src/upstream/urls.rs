//! Builds authorization URLs, redirect URIs and FDX resource URLs, and decides which redirects may be followed.

use domain::id::ProviderId;
use http::header;
use url::Url;

use crate::outbound::StreamingResponse;

/// Builds the provider's authorization URL, to which the browser is redirected (RFC 6749 §4.1.1, RFC 7636 §4.3).
/// Returns `None` if the endpoint is not a URL.
pub(super) fn authorization_url(endpoint: &str, fields: &[(String, String)]) -> Option<String> {
    let mut url = Url::parse(endpoint).ok()?;
    url.query_pairs_mut().extend_pairs(fields);
    Some(url.into())
}

/// Returns the redirect URI of the hub that is registered at a provider.
///
/// Each provider has its own, which prevents mix-up attacks even if the provider sends no `iss` (RFC 9700 §4.4.2.2).
pub(super) fn callback_uri(public_url: &str, provider: ProviderId) -> String {
    format!("{public_url}/callback/{provider}")
}

/// Builds the URL of a resource below the FDX base URL. Each path segment is percent-encoded. Returns `None` if `base`
/// is not a URL with a path.
pub(super) fn build_resource_url<'q>(
    base: &str,
    path: &[&str],
    query: impl Iterator<Item = (&'q str, &'q str)>,
) -> Option<Url> {
    let mut url = Url::parse(base).ok()?;
    // Each segment is encoded, so that an id with slashes or dots cannot address another resource.
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    let mut query = query.peekable();
    if query.peek().is_some() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Some(url)
}

/// Returns the target of a redirect, or `None` if it is missing or not below the base URL.
pub(super) fn resolve_redirect(base: &Url, from: &Url, response: &StreamingResponse) -> Option<Url> {
    let location = response.headers.get(header::LOCATION)?.to_str().ok()?;
    from.join(location).ok().filter(|url| is_within_base(base, url))
}

/// Returns whether a URL has the origin of the base URL and a path below its path.
fn is_within_base(base: &Url, url: &Url) -> bool {
    let root = format!("{}/", base.path().trim_end_matches('/'));
    let path = url.path().to_ascii_lowercase();
    // `Url` has already resolved `..`. The provider's server may still decode other forms to a parent directory: `..;`,
    // an encoded slash and an encoded backslash.
    let has_parent_segment =
        path.split('/').any(|part| part.starts_with("..")) || path.contains("%2f") || path.contains("%5c");
    url.origin() == base.origin()
        && url.username().is_empty()
        && url.password().is_none()
        && url.path().starts_with(&root)
        && !has_parent_segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_target_must_be_within_base() {
        let base = Url::parse("https://bank.example.org/fdx/v5").unwrap();
        let from = Url::parse("https://bank.example.org/fdx/v5/accounts/a/statements/s").unwrap();
        let is_within = |location: &str| from.join(location).is_ok_and(|url| is_within_base(&base, &url));

        for location in ["/fdx/v5/documents/1?x=/../y", "other", "https://bank.example.org:443/fdx/v5/x"] {
            assert!(is_within(location), "{location}");
        }
        for location in [
            "/fdx/v5",
            "/fdx/v55/x",
            "/admin",
            "/fdx/v5/../../admin",
            "/fdx/v5/%2e%2E/admin",
            "/fdx/v5/..%2fadmin",
            "/fdx/v5/..;/admin",
            "/fdx/v5/x%5C..%5Cadmin",
            "/fdx/v5\\..\\admin",
            "//evil.example.org/fdx/v5/x",
            "http://bank.example.org/fdx/v5/x",
            "https://bank.example.org:444/fdx/v5/x",
            "https://bank.example.org@evil.example.org/fdx/v5/x",
            "https://me:x@bank.example.org/fdx/v5/x",
            "https://bank.example.org.evil.example.org/fdx/v5/x",
            "file:///fdx/v5/x",
            "data:,x",
        ] {
            assert!(!is_within(location), "{location}");
        }
    }

    #[test]
    fn resource_id_is_encoded_as_one_path_segment() {
        let url = |id| {
            build_resource_url("https://bank.example.org/fdx/v5", &["accounts", id], std::iter::empty())
                .unwrap()
                .to_string()
        };
        assert_eq!(url("a1"), "https://bank.example.org/fdx/v5/accounts/a1");
        assert_eq!(url("../x?y#z"), "https://bank.example.org/fdx/v5/accounts/..%2Fx%3Fy%23z");
        assert_eq!(url(".."), "https://bank.example.org/fdx/v5/accounts");
    }
}
