//! Typed ids with a prefix. Generated ids sort by creation time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Entropy of one command. All ids of the command derive from it, so a command that is repeated after a serialization
/// failure writes the same rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed([u8; 16]);

impl Seed {
    /// Creates a seed from random bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes, which are stored with a job to derive the jitter of its back-off.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Seed {
    // Ids derive from a seed, so it is kept out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed")
    }
}

/// Generator of the ids of one command: a sequence that depends only on a time and a seed.
#[derive(Debug)]
pub struct IdSource {
    now: Timestamp,
    seed: Seed,
    counter: u32,
}

impl IdSource {
    /// Creates a generator. Generators with the same time and seed generate the same ids in the same order.
    pub const fn new(now: Timestamp, seed: Seed) -> Self {
        Self { now, seed, counter: 0 }
    }

    /// Generates the next id of the sequence.
    pub fn mint<I: TypedId>(&mut self) -> I {
        I::from_uuid(self.next_uuid())
    }

    /// Generates the next id of the sequence with a tag in its last four bytes. `tag` computes it from the other bytes, so that
    /// the generator recognises its own ids.
    pub fn mint_tagged<I: TypedId>(&mut self, tag: impl FnOnce(&[u8; ID_HEAD_LEN]) -> [u8; ID_TAG_LEN]) -> I {
        let mut bytes = self.next_uuid().into_bytes();
        let (head, end) = bytes.split_at_mut(ID_HEAD_LEN);
        let mut copied = [0; ID_HEAD_LEN];
        copied.copy_from_slice(head);
        end.copy_from_slice(&tag(&copied));
        I::from_uuid(uuid::Uuid::from_bytes(bytes))
    }

    /// Derives a seed for another purpose, such as the back-off of a job.
    pub fn draw_seed(&mut self) -> Seed {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.draw()[..16]);
        Seed(bytes)
    }

    /// Generates a UUID of version 4 for a subject identifier (`sub`). Unlike an id, it does not reveal when it was
    /// created.
    pub fn random_uuid(&mut self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.draw()[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Generates a UUID of version 7. It begins with the time, so rows that are inserted together are adjacent in the
    /// index.
    fn next_uuid(&mut self) -> uuid::Uuid {
        let mut random = [0; 10];
        random.copy_from_slice(&self.draw()[..10]);
        let millis = u64::try_from(self.now.millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    fn draw(&mut self) -> [u8; 32] {
        self.counter = self.counter.wrapping_add(1);
        // A hash of seed and counter is a deterministic generator whose outputs reveal neither the seed nor each other.
        let mut input = [0; 20];
        input[..16].copy_from_slice(&self.seed.0);
        input[16..].copy_from_slice(&self.counter.to_be_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &input).as_ref());
        out
    }
}

/// The length of the tag of an id, and of the bytes in front of it, which contain the time.
const ID_TAG_LEN: usize = 4;
const ID_HEAD_LEN: usize = 12;

/// An id that an [`IdSource`] can generate.
pub trait TypedId {
    /// Creates an id with its prefix from a time-ordered UUID.
    fn from_uuid(uuid: uuid::Uuid) -> Self;
}

/// Error for a text that is not an id of the expected type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id that begins with {prefix}")]
pub struct ParseIdError {
    /// The prefix of valid ids; empty if any prefix is valid.
    pub prefix: &'static str,
}

const MAX_ID_BYTES: usize = 128;

/// Accepts unreserved characters only (RFC 3986 §2.3), so that an id needs no escaping in a path, a header or a cookie.
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
            /// The prefix of generated ids, which shows the kind of object that an id belongs to.
            pub const PREFIX: &'static str = $prefix;

            /// Parses an id; the same as `FromStr`.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                text.parse()
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if is_valid_id_text(text) && text.starts_with($required) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError { prefix: $required })
                }
            }
        }

        impl TypedId for $name {
            fn from_uuid(uuid: uuid::Uuid) -> Self {
                let mut digits = [0; uuid::fmt::Simple::LENGTH];
                Self([$prefix, &*uuid.simple().encode_lower(&mut digits)].concat())
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
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
    /// The id of a client. Generated ids begin with `dc-`; ids that were migrated from another system keep their form.
    ClientId, "dc-", "");
typed_id!(
    /// The id of a connection, which is also the FDX consent id and the grant id.
    ConnectionId, "con_", "con_");
typed_id!(
    /// The id of a customer inside the hub. Recipients never see it.
    CustomerId, "cus_", "cus_");
typed_id!(
    /// The id of an authorization request, which is part of the path of its consent page.
    AuthorizationRequestId, "arq_", "arq_");
typed_id!(
    /// The id of a job, by which operators retry or close it.
    JobId, "job_", "job_");
typed_id!(
    /// The id of a lease, which proves that its holder may finish the leased work.
    LeaseId, "lea_", "lea_");
typed_id!(
    /// The id of an event in the audit log.
    AuditEventId, "aud_", "aud_");
typed_id!(
    /// The id of an operator's token, which the audit log shows as the actor.
    OperatorId, "opr_", "opr_");
typed_id!(
    /// The id of an access token (claim `jti`).
    AccessTokenId, "at_", "at_");

impl AuthorizationRequestId {
    /// Returns the time at which the id was generated; `None` if it was not generated by an [`IdSource`].
    pub fn created_at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.to_uuid()?.get_timestamp()?.to_unix();
        let millis = seconds.checked_mul(1000)?.checked_add(u64::from(nanos / 1_000_000))?;
        i64::try_from(millis).ok().map(Timestamp::from_millis)
    }

    /// Returns the bytes in front of the tag, and the tag; see [`IdSource::mint_tagged`].
    pub fn split_tag(&self) -> Option<([u8; ID_HEAD_LEN], [u8; ID_TAG_LEN])> {
        let bytes = self.to_uuid()?.into_bytes();
        let (head, tag) = bytes.split_first_chunk::<ID_HEAD_LEN>()?;
        Some((*head, tag.try_into().ok()?))
    }

    fn to_uuid(&self) -> Option<uuid::Uuid> {
        let uuid = uuid::Uuid::try_parse(self.0.strip_prefix(Self::PREFIX)?).ok()?;
        // A UUID has several textual forms, but an id has only one.
        (Self::from_uuid(uuid) == *self).then_some(uuid)
    }
}

/// The id of a provider: a positive integer, as the Flinks API prescribes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderId(i64);

/// Error for a text that is not the id of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a positive integer")]
pub struct ParseProviderIdError;

impl ProviderId {
    /// Creates an id from a stored or configured number, without checking that it is positive.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Parses an id; the same as `FromStr`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// Returns the id as a number.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl FromStr for ProviderId {
    type Err = ParseProviderIdError;

    /// Parses digits without a sign and without leading zeros, so that one id has one spelling.
    fn from_str(text: &str) -> Result<Self, ParseProviderIdError> {
        if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseProviderIdError);
        }
        text.parse().map(Self).map_err(|_| ParseProviderIdError)
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
    fn id_sources_with_same_seed_mint_same_ids() {
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
        assert!("con_1".parse::<ConnectionId>().is_ok());
        for bad in ["", "job_1", "con_ä", "con_1\n", "con_%2F", &"con_".repeat(60)] {
            assert!(bad.parse::<ConnectionId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn provider_id_parse_accepts_only_digits() {
        assert_eq!("1000".parse::<ProviderId>().ok(), Some(ProviderId::new(1000)));
        for bad in ["", "0", "01", "+1", "-1", "1.0", "1e3", " 1", "99999999999999999999"] {
            assert_eq!(bad.parse::<ProviderId>().ok(), None, "{bad:?}");
        }
    }

    #[test]
    fn seed_debug_output_hides_bytes() {
        let seed = Seed::new([200; 16]);

        assert_eq!((format!("{seed:?}"), seed.bytes()), ("Seed".to_owned(), &[200; 16]));
    }

    #[test]
    fn subject_identifiers_are_random_and_do_not_contain_the_time() {
        let mut ids = source(1);

        let (first, second) = (ids.random_uuid(), ids.random_uuid());

        assert_ne!(first, second);
        for uuid in [first, second] {
            assert_eq!((uuid.get_version_num(), uuid.get_timestamp()), (4, None));
        }
    }

    #[test]
    fn generated_request_id_contains_its_time_and_tag() {
        let now = Timestamp::from_millis(1_700_000_000_987);
        let mut ids = IdSource::new(now, Seed::new([3; 16]));
        let mut tagged = [0; ID_HEAD_LEN];

        let id: AuthorizationRequestId = ids.mint_tagged(|head| {
            tagged = *head;
            [1, 2, 3, 4]
        });

        assert_eq!(id.created_at(), Some(now));
        assert_eq!(id.split_tag(), Some((tagged, [1, 2, 3, 4])));
        assert_ne!(tagged[6..], [0; 6], "the part behind the time is random");
    }

    #[test]
    fn foreign_request_id_has_no_time_and_no_tag() {
        let version_7 = "018bcfe5-6bdb-7000-8000-000000000000";
        for text in [
            "arq_1".to_owned(),
            format!("arq_{version_7}"),
            format!("arq_{}", version_7.replace('-', "").to_uppercase()),
        ] {
            let id = AuthorizationRequestId::parse(&text).unwrap();
            assert_eq!((id.created_at(), id.split_tag()), (None, None), "{text}");
        }
        let without_time = AuthorizationRequestId::from_uuid(source(1).random_uuid());
        assert_eq!(without_time.created_at(), None);
        assert!(without_time.split_tag().is_some());
    }

    #[test]
    fn id_text_is_limited_to_128_unreserved_characters() {
        for valid in ["a", "aZ0-._~", &"x".repeat(MAX_ID_BYTES)] {
            assert_eq!(valid.parse::<ClientId>().map(String::from), Ok(valid.to_owned()));
        }
        for invalid in ["a b", "a/b", "a\u{0}", &"x".repeat(MAX_ID_BYTES + 1)] {
            assert_eq!(invalid.parse::<ClientId>(), Err(ParseIdError { prefix: "" }), "{invalid}");
        }
    }

    #[test]
    fn provider_id_text_round_trips() {
        let id = ProviderId::parse("1000").unwrap();

        assert_eq!((id.number(), id.to_string()), (1000, "1000".to_owned()));
        assert_eq!(ProviderId::parse("+1000"), None);
    }
}
