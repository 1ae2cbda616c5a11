-- The schemas that tenants have registered as extensions of User.

-- version counts the changes of a tenant's schemas; the row is locked by whoever makes one.
CREATE TABLE schema_sets (
    tenant_id text PRIMARY KEY,
    version bigint NOT NULL
);

-- urn_key is the URN in lower case: URNs are compared so. document is what RFC 7643 section 7 describes, without meta.
CREATE TABLE tenant_schemas (
    tenant_id text NOT NULL,
    urn_key text NOT NULL,
    document jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, urn_key)
);

-- Users that have values of such schemas, and no others: whether anybody has values of one is asked before it goes.
CREATE INDEX users_of_tenant_schemas ON users USING gin ((resource -> 'schemas') jsonb_path_ops)
WHERE (resource -> 'schemas')
    - 'urn:ietf:params:scim:schemas:core:2.0:User'
    - 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User' <> '[]'::jsonb;
