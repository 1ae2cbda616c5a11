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

-- Users that have values of such schemas, and no others, by what they have values of: whether anybody has values of one
-- is asked before it goes, and there are few such sets, however many users.
CREATE INDEX users_of_tenant_schemas ON users (tenant_id, md5((resource -> 'schemas')::text))
WHERE (resource -> 'schemas')
    - 'urn:ietf:params:scim:schemas:core:2.0:User'
    - 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User' <> '[]'::jsonb;
