//! Converts between types of the domain and the value types that both databases store.

use domain::error::OAuthError;
use domain::id::{ProviderId, Seed};
use domain::model::audit_event::AuditHead;
use domain::secret::TokenHash;
use domain::{Clusters, Timestamp};
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, private::BytesMut};

use crate::error::{Result, StoreError};

/// A value of one of the types that both databases store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
    Blob(Vec<u8>),
    /// The values of one column of several rows, only for statements of PostgreSQL that take arrays.
    Array(Vec<Self>),
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

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        Ok(value)
    }
}
/// A value that the caller has encoded already.
impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}
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
impl ToValue for OAuthError {
    fn to_value(&self) -> Value {
        Value::Text(format!("{} {}", self.code, self.description))
    }
}
impl FromValue for OAuthError {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        let text = String::from_value(value)?;
        let parts = text.split_once(' ').and_then(|(code, rest)| Some((code.parse().ok()?, rest)));
        parts.map_or_else(
            || invalid_value("an OAuth error"),
            |(code, description)| Ok(Self::with_description(code, description)),
        )
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

/// The number of bytes of the MAC of an audit event.
const AUDIT_MAC_BYTES: usize = 32;

/// The head is stored as the number of the event (8 bytes), its MAC and its id; before the first event as no bytes.
impl ToValue for AuditHead {
    fn to_value(&self) -> Value {
        match self.event_id.as_ref().map(ToValue::to_value) {
            Some(Value::Blob(id)) => Value::Blob([&self.seq.to_be_bytes()[..], &self.mac, &id].concat()),
            _ => Value::Blob(Vec::new()),
        }
    }
}
impl FromValue for AuditHead {
    fn from_value(value: Value) -> Result<Self, InvalidValueError> {
        let bytes = Vec::<u8>::from_value(value)?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let Some((seq, rest)) = bytes.split_first_chunk() else { return invalid_value("an audit head") };
        let Some((mac, id)) = rest.split_at_checked(AUDIT_MAC_BYTES) else {
            return invalid_value("an audit head");
        };
        let event_id = Some(FromValue::from_value(Value::Blob(id.to_vec()))?);
        Ok(Self { event_id, seq: i64::from_be_bytes(*seq), mac: mac.to_vec() })
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

/// Implements the conversions for ids, see [`encode_id`].
macro_rules! impl_id_value {
    ($($type:ty),+ $(,)?) => {$(
        impl ToValue for $type {
            fn to_value(&self) -> Value {
                encode_id(Self::PREFIX, self.as_str())
            }
        }
        impl FromValue for $type {
            fn from_value(value: Value) -> Result<Self, InvalidValueError> {
                let parsed = decode_id(Self::PREFIX, value)?.parse();
                parsed.or_else(|_| invalid_value(concat!("a ", stringify!($type))))
            }
        }
    )+};
}

impl_id_value!(
    domain::id::ClientId,
    domain::id::ConnectionId,
    domain::id::CustomerId,
    domain::id::AuthorizationRequestId,
    domain::id::JobId,
    domain::id::LeaseId,
    domain::id::AuditEventId,
    domain::id::OperatorId,
);

impl_text_value!(
    domain::model::client::ClientKind,
    domain::model::client::Profile,
    domain::model::client::ClientState,
    domain::model::job::TokenType,
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
    domain::model::operator::Role,
    domain::rule::expiry_brake::ExpiryState
);

/// The number of bytes of a UUID.
const UUID_BYTES: usize = 16;

/// Encodes an id. A generated id, which is a prefix and a UUID, becomes the 16 bytes of the UUID. Any other id, such as one
/// that was migrated from another system, becomes its text. No id is longer than necessary in any index that contains it.
pub(crate) fn encode_id(prefix: &str, text: &str) -> Value {
    Value::Blob(find_id_uuid(prefix, text).map_or_else(|| text.as_bytes().to_vec(), |uuid| uuid.to_vec()))
}

/// Returns the UUID of a generated id with this prefix.
pub(crate) fn find_id_uuid(prefix: &str, text: &str) -> Option<[u8; UUID_BYTES]> {
    let uuid = text.strip_prefix(prefix).filter(|hex| hex.len() == 2 * UUID_BYTES).and_then(decode_hex);
    // Bytes that could also be the text of an id would be ambiguous. A UUID of version 4 or 7 has none like these.
    uuid.filter(|bytes| !is_id_text(bytes))
}

/// Formats a generated id.
pub(crate) fn format_uuid_id(prefix: &str, uuid: [u8; UUID_BYTES]) -> String {
    let mut digits = [0; uuid::fmt::Simple::LENGTH];
    [prefix, uuid::Uuid::from_bytes(uuid).simple().encode_lower(&mut digits)].concat()
}

/// Decodes an id that [`encode_id`] has encoded with the same prefix.
pub(crate) fn decode_id(prefix: &str, value: Value) -> Result<String, InvalidValueError> {
    let bytes = Vec::<u8>::from_value(value)?;
    if let Ok(uuid) = <[u8; UUID_BYTES]>::try_from(bytes.as_slice())
        && !is_id_text(&uuid)
    {
        return Ok(format_uuid_id(prefix, uuid));
    }
    String::from_utf8(bytes).or_else(|_| invalid_value("an id"))
}

/// Returns the lowest id that can have been generated at a time or later, encoded.
pub(crate) fn encode_lowest_id(time: Timestamp) -> Value {
    // A UUID of version 7 begins with 48 bits of Unix time in milliseconds (RFC 9562 section 5.7).
    let millis = u64::try_from(time.millis()).unwrap_or(0).min((1 << 48) - 1);
    Value::Blob((u128::from(millis) << 80).to_be_bytes().to_vec())
}

/// Returns a value that is greater than every encoded id.
pub(crate) fn encode_id_after_all() -> Value {
    Value::Blob(vec![u8::MAX; UUID_BYTES + 1])
}

/// Returns whether an encoded id is lower than another one, in the order of the databases.
pub(crate) fn is_lower_id(id: &Value, other: &Value) -> bool {
    matches!((id, other), (Value::Blob(id), Value::Blob(other)) if id < other)
}

fn is_id_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

/// Decodes 32 lowercase hexadecimal digits. Other spellings of a UUID stay texts, so that each id is read back as it was.
fn decode_hex(hex: &str) -> Option<[u8; UUID_BYTES]> {
    let is_canonical = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    is_canonical.then(|| u128::from_str_radix(hex, 16).ok()).flatten().map(u128::to_be_bytes)
}

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
            Self::Array(_) => {
                return Err(rusqlite::Error::ToSqlConversionFailure("SQLite has no arrays".into()));
            }
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
            Self::Array(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        let is_scalar = |ty: &Type| matches!(*ty, Type::INT8 | Type::BOOL | Type::TEXT | Type::BYTEA);
        match ty.kind() {
            Kind::Array(element) => is_scalar(element),
            _ => is_scalar(ty),
        }
    }

    // The type is checked here because `accepts` cannot see the value, and `i64::to_sql` would write eight bytes for a
    // parameter of any type.
    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, PostgresValueError> {
        if self.has_type(ty) {
            self.to_sql(ty, out)
        } else {
            Err(format!("the parameter is not of type {ty}").into())
        }
    }
}

impl Value {
    fn has_type(&self, ty: &Type) -> bool {
        match self {
            Self::Null => true,
            Self::Int(_) => *ty == Type::INT8,
            Self::Bool(_) => *ty == Type::BOOL,
            Self::Text(_) => *ty == Type::TEXT,
            Self::Blob(_) => *ty == Type::BYTEA,
            Self::Array(values) => match ty.kind() {
                Kind::Array(element) => values.iter().all(|value| value.has_type(element)),
                _ => false,
            },
        }
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
    fn generated_id_takes_sixteen_bytes_and_is_read_back() {
        for text in ["con_0195a3c07d2f7c3b9a1d2e3f40516273", "con_00000000000000010000000000000000"] {
            let id: domain::id::ConnectionId = text.parse().unwrap();

            let value = id.to_value();

            assert!(matches!(&value, Value::Blob(bytes) if bytes.len() == 16));
            assert_eq!(domain::id::ConnectionId::from_value(value).unwrap(), id);
        }
    }

    #[test]
    fn id_of_another_form_is_read_back_as_it_was() {
        // The last two would be ambiguous if every UUID became 16 bytes: the text has 16 bytes, and so have the digits.
        for text in [
            "acme",
            "dc-1",
            "dc-0195A3C07D2F7C3B9A1D2E3F40516273",
            "abcdefghijklmnop",
            "dc-6162636465666768696a6b6c6d6e6f70",
        ] {
            let id: domain::id::ClientId = text.parse().unwrap();

            assert_eq!(domain::id::ClientId::from_value(id.to_value()).unwrap(), id, "{text}");
        }
    }

    #[test]
    fn encoded_ids_are_ordered_by_their_time() {
        let encode = |id: &str| {
            let Value::Blob(bytes) = encode_id("con_", id) else { panic!("a blob") };
            bytes
        };
        let Value::Blob(lowest) = encode_lowest_id(Timestamp::from_millis(0x0195_a3c0_7d2f)) else {
            panic!("a blob")
        };
        let Value::Blob(after_all) = encode_id_after_all() else { panic!("a blob") };

        assert!(encode("con_0195a3c07d2e7fffbfffffffffffffff") < lowest);
        assert!(lowest < encode("con_0195a3c07d2f70008000000000000000"));
        assert!(encode("con_ffffffffffffffffffffffffffffffff") < after_all);
    }

    #[test]
    fn null_can_be_read_only_as_option() {
        assert_eq!(Option::<i64>::from_value(Value::Null).unwrap(), None);

        assert!(i64::from_value(Value::Null).is_err());
    }
}
