-- Recipients' own clients that providers register by themselves: jobs that are about a registration and not a
-- connection, the sealed initial access token of a provider, and how a registered client is deleted there, sealed.

ALTER TABLE jobs ALTER COLUMN connection_id DROP NOT NULL;
CREATE INDEX jobs_client ON jobs (client_id, provider_id)
    WHERE state IN ('pending', 'dead') AND client_id IS NOT NULL;

ALTER TABLE providers ADD COLUMN initial_access_token BYTEA;
ALTER TABLE registrations ADD COLUMN upstream_management BYTEA;
