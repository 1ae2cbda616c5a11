-- Keys of the digests that stand for ids of applications: a digest without a key can be confirmed by who guesses the id.

-- A key of each tenant that has sent events, encrypted by QUARTET_MASTER_KEY; it goes with the tenant.
CREATE TABLE digest_keys (
    tenant_id text PRIMARY KEY,
    key text NOT NULL
);

-- digest: SHA-256 of source and id, or, if is_keyed, the HMAC of that. The worker replaces those without a key.
ALTER TABLE application_events ADD COLUMN is_keyed boolean NOT NULL DEFAULT false;
CREATE INDEX application_events_unkeyed ON application_events (tenant_id) WHERE NOT is_keyed;
