//! The record: what happened to a subject, chained and keyed.

use aws_lc_rs::hmac;

use crate::id::AuditEventId;
use crate::time::Timestamp;

crate::str_enum! {
    /// What an event is about; each subject has a chain of its own.
    pub enum SubjectKind {
        /// A connection.
        Connection = "connection",
        /// A client.
        Client = "client",
        /// A provider.
        Provider = "provider",
        /// An operator.
        Operator = "operator",
    }
}

crate::str_enum! {
    /// Who acted.
    pub enum ActorKind {
        /// A recipient.
        Recipient = "recipient",
        /// The customer, in a browser.
        Customer = "customer",
        /// A provider.
        Provider = "provider",
        /// A person who runs the hub.
        Operator = "operator",
        /// A partner.
        Partner = "partner",
        /// The hub itself.
        System = "system",
    }
}

crate::str_enum! {
    /// What happened.
    pub enum AuditAction {
        /// A client was registered.
        ClientRegistered = "client.registered",
        /// A client was suspended or reinstated.
        ClientStateChanged = "client.state_changed",
        /// A client's redirect URIs were replaced.
        RedirectUrisReplaced = "client.redirect_uris_replaced",
        /// A client's secret was regenerated.
        SecretRegenerated = "client.secret_regenerated",
        /// A client was removed.
        ClientRemoved = "client.removed",
        /// A provider was set up or changed.
        ProviderChanged = "provider.changed",
        /// The job for an orphaned grant ended: the provider has revoked the grant, or it may still be active.
        OrphanedGrantResolved = "provider.orphaned_grant_resolved",
        /// A registration was asked for, or went a step on.
        RegistrationChanged = "registration.changed",
        /// The provider agreed and a connection waits for its exchange.
        ConnectionOpened = "connection.opened",
        /// The recipient redeemed the code.
        ConnectionActivated = "connection.activated",
        /// The connection ended.
        ConnectionEnded = "connection.ended",
        /// A used or foreign code was presented.
        CodeRejected = "connection.code_rejected",
        /// What the provider answered to the end.
        ProviderRevocationChanged = "connection.provider_revocation_changed",
        /// A person had a job tried again that was given up.
        JobRetried = "job.retried",
        /// A person closed a job that was given up; its token is gone.
        JobClosed = "job.closed",
        /// A token was printed that makes the first admin.
        BootstrapTokenIssued = "operator.bootstrap_token_issued",
        /// An operator was added.
        OperatorAdded = "operator.added",
        /// An operator was removed, or the token that made the first admin was spent.
        OperatorRemoved = "operator.removed",
    }
}

/// Who acted: a kind, and an id where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What kind of party.
    pub kind: ActorKind,
    /// Which one, or which part of the hub.
    pub id: Option<String>,
}

impl Actor {
    /// A party with an id.
    pub fn new(kind: ActorKind, id: impl Into<String>) -> Self {
        Self { kind, id: Some(id.into()) }
    }

    /// The customer in front of a browser: named by nothing.
    pub const fn customer() -> Self {
        Self { kind: ActorKind::Customer, id: None }
    }

    /// A part of the hub.
    pub fn system(part: &'static str) -> Self {
        Self::new(ActorKind::System, part)
    }
}

/// The end of a subject's chain, held by the subject's own row.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// Number of the last event; zero before the first.
    pub seq: i64,
    /// MAC of the last event; empty before the first.
    pub mac: Vec<u8>,
}

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// What the event is about.
    pub subject: (SubjectKind, String),
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub action: AuditAction,
    /// By whom.
    pub actor: Actor,
    /// The correlation id of the exchange that caused it.
    pub correlation_id: String,
    /// Particulars as JSON: ids and words only, never a token, a name or an account number.
    pub detail: String,
}

/// An event as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// Its place in the subject's chain, from one on.
    pub seq: i64,
    /// What is recorded.
    pub entry: AuditEntry,
    /// HMAC-SHA-256 over the former event's MAC and this event.
    pub mac: Vec<u8>,
}

/// The key of the chains, and the generation that each row names.
#[derive(Clone)]
pub struct AuditKey {
    generation: u32,
    key: hmac::Key,
}

impl AuditKey {
    /// A key of a generation.
    pub fn new(generation: u32, key: &[u8; 32]) -> Self {
        Self { generation, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The generation that rows under this key name.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Links an entry to a chain: the event, and the chain's new end.
    pub fn link(&self, head: &AuditHead, id: AuditEventId, entry: AuditEntry) -> (AuditEvent, AuditHead) {
        let seq = head.seq + 1;
        let mac = self.mac(&head.mac, &id, seq, &entry);
        (AuditEvent { id, seq, entry, mac: mac.clone() }, AuditHead { seq, mac })
    }

    /// Whether an event stands unchanged behind `head`.
    pub fn verifies(&self, head: &AuditHead, event: &AuditEvent) -> bool {
        let expected = self.mac(&head.mac, &event.id, event.seq, &event.entry);
        event.seq == head.seq + 1 && crate::secret::constant_time_eq(&expected, &event.mac)
    }

    fn mac(&self, previous: &[u8], id: &AuditEventId, seq: i64, entry: &AuditEntry) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        let mut field = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        field(previous);
        field(id.as_str().as_bytes());
        field(&seq.to_be_bytes());
        field(entry.subject.0.as_str().as_bytes());
        field(entry.subject.1.as_bytes());
        field(&entry.at.millis().to_be_bytes());
        field(entry.action.as_str().as_bytes());
        field(entry.actor.kind.as_str().as_bytes());
        field(entry.actor.id.as_deref().unwrap_or_default().as_bytes());
        field(entry.correlation_id.as_bytes());
        field(entry.detail.as_bytes());
        context.sign().as_ref().to_vec()
    }
}

impl std::fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditKey({})", self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(detail: &str) -> AuditEntry {
        AuditEntry {
            subject: (SubjectKind::Connection, "con_1".into()),
            at: Timestamp::from_millis(1),
            action: AuditAction::ConnectionEnded,
            actor: Actor::new(ActorKind::Recipient, "dc-1"),
            correlation_id: "c".into(),
            detail: detail.into(),
        }
    }

    fn id(n: u8) -> AuditEventId {
        AuditEventId::parse(&format!("aud_{n}")).unwrap()
    }

    #[test]
    fn audit_chain_detects_missing_or_altered_event() {
        let key = AuditKey::new(1, &[1; 32]);
        let start = AuditHead::default();
        let (first, middle) = key.link(&start, id(1), entry("{}"));
        let (second, _) = key.link(&middle, id(2), entry("{}"));
        assert!(key.verifies(&start, &first) && key.verifies(&middle, &second));

        assert!(!key.verifies(&start, &second), "a missing event is seen");
        let altered = AuditEvent { entry: entry("{\"x\":1}"), ..second.clone() };
        assert!(!key.verifies(&middle, &altered), "a changed event is seen");
        assert!(!AuditKey::new(1, &[2; 32]).verifies(&middle, &second), "another key does not verify");
    }

    #[test]
    fn audit_mac_separates_adjacent_fields() {
        let key = AuditKey::new(1, &[1; 32]);
        let mac_for = |correlation_id: &str, detail: &str| {
            let entry = AuditEntry { correlation_id: correlation_id.into(), ..entry(detail) };
            key.link(&AuditHead::default(), id(1), entry).1.mac
        };
        assert_ne!(mac_for("ab", "c"), mac_for("a", "bc"));
    }
}
