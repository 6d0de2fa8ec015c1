//! Bodies: bounded in size and time, of a type that is served.

use axum::body::Body;
use bytes::Bytes;
use domain::error::{OAuthCode, OAuthError};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited as LimitedBody};

use super::twice::twice_within;
use crate::app::App;

/// A body that was read whole.
#[derive(Debug)]
pub struct Limited {
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
    Broken,
    /// It is of another type.
    MediaType,
    /// It is of another type than JSON, where nothing else is read.
    NotJson,
    /// It does not say what it should.
    Malformed(OAuthError),
    /// A member of an object in it is given twice: the way to it.
    Twice(String),
}

impl BodyError {
    /// The status and the error of the Flinks face.
    pub fn shown(&self) -> (StatusCode, OAuthError) {
        let plain = |text| OAuthError::new(OAuthCode::InvalidRequest, text);
        match self {
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, plain("The body is too large")),
            Self::Broken => (StatusCode::REQUEST_TIMEOUT, plain("The body did not arrive")),
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                plain("The content type must be application/json or application/x-www-form-urlencoded"),
            ),
            Self::NotJson => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, plain("The content type must be application/json"))
            }
            Self::Malformed(error) => (StatusCode::BAD_REQUEST, error.clone()),
            Self::Twice(way) => (StatusCode::BAD_REQUEST, OAuthError::repeated(way)),
        }
    }
}

impl Limited {
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
            Err(_) | Ok(Err(_)) => Err(BodyError::Broken),
        }
    }

    /// Whether it is a form.
    pub fn is_form(&self) -> bool {
        self.media_type.as_deref() == Some("application/x-www-form-urlencoded")
    }

    /// The fields of a form.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.bytes).into_owned().collect()
    }

    /// The members of a JSON object, repeated names included; within them there are none.
    pub fn members(&self) -> Result<Vec<(String, serde_json::Value)>, BodyError> {
        match self.media_type.as_deref() {
            Some("application/json") => members(&self.bytes),
            _ => Err(BodyError::NotJson),
        }
    }

    /// The fields of a form or of a flat JSON object, repeated names included. Those that are known must be texts.
    pub fn fields(&self, known: &[&str]) -> Result<Vec<(String, String)>, BodyError> {
        match self.media_type.as_deref() {
            Some("application/json") => json_fields(&self.bytes, known),
            _ if self.is_form() => Ok(self.form()),
            _ => Err(BodyError::MediaType),
        }
    }
}

fn members(bytes: &[u8]) -> Result<Vec<(String, serde_json::Value)>, BodyError> {
    let Pairs(pairs) = serde_json::from_slice(bytes).map_err(|error| {
        let place =
            format_args!("The body is no JSON object: line {}, column {}", error.line(), error.column());
        BodyError::Malformed(OAuthError::about(OAuthCode::InvalidRequest, place))
    })?;
    twice_within(bytes).map_or(Ok(pairs), |way| Err(BodyError::Twice(way)))
}

/// A flat object's texts. `null` is an absent field; a known one of another type is named, an unknown one ignored.
fn json_fields(bytes: &[u8], known: &[&str]) -> Result<Vec<(String, String)>, BodyError> {
    let mut fields = Vec::new();
    for (name, value) in members(bytes)? {
        match value {
            serde_json::Value::String(text) => fields.push((name, text)),
            serde_json::Value::Null => {}
            _ if !known.contains(&name.as_str()) => {}
            _ => {
                let wrong = format_args!("{name} must be a string");
                return Err(BodyError::Malformed(OAuthError::about(OAuthCode::InvalidRequest, wrong)));
            }
        }
    }
    Ok(fields)
}

/// An object's members in order: a map would hide that one is given twice.
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Pairs;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(bytes: Vec<u8>, text: String) {
            for body in [&bytes[..], text.as_bytes(), format!("{{{text}}}").as_bytes()] {
                if let Err(error) = json_fields(body, &["code"]) {
                    let (_, error) = error.shown();
                    prop_assert!(error.description.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
                }
                let limited = Limited { bytes: Bytes::copy_from_slice(body), media_type: None };
                let _ = limited.form();
            }
        }

        #[test]
        fn fields_are_read_as_they_were_written(fields in prop::collection::vec((".*", ".*"), 0..6)) {
            let members = fields.iter().map(|(name, value)| {
                format!("{}:{}", serde_json::json!(name), serde_json::json!(value))
            });
            let body = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            prop_assert_eq!(json_fields(body.as_bytes(), &[]).unwrap(), fields.clone());
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            let limited = Limited { bytes: body.into(), media_type: None };
            prop_assert_eq!(limited.form(), fields);
        }

        #[test]
        fn a_strange_value_is_named_in_plain_text(name: String) {
            let body = serde_json::json!({name.as_str(): 5}).to_string();
            let (_, error) = json_fields(body.as_bytes(), &[&name]).unwrap_err().shown();
            prop_assert!(error.description.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
        }
    }

    #[test]
    fn json_errors_name_the_position_or_the_field() {
        let says = |text: &str| {
            json_fields(text.as_bytes(), &["code"]).unwrap_err().shown().1.description.into_owned()
        };
        assert_eq!(says("{\n\"a\": }"), "The body is no JSON object: line 2, column 6");
        assert_eq!(says("[1]"), "The body is no JSON object: line 1, column 0");
        assert_eq!(says(r#"{"code": 5}"#), "code must be a string");
        assert_eq!(says(r#"{"code":"1","x":{"y":1,"y":1}}"#), "x.y is given twice");
        let twice = json_fields(br#"{"a":"1","a":"2","b":null,"c":5}"#, &["code"]).unwrap();
        assert_eq!(twice, [("a".into(), "1".into()), ("a".into(), "2".into())]);
    }
}
