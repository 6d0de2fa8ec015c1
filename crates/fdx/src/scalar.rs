//! The scalar types of FDX: amounts, dates and points in time. Amounts keep every digit.

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount, rate or number of units: a JSON number that is stored and sent with exactly the received digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
// A binary fraction cannot represent 0.1, so amounts are never converted to `f64`.
pub struct Amount(pub Decimal);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rust_decimal::serde::arbitrary_precision::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        rust_decimal::serde::arbitrary_precision::deserialize(deserializer).map(Self)
    }
}

/// A date, `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Date(pub jiff::civil::Date);

/// A point in time in the form of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DateTime(pub jiff::Timestamp);

/// Implements the JSON schema of scalar types, which is inlined where they are used.
macro_rules! impl_scalar_schema {
    ($($name:ident = $schema:tt;)+) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}
impl_scalar_schema! {
    Amount = { "type": "number" };
    Date = { "type": "string", "format": "date" };
    DateTime = { "type": "string", "format": "date-time" };
}
