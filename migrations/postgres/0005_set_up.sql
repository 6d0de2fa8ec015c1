-- What operators set up: providers with the hub's own secret there, sealed; clients and registrations in order. Words that
-- the hot statements compare too are indexed as `word || ''`, so that those keep to their own, narrower indexes.

ALTER TABLE providers ADD COLUMN data_key BYTEA;
ALTER TABLE providers ADD COLUMN client_secret BYTEA;

CREATE INDEX clients_by_kind ON clients ((kind || ''), created_at, id);
CREATE INDEX clients_by_owner ON clients (owner_id, created_at, id);

CREATE INDEX registrations_by_time ON registrations (requested_at, client_id, provider_id);
CREATE INDEX registrations_by_state ON registrations ((state || ''), requested_at, client_id, provider_id);
CREATE INDEX registrations_by_provider ON registrations (provider_id, requested_at, client_id);
