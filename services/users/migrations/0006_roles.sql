-- Roles: named sets of scopes, given to users or to groups.

CREATE TABLE roles (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text NOT NULL,
    scopes text[] NOT NULL,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    modified_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX roles_name ON roles (tenant_id, lower(name));

-- A grantee is a user or a group, as `grantee_type` says. A group may not have been heard of yet.
CREATE TABLE role_grants (
    tenant_id text NOT NULL,
    grantee_id uuid NOT NULL,
    role_id uuid NOT NULL,
    grantee_type text NOT NULL CHECK (grantee_type IN ('User', 'Group')),
    granted_at timestamptz NOT NULL,
    granted_by text NOT NULL,
    PRIMARY KEY (tenant_id, grantee_id, role_id),
    FOREIGN KEY (tenant_id, role_id) REFERENCES roles (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX role_grants_of_role ON role_grants (tenant_id, role_id, grantee_id);
