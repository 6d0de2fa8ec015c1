//! Whether a form was posted from our own page.

use http::{HeaderMap, header};

/// Where a post comes from, as far as the browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sameness {
    /// Our own page.
    Same,
    /// Another site, or nothing that says so.
    Other,
}

/// `Sec-Fetch-Site` decides where the browser sends it; else `Origin` must be ours or absent.
pub fn same_site(headers: &HeaderMap, public_url: &str) -> Sameness {
    let header = |name| headers.get(name).map(|value: &http::HeaderValue| value.as_bytes().to_vec());
    let same = match (header(http::HeaderName::from_static("sec-fetch-site")), header(header::ORIGIN)) {
        (Some(site), _) => site == b"same-origin",
        (None, Some(origin)) => origin == public_url.as_bytes(),
        (None, None) => true,
    };
    if same { Sameness::Same } else { Sameness::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_from_another_site_is_seen() {
        let of = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, value.parse().unwrap());
            }
            same_site(&headers, "https://hub.example.org")
        };
        assert_eq!(of(&[("sec-fetch-site", "same-origin")]), Sameness::Same);
        assert_eq!(of(&[("origin", "https://hub.example.org")]), Sameness::Same);
        for foreign in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
            ("origin", "https://evil.example.org"),
            ("origin", "null"),
        ] {
            assert_eq!(of(&[foreign]), Sameness::Other, "{foreign:?}");
        }
    }
}
