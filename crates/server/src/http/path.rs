//! Extractors for the parameters in a URL path. A parameter that is not UTF-8 leads to an error in the format of the
//! API.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::state::RequestState;

/// The value of the path parameter, for paths with exactly one parameter.
///
/// A value that is not UTF-8 becomes an empty string. No object has an empty id, so the use case reports "not found" in
/// the format of its API; the rejection of `axum` would have another format.
pub struct Segment(pub String);

impl FromRequestParts<RequestState> for Segment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &RequestState) -> Result<Self, Infallible> {
        let [text] = decode_parameters(state.route().path, parts.uri.path());
        Ok(Self(text))
    }
}

/// The values of all path parameters, for paths with several of them, in order. A value that is not UTF-8 becomes an
/// empty string.
pub struct Segments<const N: usize>(pub [String; N]);

impl<const N: usize> FromRequestParts<RequestState> for Segments<N> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &RequestState) -> Result<Self, Infallible> {
        Ok(Self(decode_parameters(state.route().path, parts.uri.path())))
    }
}

/// Returns the decoded segments of a path at the places where its pattern has a parameter.
fn decode_parameters<const N: usize>(pattern: &str, path: &str) -> [String; N] {
    let mut rest = (pattern, path);
    std::array::from_fn(|_| {
        let raw = take_parameter(&mut rest).unwrap_or_default();
        percent_decode_str(raw).decode_utf8().map(Cow::into_owned).unwrap_or_default()
    })
}

/// Returns the segment at the first parameter of a pattern, and continues after it. The text before it is equal in pattern and
/// path, because the path has matched.
fn take_parameter<'a>((pattern, path): &mut (&str, &'a str)) -> Option<&'a str> {
    let (start, end_of_name) = (pattern.find('{')?, pattern.find('}')? + 1);
    let segments = path.get(start..)?;
    let (segment, following) = segments.split_at(segments.find('/').unwrap_or(segments.len()));
    (*pattern, *path) = (&pattern[end_of_name..], following);
    Some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parameters_are_decoded_one_by_one() {
        let decode = |path| decode_parameters::<2>("/a/{first}/b/{second}", path);

        assert_eq!(decode("/a/x%20y/b/%C3%A9%2F"), ["x y", "é/"]);
        assert_eq!(decode("/a/%FF/b/z"), ["", "z"]);
        assert_eq!(decode_parameters::<1>("/", "/"), [""]);
    }
}
