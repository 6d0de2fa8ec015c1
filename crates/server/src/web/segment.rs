//! The parameter of a path.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

/// The one parameter of a path. What is no text is empty: an id that nobody has, for each face to say so.
pub struct Segment(pub String);

impl<S: Sync + Send> FromRequestParts<S> for Segment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.map_or_else(|_| String::new(), |Path(text)| text)))
    }
}

/// Both parameters of a path. Where either is no text, both are empty.
pub struct Segments(pub String, pub String);

impl<S: Sync + Send> FromRequestParts<S> for Segments {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let texts = Path::<(String, String)>::from_request_parts(parts, state).await;
        let (first, second) = texts.map_or_else(|_| Default::default(), |Path(texts)| texts);
        Ok(Self(first, second))
    }
}
