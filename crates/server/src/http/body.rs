//! Reads request bodies, which are limited in size and time and must have a supported media type.

use std::borrow::Cow;

use axum::body::Body;
use bytes::Bytes;
use domain::error::{OAuthCode, OAuthError};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::duplicate_keys::find_duplicate_key;
use crate::app::App;

/// A request body that was received completely and within the limits.
#[derive(Debug)]
pub struct BoundedBody {
    pub bytes: Bytes,
    /// The media type in lower case, without parameters.
    pub media_type: Option<String>,
}

/// The name and the value of a field of a form or of a flat JSON object.
pub type FormField<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The reason why a request body is rejected.
#[derive(Debug)]
pub enum BodyError {
    /// The body is larger than `server.body_limit`.
    TooLarge,
    /// The body was not received in time, or the client closed the connection.
    Incomplete,
    /// The body is neither JSON nor a form.
    UnsupportedMediaType,
    /// The body is not JSON, at an endpoint that accepts only JSON.
    NotJson,
    /// The content cannot be parsed. The error describes the problem.
    Malformed(OAuthError),
    /// A nested JSON object has a duplicate key, given by its path.
    DuplicateKey(String),
}

impl BodyError {
    /// Returns the HTTP status and the error in OAuth format.
    pub fn to_status_and_error(&self) -> (StatusCode, OAuthError) {
        let invalid_request = |text| OAuthError::new(OAuthCode::InvalidRequest, text);
        match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, invalid_request("The body is too large")),
            Self::Incomplete => (StatusCode::REQUEST_TIMEOUT, invalid_request("The body did not arrive")),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                invalid_request(
                    "The content type must be application/json or application/x-www-form-urlencoded",
                ),
            ),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                invalid_request("The content type must be application/json"),
            ),
            Self::Malformed(error) => (StatusCode::BAD_REQUEST, error.clone()),
            Self::DuplicateKey(path) => (StatusCode::BAD_REQUEST, OAuthError::for_repeated_field(path)),
        }
    }
}

impl BoundedBody {
    /// Reads the body of a request within the configured size and time.
    pub async fn read(app: &App, request: Request<Body>) -> Result<Self, BodyError> {
        let server = &app.config().server;
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media_type = media_type.and_then(|v| v.split(';').next()).map(|v| v.trim().to_ascii_lowercase());
        let body = Limited::new(request.into_body(), server.body_limit.bytes()).collect();
        // Bodies are small, so a body gets the same time as a header: a slow client must not occupy a handler.
        match tokio::time::timeout(server.header_timeout.duration(), body).await {
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(BodyError::TooLarge),
            Ok(Ok(body)) => Ok(Self { bytes: body.to_bytes(), media_type }),
            Err(_) | Ok(Err(_)) => Err(BodyError::Incomplete),
        }
    }

    /// Returns whether the media type is that of an HTML form.
    pub fn is_form(&self) -> bool {
        self.media_type.as_deref() == Some("application/x-www-form-urlencoded")
    }

    /// Returns the fields of a form in order, repeated names included.
    pub fn form_fields(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.bytes).into_owned().collect()
    }

    /// Returns the members of a JSON object in order. Repeated names are included at the top level and rejected in
    /// nested objects.
    pub fn json_members(&self) -> Result<Vec<(String, serde_json::Value)>, BodyError> {
        match self.media_type.as_deref() {
            Some("application/json") => parse_json_members(&self.bytes),
            _ => Err(BodyError::NotJson),
        }
    }

    /// Returns the fields of a form or of a flat JSON object in order, repeated names included.
    ///
    /// JSON members named in `known` must be strings.
    // The fields of a form are borrowed from the body, unless they contain escapes: they occur in every token request.
    pub fn fields(&self, known: &[&str]) -> Result<Vec<FormField<'_>>, BodyError> {
        match self.media_type.as_deref() {
            Some("application/json") => {
                let fields = parse_json_fields(&self.bytes, known)?.into_iter();
                Ok(fields.map(|(name, value)| (name.into(), value.into())).collect())
            }
            _ if self.is_form() => Ok(form_urlencoded::parse(&self.bytes).collect()),
            _ => Err(BodyError::UnsupportedMediaType),
        }
    }
}

fn parse_json_members(bytes: &[u8]) -> Result<Vec<(String, serde_json::Value)>, BodyError> {
    let OrderedMembers(members) = serde_json::from_slice(bytes).map_err(|error| {
        // Only the position is reported: serde's own message may repeat a secret from the body.
        let message =
            format_args!("The body is not a JSON object: line {}, column {}", error.line(), error.column());
        BodyError::Malformed(OAuthError::with_description(OAuthCode::InvalidRequest, message))
    })?;
    find_duplicate_key(bytes).map_or(Ok(members), |path| Err(BodyError::DuplicateKey(path)))
}

/// Returns the string members of a JSON object. A `null` member counts as absent. A member of any other type is an
/// error if its name is in `known`, and is ignored otherwise.
fn parse_json_fields(bytes: &[u8], known: &[&str]) -> Result<Vec<(String, String)>, BodyError> {
    let mut fields = Vec::new();
    for (name, value) in parse_json_members(bytes)? {
        match value {
            serde_json::Value::String(text) => fields.push((name, text)),
            serde_json::Value::Null => {}
            _ if !known.contains(&name.as_str()) => {}
            _ => {
                let message = format_args!("{name} must be a string");
                return Err(BodyError::Malformed(OAuthError::with_description(
                    OAuthCode::InvalidRequest,
                    message,
                )));
            }
        }
    }
    Ok(fields)
}

/// The members of a JSON object in order. A map would silently keep only one of two members with the same name.
struct OrderedMembers(Vec<(String, serde_json::Value)>);

impl<'de> serde::Deserialize<'de> for OrderedMembers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedMembersVisitor;
        impl<'de> serde::de::Visitor<'de> for OrderedMembersVisitor {
            type Value = OrderedMembers;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<OrderedMembers, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(OrderedMembers(members))
            }
        }
        deserializer.deserialize_map(OrderedMembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_request_body_is_parsed_or_rejected(bytes: Vec<u8>, text: String) {
            for body in [&bytes[..], text.as_bytes(), format!("{{{text}}}").as_bytes()] {
                if let Err(error) = parse_json_fields(body, &["code"]) {
                    let (_, error) = error.to_status_and_error();
                    prop_assert!(error.description.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
                }
                let limited = BoundedBody { bytes: Bytes::copy_from_slice(body), media_type: None };
                let _ = limited.form_fields();
            }
        }

        #[test]
        fn body_fields_round_trip_as_json_and_form(fields in prop::collection::vec((".*", ".*"), 0..6)) {
            let members = fields.iter().map(|(name, value)| {
                format!("{}:{}", serde_json::json!(name), serde_json::json!(value))
            });
            let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            prop_assert_eq!(parse_json_fields(body.as_bytes(), &[]).unwrap(), fields.clone());
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            let limited = BoundedBody { bytes: body.into(), media_type: None };
            prop_assert_eq!(limited.form_fields(), fields);
        }

        #[test]
        fn json_field_type_error_is_printable_ascii(name: String) {
            let body = serde_json::json!({name.as_str(): 5}).to_string();
            let (_, error) = parse_json_fields(body.as_bytes(), &[&name]).unwrap_err().to_status_and_error();
            prop_assert!(error.description.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
        }
    }

    #[test]
    fn json_body_error_names_position_or_field() {
        let description = |text: &str| {
            parse_json_fields(text.as_bytes(), &["code"])
                .unwrap_err()
                .to_status_and_error()
                .1
                .description
                .into_owned()
        };
        assert_eq!(description("{\n\"a\": }"), "The body is not a JSON object: line 2, column 6");
        assert_eq!(description("[1]"), "The body is not a JSON object: line 1, column 0");
        assert_eq!(description(r#"{"code": 5}"#), "code must be a string");
        assert_eq!(description(r#"{"code":"1","x":{"y":1,"y":1}}"#), "x.y is given twice");
        let twice = parse_json_fields(br#"{"a":"1","a":"2","b":null,"c":5}"#, &["code"]).unwrap();
        assert_eq!(twice, [("a".into(), "1".into()), ("a".into(), "2".into())]);
    }
}
