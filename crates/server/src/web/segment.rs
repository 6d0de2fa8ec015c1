//! The parameter of a path.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, Path};
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// The one parameter of a path. What is no text is empty: an id that nobody has, for each face to say so.
pub struct Segment(pub String);

impl<S: Sync + Send> FromRequestParts<S> for Segment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.map_or_else(|_| String::new(), |Path(text)| text)))
    }
}

/// Both parameters of a path, each empty where it is no text.
pub struct Segments(pub String, pub String);

impl<S: Sync + Send> FromRequestParts<S> for Segments {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let pairs = template.split('/').zip(parts.uri.path().split('/'));
        let mut texts = pairs
            .filter(|(name, _)| name.starts_with('{'))
            .map(|(_, text)| percent_decode_str(text).decode_utf8().map(Cow::into_owned).unwrap_or_default());
        Ok(Self(texts.next().unwrap_or_default(), texts.next().unwrap_or_default()))
    }
}
