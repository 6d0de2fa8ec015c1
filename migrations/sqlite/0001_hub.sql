-- Portable columns: ids and words are TEXT, times are milliseconds, JSON is TEXT that is never queried inside.

CREATE TABLE marks (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

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

CREATE TABLE providers (
    id INTEGER NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    settings TEXT NOT NULL,
    audit_seq INTEGER NOT NULL,
    audit_mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE registrations (
    client_id TEXT NOT NULL REFERENCES clients (id),
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    state TEXT NOT NULL,
    upstream_client_id TEXT,
    upstream_data_key BLOB,
    upstream_client_secret BLOB,
    requested_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, provider_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX registrations_provider ON registrations (provider_id);

CREATE TABLE customers (
    id TEXT NOT NULL PRIMARY KEY,
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    identity BLOB,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX customers_identity ON customers (provider_id, identity);

CREATE TABLE subjects (
    client_id TEXT NOT NULL REFERENCES clients (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (client_id, customer_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX subjects_customer ON subjects (customer_id);
CREATE UNIQUE INDEX subjects_sub ON subjects (sub);

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
    bank_code BLOB,
    purpose TEXT,
    page_version TEXT,
    agreed_at INTEGER,
    correlation_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX authorization_requests_state ON authorization_requests (state_hash);
CREATE INDEX authorization_requests_client ON authorization_requests (client_id);
CREATE INDEX authorization_requests_provider ON authorization_requests (provider_id);
CREATE INDEX authorization_requests_expiry ON authorization_requests (expires_at);

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
    bank_state TEXT NOT NULL,
    recipient_state TEXT NOT NULL,
    audit_seq INTEGER NOT NULL,
    audit_mac BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    activated_at INTEGER,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX connections_active ON connections (client_id, provider_id, customer_id) WHERE status = 'active';
CREATE INDEX connections_provider ON connections (provider_id);
CREATE INDEX connections_customer ON connections (customer_id);
CREATE INDEX connections_replaced_by ON connections (replaced_by);
CREATE INDEX connections_pending ON connections (pending_until) WHERE status = 'pending';
CREATE INDEX connections_expiry ON connections (expires_at) WHERE status = 'active';

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

CREATE TABLE upstream_credentials (
    connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id),
    access_token BLOB NOT NULL,
    access_expires_at INTEGER NOT NULL,
    refresh_token BLOB,
    lease_id TEXT,
    lease_until INTEGER,
    uncertain INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TABLE refresh_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    issued_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_connection ON refresh_tokens (connection_id);
CREATE INDEX refresh_tokens_idle ON refresh_tokens (last_used_at);

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    data_key BLOB,
    token BLOB,
    uncertain INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seed BLOB NOT NULL,
    due_at INTEGER NOT NULL,
    give_up_at INTEGER NOT NULL,
    lease_id TEXT,
    lease_until INTEGER,
    outcome TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX jobs_due ON jobs (due_at) WHERE state = 'pending';
CREATE INDEX jobs_connection ON jobs (connection_id);
CREATE INDEX jobs_provider ON jobs (provider_id);
CREATE INDEX jobs_state ON jobs (kind, state);

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

CREATE TABLE audit_personal (
    event_id TEXT NOT NULL PRIMARY KEY REFERENCES audit_events (id),
    salt BLOB NOT NULL,
    text TEXT NOT NULL
) STRICT, WITHOUT ROWID;
