-- The schema of the hub's store. Both databases have the same tables, columns and indexes, except for `changes`, and this file
-- exists once for each of them. Conventions:
--   * Ids are BYTEA: the 16 bytes of the UUID of an id that the hub generated, without its prefix, or else the text of the id.
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
);

-- The leases of nodes on PostgreSQL. A node that meets a new `timeline` waits for the longest `duration_ms`.
CREATE TABLE node_leases (
    node_id BYTEA NOT NULL PRIMARY KEY,
    timeline TEXT NOT NULL,
    duration_ms BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL
);

-- Recipients and the partners that manage them.
CREATE TABLE clients (
    id BYTEA NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    profile TEXT NOT NULL,
    owner_id BYTEA REFERENCES clients (id),
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
    secret_hash BYTEA NOT NULL,
    credential_generation BIGINT NOT NULL,
    require_pkce BOOLEAN NOT NULL,
    max_duration_days BIGINT,
    audit_head BYTEA NOT NULL,
    state_mac BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX clients_owner ON clients (owner_id);
CREATE INDEX clients_by_kind ON clients ((kind || ''), created_at, id);
CREATE INDEX clients_by_owner ON clients (owner_id, created_at, id);

-- Removed recipients whose connections have not all ended yet. Every access check treats their connections as ended.
CREATE TABLE client_removals (
    client_id BYTEA NOT NULL PRIMARY KEY REFERENCES clients (id),
    actor_kind TEXT NOT NULL,
    actor_id BYTEA,
    correlation_id TEXT NOT NULL,
    began_at BIGINT NOT NULL
);

-- Data providers. `secrets` are the hub's secrets at the provider, sealed under `data_key`. `metadata` are the last accepted ones of
-- the issuer. Each change of the settings or secrets increments `version`; `endpoints_version` is the version with which the current endpoints
-- came into use first. `former_revokes`: whether grants may be revoked at endpoints that the provider has no longer.
CREATE TABLE providers (
    id BIGINT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    state_changed_at BIGINT,
    source TEXT NOT NULL,
    settings TEXT NOT NULL,
    version BIGINT NOT NULL,
    endpoints_version BIGINT NOT NULL,
    former_revokes BOOLEAN NOT NULL,
    data_key BYTEA,
    secrets BYTEA,
    metadata TEXT,
    audit_head BYTEA NOT NULL,
    metadata_mac BYTEA NOT NULL,
    secrets_mac BYTEA NOT NULL,
    state_mac BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- The last settings and secrets of a provider with endpoints that it has no longer. Grants that it issued there are revoked there.
-- They are deleted when no grant needs them: `examined_until` is the last connection that was examined, and `unneeded_at` the time
-- at which no live connection needed them any longer.
CREATE TABLE former_provider_settings (
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    endpoints_version BIGINT NOT NULL,
    version BIGINT NOT NULL,
    settings TEXT NOT NULL,
    metadata TEXT,
    data_key BYTEA,
    secrets BYTEA,
    mac BYTEA NOT NULL,
    replaced_at BIGINT NOT NULL,
    examined_until BYTEA,
    unneeded_at BIGINT,
    PRIMARY KEY (provider_id, endpoints_version)
);

-- Refreshes at a provider by minute, counted since its state last changed. Each minute has several shards, so that
-- concurrent refreshes do not contend for one row.
CREATE TABLE provider_refresh_stats (
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    since BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    shard BIGINT NOT NULL,
    refreshes BIGINT NOT NULL,
    invalid_grants BIGINT NOT NULL,
    PRIMARY KEY (provider_id, since, minute, shard)
);
CREATE INDEX provider_refresh_stats_minute ON provider_refresh_stats (minute);

-- Providers at which connections do not end by expiry until an operator releases them, or which were released and not swept yet.
CREATE TABLE expiry_brakes (
    provider_id BIGINT NOT NULL PRIMARY KEY REFERENCES providers (id),
    state TEXT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- Registrations of recipients with providers. `upstream_client_secret` and `client_configuration` (registration access
-- token and client configuration endpoint, RFC 7592) are sealed under `upstream_data_key`.
CREATE TABLE registrations (
    client_id BYTEA NOT NULL REFERENCES clients (id),
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    state TEXT NOT NULL,
    reason TEXT,
    upstream_client_id TEXT,
    upstream_data_key BYTEA,
    upstream_client_secret BYTEA,
    client_configuration BYTEA,
    mac BYTEA NOT NULL,
    requested_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, provider_id)
);
CREATE INDEX registrations_provider ON registrations (provider_id);
CREATE INDEX registrations_by_time ON registrations (requested_at, client_id, provider_id);
CREATE INDEX registrations_by_state ON registrations ((state || ''), requested_at, client_id, provider_id);
CREATE INDEX registrations_by_provider ON registrations (provider_id, requested_at, client_id);

-- Customers of a provider. `identity` is a keyed hash, and is NULL if the provider does not identify its customers.
CREATE TABLE customers (
    id BYTEA NOT NULL PRIMARY KEY,
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    identity BYTEA,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX customers_identity ON customers (provider_id, identity);

-- Pairwise subject identifiers: each recipient knows a customer by a `sub` of its own.
CREATE TABLE subject_identifiers (
    client_id BYTEA NOT NULL REFERENCES clients (id),
    customer_id BYTEA NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, customer_id)
);
CREATE UNIQUE INDEX subject_identifiers_sub ON subject_identifiers (sub);

-- Authorization flows of browsers. `connection_id` is reserved for the connection that the flow opens, so it references
-- no row. `verifier` (PKCE, towards the provider) and `provider_code` are sealed under `data_key`. `code_hash` is
-- the key of the recipient's newest code in `authorization_codes`, `failure` the error that the recipient was sent.
CREATE TABLE authorization_requests (
    id BYTEA NOT NULL PRIMARY KEY,
    connection_id BYTEA NOT NULL,
    client_id BYTEA NOT NULL REFERENCES clients (id),
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    redirect_uri TEXT NOT NULL,
    scope TEXT NOT NULL,
    client_state TEXT,
    code_challenge TEXT,
    language TEXT NOT NULL,
    status TEXT NOT NULL,
    cookie_hash BYTEA NOT NULL,
    state_hash BYTEA,
    data_key BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    verifier BYTEA,
    provider_code BYTEA,
    purpose TEXT,
    page_version TEXT,
    agreed_at BIGINT,
    correlation_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    exchange_until BIGINT,
    code_hash BYTEA,
    failure TEXT
);
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
    id BYTEA NOT NULL PRIMARY KEY,
    client_id BYTEA NOT NULL,
    provider_id BIGINT NOT NULL,
    customer_id BYTEA NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    status TEXT NOT NULL,
    pending_until BIGINT,
    cause TEXT,
    actor_kind TEXT,
    actor_id BYTEA,
    ended_at BIGINT,
    replaced_by BYTEA,
    terms_version BIGINT NOT NULL,
    token_generation BIGINT NOT NULL,
    credential_version BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    upstream_grant_id BYTEA,
    access_key BYTEA,
    refresh_key BYTEA,
    accounts_key BYTEA,
    refresh_token_hash BYTEA,
    provider_revocation TEXT NOT NULL,
    recipient_notification TEXT NOT NULL,
    job_id BYTEA,
    mac BYTEA NOT NULL,
    audit_head BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    activated_at BIGINT,
    updated_at BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX connections_client ON connections (client_id, id);
CREATE INDEX connections_provider ON connections (provider_id, id);
CREATE INDEX connections_customer ON connections (customer_id);
CREATE INDEX connections_sub ON connections (sub, id);
CREATE INDEX connections_expiry ON connections (expires_at, id);
CREATE INDEX connections_pending ON connections (pending_until) WHERE pending_until IS NOT NULL;

-- The connection of a recipient, provider and customer that was activated last. Only an exchange of a code writes to it; if
-- the connection has ended, its row stays until the next exchange. So at most one connection is active.
CREATE TABLE newest_connections (
    client_id BYTEA NOT NULL,
    provider_id BIGINT NOT NULL,
    customer_id BYTEA NOT NULL,
    connection_id BYTEA NOT NULL,
    PRIMARY KEY (client_id, provider_id, customer_id)
);

-- Connections that have ended and whose tokens a background task has not deleted yet. The end of a connection has deleted the
-- keys of its tokens.
CREATE TABLE ended_connections (
    id BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id BYTEA NOT NULL,
    ended_at BIGINT NOT NULL
);

-- What the customer agreed to. A change of the terms is a new version; earlier versions are kept as evidence. `accounts` are the
-- provider's ids of the accounts, sealed under `accounts_key` of the connection. It is NULL if the provider names no accounts.
CREATE TABLE connection_terms (
    connection_id BYTEA NOT NULL REFERENCES connections (id),
    version BIGINT NOT NULL,
    clusters TEXT NOT NULL,
    accounts BYTEA,
    account_count BIGINT,
    mac BYTEA NOT NULL,
    purpose TEXT NOT NULL,
    language TEXT NOT NULL,
    page_version TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    agreed_at BIGINT NOT NULL,
    PRIMARY KEY (connection_id, version)
);

-- The hub's tokens at a provider, each sealed under its own key in the connection. A refresh takes the lease first.
-- `outcome_unknown`: an earlier refresh broke off, so the provider may have issued a token that was never stored.
-- `unknown_until`: the end of the lease of that refresh, if it sent the stored refresh token. A later refresh that leaves the
-- token unchanged then proves that there is no other one.
-- `invalid_grant_at`: the time of the first `invalid_grant` for the current version, which a second refresh must confirm.
CREATE TABLE upstream_credentials (
    connection_id BYTEA NOT NULL PRIMARY KEY,
    access_token BYTEA NOT NULL,
    access_expires_at BIGINT NOT NULL,
    refresh_token BYTEA,
    lease_id BYTEA,
    lease_until BIGINT,
    outcome_unknown BOOLEAN NOT NULL,
    unknown_until BIGINT,
    invalid_grant_at BIGINT,
    updated_at BIGINT NOT NULL
);

-- Authorization codes that the hub issued. Used codes are kept for a while, so that a second use is recognized.
CREATE TABLE authorization_codes (
    code_hash BYTEA NOT NULL PRIMARY KEY,
    connection_id BYTEA NOT NULL,
    client_id BYTEA NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    mac BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

-- Refresh tokens that the hub issued. They do not rotate, and expire after inactivity.
CREATE TABLE refresh_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    connection_id BYTEA NOT NULL,
    client_id BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    issued_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_idle ON refresh_tokens (last_used_at);

-- Deferred calls to providers (transactional outbox). A job concerns a connection or, if `connection_id` is NULL, the
-- registration of `client_id` with the provider. A job for an orphaned grant names a connection that was never opened.
-- `previous_job_id` is the job that the connection had before. `token` and `verifier` are sealed under `data_key`,
-- `access_token` under `access_key`, and `grant_id` with a key of its own in front; `identity` is a keyed hash.
-- `accepted_methods` is a JSON array of the methods of revocation that the provider has accepted. `token_type` is NULL unless `token` is to be revoked.
-- `endpoint_group` names the endpoints that the job calls: the jobs of one group of one provider form a queue of their own.
CREATE TABLE jobs (
    id BYTEA NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    connection_id BYTEA,
    previous_job_id BYTEA,
    provider_id BIGINT NOT NULL,
    client_id BYTEA,
    endpoint_group TEXT NOT NULL,
    data_key BYTEA,
    token BYTEA,
    token_type TEXT,
    access_key BYTEA,
    access_token BYTEA,
    grant_id BYTEA,
    accepted_methods TEXT,
    verifier BYTEA,
    identity BYTEA,
    outcome_unknown BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    invalid_requests BIGINT NOT NULL DEFAULT 0,
    seed BYTEA NOT NULL,
    due_at BIGINT NOT NULL,
    retry_until BIGINT NOT NULL,
    lease_id BYTEA,
    lease_until BIGINT,
    outcome TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
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
    id BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT,
    jobs BIGINT NOT NULL
);

CREATE TABLE job_counts (
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs BIGINT NOT NULL,
    PRIMARY KEY (kind, state)
);

-- Failed calls to providers that an audit event of a connection has recorded: each reason is recorded once a day.
CREATE TABLE recorded_failures (
    connection_id BYTEA NOT NULL,
    call TEXT NOT NULL,
    reason TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    PRIMARY KEY (connection_id, call, reason)
);
CREATE INDEX recorded_failures_time ON recorded_failures (recorded_at);

-- Operators of the hub. Names are unique among those that have not ended. `bootstrap` marks the single-use token with which
-- the first administrator is created.
CREATE TABLE operators (
    id BYTEA NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    bootstrap BOOLEAN NOT NULL,
    token_hash BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    mac BYTEA NOT NULL,
    audit_head BYTEA NOT NULL
);
CREATE UNIQUE INDEX operators_token ON operators (token_hash);
CREATE UNIQUE INDEX operators_name ON operators (name) WHERE ended_at IS NULL;

-- The audit chain of the hub itself. It has one row, which the first event creates.
CREATE TABLE hub_audit (
    subject_id TEXT NOT NULL PRIMARY KEY,
    audit_head BYTEA NOT NULL
);

-- The audit log. Each subject has a chain of its own: `mac` covers the event and the MAC of the event before it, whose id is
-- `previous_id`. The subject's row has the id of the newest event.
CREATE TABLE audit_events (
    id BYTEA NOT NULL PRIMARY KEY,
    previous_id BYTEA,
    subject_kind TEXT NOT NULL,
    subject_id BYTEA NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id BYTEA,
    correlation_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    personal_hash BYTEA,
    key_generation BIGINT NOT NULL,
    mac BYTEA NOT NULL
);

-- Personal data of audit events. It lives outside the chain, which contains only a salted hash of it, so that it can be
-- erased and the chain still verifies. Not used yet.
CREATE TABLE audit_personal (
    event_id BYTEA NOT NULL PRIMARY KEY REFERENCES audit_events (id),
    salt BYTEA NOT NULL,
    text TEXT NOT NULL
);

-- Changes of the rows that nodes keep in memory, so that a node learns before each answer what other nodes and programs have
-- committed. Only PostgreSQL has this table: on SQLite a single process commits. Triggers fill it, so that no statement can forget
-- it. `xid` is the transaction of the change. A row that is inserted is in no memory yet; only the absence of a registration is
-- kept there. `kind` and `id` name the row; `deleted` means that changes up to the transaction `id` may be missing, and `all`
-- that any row may have changed. Rows are deleted after a while.
CREATE TABLE changes (
    xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
    changed_at BIGINT NOT NULL DEFAULT (extract(epoch FROM now()) * 1000)::BIGINT,
    kind TEXT NOT NULL,
    id BYTEA NOT NULL
);
CREATE INDEX changes_xid ON changes (xid);

-- The functions name the schema in which they were created, so that sessions with another search path can change rows too.
CREATE FUNCTION record_connection_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'connection', id FROM changed_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION record_terms_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'connection', connection_id FROM changed_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION record_client_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'client', id FROM changed_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION record_registration_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'registration', int8send(provider_id) || client_id FROM changed_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION record_provider_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'provider', int8send(id) FROM changed_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION record_refresh_token_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'refresh_token', token_hash FROM changed_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION record_truncation() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) VALUES ('all', '');
    RETURN NULL;
END $$;
-- Rows of later transactions than this one come from a copy of another server's database, and concern no change of this one.
CREATE FUNCTION record_deleted_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO changes (kind, id) SELECT 'deleted', int8send(xid::TEXT::BIGINT) FROM changed_rows
        WHERE xid < pg_current_xact_id() ORDER BY xid DESC LIMIT 1;
    RETURN NULL;
END $$;

CREATE TRIGGER record_update AFTER UPDATE ON connections REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_connection_change();
CREATE TRIGGER record_delete AFTER DELETE ON connections REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_connection_change();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON connections FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
CREATE TRIGGER record_update AFTER UPDATE ON connection_terms REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_terms_change();
CREATE TRIGGER record_delete AFTER DELETE ON connection_terms REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_terms_change();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON connection_terms FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
CREATE TRIGGER record_update AFTER UPDATE ON clients REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_client_change();
CREATE TRIGGER record_delete AFTER DELETE ON clients REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_client_change();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON clients FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
CREATE TRIGGER record_update AFTER UPDATE ON registrations REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_registration_change();
CREATE TRIGGER record_delete AFTER DELETE ON registrations REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_registration_change();
CREATE TRIGGER record_insert AFTER INSERT ON registrations REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_registration_change();
CREATE TRIGGER record_new_key AFTER UPDATE ON registrations REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_registration_change();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON registrations FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
CREATE TRIGGER record_update AFTER UPDATE ON providers REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_provider_change();
CREATE TRIGGER record_delete AFTER DELETE ON providers REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_provider_change();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON providers FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
CREATE TRIGGER record_update AFTER UPDATE ON refresh_tokens REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_refresh_token_change();
CREATE TRIGGER record_delete AFTER DELETE ON refresh_tokens REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_refresh_token_change();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON refresh_tokens FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
CREATE TRIGGER record_delete AFTER DELETE ON changes REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION record_deleted_changes();
CREATE TRIGGER record_truncate AFTER TRUNCATE ON changes FOR EACH STATEMENT EXECUTE FUNCTION record_truncation();
