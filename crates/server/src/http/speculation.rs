//! Requests that a program sends before, or without, the user opening the link.

use http::{HeaderMap, HeaderName, Method};

/// Returns whether a request only explores a link: `HEAD`, or a prefetch or prerendering of the browser. It must not take a
/// step of an authorization, because the customer has not opened the link.
pub fn is_speculative(method: &Method, headers: &HeaderMap) -> bool {
    // `Sec-Purpose` is a standard (Fetch §3.8); older browsers send one of the other headers.
    let names = ["sec-purpose", "purpose", "x-purpose", "x-moz"].map(HeaderName::from_static);
    let mut values = names.iter().flat_map(|name| headers.get_all(name));
    method == Method::HEAD
        || values.any(|value| value.as_bytes().to_ascii_lowercase().windows(3).any(|part| part == b"pre"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_prefetch_are_speculative() {
        let is_get_speculative = |name: &'static str, value: &str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.parse().unwrap())]);
            is_speculative(&Method::GET, &headers)
        };

        assert!(is_speculative(&Method::HEAD, &HeaderMap::new()));
        assert!(is_get_speculative("sec-purpose", "prefetch"));
        assert!(is_get_speculative("sec-purpose", "prefetch;prerender"));
        assert!(is_get_speculative("purpose", "Prefetch"));
        assert!(is_get_speculative("x-purpose", "preview"));
        assert!(!is_get_speculative("sec-fetch-mode", "prefetch"));
        assert!(!is_speculative(&Method::GET, &HeaderMap::new()));
    }
}
