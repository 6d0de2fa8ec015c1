-- Portable columns: ids and words are TEXT, times are milliseconds, JSON is TEXT that is never queried inside.

CREATE TABLE marks (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

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
    secret_hash BYTEA NOT NULL,
    credential_generation BIGINT NOT NULL,
    require_pkce BOOLEAN NOT NULL,
    max_duration_days BIGINT,
    audit_seq BIGINT NOT NULL,
    audit_mac BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX clients_owner ON clients (owner_id);

CREATE TABLE providers (
    id BIGINT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    source TEXT NOT NULL,
    settings TEXT NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_mac BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE registrations (
    client_id TEXT NOT NULL REFERENCES clients (id),
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    state TEXT NOT NULL,
    upstream_client_id TEXT,
    upstream_data_key BYTEA,
    upstream_client_secret BYTEA,
    requested_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, provider_id)
);
CREATE INDEX registrations_provider ON registrations (provider_id);

CREATE TABLE customers (
    id TEXT NOT NULL PRIMARY KEY,
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    identity BYTEA,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX customers_identity ON customers (provider_id, identity);

CREATE TABLE subjects (
    client_id TEXT NOT NULL REFERENCES clients (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (client_id, customer_id)
);
CREATE INDEX subjects_customer ON subjects (customer_id);
CREATE UNIQUE INDEX subjects_sub ON subjects (sub);

CREATE TABLE authorization_requests (
    id TEXT NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id),
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
    verifier BYTEA,
    bank_code BYTEA,
    purpose TEXT,
    page_version TEXT,
    agreed_at BIGINT,
    correlation_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX authorization_requests_state ON authorization_requests (state_hash);
CREATE INDEX authorization_requests_client ON authorization_requests (client_id);
CREATE INDEX authorization_requests_provider ON authorization_requests (provider_id);
CREATE INDEX authorization_requests_expiry ON authorization_requests (expires_at);

CREATE TABLE connections (
    id TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    customer_id TEXT NOT NULL REFERENCES customers (id),
    sub TEXT NOT NULL,
    status TEXT NOT NULL,
    pending_until BIGINT,
    cause TEXT,
    actor_kind TEXT,
    actor_id TEXT,
    ended_at BIGINT,
    replaced_by TEXT REFERENCES connections (id),
    terms_version BIGINT NOT NULL,
    token_generation BIGINT NOT NULL,
    credential_version BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    upstream_grant_id TEXT,
    data_key BYTEA,
    bank_state TEXT NOT NULL,
    recipient_state TEXT NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_mac BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    activated_at BIGINT,
    updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX connections_active ON connections (client_id, provider_id, customer_id) WHERE status = 'active';
CREATE INDEX connections_provider ON connections (provider_id);
CREATE INDEX connections_customer ON connections (customer_id);
CREATE INDEX connections_replaced_by ON connections (replaced_by);
CREATE INDEX connections_pending ON connections (pending_until) WHERE status = 'pending';
CREATE INDEX connections_expiry ON connections (expires_at) WHERE status = 'active';

CREATE TABLE connection_terms (
    connection_id TEXT NOT NULL REFERENCES connections (id),
    version BIGINT NOT NULL,
    clusters TEXT NOT NULL,
    accounts TEXT,
    purpose TEXT NOT NULL,
    language TEXT NOT NULL,
    page_version TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    agreed_at BIGINT NOT NULL,
    PRIMARY KEY (connection_id, version)
);

CREATE TABLE upstream_credentials (
    connection_id TEXT NOT NULL PRIMARY KEY REFERENCES connections (id),
    access_token BYTEA NOT NULL,
    access_expires_at BIGINT NOT NULL,
    refresh_token BYTEA,
    lease_id TEXT,
    lease_until BIGINT,
    uncertain BOOLEAN NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE authorization_codes (
    code_hash BYTEA NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX authorization_codes_connection ON authorization_codes (connection_id);
CREATE INDEX authorization_codes_expiry ON authorization_codes (expires_at);

CREATE TABLE refresh_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    connection_id TEXT NOT NULL REFERENCES connections (id),
    client_id TEXT NOT NULL REFERENCES clients (id),
    issued_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_connection ON refresh_tokens (connection_id);
CREATE INDEX refresh_tokens_idle ON refresh_tokens (last_used_at);

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    connection_id TEXT NOT NULL,
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    data_key BYTEA,
    token BYTEA,
    uncertain BOOLEAN NOT NULL,
    state TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    seed BYTEA NOT NULL,
    due_at BIGINT NOT NULL,
    give_up_at BIGINT NOT NULL,
    lease_id TEXT,
    lease_until BIGINT,
    outcome TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT
);
CREATE INDEX jobs_due ON jobs (due_at) WHERE state = 'pending';
CREATE INDEX jobs_connection ON jobs (connection_id);
CREATE INDEX jobs_provider ON jobs (provider_id);
CREATE INDEX jobs_state ON jobs (kind, state);

CREATE TABLE audit_events (
    id TEXT NOT NULL PRIMARY KEY,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    correlation_id TEXT NOT NULL,
    detail TEXT NOT NULL,
    personal_hash BYTEA,
    key_generation BIGINT NOT NULL,
    mac BYTEA NOT NULL
);
CREATE UNIQUE INDEX audit_events_subject ON audit_events (subject_kind, subject_id, seq);

CREATE TABLE audit_personal (
    event_id TEXT NOT NULL PRIMARY KEY REFERENCES audit_events (id),
    salt BYTEA NOT NULL,
    text TEXT NOT NULL
);
