//! Whether a form was posted from our own page.

use http::{HeaderMap, header};

/// Where a post comes from, as far as the browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestOrigin {
    /// Our own page.
    SameOrigin,
    /// Another site, or nothing that says so.
    CrossOrigin,
}

/// `Sec-Fetch-Site` decides where the browser sends it; else `Origin` must be ours or absent.
pub fn detect_request_origin(headers: &HeaderMap, public_url: &str) -> RequestOrigin {
    let header = |name| headers.get(name).map(|value: &http::HeaderValue| value.as_bytes().to_vec());
    let same = match (header(http::HeaderName::from_static("sec-fetch-site")), header(header::ORIGIN)) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => origin == public_url.as_bytes(),
        (None, None) => true,
    };
    if same { RequestOrigin::SameOrigin } else { RequestOrigin::CrossOrigin }
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
