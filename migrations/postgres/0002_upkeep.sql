-- What upkeep needs: when an exchange must be over, what a job needs to try a provider's code again, whose grant
-- it is about, when a provider's state last changed, and counters of refreshes.

ALTER TABLE authorization_requests ADD COLUMN exchange_until BIGINT;
CREATE INDEX authorization_requests_exchange ON authorization_requests (COALESCE(exchange_until, expires_at))
    WHERE status = 'exchanging';

ALTER TABLE jobs ADD COLUMN verifier BYTEA;
ALTER TABLE jobs ADD COLUMN identity BYTEA;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state = 'done';

ALTER TABLE providers ADD COLUMN state_changed_at BIGINT;

-- Refreshes at a provider by minute, since its state last changed. Sharded, so that no row is hot.
CREATE TABLE refresh_counts (
    provider_id BIGINT NOT NULL REFERENCES providers (id),
    since BIGINT NOT NULL,
    minute BIGINT NOT NULL,
    shard BIGINT NOT NULL,
    refreshes BIGINT NOT NULL,
    invalid_grants BIGINT NOT NULL,
    PRIMARY KEY (provider_id, since, minute, shard)
);
CREATE INDEX refresh_counts_minute ON refresh_counts (minute);
