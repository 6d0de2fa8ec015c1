-- Recipients' own clients that providers register by themselves: jobs that are about a registration and not a
-- connection, the sealed initial access token of a provider, and how a registered client is deleted there, sealed.

-- SQLite cannot let a column be null that was not: the table is made anew, with its rows and indexes.
CREATE TABLE jobs_anew (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    connection_id TEXT,
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
    finished_at INTEGER,
    verifier BLOB,
    identity BLOB,
    client_id TEXT
) STRICT;
INSERT INTO jobs_anew (id, kind, connection_id, provider_id, data_key, token, uncertain, state, attempt, seed, due_at,
        give_up_at, lease_id, lease_until, outcome, created_at, finished_at, verifier, identity, client_id)
    SELECT id, kind, connection_id, provider_id, data_key, token, uncertain, state, attempt, seed, due_at,
        give_up_at, lease_id, lease_until, outcome, created_at, finished_at, verifier, identity, client_id FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_anew RENAME TO jobs;
CREATE INDEX jobs_due ON jobs (due_at) WHERE state = 'pending';
CREATE INDEX jobs_provider ON jobs (provider_id);
CREATE INDEX jobs_state ON jobs (kind, state);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'done';
CREATE INDEX jobs_by_state ON jobs ((state || ''), id);
CREATE INDEX jobs_by_kind ON jobs ((kind || ''), id);
CREATE INDEX jobs_by_provider ON jobs (provider_id, id);
CREATE INDEX jobs_connection ON jobs (connection_id, kind, state);
CREATE INDEX jobs_client ON jobs (client_id, provider_id)
    WHERE state IN ('pending', 'dead') AND client_id IS NOT NULL;

ALTER TABLE providers ADD COLUMN initial_access_token BLOB;
ALTER TABLE registrations ADD COLUMN upstream_management BLOB;
