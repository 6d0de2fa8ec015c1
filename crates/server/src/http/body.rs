//! Bodies: bounded in size and time, of a type that is served.

use axum::body::Body;
use bytes::Bytes;
use domain::error::{OAuthCode, OAuthError};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited as LimitedBody};

use super::duplicate_keys::find_duplicate_key;
use crate::app::App;

/// A body that was read whole.
#[derive(Debug)]
pub struct BoundedBody {
    /// What was sent.
    pub bytes: Bytes,
    /// The media type, in lower case and without parameters.
    pub media_type: Option<String>,
}

/// Why a body cannot be used.
#[derive(Debug)]
pub enum BodyError {
    /// It is larger than allowed.
    TooLarge,
    /// It did not come in time, or broke off.
    Incomplete,
    /// It is of another type.
    UnsupportedMediaType,
    /// It is of another type than JSON, where nothing else is read.
    NotJson,
    /// It does not say what it should.
    Malformed(OAuthError),
    /// A member of an object in it is given twice: the way to it.
    DuplicateKey(String),
}

impl BodyError {
    /// The status and the error of the Flinks face.
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
            Self::DuplicateKey(way) => (StatusCode::BAD_REQUEST, OAuthError::for_repeated_field(way)),
        }
    }
}

impl BoundedBody {
    /// Reads the body of a request.
    pub async fn read(app: &App, request: Request<Body>) -> Result<Self, BodyError> {
        let server = &app.config().server;
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media_type = media_type.and_then(|v| v.split(';').next()).map(|v| v.trim().to_ascii_lowercase());
        let body = LimitedBody::new(request.into_body(), server.body_limit.bytes()).collect();
        let collected = tokio::time::timeout(server.header_timeout.duration(), body).await;
        match collected {
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(BodyError::TooLarge),
            Ok(Ok(body)) => Ok(Self { bytes: body.to_bytes(), media_type }),
            Err(_) | Ok(Err(_)) => Err(BodyError::Incomplete),
        }
    }

    /// Whether it is a form.
    pub fn is_form(&self) -> bool {
        self.media_type.as_deref() == Some("application/x-www-form-urlencoded")
    }

    /// The fields of a form.
    pub fn form_fields(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.bytes).into_owned().collect()
    }

    /// The members of a JSON object, repeated names included; within them there are none.
    pub fn json_members(&self) -> Result<Vec<(String, serde_json::Value)>, BodyError> {
        match self.media_type.as_deref() {
            Some("application/json") => parse_json_members(&self.bytes),
            _ => Err(BodyError::NotJson),
        }
    }

    /// The fields of a form or of a flat JSON object, repeated names included. Those that are known must be texts.
    pub fn fields(&self, known: &[&str]) -> Result<Vec<(String, String)>, BodyError> {
        match self.media_type.as_deref() {
            Some("application/json") => parse_json_fields(&self.bytes, known),
            _ if self.is_form() => Ok(self.form_fields()),
            _ => Err(BodyError::UnsupportedMediaType),
        }
    }
}

fn parse_json_members(bytes: &[u8]) -> Result<Vec<(String, serde_json::Value)>, BodyError> {
    let OrderedMembers(pairs) = serde_json::from_slice(bytes).map_err(|error| {
        let place =
            format_args!("The body is no JSON object: line {}, column {}", error.line(), error.column());
        BodyError::Malformed(OAuthError::with_description(OAuthCode::InvalidRequest, place))
    })?;
    find_duplicate_key(bytes).map_or(Ok(pairs), |way| Err(BodyError::DuplicateKey(way)))
}

/// A flat object's texts. `null` is an absent field; a known one of another type is named, an unknown one ignored.
fn parse_json_fields(bytes: &[u8], known: &[&str]) -> Result<Vec<(String, String)>, BodyError> {
    let mut fields = Vec::new();
    for (name, value) in parse_json_members(bytes)? {
        match value {
            serde_json::Value::String(text) => fields.push((name, text)),
            serde_json::Value::Null => {}
            _ if !known.contains(&name.as_str()) => {}
            _ => {
                let wrong = format_args!("{name} must be a string");
                return Err(BodyError::Malformed(OAuthError::with_description(
                    OAuthCode::InvalidRequest,
                    wrong,
                )));
            }
        }
    }
    Ok(fields)
}

/// An object's members in order: a map would hide that one is given twice.
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
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(OrderedMembers(pairs))
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
        fn body_parse_accepts_or_rejects_any_input(bytes: Vec<u8>, text: String) {
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
        assert_eq!(description("{\n\"a\": }"), "The body is no JSON object: line 2, column 6");
        assert_eq!(description("[1]"), "The body is no JSON object: line 1, column 0");
        assert_eq!(description(r#"{"code": 5}"#), "code must be a string");
        assert_eq!(description(r#"{"code":"1","x":{"y":1,"y":1}}"#), "x.y is given twice");
        let twice = parse_json_fields(br#"{"a":"1","a":"2","b":null,"c":5}"#, &["code"]).unwrap();
        assert_eq!(twice, [("a".into(), "1".into()), ("a".into(), "2".into())]);
    }
}
