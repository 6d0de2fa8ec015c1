//! The audit log: a chain of events for each subject, protected by a keyed MAC.

use aws_lc_rs::hmac;

use crate::id::AuditEventId;
use crate::time::Timestamp;

crate::str_enum! {
    /// The kind of the subject of an event. Each subject has its own chain of events.
    pub enum SubjectKind {
        /// A connection, from its opening to the revocation at the provider.
        Connection = "connection",
        /// A client (recipient or partner), including its registrations with providers.
        Client = "client",
        /// A provider, including orphaned grants (grants at the provider without a connection).
        Provider = "provider",
        /// An operator, identified by the id of the operator's token.
        Operator = "operator",
        /// The hub itself: refused requests that concern no client or operator that the hub knows.
        Hub = "hub",
    }
}

crate::str_enum! {
    /// The kind of the party that acted.
    pub enum ActorKind {
        /// A recipient, which uses the APIs of the hub.
        Recipient = "recipient",
        /// A customer who used the pages of the hub or the provider in a browser.
        Customer = "customer",
        /// A provider, by its response to a request of the hub.
        Provider = "provider",
        /// An operator, who uses the admin API or the command line.
        Operator = "operator",
        /// A partner, which manages recipients through the API.
        Partner = "partner",
        /// The hub itself, such as one of its workers.
        System = "system",
    }
}

crate::str_enum! {
    /// The action that an event records.
    pub enum AuditAction {
        /// A recipient or partner was created.
        ClientRegistered = "client.registered",
        /// A client was suspended or reinstated.
        ClientStateChanged = "client.state_changed",
        /// The redirect URIs of a client were replaced.
        RedirectUrisReplaced = "client.redirect_uris_replaced",
        /// The secret of a client was regenerated.
        SecretRegenerated = "client.secret_regenerated",
        /// A client was removed permanently. The ends of its connections are separate events.
        ClientRemoved = "client.removed",
        /// The registration of the recipient's client at a provider failed, or the deletion of that client.
        ClientCallFailed = "client.call_failed",
        /// Requests with the id or a token of the client were refused.
        ClientAccessDenied = "client.access_denied",
        /// A provider was added, or its settings or state changed.
        ProviderChanged = "provider.changed",
        /// The metadata of the provider's issuer became known, or changed.
        ProviderMetadataChanged = "provider.metadata_changed",
        /// The job for an orphaned grant ended: the provider has revoked the grant, or it may still be active.
        OrphanedGrantResolved = "provider.orphaned_grant_resolved",
        /// An exchange of the provider's code failed, or a revocation of a grant without a connection.
        ProviderCallFailed = "provider.call_failed",
        /// A registration was requested, or changed its state.
        RegistrationChanged = "registration.changed",
        /// The provider granted access, and a connection waits for the exchange of its code.
        ConnectionOpened = "connection.opened",
        /// The recipient exchanged the authorization code, which made the connection active.
        ConnectionActivated = "connection.activated",
        /// The response to a refresh granted fewer data clusters, and the connection lost the others.
        ConnectionNarrowed = "connection.narrowed",
        /// The response to a refresh announced another end of the refresh token, and the end of the connection followed.
        ConnectionEndMoved = "connection.end_moved",
        /// The connection ended, for any `EndCause`.
        ConnectionEnded = "connection.ended",
        /// A client presented a used code, or the code of another client, and the exchange was rejected.
        CodeRejected = "connection.code_rejected",
        /// The status of the revocation at the provider changed.
        ProviderRevocationChanged = "connection.provider_revocation_changed",
        /// A call to the provider failed: each revocation, and of other calls each reason once a day.
        ConnectionCallFailed = "connection.call_failed",
        /// An operator scheduled a failed job for another attempt.
        JobRetried = "job.retried",
        /// An operator closed a failed job, which deleted its token.
        JobClosed = "job.closed",
        /// A bootstrap token was issued, with which the first administrator is created.
        BootstrapTokenIssued = "operator.bootstrap_token_issued",
        /// An operator was added: a token with a name and a role was issued.
        OperatorAdded = "operator.added",
        /// An operator was removed, a bootstrap token was used, or an expired operator token was replaced.
        OperatorRemoved = "operator.removed",
        /// Requests with the operator's token were refused.
        OperatorAccessDenied = "operator.access_denied",
        /// Requests of callers that the hub does not know were refused.
        HubAccessDenied = "hub.access_denied",
    }
}

/// The party that performed an audited action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The kind of the party, such as customer, recipient or operator.
    pub kind: ActorKind,
    /// The id of the party, or the name of the hub's component; absent for customers.
    pub id: Option<String>,
}

impl Actor {
    /// Creates the actor for a party that has an id.
    pub fn new(kind: ActorKind, id: impl Into<String>) -> Self {
        Self { kind, id: Some(id.into()) }
    }

    /// Creates the actor for a customer who uses a browser. The audit log does not identify customers.
    pub const fn customer() -> Self {
        Self { kind: ActorKind::Customer, id: None }
    }

    /// Creates the actor for a component of the hub.
    pub fn system(component: &'static str) -> Self {
        Self::new(ActorKind::System, component)
    }
}

/// The last event of a subject's audit chain. It is stored in the row of the subject, so one lock protects both.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AuditHead {
    /// The id of the last event; absent before the first.
    pub event_id: Option<AuditEventId>,
    /// The number of the last event; zero before the first.
    pub seq: i64,
    /// The MAC of the last event; empty before the first.
    pub mac: Vec<u8>,
}

/// The content of an audit event, without its position in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The kind and id of the subject.
    pub subject: (SubjectKind, String),
    /// The time at which the action was performed.
    pub at: Timestamp,
    /// The action, such as `connection.ended`.
    pub action: AuditAction,
    /// The party that acted.
    pub actor: Actor,
    /// The correlation id of the HTTP exchange that caused the action.
    pub correlation_id: String,
    /// Details as JSON: ids and enum values only, never a token, a personal name or an account number.
    pub detail: String,
}

/// An audit event with its position in a chain and its MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// The id, which is unique in the whole audit log.
    pub id: AuditEventId,
    /// The id of the previous event of the same subject; absent for the first.
    pub previous_id: Option<AuditEventId>,
    /// The position of the event in the chain of all events of its subject, starting at one.
    pub seq: i64,
    /// The content, which the MAC protects.
    pub entry: AuditEntry,
    /// HMAC-SHA-256 over the previous event's MAC and this event.
    pub mac: Vec<u8>,
}

impl From<&AuditEvent> for AuditHead {
    /// Returns the head of the chain that ends with the event.
    fn from(event: &AuditEvent) -> Self {
        Self { event_id: Some(event.id.clone()), seq: event.seq, mac: event.mac.clone() }
    }
}

/// The HMAC key of the audit chains, with its generation, which is stored with each event.
#[derive(Clone)]
pub struct AuditKey {
    generation: u32,
    key: hmac::Key,
}

impl AuditKey {
    /// Creates the key of one generation from its 32 bytes.
    pub fn new(generation: u32, key: &[u8; 32]) -> Self {
        Self { generation, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// Returns the generation of the key, which is stored with each event.
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Creates the event that follows `head` in a chain; returns the event and the new head. The caller stores both.
    pub fn link(&self, head: &AuditHead, id: AuditEventId, entry: AuditEntry) -> (AuditEvent, AuditHead) {
        let seq = head.seq + 1;
        let mac = self.mac(&head.mac, &id, seq, &entry);
        let new_head = AuditHead { event_id: Some(id.clone()), seq, mac: mac.clone() };
        (AuditEvent { id, previous_id: head.event_id.clone(), seq, entry, mac }, new_head)
    }

    /// Returns whether an event follows `head` directly and was not changed.
    pub fn verifies(&self, head: &AuditHead, event: &AuditEvent) -> bool {
        let expected = self.mac(&head.mac, &event.id, event.seq, &event.entry);
        event.seq == head.seq + 1 && crate::secret::constant_time_eq(&expected, &event.mac)
    }

    fn mac(&self, previous: &[u8], id: &AuditEventId, seq: i64, entry: &AuditEntry) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        // The length precedes each field, so that the boundaries count: ("ab", "c") and ("a", "bc") get different MACs.
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
        format!("aud_{n}").parse::<AuditEventId>().unwrap()
    }

    #[test]
    fn audit_chain_detects_missing_or_altered_event() {
        let key = AuditKey::new(1, &[1; 32]);
        let start = AuditHead::default();
        let (first, middle) = key.link(&start, id(1), entry("{}"));
        let (second, _) = key.link(&middle, id(2), entry("{}"));
        assert!(key.verifies(&start, &first) && key.verifies(&middle, &second));

        assert!(!key.verifies(&start, &second), "missing event must be detected");
        let altered = AuditEvent { entry: entry("{\"x\":1}"), ..second.clone() };
        assert!(!key.verifies(&middle, &altered), "altered event must be detected");
        assert!(
            !AuditKey::new(1, &[2; 32]).verifies(&middle, &second),
            "event must not verify under another key"
        );
    }

    #[test]
    fn audit_mac_differs_when_text_moves_to_adjacent_field() {
        let key = AuditKey::new(1, &[1; 32]);
        let mac_for = |correlation_id: &str, detail: &str| {
            let entry = AuditEntry { correlation_id: correlation_id.into(), ..entry(detail) };
            key.link(&AuditHead::default(), id(1), entry).1.mac
        };
        assert_ne!(mac_for("ab", "c"), mac_for("a", "bc"));
    }

    #[test]
    fn linked_event_continues_the_chain() {
        let key = AuditKey::new(7, &[1; 32]);

        let (first, head) = key.link(&AuditHead::default(), id(1), entry("{}"));
        let (second, last) = key.link(&head, id(2), entry("{}"));

        assert_eq!((first.seq, first.previous_id.clone()), (1, None));
        assert_eq!((second.seq, second.previous_id.clone()), (2, Some(id(1))));
        assert_eq!((AuditHead::from(&first), AuditHead::from(&second)), (head, last));
        assert_eq!(key.generation(), 7, "the generation is stored with each event");
    }

    #[test]
    fn audit_key_debug_output_shows_generation_only() {
        assert_eq!(format!("{:?}", AuditKey::new(7, &[1; 32])), "AuditKey(7)");
    }

    #[test]
    fn actor_of_customer_has_no_id() {
        assert_eq!(Actor::customer(), Actor { kind: ActorKind::Customer, id: None });
        assert_eq!(Actor::system("sweep"), Actor::new(ActorKind::System, "sweep"));
    }
}
