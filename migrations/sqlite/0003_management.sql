-- What partners manage: recipients that are being removed, why a registration was turned down, whose client at the
-- provider a job needs, and a recipient's connections in order.

ALTER TABLE registrations ADD COLUMN reason TEXT;
ALTER TABLE jobs ADD COLUMN client_id TEXT;
CREATE INDEX connections_client ON connections (client_id, id);

-- A recipient that was removed, until the last of its connections has ended.
CREATE TABLE removals (
    client_id TEXT NOT NULL PRIMARY KEY REFERENCES clients (id),
    actor_kind TEXT NOT NULL,
    actor_id TEXT,
    correlation_id TEXT NOT NULL,
    began_at INTEGER NOT NULL
) STRICT;
