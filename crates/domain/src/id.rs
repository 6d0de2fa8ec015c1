//! Typed, prefixed, time-ordered ids.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The entropy of one command: every id born inside derives from it, so a body that is repeated after a
/// serialization failure writes the same rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 16]);

impl Seed {
    /// From sixteen bytes of a generator.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be stored with a job whose back-off derives from them.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// Mints the ids of one command in a fixed order.
#[derive(Debug)]
pub struct IdSource {
    now: Timestamp,
    seed: Seed,
    counter: u32,
}

impl IdSource {
    /// A source that starts over: same time and seed, same ids.
    pub const fn new(now: Timestamp, seed: Seed) -> Self {
        Self { now, seed, counter: 0 }
    }

    /// Mints the next id.
    pub fn mint<I: TypedId>(&mut self) -> I {
        I::from_uuid(self.next_uuid())
    }

    /// Sixteen bytes for a purpose of their own (a job's seed).
    pub fn draw_seed(&mut self) -> Seed {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.draw()[..16]);
        Seed(bytes)
    }

    /// A random UUID (version 4), which says nothing of when it was made: for a `sub`.
    pub fn random_uuid(&mut self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.draw()[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn next_uuid(&mut self) -> uuid::Uuid {
        let mut random = [0; 10];
        random.copy_from_slice(&self.draw()[..10]);
        let millis = u64::try_from(self.now.millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    fn draw(&mut self) -> [u8; 32] {
        self.counter = self.counter.wrapping_add(1);
        let input = [&self.seed.0[..], &self.counter.to_be_bytes()].concat();
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &input).as_ref());
        out
    }
}

/// An id that an [`IdSource`] can mint.
pub trait TypedId {
    /// The id with its prefix, from a time-ordered UUID.
    fn from_uuid(uuid: uuid::Uuid) -> Self;
}

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that begins with {prefix}")]
pub struct ParseIdError {
    /// What such an id begins with.
    pub prefix: &'static str,
}

const MAX_ID_BYTES: usize = 128;

fn is_valid_id_text(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $required:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// What a generated id begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Checks a text.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                if is_valid_id_text(text) && text.starts_with($required) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError { prefix: $required })
                }
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TypedId for $name {
            fn from_uuid(uuid: uuid::Uuid) -> Self {
                Self(format!("{}{}", $prefix, uuid.simple()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;
            fn try_from(text: String) -> Result<Self, ParseIdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

typed_id!(
    /// A client's id. Recipients' begin with `dc-`; ids brought along from elsewhere keep their shape.
    ClientId, "dc-", "");
typed_id!(
    /// A connection's id; also the FDX consent id and the grant id.
    ConnectionId, "con_", "con_");
typed_id!(
    /// A customer's id within the hub; never shown to a recipient.
    CustomerId, "cus_", "cus_");
typed_id!(
    /// An authorization request's id.
    AuthorizationRequestId, "arq_", "arq_");
typed_id!(
    /// A job's id.
    JobId, "job_", "job_");
typed_id!(
    /// A lease's id: whoever holds it may finish what it leased.
    LeaseId, "lea_", "lea_");
typed_id!(
    /// An audit event's id.
    AuditEventId, "aud_", "aud_");
typed_id!(
    /// The id of an operator's token.
    OperatorId, "opr_", "opr_");
typed_id!(
    /// An access token's id (`jti`).
    AccessTokenId, "at_", "at_");

/// A provider's id: a positive integer, as the documented API has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderId(i64);

impl ProviderId {
    /// From the stored or configured number.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// From a query parameter: digits only, no sign, no leading zero.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain_number = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        is_plain_number.then(|| text.parse().ok().map(Self)).flatten()
    }

    /// The number.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(seed: u8) -> IdSource {
        IdSource::new(Timestamp::from_millis(1_700_000_000_000), Seed::new([seed; 16]))
    }

    #[test]
    fn id_source_same_seed_mints_same_ids() {
        let (mut one, mut two, mut other) = (source(1), source(1), source(2));
        let first: ConnectionId = one.mint();
        assert_eq!(first, two.mint());
        assert_ne!(first, other.mint());
        assert_ne!(first, one.mint());
    }

    #[test]
    fn typed_ids_sort_by_mint_time() {
        let early: JobId = source(9).mint();
        let mut late = IdSource::new(Timestamp::from_millis(1_700_000_000_001), Seed::new([0; 16]));
        assert!(early < late.mint());
    }

    #[test]
    fn id_parse_rejects_wrong_prefix_and_characters() {
        assert!(ConnectionId::parse("con_1").is_ok());
        for bad in ["", "job_1", "con_ä", "con_1\n", "con_%2F", &"con_".repeat(60)] {
            assert!(ConnectionId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn provider_id_parse_accepts_only_digits() {
        assert_eq!(ProviderId::parse("1000"), Some(ProviderId::new(1000)));
        for bad in ["", "0", "01", "+1", "-1", "1.0", "1e3", " 1", "99999999999999999999"] {
            assert_eq!(ProviderId::parse(bad), None, "{bad:?}");
        }
    }
}
