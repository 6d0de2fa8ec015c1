//! The MACs of stored rows.
//!
//! A process that can write to the database, but has no key file, must not be able to give anyone access to data. So each row
//! that gives authority contains a MAC over the columns on which the authority depends. It is computed when the hub writes
//! these columns, and verified when the hub reads them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use domain::secret::constant_time_eq;

use crate::value::{Value, decode_id};

/// The number of bytes of a stored MAC: HMAC-SHA-256, truncated to 128 bits (RFC 2104 section 5).
const MAC_BYTES: usize = 16;
/// The number of bytes that a computation collects before it hashes them.
const PENDING_BYTES: usize = 512;

/// The key of the MACs of rows, and the number of rows that were rejected. Clones share them.
#[derive(Clone)]
pub struct RowAuthenticator(Arc<AuthenticatorState>);

struct AuthenticatorState {
    key: hmac::Key,
    rejected: AtomicU64,
}

/// The columns that one MAC of a table covers.
pub(crate) struct RowMac {
    pub(crate) table: &'static str,
    /// The name of the part of the row that the MAC covers, if the row has several MACs.
    pub(crate) part: &'static str,
    /// The covered columns, by their names in the result of a statement. The names themselves are not covered, so that
    /// statements which join tables can name the columns of a table differently.
    pub(crate) columns: &'static [&'static str],
    /// The column that contains the MAC.
    pub(crate) mac: &'static str,
    /// The covered column with the id by which the log names the row, and the prefix of these ids.
    pub(crate) id: (&'static str, &'static str),
}

impl RowAuthenticator {
    /// Creates an authenticator from the 32 bytes of its key.
    pub fn new(key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self(Arc::new(AuthenticatorState { key, rejected: AtomicU64::new(0) }))
    }

    /// Returns the number of rows that were rejected since the authenticator was created.
    pub fn rejected(&self) -> u64 {
        self.0.rejected.load(Ordering::Relaxed)
    }

    /// Computes the MAC of a row that contains the values in the covered columns, in the order of `mac.columns`.
    pub(crate) fn compute(&self, mac: &RowMac, values: &[Value]) -> Value {
        debug_assert_eq!(values.len(), mac.columns.len(), "one value for each column of {}", mac.table);
        let mut computation = self.begin(mac);
        for value in values {
            computation.add(value);
        }
        Value::Blob(computation.finish().to_vec())
    }

    pub(crate) fn begin(&self, mac: &RowMac) -> MacComputation {
        let context = hmac::Context::with_key(&self.0.key);
        let mut computation = MacComputation { context, pending: [0; PENDING_BYTES], pending_count: 0 };
        // The names separate the MACs of one table from those of another one with the same values.
        computation.add_bytes(FieldType::Text, mac.table.as_bytes());
        computation.add_bytes(FieldType::Text, mac.part.as_bytes());
        computation
    }

    /// Counts and logs a row whose MAC does not verify. Returns the id by which the log names it.
    pub(crate) fn report(&self, mac: &RowMac, id: Option<&Value>) -> String {
        self.0.rejected.fetch_add(1, Ordering::Relaxed);
        let id = match id {
            Some(Value::Int(number)) => number.to_string(),
            Some(id @ Value::Blob(_)) => decode_id(mac.id.1, id.clone()).unwrap_or_default(),
            _ => String::new(),
        };
        tracing::error!(
            table = mac.table,
            part = mac.part,
            id,
            "a row was not written by the hub and is not used; find out who wrote to the database, and restore the row"
        );
        id
    }
}

impl std::fmt::Debug for RowAuthenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowAuthenticator")
    }
}

/// The type of a covered value.
#[derive(Clone, Copy)]
#[repr(u8)]
enum FieldType {
    Null = 0,
    Int = 1,
    Text = 2,
    Blob = 3,
}

/// A MAC that is being computed.
pub(crate) struct MacComputation {
    context: hmac::Context,
    /// Bytes that are not hashed yet. Each call of the hash function costs more than most values, so it gets all values of a
    /// row in one call if they fit.
    pending: [u8; PENDING_BYTES],
    pending_count: usize,
}

impl MacComputation {
    /// Adds the value of the next column.
    pub(crate) fn add(&mut self, value: &Value) {
        match value {
            // No column contains an array, only parameters of statements do.
            Value::Null | Value::Array(_) => self.add_bytes(FieldType::Null, &[]),
            Value::Int(number) => self.add_bytes(FieldType::Int, &number.to_be_bytes()),
            // SQLite returns a boolean as an integer.
            Value::Bool(flag) => self.add_bytes(FieldType::Int, &i64::from(*flag).to_be_bytes()),
            Value::Text(text) => self.add_bytes(FieldType::Text, text.as_bytes()),
            Value::Blob(bytes) => self.add_bytes(FieldType::Blob, bytes),
        }
    }

    // Type and length precede each value, so that the boundaries count: ("ab", "c") and ("a", "bc") get different MACs.
    fn add_bytes(&mut self, field_type: FieldType, bytes: &[u8]) {
        let mut header = [field_type as u8; 9];
        header[1..].copy_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.push(&header);
        self.push(bytes);
    }

    fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > PENDING_BYTES - self.pending_count {
            self.flush();
        }
        let end = self.pending_count + bytes.len();
        match self.pending.get_mut(self.pending_count..end) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.pending_count = end;
            }
            None => self.context.update(bytes),
        }
    }

    fn flush(&mut self) {
        self.context.update(&self.pending[..self.pending_count]);
        self.pending_count = 0;
    }

    /// Returns whether the MAC of the values equals the stored one.
    pub(crate) fn matches(self, stored: &Value) -> bool {
        // A column without a MAC, which only another program can have written, matches nothing.
        matches!(stored, Value::Blob(mac) if constant_time_eq(&self.finish(), mac))
    }

    fn finish(mut self) -> [u8; MAC_BYTES] {
        self.flush();
        let tag = self.context.sign();
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&tag.as_ref()[..MAC_BYTES]);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::values;

    static PETS: RowMac =
        RowMac { table: "pets", part: "", columns: &["id", "name", "age"], mac: "mac", id: ("id", "pet_") };
    static PET_NAMES: RowMac = RowMac { part: "names", ..PETS };

    fn mac(authenticator: &RowAuthenticator, kind: &RowMac, values: &[Value]) -> Value {
        authenticator.compute(kind, values)
    }

    #[test]
    fn row_mac_depends_on_key_table_and_every_value() {
        let key = RowAuthenticator::new(&[1; 32]);
        let text = |text: &str| text.to_owned();
        let original = mac(&key, &PETS, values![1_i64, text("ab"), text("c")]);

        assert_eq!(mac(&key, &PETS, values![1_i64, text("ab"), text("c")]), original);
        for (other, description) in [
            (mac(&RowAuthenticator::new(&[2; 32]), &PETS, values![1_i64, text("ab"), text("c")]), "key"),
            (mac(&key, &PET_NAMES, values![1_i64, text("ab"), text("c")]), "part"),
            (mac(&key, &PETS, values![2_i64, text("ab"), text("c")]), "value"),
            (mac(&key, &PETS, values![1_i64, text("a"), text("bc")]), "boundary"),
            (mac(&key, &PETS, values![1_i64, b"ab".to_vec(), text("c")]), "type"),
            (mac(&key, &PETS, values![1_i64, text("ab"), None::<String>]), "null"),
            (mac(&key, &PETS, values![1_i64, text("ab"), String::new()]), "empty text"),
        ] {
            assert_ne!(other, original, "{description}");
        }
    }

    #[test]
    fn row_mac_of_values_of_any_length_covers_all_bytes() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        for lengths in [[0, 0, 0], [3, 459, 1], [3, 460, 1], [500, 20, 512], [513, 1, 2_000], [511, 503, 494]]
        {
            let fields: Vec<Vec<u8>> = lengths.iter().map(|length| vec![7; *length]).collect();
            let mut covered = Vec::new();
            let names = [b"pets".as_slice(), b""].map(|name| (FieldType::Text, name));
            for (kind, bytes) in names.into_iter().chain(fields.iter().map(|f| (FieldType::Blob, &**f))) {
                covered.push(kind as u8);
                covered.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
                covered.extend_from_slice(bytes);
            }
            let values: Vec<Value> = fields.into_iter().map(Value::Blob).collect();

            let computed = RowAuthenticator::new(&[1; 32]).compute(&PETS, &values);

            let tag = hmac::sign(&key, &covered);
            assert_eq!(computed, Value::Blob(tag.as_ref()[..MAC_BYTES].to_vec()), "{lengths:?}");
        }
    }

    #[test]
    fn row_mac_is_equal_for_booleans_of_both_databases() {
        let key = RowAuthenticator::new(&[1; 32]);

        let macs = [Value::Bool(true), Value::Int(1)]
            .map(|flag| mac(&key, &PETS, &[flag, Value::Null, Value::Null]));

        assert_eq!(macs[0], macs[1]);
    }
}
