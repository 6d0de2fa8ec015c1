-- The schema of the hub's store. Both databases have the same tables, columns and indexes, except for `changes`, and this file
-- exists once for each of them. Conventions:
--   * Ids are BLOB: the 16 bytes of the UUID of an id that the hub generated, without its prefix, or else the text of the id.
--     Generated ids begin with the time, so rows are appended in the order of their keys.
--   * Enum values are TEXT. A unit test of the `domain` crate fixes every value.
--   * Times are milliseconds since the Unix epoch.
--   * JSON is TEXT and is never queried inside the database.
--   * `data_key` is a wrapped key; the sealed values of the same row are encrypted under it. Tokens, codes and secrets that
--     the hub issues are stored only as hashes.
--   * `mac` covers the columns of a row that give authority, so that another program cannot change them unnoticed; `state_mac`
--     covers the state where it changes apart from the others. `docs/security/stored-rows.md` lists these columns.
--   * `audit_head` is the newest event of the audit chain of the row's subject: its number, its MAC and its id.
--   * On SQLite, tables with long rows have the integer key that SQLite assigns (`rowid`), and an index on the id. SQLite
--     appends to such a table without moving rows, and its inner pages contain no rows. Tables with short rows are
--     clustered by their primary key (`WITHOUT ROWID`), which saves an index.
--   * The end of a connection changes no secondary index of `connections`: no index contains a column that an end changes.
--   * Tables that every request writes to have no foreign keys to `clients` and `providers`, whose rows are never deleted:
--     PostgreSQL would lock the referenced row at each insert.
-- `docs/schema.md` names the queries that need each table and index, and the cost of each per write.

-- Facts about the store itself, such as the check value of its keys.
CREATE TABLE store_metadata (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- The leases of nodes on PostgreSQL. A node that meets a new `timeline` waits for the longest `duration_ms`.
CREATE TABLE node_leases (
    node_id BLOB NOT NULL PRIMARY KEY,
    timeline TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL
) STRICT;

-- Recipients and the partners that manage them.
CREATE TABLE clients (
    id BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    profile TEXT NOT NULL,
    owner_id BLOB REFERENCES clients (id),
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
    audit_head BLOB NOT NULL,
    state_mac BLOB NOT NULL,
    mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX clients_owner ON clients (owner_id);
CREATE INDEX clients_by_kind ON clients ((kind || ''), created_at, id);
CREATE INDEX clients_by_owner ON clients (owner_id, created_at, id);

-- Removed recipients whose connections have not all ended yet. Every access check treats their connections as ended.
CREATE TABLE client_removals (
    client_id BLOB NOT NULL PRIMARY KEY REFERENCES clients (id),
    actor_kind TEXT NOT NULL,
    actor_id BLOB,
    correlation_id TEXT NOT NULL,
    began_at INTEGER NOT NULL
) STRICT;

-- Data providers. `secrets` are the hub's secrets at the provider, sealed under `data_key`. `metadata` are the last accepted ones of
-- the issuer. Each change of the settings or secrets increments `version`; `endpoints_version` is the version with which the current endpoints
-- came into use first. `former_revokes`: whether grants may be revoked at endpoints that the provider has no longer.
CREATE TABLE providers (
    id INTEGER NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    state_changed_at INTEGER,
    source TEXT NOT NULL,
    settings TEXT NOT NULL,
    version INTEGER NOT NULL,
    endpoints_version INTEGER NOT NULL,
    former_revokes INTEGER NOT NULL CHECK (former_revokes IN (0, 1)),
    data_key BLOB,
    secrets BLOB,
    metadata TEXT,
    audit_head BLOB NOT NULL,
    metadata_mac BLOB NOT NULL,
    secrets_mac BLOB NOT NULL,
    state_mac BLOB NOT NULL,
    mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- The last settings and secrets of a provider with endpoints that it has no longer. Grants that it issued there are revoked there.
-- They are deleted when no grant needs them: `examined_until` is the last connection that was examined, and `unneeded_at` the time
-- at which no live connection needed them any longer.
CREATE TABLE former_provider_settings (
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    endpoints_version INTEGER NOT NULL,
    version INTEGER NOT NULL,
    settings TEXT NOT NULL,
    metadata TEXT,
    data_key BLOB,
    secrets BLOB,
    mac BLOB NOT NULL,
    replaced_at INTEGER NOT NULL,
    examined_until BLOB,
    unneeded_at INTEGER,
    PRIMARY KEY (provider_id, endpoints_version)
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

-- Providers at which connections do not end by expiry until an operator releases them, or which were released and not swept yet.
CREATE TABLE expiry_brakes (
    provider_id INTEGER NOT NULL PRIMARY KEY REFERENCES providers (id),
    state TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

-- Registrations of recipients with providers. `upstream_client_secret` and `client_configuration` (registration access
-- token and client configuration endpoint, RFC 7592) are sealed under `upstream_data_key`.
CREATE TABLE registrations (
    client_id BLOB NOT NULL REFERENCES clients (id),
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    state TEXT NOT NULL,
    reason TEXT,
    upstream_client_id TEXT,
    upstream_data_key BLOB,
    upstream_client_secret BLOB,
    client_configuration BLOB,
    mac BLOB NOT NULL,
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
    id BLOB NOT NULL PRIMARY KEY,
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    identity BLOB,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX customers_identity ON customers (provider_id, identity);

-- Pairwise subject identifiers: each recipient knows a customer by a `sub` of its own.
CREATE TABLE subject_identifiers (
    client_id BLOB NOT NULL REFERENCES clients (id),
    customer_id BLOB NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, customer_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX subject_identifiers_sub ON subject_identifiers (sub);

-- Authorization flows of browsers. `connection_id` is reserved for the connection that the flow opens, so it references
-- no row. `verifier` (PKCE, towards the provider) and `provider_code` are sealed under `data_key`. `code_hash` is
-- the key of the recipient's newest code in `authorization_codes`, `failure` the error that the recipient was sent.
CREATE TABLE authorization_requests (
    id BLOB NOT NULL PRIMARY KEY,
    connection_id BLOB NOT NULL,
    client_id BLOB NOT NULL REFERENCES clients (id),
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
    mac BLOB NOT NULL,
    verifier BLOB,
    provider_code BLOB,
    purpose TEXT,
    page_version TEXT,
    agreed_at INTEGER,
    correlation_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    exchange_until INTEGER,
    code_hash BLOB,
    failure TEXT
) STRICT;
CREATE UNIQUE INDEX authorization_requests_state ON authorization_requests (state_hash);
CREATE INDEX authorization_requests_client ON authorization_requests (client_id);
CREATE INDEX authorization_requests_provider ON authorization_requests (provider_id);
CREATE INDEX authorization_requests_expiry ON authorization_requests (expires_at);
CREATE INDEX authorization_requests_exchange ON authorization_requests (COALESCE(exchange_until, expires_at))
    WHERE status = 'exchanging';

-- Connections: the permission of one recipient to read the data of one customer at one provider. `job_id` is the newest job
-- of the connection. `refresh_token_hash` is the key of its token in `refresh_tokens`. `access_key` and `refresh_key` are
-- the wrapped keys of the tokens in `upstream_credentials`, `accounts_key` that of the accounts in `connection_terms`; the end of the
-- connection deletes these keys, which makes the tokens and the accounts unreadable. `upstream_grant_id` is the id of the grant at
-- the provider, sealed, with its wrapped key in front.
CREATE TABLE connections (
    id BLOB NOT NULL PRIMARY KEY,
    client_id BLOB NOT NULL,
    provider_id INTEGER NOT NULL,
    customer_id BLOB NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    status TEXT NOT NULL,
    pending_until INTEGER,
    cause TEXT,
    actor_kind TEXT,
    actor_id BLOB,
    ended_at INTEGER,
    replaced_by BLOB,
    terms_version INTEGER NOT NULL,
    token_generation INTEGER NOT NULL,
    credential_version INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    upstream_grant_id BLOB,
    access_key BLOB,
    refresh_key BLOB,
    accounts_key BLOB,
    refresh_token_hash BLOB,
    provider_revocation TEXT NOT NULL,
    recipient_notification TEXT NOT NULL,
    job_id BLOB,
    mac BLOB NOT NULL,
    audit_head BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    activated_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX connections_client ON connections (client_id, id);
CREATE INDEX connections_provider ON connections (provider_id, id);
CREATE INDEX connections_customer ON connections (customer_id);
CREATE INDEX connections_sub ON connections (sub, id);
CREATE INDEX connections_expiry ON connections (expires_at, id);
CREATE INDEX connections_pending ON connections (pending_until) WHERE pending_until IS NOT NULL;

-- The connection of a recipient, provider and customer that was activated last. Only an exchange of a code writes to it; if
-- the connection has ended, its row stays until the next exchange. So at most one connection is active.
CREATE TABLE newest_connections (
    client_id BLOB NOT NULL,
    provider_id INTEGER NOT NULL,
    customer_id BLOB NOT NULL,
    connection_id BLOB NOT NULL,
    PRIMARY KEY (client_id, provider_id, customer_id)
) STRICT, WITHOUT ROWID;

-- Connections that have ended and whose tokens a background task has not deleted yet. The end of a connection has deleted the
-- keys of its tokens.
CREATE TABLE ended_connections (
    id INTEGER NOT NULL PRIMARY KEY,
    connection_id BLOB NOT NULL,
    ended_at INTEGER NOT NULL
) STRICT;

-- What the customer agreed to. A change of the terms is a new version; earlier versions are kept as evidence. `accounts` are the
-- provider's ids of the accounts, sealed under `accounts_key` of the connection. It is NULL if the provider names no accounts.
CREATE TABLE connection_terms (
    connection_id BLOB NOT NULL REFERENCES connections (id),
    version INTEGER NOT NULL,
    clusters TEXT NOT NULL,
    accounts BLOB,
    account_count INTEGER,
    mac BLOB NOT NULL,
    purpose TEXT NOT NULL,
    language TEXT NOT NULL,
    page_version TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    agreed_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, version)
) STRICT;

-- The hub's tokens at a provider, each sealed under its own key in the connection. A refresh takes the lease first.
-- `outcome_unknown`: an earlier refresh broke off, so the provider may have issued a token that was never stored.
-- `unknown_until`: the end of the lease of that refresh, if it sent the stored refresh token. A later refresh that leaves the
-- token unchanged then proves that there is no other one.
-- `invalid_grant_at`: the time of the first `invalid_grant` for the current version, which a second refresh must confirm.
CREATE TABLE upstream_credentials (
    connection_id BLOB NOT NULL PRIMARY KEY,
    access_token BLOB NOT NULL,
    access_expires_at INTEGER NOT NULL,
    refresh_token BLOB,
    lease_id BLOB,
    lease_until INTEGER,
    outcome_unknown INTEGER NOT NULL CHECK (outcome_unknown IN (0, 1)),
    unknown_until INTEGER,
    invalid_grant_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Authorization codes that the hub issued. Used codes are kept for a while, so that a second use is recognized.
CREATE TABLE authorization_codes (
    code_hash BLOB NOT NULL PRIMARY KEY,
    connection_id BLOB NOT NULL,
    client_id BLOB NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    mac BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- Refresh tokens that the hub issued. They do not rotate, and expire after inactivity.
CREATE TABLE refresh_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY,
    connection_id BLOB NOT NULL,
    client_id BLOB NOT NULL,
    mac BLOB NOT NULL,
    issued_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_idle ON refresh_tokens (last_used_at);

-- Deferred calls to providers (transactional outbox). A job concerns a connection or, if `connection_id` is NULL, the
-- registration of `client_id` with the provider. A job for an orphaned grant names a connection that was never opened.
-- `previous_job_id` is the job that the connection had before. `token` and `verifier` are sealed under `data_key`,
-- `access_token` under `access_key`, and `grant_id` with a key of its own in front; `identity` is a keyed hash.
-- `accepted_methods` is a JSON array of the methods of revocation that the provider has accepted. `token_type` is NULL unless `token` is to be revoked.
-- `endpoint_group` names the endpoints that the job calls: the jobs of one group of one provider form a queue of their own.
CREATE TABLE jobs (
    id BLOB NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    connection_id BLOB,
    previous_job_id BLOB,
    provider_id INTEGER NOT NULL,
    client_id BLOB,
    endpoint_group TEXT NOT NULL,
    data_key BLOB,
    token BLOB,
    token_type TEXT,
    access_key BLOB,
    access_token BLOB,
    grant_id BLOB,
    accepted_methods TEXT,
    verifier BLOB,
    identity BLOB,
    outcome_unknown INTEGER NOT NULL CHECK (outcome_unknown IN (0, 1)),
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    invalid_requests INTEGER NOT NULL DEFAULT 0,
    seed BLOB NOT NULL,
    due_at INTEGER NOT NULL,
    retry_until INTEGER NOT NULL,
    lease_id BLOB,
    lease_until INTEGER,
    outcome TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX jobs_due ON jobs (provider_id, endpoint_group, due_at) WHERE state = 'pending';
CREATE INDEX jobs_failed ON jobs (id) WHERE state = 'failed';
CREATE INDEX jobs_failed_client ON jobs (client_id, provider_id) WHERE state = 'failed' AND client_id IS NOT NULL;
CREATE INDEX jobs_retryable ON jobs (provider_id, id)
    WHERE state = 'failed' AND (token IS NOT NULL OR kind = 'register_upstream_client');
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'done';
CREATE INDEX jobs_failed_tokens ON jobs (finished_at) WHERE state = 'failed' AND token IS NOT NULL;

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
) STRICT, WITHOUT ROWID;

-- Failed calls to providers that an audit event of a connection has recorded: each reason is recorded once a day.
CREATE TABLE recorded_failures (
    connection_id BLOB NOT NULL,
    call TEXT NOT NULL,
    reason TEXT NOT NULL,
    recorded_at INTEGER NOT NULL,
    PRIMARY KEY (connection_id, call, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX recorded_failures_time ON recorded_failures (recorded_at);

-- Operators of the hub. Names are unique among those that have not ended. `bootstrap` marks the single-use token with which
-- the first administrator is created.
CREATE TABLE operators (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    bootstrap INTEGER NOT NULL CHECK (bootstrap IN (0, 1)),
    token_hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    mac BLOB NOT NULL,
    audit_head BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX operators_token ON operators (token_hash);
CREATE UNIQUE INDEX operators_name ON operators (name) WHERE ended_at IS NULL;

-- The audit chain of the hub itself. It has one row, which the first event creates.
CREATE TABLE hub_audit (
    subject_id TEXT NOT NULL PRIMARY KEY,
    audit_head BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The audit log. Each subject has a chain of its own: `mac` covers the event and the MAC of the event before it, whose id is
-- `previous_id`. The subject's row has the id of the newest event.
CREATE TABLE audit_events (
    id BLOB NOT NULL PRIMARY KEY,
    previous_id BLOB,
    subject_kind TEXT NOT NULL,
    subject_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id BLOB,
    correlation_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    personal_hash BLOB,
    key_generation INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT;

-- Personal data of audit events. It lives outside the chain, which contains only a salted hash of it, so that it can be
-- erased and the chain still verifies. Not used yet.
CREATE TABLE audit_personal (
    event_id BLOB NOT NULL PRIMARY KEY REFERENCES audit_events (id),
    salt BLOB NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;
