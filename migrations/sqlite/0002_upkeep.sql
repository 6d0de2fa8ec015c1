-- What upkeep needs: when an exchange must be over, what a job needs to try a provider's code again, whose grant
-- it is about, when a provider's state last changed, and counters of refreshes.

ALTER TABLE authorization_requests ADD COLUMN exchange_until INTEGER;
CREATE INDEX authorization_requests_exchange ON authorization_requests (COALESCE(exchange_until, expires_at))
    WHERE status = 'exchanging';

ALTER TABLE jobs ADD COLUMN verifier BLOB;
ALTER TABLE jobs ADD COLUMN identity BLOB;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'done';

ALTER TABLE providers ADD COLUMN state_changed_at INTEGER;

-- Refreshes at a provider by minute, since its state last changed. Sharded, so that no row is hot.
CREATE TABLE refresh_counts (
    provider_id INTEGER NOT NULL REFERENCES providers (id),
    since INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    shard INTEGER NOT NULL,
    refreshes INTEGER NOT NULL,
    invalid_grants INTEGER NOT NULL,
    PRIMARY KEY (provider_id, since, minute, shard)
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_counts_minute ON refresh_counts (minute);
