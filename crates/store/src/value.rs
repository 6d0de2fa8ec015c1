//! Converts between types of the domain and the value types that both databases store.

use domain::id::{ProviderId, Seed};
use domain::secret::TokenHash;
use domain::{Clusters, Timestamp};
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};

use crate::error::{Result, StoreError};

/// A value of one of the types that both databases store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Blob(Vec<u8>),
}

/// A type that can be bound to a parameter of a statement.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value;
}

/// A type that can be read from a column.
pub(crate) trait FromValue: Sized {
    fn from_value(value: Value) -> Result<Self, InvalidValueError>;
}

/// The error for a stored value that has another type or is outside of the range of the type. It does not contain the
/// value, which may be secret.
#[derive(Debug, thiserror::Error)]
#[error("the stored value is not {expected}")]
pub(crate) struct InvalidValueError {
    expected: &'static str,
}

const fn invalid_value<T>(expected: &'static str) -> Result<T, InvalidValueError> {
    Err(InvalidValueError { expected })
}

/// Converts values to a slice of parameters. The first value is bound to `?1`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::value::ToValue::to_value(&$value)),*] };
}
pub(crate) use values;

impl ToValue for i64 {
    fn to_value(&self) -> Value {
        Value::Int(*self)
    }
}
impl FromValue for i64 {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        if let Value::Int(number) = value { Ok(number) } else { invalid_value("an integer") }
    }
}

/// Implements the conversions for smaller integer types, which both databases store in 64 bits.
macro_rules! impl_small_integer {
    ($($type:ty),+) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                Value::Int(i64::from(*self))
            }
        }
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, InvalidValueError> {
                Self::try_from(i64::from_value(value)?)
                    .or_else(|_| invalid_value(concat!("in the range of ", stringify!($type))))
            }
        }
    )+};
}
impl_small_integer!(u16, u32);

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}
impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        match value {
            Value::Bool(flag) => Ok(flag),
            // SQLite has no boolean type and stores 0 and 1.
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            _ => invalid_value("a boolean"),
        }
    }
}
impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }
}
impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
}
impl FromValue for String {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        if let Value::Text(text) = value { Ok(text) } else { invalid_value("a text") }
    }
}
impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }
}
impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        if let Value::Blob(bytes) = value { Ok(bytes) } else { invalid_value("a blob") }
    }
}
impl ToValue for Timestamp {
    fn to_value(&self) -> Value {
        Value::Int(self.millis())
    }
}
impl FromValue for Timestamp {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        i64::from_value(value).map(Self::from_millis)
    }
}
impl ToValue for TokenHash {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_bytes())
    }
}
impl FromValue for TokenHash {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        Self::from_bytes(&Vec::from_value(value)?).map_or_else(|| invalid_value("a token hash"), Ok)
    }
}
impl ToValue for Clusters {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}
impl FromValue for Clusters {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        Self::parse(&String::from_value(value)?).or_else(|_| invalid_value("a scope"))
    }
}
impl ToValue for ProviderId {
    fn to_value(&self) -> Value {
        Value::Int(self.number())
    }
}
impl FromValue for ProviderId {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        i64::from_value(value).map(Self::new)
    }
}
impl ToValue for Seed {
    fn to_value(&self) -> Value {
        Value::Blob(self.bytes().to_vec())
    }
}
impl FromValue for Seed {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        let bytes: Result<[u8; 16], _> = Vec::from_value(value)?.try_into();
        bytes.map_or_else(|_| invalid_value("a seed"), |bytes| Ok(Self::new(bytes)))
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        if value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}
impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (*self).to_value()
    }
}

/// Implements the conversions for types that are stored as text.
macro_rules! impl_text_value {
    ($($type:ty),+ $(,)?) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                Value::Text(self.as_str().to_owned())
            }
        }
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, InvalidValueError> {
                let parsed = String::from_value(value)?.parse();
                parsed.or_else(|_| invalid_value(concat!("a ", stringify!($type))))
            }
        }
    )+};
}

impl_text_value!(
    domain::id::ClientId,
    domain::id::ConnectionId,
    domain::id::CustomerId,
    domain::id::AuthorizationRequestId,
    domain::id::JobId,
    domain::id::LeaseId,
    domain::id::AuditEventId,
    domain::id::OperatorId,
    domain::model::client::ClientKind,
    domain::model::client::Profile,
    domain::model::client::ClientState,
    domain::model::provider::EndpointGroup,
    domain::model::provider::ProviderState,
    domain::model::provider::ProviderSource,
    domain::model::registration::RegistrationState,
    domain::model::authorization_request::RequestStatus,
    domain::model::connection::ConnectionStatus,
    domain::model::connection::EndCause,
    domain::model::connection::UpstreamRevocation,
    domain::model::job::JobKind,
    domain::model::job::JobState,
    domain::model::audit_event::SubjectKind,
    domain::model::audit_event::ActorKind,
    domain::model::audit_event::AuditAction,
    domain::model::operator::Role
);

/// Serializes a value as JSON, which both databases store as text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(StoreError::internal)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Bool(flag) => ValueRef::Integer(i64::from(*flag)),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl rusqlite::types::FromSql for Value {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(Self::Null),
            ValueRef::Integer(number) => Ok(Self::Int(number)),
            ValueRef::Text(text) => {
                Ok(Self::Text(String::from_utf8(text.to_vec()).map_err(|_| FromSqlError::InvalidType)?))
            }
            ValueRef::Blob(bytes) => Ok(Self::Blob(bytes.to_vec())),
            ValueRef::Real(_) => Err(FromSqlError::InvalidType),
        }
    }
}

type PostgresValueError = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, PostgresValueError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Bool(flag) => flag.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::BOOL | Type::TEXT | Type::BYTEA)
    }

    // The type is checked here because `accepts` cannot see the value, and `i64::to_sql` would write eight bytes for a
    // parameter of any type.
    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, PostgresValueError> {
        let has_type = match self {
            Self::Null => true,
            Self::Int(_) => *ty == Type::INT8,
            Self::Bool(_) => *ty == Type::BOOL,
            Self::Text(_) => *ty == Type::TEXT,
            Self::Blob(_) => *ty == Type::BYTEA,
        };
        if has_type { self.to_sql(ty, out) } else { Err(format!("the parameter is not of type {ty}").into()) }
    }
}

impl<'a> tokio_postgres::types::FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, PostgresValueError> {
        match *ty {
            Type::INT8 => i64::from_sql(ty, raw).map(Self::Int),
            Type::BOOL => bool::from_sql(ty, raw).map(Self::Bool),
            Type::BYTEA => <Vec<u8>>::from_sql(ty, raw).map(Self::Blob),
            _ => String::from_sql(ty, raw).map(Self::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, PostgresValueError> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::BOOL | Type::TEXT | Type::BYTEA | Type::NAME | Type::VARCHAR)
    }
}

#[cfg(test)]
mod tests {
    use domain::model::connection::ConnectionStatus;

    use super::*;

    #[test]
    fn invalid_stored_value_returns_error() {
        assert!(ConnectionStatus::from_value(Value::Text("sleeping".into())).is_err());
        assert!(bool::from_value(Value::Int(2)).is_err());
        assert!(TokenHash::from_value(Value::Blob(vec![1])).is_err());
        assert!(u16::from_value(Value::Int(-1)).is_err());
    }

    #[test]
    fn null_can_be_read_only_as_option() {
        assert_eq!(Option::<i64>::from_value(Value::Null).unwrap(), None);

        assert!(i64::from_value(Value::Null).is_err());
    }
}
