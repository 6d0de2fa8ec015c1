//! Types that the responses of several APIs contain: enum values, points in time and secrets.

use std::borrow::Cow;

use domain::str_enum::StrEnum;
use domain::{Secret, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// An enum value in a response, serialized as its string.
#[derive(Clone, Copy, Debug)]
pub struct EnumValue<T>(pub T);

impl<T: StrEnum> Serialize for EnumValue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.value_str())
    }
}

impl<T: StrEnum> JsonSchema for EnumValue<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        let name = std::any::type_name::<T>();
        name.rsplit("::").next().unwrap_or(name).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let values: Vec<_> = T::VARIANTS.iter().map(|variant| variant.value_str()).collect();
        json_schema!({"type": "string", "enum": values})
    }
}

/// A point in time in a response, serialized as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// Serializes a secret into the only response that contains it. Secrets do not implement `Serialize` otherwise.
pub(crate) fn exposed<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::model::operator::Role;

    #[test]
    fn enum_value_and_time_serialize_as_schema_describes() {
        let schema = schemars::schema_for!(EnumValue<Role>);

        assert_eq!(schema.get("enum"), Some(&serde_json::json!(["viewer", "operator", "admin"])));
        assert_eq!(serde_json::to_value(EnumValue(Role::Admin)).unwrap(), "admin");
        let time = Time(Timestamp::from_millis(1_500));
        assert_eq!(serde_json::to_value(time).unwrap(), "1970-01-01T00:00:01.500Z");
    }
}
