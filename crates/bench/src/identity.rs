//! Derives the ids and secrets of a connection from its number, so that a million of them need no memory.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Timestamp;
use domain::id::{ConnectionId, CustomerId, TypedId};

/// The derivation of all connections of a benchmark, by a keyed hash.
pub(crate) struct Identities {
    key: hmac::Key,
    /// The time at which the connection with the number 0 was created, according to its id.
    first_created_ms: u64,
}

/// The age of the first connection, which allows one connection per millisecond.
const FIRST_AGE_MS: i64 = 365 * 24 * 3_600 * 1_000;

impl Identities {
    pub(crate) fn new(key: &[u8], now: Timestamp) -> Self {
        let first_created_ms = u64::try_from(now.millis() - FIRST_AGE_MS).unwrap_or(0);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key), first_created_ms }
    }

    /// Derives the id of a connection. As in a hub, ids begin with their time of creation, so new connections are adjacent
    /// and connections that are drawn at random are not.
    pub(crate) fn connection_id(&self, number: u64) -> ConnectionId {
        self.derive_id("connection", number)
    }

    pub(crate) fn customer_id(&self, number: u64) -> CustomerId {
        self.derive_id("customer", number)
    }

    /// Derives the refresh token of a seeded connection, or the code of a pending one.
    pub(crate) fn secret(&self, number: u64) -> String {
        URL_SAFE_NO_PAD.encode(self.derive("secret", number))
    }

    fn derive_id<I: TypedId>(&self, label: &str, number: u64) -> I {
        let mut random = [0; 10];
        random.copy_from_slice(&self.derive(label, number).as_ref()[..10]);
        let millis = self.first_created_ms.saturating_add(number);
        I::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    fn derive(&self, label: &str, number: u64) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(label.as_bytes());
        context.update(&number.to_be_bytes());
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn identities(key: &[u8]) -> Identities {
        Identities::new(key, Timestamp::from_millis(1_800_000_000_000))
    }

    #[test]
    fn derived_values_depend_on_key_and_number_only() {
        let (one, same, other) = (identities(b"a"), identities(b"a"), identities(b"b"));

        assert_eq!(one.connection_id(5), same.connection_id(5));
        assert_eq!(one.secret(5), same.secret(5));
        assert_ne!(one.secret(5), other.secret(5));
        assert_ne!(one.connection_id(5), other.connection_id(5));
    }

    #[test]
    fn derived_values_are_unique_and_ids_ascend() {
        let identities = identities(b"a");

        let ids: Vec<ConnectionId> = (0..2_000).map(|number| identities.connection_id(number)).collect();
        let secrets: HashSet<String> = (0..2_000).map(|number| identities.secret(number)).collect();

        assert!(ids.is_sorted() && HashSet::<_>::from_iter(&ids).len() == 2_000);
        assert_eq!(secrets.len(), 2_000);
        assert!(secrets.iter().all(|secret| secret.len() == 43), "as long as a token of the hub");
    }
}
