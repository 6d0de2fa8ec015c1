//! The whole type mapping between the domain and the two databases.

use domain::secret::TokenHash;
use domain::{Clusters, Timestamp};
use tokio_postgres::types::{IsNull, ToSql, Type, private::BytesMut};

use crate::error::{Result, StoreError};

/// A stored value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Blob(Vec<u8>),
}

/// Something that can be bound.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value;
}

/// Something that can be read; a wrong stored value is a fault, never a panic.
pub(crate) trait FromValue: Sized {
    fn from_value(value: Value) -> Result<Self>;
}

/// Binds values in the order of their parameters.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::value::ToValue::to_value(&$value)),*] };
}
pub(crate) use values;

fn invalid_value<T>(expected: &str) -> Result<T> {
    Err(StoreError::Internal(format!("a stored value is not {expected}")))
}

impl ToValue for i64 {
    fn to_value(&self) -> Value {
        Value::Int(*self)
    }
}
impl FromValue for i64 {
    fn from_value(value: Value) -> Result<Self> {
        if let Value::Int(number) = value { Ok(number) } else { invalid_value("a number") }
    }
}
impl ToValue for u32 {
    fn to_value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
}
impl FromValue for u32 {
    fn from_value(value: Value) -> Result<Self> {
        Self::try_from(i64::from_value(value)?).or_else(|_| invalid_value("a small number"))
    }
}
impl ToValue for u16 {
    fn to_value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
}
impl FromValue for u16 {
    fn from_value(value: Value) -> Result<Self> {
        Self::try_from(i64::from_value(value)?).or_else(|_| invalid_value("a small number"))
    }
}
impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}
impl FromValue for bool {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Bool(truth) => Ok(truth),
            Value::Int(0) => Ok(false),
            Value::Int(1) => Ok(true),
            _ => invalid_value("a truth value"),
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
    fn from_value(value: Value) -> Result<Self> {
        if let Value::Text(text) = value { Ok(text) } else { invalid_value("a text") }
    }
}
impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }
}
impl FromValue for Vec<u8> {
    fn from_value(value: Value) -> Result<Self> {
        if let Value::Blob(bytes) = value { Ok(bytes) } else { invalid_value("a blob") }
    }
}
impl ToValue for Timestamp {
    fn to_value(&self) -> Value {
        Value::Int(self.millis())
    }
}
impl FromValue for Timestamp {
    fn from_value(value: Value) -> Result<Self> {
        i64::from_value(value).map(Self::from_millis)
    }
}
impl ToValue for TokenHash {
    fn to_value(&self) -> Value {
        Value::Blob(self.to_bytes())
    }
}
impl FromValue for TokenHash {
    fn from_value(value: Value) -> Result<Self> {
        Self::from_bytes(&Vec::from_value(value)?).map_or_else(|| invalid_value("a token hash"), Ok)
    }
}
impl ToValue for Clusters {
    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}
impl FromValue for Clusters {
    fn from_value(value: Value) -> Result<Self> {
        Self::parse(&String::from_value(value)?).or_else(|_| invalid_value("a scope"))
    }
}
impl ToValue for domain::id::ProviderId {
    fn to_value(&self) -> Value {
        Value::Int(self.number())
    }
}
impl FromValue for domain::id::ProviderId {
    fn from_value(value: Value) -> Result<Self> {
        i64::from_value(value).map(Self::new)
    }
}
impl ToValue for domain::id::Seed {
    fn to_value(&self) -> Value {
        Value::Blob(self.bytes().to_vec())
    }
}
impl FromValue for domain::id::Seed {
    fn from_value(value: Value) -> Result<Self> {
        let bytes: Result<[u8; 16], _> = Vec::from_value(value)?.try_into();
        bytes.map_or_else(|_| invalid_value("a seed"), |b| Ok(Self::new(b)))
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self> {
        if value == Value::Null { Ok(None) } else { T::from_value(value).map(Some) }
    }
}
impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value {
        (*self).to_value()
    }
}

/// Types that are stored as their text.
macro_rules! impl_text_value {
    ($read:ident: $($type:ty),+ $(,)?) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                Value::Text(self.as_str().to_owned())
            }
        }
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self> {
                <$type>::$read(&String::from_value(value)?).into_option().map_or_else(|| invalid_value(stringify!($type)), Ok)
            }
        }
    )+};
}

trait IntoOption<T> {
    fn into_option(self) -> Option<T>;
}
impl<T, E> IntoOption<T> for std::result::Result<T, E> {
    fn into_option(self) -> Option<T> {
        self.ok()
    }
}
impl<T> IntoOption<T> for Option<T> {
    fn into_option(self) -> Self {
        self
    }
}

impl_text_value!(parse: domain::id::ClientId, domain::id::ConnectionId, domain::id::CustomerId,
    domain::id::AuthorizationRequestId, domain::id::JobId, domain::id::LeaseId, domain::id::AuditEventId,
    domain::id::OperatorId);
impl_text_value!(from_word: domain::model::client::ClientKind, domain::model::client::Profile,
    domain::model::client::ClientState, domain::model::provider::ProviderState,
    domain::model::provider::ProviderSource, domain::model::registration::RegistrationState,
    domain::model::authorization_request::RequestStatus, domain::model::connection::ConnectionStatus,
    domain::model::connection::EndCause, domain::model::connection::UpstreamRevocation, domain::model::job::JobKind,
    domain::model::job::JobState, domain::model::audit_event::SubjectKind,
    domain::model::audit_event::ActorKind, domain::model::audit_event::AuditAction,
    domain::model::operator::Role);

/// A row that is read from left to right, in the order of its statement's columns.
#[derive(Debug)]
pub(crate) struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub(crate) fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    /// The next column.
    pub(crate) fn next<T: FromValue>(&mut self) -> Result<T> {
        self.0.next().map_or_else(|| invalid_value("there"), T::from_value)
    }

    /// The next column, as JSON of a type.
    pub(crate) fn next_json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T> {
        serde_json::from_str(&self.next::<String>()?).map_err(StoreError::internal)
    }
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(StoreError::internal)
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        use rusqlite::types::{ToSqlOutput, ValueRef};
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Bool(truth) => ValueRef::Integer(i64::from(*truth)),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl rusqlite::types::FromSql for Value {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        use rusqlite::types::{FromSqlError, ValueRef};
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

type PostgresError = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, PostgresError> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Bool(truth) => truth.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::BOOL | Type::TEXT | Type::BYTEA)
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, PostgresError> {
        let fits = match self {
            Self::Null => true,
            Self::Int(_) => *ty == Type::INT8,
            Self::Bool(_) => *ty == Type::BOOL,
            Self::Text(_) => *ty == Type::TEXT,
            Self::Blob(_) => *ty == Type::BYTEA,
        };
        if fits { self.to_sql(ty, out) } else { Err(format!("a parameter is not of type {ty}").into()) }
    }
}

impl<'a> tokio_postgres::types::FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, PostgresError> {
        match *ty {
            Type::INT8 => i64::from_sql(ty, raw).map(Self::Int),
            Type::BOOL => bool::from_sql(ty, raw).map(Self::Bool),
            Type::BYTEA => <Vec<u8>>::from_sql(ty, raw).map(Self::Blob),
            _ => String::from_sql(ty, raw).map(Self::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, PostgresError> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::BOOL | Type::TEXT | Type::BYTEA | Type::NAME | Type::VARCHAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_columns_are_read_in_order_until_exhausted() {
        let mut row = Row::new(vec![Value::Int(1), Value::Null, Value::Text("active".into())]);
        assert_eq!(row.next::<i64>().unwrap(), 1);
        assert_eq!(row.next::<Option<String>>().unwrap(), None);
        assert!(row.next::<domain::model::connection::ConnectionStatus>().is_ok());
        assert!(row.next::<i64>().is_err());
    }

    #[test]
    fn row_with_invalid_stored_value_returns_error() {
        let read = |value| Row::new(vec![value]);
        assert!(
            read(Value::Text("sleeping".into()))
                .next::<domain::model::connection::ConnectionStatus>()
                .is_err()
        );
        assert!(read(Value::Int(2)).next::<bool>().is_err());
        assert!(read(Value::Blob(vec![1])).next::<TokenHash>().is_err());
        assert!(read(Value::Int(-1)).next::<u16>().is_err());
    }
}
