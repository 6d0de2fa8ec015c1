-- Operators, and what they look for: connections, jobs and the record, each by what it is asked by. Words that the
-- hot statements compare too are indexed as `word || ''`, so that those keep to their own, narrower indexes.

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

CREATE INDEX connections_by_time ON connections (created_at, id);
CREATE INDEX connections_by_client ON connections (client_id, created_at, id);
CREATE INDEX connections_by_provider ON connections (provider_id, created_at, id);
CREATE INDEX connections_by_sub ON connections (sub, created_at, id);
CREATE INDEX connections_by_end ON connections (ended_at, id) WHERE ended_at IS NOT NULL;

CREATE INDEX jobs_by_state ON jobs ((state || ''), id);
CREATE INDEX jobs_by_kind ON jobs ((kind || ''), id);
CREATE INDEX jobs_by_provider ON jobs (provider_id, id);

CREATE INDEX audit_events_by_time ON audit_events (at, id);
CREATE INDEX audit_events_by_action ON audit_events (action, at, id);
CREATE INDEX audit_events_by_actor ON audit_events (actor_kind, actor_id, at, id);

-- Whether another job of a connection is under way is asked by the connection, however many jobs wait.
DROP INDEX jobs_connection;
CREATE INDEX jobs_connection ON jobs (connection_id, kind, state);
