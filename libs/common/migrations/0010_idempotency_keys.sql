-- Keys by which clients repeat a POST without a second effect. A row is a claim until the transaction of the change sets
-- `is_done`; then it has the response, encrypted, for a day.
CREATE TABLE idempotency_keys (
    tenant_id text NOT NULL,
    actor_id text NOT NULL,
    key bytea NOT NULL CHECK (length(key) = 32),         -- SHA-256 of the key
    request bytea NOT NULL CHECK (length(request) = 32), -- SHA-256 of method, path, query and body
    claim uuid NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    is_done boolean NOT NULL DEFAULT false,
    response text,
    PRIMARY KEY (tenant_id, actor_id, key)
);
CREATE INDEX idempotency_keys_time ON idempotency_keys (claimed_at);
