//! Keys, ids and sealed values of the tests.

use aws_lc_rs::hmac;
use domain::Clusters;
use domain::id::{ClientId, ConnectionId};
use domain::model::audit_event::{Actor, ActorKind, AuditKey};
use domain::secret::{TokenHash, TokenHashes};
use store::command::SealedValue;
use store::{AccountListOpener, RowAuthenticator, StoreKeys};

use super::TEST_EPOCH_MS;

pub(crate) fn audit_key() -> AuditKey {
    AuditKey::new(1, &[9; 32])
}

pub(crate) fn store_keys() -> StoreKeys {
    // The lists of these tests are not encrypted, but open only with their key.
    let accounts = AccountListOpener::new(|_, key, sealed| {
        (key == ACCOUNTS_KEY).then(|| serde_json::from_slice(sealed).ok())?
    });
    StoreKeys { audit: audit_key(), rows: RowAuthenticator::new(&[9; 32]), accounts }
}

const ACCOUNTS_KEY: &[u8] = b"key of accounts";

pub(crate) fn seal_accounts(accounts: &[String]) -> SealedValue {
    SealedValue { key: ACCOUNTS_KEY.to_vec(), sealed: serde_json::to_vec(accounts).unwrap() }
}

pub(crate) fn operator_actor() -> Actor {
    Actor::new(ActorKind::Operator, "test")
}

pub(crate) fn parse_client_id(id: &str) -> ClientId {
    id.parse::<ClientId>().unwrap()
}

/// Returns the id of the connection with a name of at most eight bytes. Its time is that of the first login of a test, and ids
/// are in the order of the names.
pub(crate) fn connection_id(name: &str) -> ConnectionId {
    let mut digits = name.bytes().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    digits.push_str(&"0".repeat(16 - digits.len()));
    format!("con_{TEST_EPOCH_MS:012x}7000{digits}").parse::<ConnectionId>().unwrap()
}

/// Returns the name from which [`connection_id`] has derived an id.
pub(crate) fn connection_name(id: &ConnectionId) -> String {
    let digits = id.as_str()["con_".len() + 16..].trim_end_matches("00");
    let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
    String::from_utf8(bytes.collect()).unwrap()
}

/// Replaces each `id'…'` by a literal of the stored form: the 16 bytes of a generated id, or the text of any other one.
pub(crate) fn replace_ids(sql: &str, is_sqlite: bool) -> String {
    let mut parts = sql.split("id'");
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (id, rest) = part.split_once('\'').expect("an id ends with a quote");
        let digits = id.split_once(['-', '_']).map_or(id, |(_, digits)| digits);
        let is_generated = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let hex = if is_generated {
            digits.to_owned()
        } else {
            id.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
        };
        let literal = if is_sqlite { format!("X'{hex}'") } else { format!("'\\x{hex}'::bytea") };
        replaced = format!("{replaced}{literal}{rest}");
    }
    replaced
}

pub(crate) fn test_clusters() -> Clusters {
    "ACCOUNT_BASIC TRANSACTIONS".parse::<Clusters>().unwrap()
}

pub(crate) fn hash(token: &str) -> TokenHash {
    TokenHash::for_token(1, &hmac::Key::new(hmac::HMAC_SHA256, b"pepper"), token.as_bytes())
}

pub(crate) fn hashes(token: &str) -> TokenHashes {
    TokenHashes::new(vec![hash(token)])
}

/// Returns a value with a key of its own. The store does not open either of them.
pub(crate) fn seal(value: &str) -> SealedValue {
    SealedValue { key: format!("key of {value}").into_bytes(), sealed: value.as_bytes().to_vec() }
}
