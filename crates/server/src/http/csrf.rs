//! Detects forms that were posted from another site.

use http::{HeaderMap, header};

/// The site that a request was sent from, according to the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOrigin {
    /// The hub's own origin, or an unknown one: the client sends neither `Sec-Fetch-Site` nor `Origin`.
    SameOrigin,
    /// Another site, or no site at all (as for a bookmark).
    CrossOrigin,
}

/// Determines the origin of a form post from `Sec-Fetch-Site`, or from `Origin` if that header is absent.
pub fn detect_request_origin(headers: &HeaderMap, public_url: &str) -> RequestOrigin {
    let header = |name| headers.get(name).map(|value: &http::HeaderValue| value.as_bytes().to_vec());
    let is_same = match (header(http::HeaderName::from_static("sec-fetch-site")), header(header::ORIGIN)) {
        // Not `same-site`: another subdomain is not trusted either.
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => origin == public_url.as_bytes(),
        // Old browsers send neither header with a form. The CSRF token still protects them.
        (None, None) => true,
    };
    if is_same { RequestOrigin::SameOrigin } else { RequestOrigin::CrossOrigin }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_post_from_other_site_is_detected() {
        let detect = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            detect_request_origin(&headers, "https://hub.example.org")
        };
        assert_eq!(detect(&[("sec-fetch-site", "same-origin")]), RequestOrigin::SameOrigin);
        assert_eq!(detect(&[("origin", "https://hub.example.org")]), RequestOrigin::SameOrigin);
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("origin", "https://evil.example.org"),
            ("origin", "null"),
        ] {
            assert_eq!(detect(&[foreign]), RequestOrigin::CrossOrigin, "{foreign:?}");
        }
    }
}
