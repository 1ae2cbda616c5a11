-- Tenants, their users and passwords, and the keys that sign access tokens.

CREATE TABLE tenants (
    tenant_id text PRIMARY KEY,
    created_at timestamptz NOT NULL
);

-- resource is the finished SCIM document without id, meta and what is computed; the columns are what is searched.
CREATE TABLE users (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    user_name_key text NOT NULL,
    external_id text,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    modified_at timestamptz NOT NULL,
    resource jsonb NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
-- userName is unique in its tenant whatever its case (RFC 7643 section 4.1.1): the key is the name in lower case.
CREATE UNIQUE INDEX users_user_name ON users (tenant_id, user_name_key);
CREATE INDEX users_external_id ON users (tenant_id, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE credentials (
    tenant_id text NOT NULL,
    user_id uuid NOT NULL,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);

-- The private half is a JWE (RFC 7516) under the master key, which is not in the database.
CREATE TABLE signing_keys (
    tenant_id text NOT NULL,
    key_id text NOT NULL,
    public_key jsonb NOT NULL,
    private_key text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key_id)
);
