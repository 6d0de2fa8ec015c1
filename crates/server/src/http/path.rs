//! Extractors for the parameters in a URL path. A parameter that is not UTF-8 leads to an error in the format of the
//! API.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, Path};
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// The value of the path parameter, for paths with exactly one parameter.
///
/// A value that is not UTF-8 becomes an empty string. No object has an empty id, so the use case reports "not found" in
/// the format of its API; the rejection of `axum` would have another format.
pub struct Segment(pub String);

impl<S: Sync + Send> FromRequestParts<S> for Segment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.map_or_else(|_| String::new(), |Path(text)| text)))
    }
}

/// The values of all path parameters, for paths with several of them, in order. A value that is not UTF-8 becomes an
/// empty string.
pub struct Segments<const N: usize>(pub [String; N]);

impl<S: Sync + Send, const N: usize> FromRequestParts<S> for Segments<N> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // `axum` rejects all parameters if one of them is not UTF-8, so they are decoded one by one.
        let pattern = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let pairs = pattern.split('/').zip(parts.uri.path().split('/'));
        let mut raw = pairs.filter(|(name, _)| name.starts_with('{')).map(|(_, segment)| segment);
        Ok(Self(std::array::from_fn(|_| {
            let text = percent_decode_str(raw.next().unwrap_or_default()).decode_utf8();
            text.map(Cow::into_owned).unwrap_or_default()
        })))
    }
}
