-- The schema of the hub's store. Both databases have the same tables, columns and indexes, and this file exists once for
-- each of them. Conventions:
--   * Ids and enum values are TEXT. A unit test of the `domain` crate fixes every enum value.
--   * Times are milliseconds since the Unix epoch.
--   * JSON is TEXT and is never queried inside the database.
--   * `data_key` is a wrapped key; the sealed values of the same row are encrypted under it. Tokens, codes and secrets that
--     the hub issues are stored only as hashes.
--   * `audit_seq` and `audit_mac` are the end of the audit chain of the row's subject.
--   * Some indexes are on `(column || '')` instead of the column. They serve the searches of operators, and the planner
--     cannot choose them for the hot statements, which compare the same column and have narrower indexes of their own.

-- Facts about the store itself, such as the check value of its keys.
CREATE TABLE store_metadata (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Recipients and the partners that manage them.
CREATE TABLE clients (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    profile TEXT NOT NULL,
    owner_id TEXT REFERENCES clients (id),
    state TEXT NOT NULL,
    name TEXT NOT NULL,
    purpose_en TEXT NOT NULL,
    purpose_fr TEXT NOT NULL,
    description TEXT,
    country TEXT,
    logo_uri TEXT,
    terms_uri TEXT,
    client_uri TEXT,
    contacts TEXT NOT NULL,
    scope TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    credential_generation INTEGER NOT NULL,
    require_pkce INTEGER NOT NULL CHECK (require_pkce IN (0, 1)),
    max_duration_days INTEGER,
    audit_seq INTEGER NOT NULL,
    audit_mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX clients_owner ON clients (owner_id);
CREATE INDEX clients_by_kind ON clients ((kind || ''), created_at, id);
CREATE INDEX clients_by_owner ON clients (owner_id, created_at, id);

-- Removed recipients whose connections have not all ended yet. Every access check treats their connections as ended.
CREATE TABLE client_removals (
    client_id TEXT NOT NULL PRIMARY KEY REFERENCES clients (id),
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    correlation_id TEXT NOT NULL,
    began_at INTEGER NOT NULL
) STRICT;

-- Data providers. `client_secret` and `initial_access_token` (RFC 7591 section 3) are sealed under `data_key`.
CREATE TABLE providers (
    id INTEGER NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    state_changed_at INTEGER,
    source TEXT NOT NULL,
    settings TEXT NOT NULL,
    data_key BLOB,
    client_secret BLOB,
    initial_access_token BLOB,
    audit_seq INTEGER NOT NULL,
    audit_mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Refreshes at a provider by minute, counted since its state last changed. Each minute has several shards, so that
-- concurrent refreshes do not contend for one row.
CREATE TABLE provider_refresh_stats (
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    since INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    refreshes INTEGER NOT NULL,
    invalid_grants INTEGER NOT NULL,
    PRIMARY KEY (provider_id, since, minute, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX provider_refresh_stats_minute ON provider_refresh_stats (minute);

-- Registrations of recipients with providers. `upstream_client_secret` and `client_configuration` (registration access
-- token and client configuration endpoint, RFC 7592) are sealed under `upstream_data_key`.
CREATE TABLE registrations (
    client_id TEXT NOT NULL REFERENCES clients (id),
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    state TEXT NOT NULL,
    reason TEXT,
    upstream_client_id TEXT,
    upstream_data_key BLOB,
    upstream_client_secret BLOB,
    client_configuration BLOB,
    requested_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, provider_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX registrations_provider ON registrations (provider_id);
CREATE INDEX registrations_by_time ON registrations (requested_at, client_id, provider_id);
CREATE INDEX registrations_by_state ON registrations ((state || ''), requested_at, client_id, provider_id);
CREATE INDEX registrations_by_provider ON registrations (provider_id, requested_at, client_id);

-- Customers of a provider. `identity` is a keyed hash, and is NULL if the provider does not identify its customers.
CREATE TABLE customers (
    id TEXT NOT NULL PRIMARY KEY,
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    identity BLOB,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX customers_identity ON customers (provider_id, identity);

-- Pairwise subject identifiers: each recipient knows a customer by a `sub` of its own.
CREATE TABLE subject_identifiers (
    client_id TEXT NOT NULL REFERENCES clients (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, customer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subject_identifiers_customer ON subject_identifiers (customer_id);
CREATE UNIQUE INDEX subject_identifiers_sub ON subject_identifiers (sub);

-- Authorization flows of browsers. `connection_id` is reserved for the connection that the flow opens, so it references
-- no row. `verifier` (PKCE, towards the provider) and `provider_code` are sealed under `data_key`.
CREATE TABLE authorization_requests (
    id TEXT NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    redirect_uri TEXT NOT NULL,
    scope TEXT NOT NULL,
    client_state TEXT,
    code_challenge TEXT,
    language TEXT NOT NULL,
    status TEXT NOT NULL,
    cookie_hash BLOB NOT NULL,
    state_hash BLOB,
    data_key BLOB NOT NULL,
    verifier BLOB,
    provider_code BLOB,
    purpose TEXT,
    page_version TEXT,
    agreed_at INTEGER,
    correlation_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    exchange_until INTEGER
) STRICT;
CREATE UNIQUE INDEX authorization_requests_state ON authorization_requests (state_hash);
CREATE INDEX authorization_requests_client ON authorization_requests (client_id);
CREATE INDEX authorization_requests_provider ON authorization_requests (provider_id);
CREATE INDEX authorization_requests_expiry ON authorization_requests (expires_at);
CREATE INDEX authorization_requests_exchange ON authorization_requests (COALESCE(exchange_until, expires_at))
    WHERE status = 'exchanging';

-- Connections: the permission of one recipient to read the data of one customer at one provider.
CREATE TABLE connections (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    status TEXT NOT NULL,
    pending_until INTEGER,
    cause TEXT,
    actor_kind TEXT,
    actor_id TEXT,
    ended_at INTEGER,
    replaced_by TEXT REFERENCES connections (id),
    terms_version INTEGER NOT NULL,
    token_generation INTEGER NOT NULL,
    credential_version INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    upstream_grant_id TEXT,
    data_key BLOB,
    provider_revocation TEXT NOT NULL,
    recipient_notification TEXT NOT NULL,
    audit_seq INTEGER NOT NULL,
    audit_mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    activated_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX connections_active ON connections (client_id, provider_id, customer_id) WHERE status = 'active';
CREATE INDEX connections_client ON connections (client_id, id);
CREATE INDEX connections_provider ON connections (provider_id);
CREATE INDEX connections_customer ON connections (customer_id);
CREATE INDEX connections_replaced_by ON connections (replaced_by);
CREATE INDEX connections_pending ON connections (pending_until) WHERE status = 'pending';
CREATE INDEX connections_expiry ON connections (expires_at) WHERE status = 'active';
CREATE INDEX connections_by_time ON connections (created_at, id);
CREATE INDEX connections_by_client ON connections (client_id, created_at, id);
CREATE INDEX connections_by_provider ON connections (provider_id, created_at, id);
CREATE INDEX connections_by_sub ON connections (sub, created_at, id);
CREATE INDEX connections_by_end ON connections (ended_at, id) WHERE ended_at IS NOT NULL;

-- What the customer agreed to. A change of the terms is a new version; earlier versions are kept as evidence.
CREATE TABLE connection_terms (
    connection_id TEXT NOT NULL REFERENCES connections (id),
    version INTEGER NOT NULL,
    clusters TEXT NOT NULL,
    accounts TEXT,
    purpose TEXT NOT NULL,
    language TEXT NOT NULL,
    page_version TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    agreed_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, version)
) STRICT, WITHOUT ROWID;

-- The hub's tokens at a provider, sealed under the connection's `data_key`. A refresh takes the lease first.
-- `outcome_unknown`: an earlier refresh broke off, so the provider may have issued a token that was never stored.
CREATE TABLE upstream_credentials (
    connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id),
    access_token BLOB NOT NULL,
    access_expires_at INTEGER NOT NULL,
    refresh_token BLOB,
    lease_id TEXT,
    lease_until INTEGER,
    outcome_unknown INTEGER NOT NULL CHECK (outcome_unknown IN (0, 1)),
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Authorization codes that the hub issued. Used codes are kept for a while, so that a second use is recognized.
CREATE TABLE authorization_codes (
    code_hash BLOB NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_codes_connection ON authorization_codes (connection_id);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- Refresh tokens that the hub issued. They do not rotate, and expire after inactivity.
CREATE TABLE refresh_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    issued_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_connection ON refresh_tokens (connection_id);
CREATE INDEX refresh_tokens_idle ON refresh_tokens (last_used_at);

-- Deferred calls to providers (transactional outbox). A job concerns a connection or, if `connection_id` is NULL, the
-- registration of `client_id` with the provider. It has no foreign key to connections: a job for an orphaned grant names a
-- connection that was never opened. `token` and `verifier` are sealed under `data_key`; `identity` is a keyed hash.
-- `endpoint_group` names the endpoints that the job calls: the jobs of one group of one provider form a queue of their own.
CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    connection_id TEXT,
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    client_id TEXT,
    endpoint_group TEXT NOT NULL,
    data_key BLOB,
    token BLOB,
    verifier BLOB,
    identity BLOB,
    outcome_unknown INTEGER NOT NULL CHECK (outcome_unknown IN (0, 1)),
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seed BLOB NOT NULL,
    due_at INTEGER NOT NULL,
    retry_until INTEGER NOT NULL,
    lease_id TEXT,
    lease_until INTEGER,
    outcome TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX jobs_due ON jobs (provider_id, endpoint_group, due_at) WHERE state = 'pending';
CREATE INDEX jobs_connection ON jobs (connection_id, kind, state);
CREATE INDEX jobs_client ON jobs (client_id, provider_id)
    WHERE state IN ('pending', 'failed') AND client_id IS NOT NULL;
CREATE INDEX jobs_retryable ON jobs (provider_id, id)
    WHERE state = 'failed' AND (token IS NOT NULL OR kind = 'register_upstream_client');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'done';
CREATE INDEX jobs_by_state ON jobs ((state || ''), id);
CREATE INDEX jobs_by_kind ON jobs ((kind || ''), id);
CREATE INDEX jobs_by_provider ON jobs (provider_id, id);

-- Changes of the number of jobs, for metrics. Every command that queues, finishes, retries, closes or deletes jobs appends one;
-- a task adds them to `job_counts` and deletes them. So no two commands update the same row.
CREATE TABLE job_transitions (
    id INTEGER NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT,
    jobs INTEGER NOT NULL
) STRICT;

CREATE TABLE job_counts (
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (kind, state)
) STRICT;

-- Operators of the hub. Names are unique among those that have not ended. `bootstrap` marks the single-use token with which
-- the first administrator is created.
CREATE TABLE operators (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    bootstrap INTEGER NOT NULL CHECK (bootstrap IN (0, 1)),
    token_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    audit_seq INTEGER NOT NULL,
    audit_mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX operators_token ON operators (token_hash);
CREATE UNIQUE INDEX operators_name ON operators (name) WHERE ended_at IS NULL;

-- The audit log. Each subject has a chain of its own: `mac` covers the event and the MAC of the event before it.
CREATE TABLE audit_events (
    id TEXT NOT NULL PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    correlation_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    personal_hash BLOB,
    key_generation INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_events_subject ON audit_events (subject_kind, subject_id, seq);
CREATE INDEX audit_events_by_time ON audit_events (at, id);
CREATE INDEX audit_events_by_action ON audit_events (action, at, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor_kind, actor_id, at, id);

-- Personal data of audit events. It lives outside the chain, which contains only a salted hash of it, so that it can be
-- erased and the chain still verifies. Not used yet.
CREATE TABLE audit_personal (
    event_id TEXT NOT NULL PRIMARY KEY REFERENCES audit_events (id),
    salt BLOB NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;
