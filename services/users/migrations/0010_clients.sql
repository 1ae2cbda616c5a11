-- API clients of tenants: machines that get access tokens by client_credentials (RFC 6749 section 4.4).

-- Ids are compared by code point, so that pages of them have one order.
CREATE TABLE clients (
    tenant_id text NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    authentication text NOT NULL CHECK (authentication IN ('client_secret_basic', 'private_key_jwt')),
    jwks jsonb CHECK ((jwks IS NOT NULL) = (authentication = 'private_key_jwt')),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    modified_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

-- secret_hash is the SHA-256 of a secret of 256 random bits, which is stored nowhere; hint is how it ends.
CREATE TABLE client_secrets (
    tenant_id text NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    secret_hash bytea NOT NULL,
    hint text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, client_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id) ON DELETE CASCADE
);

-- Assertions (RFC 7523) that were used, until they expire: none counts twice.
CREATE TABLE client_assertions (
    tenant_id text NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    jti text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, client_id, jti),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id) ON DELETE CASCADE
);
