-- Long-lived opaque bearer tokens of identity providers. token_hash is the SHA-256 of the token, which is stored nowhere;
-- hint is how it ends, so that people can tell it from others. A row outlives its token for a while, to be seen in lists.
CREATE TABLE scim_tokens (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    client_id text,
    token_hash bytea NOT NULL,
    hint text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX scim_tokens_hash ON scim_tokens (tenant_id, token_hash);
