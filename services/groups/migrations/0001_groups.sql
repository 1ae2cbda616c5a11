-- Groups, their members as rows, and what is known of the users that can be members.

-- resource is the finished SCIM document without id, meta and members.
CREATE TABLE groups (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    display_name text NOT NULL,
    external_id text,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    modified_at timestamptz NOT NULL,
    resource jsonb NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX groups_display_name ON groups (tenant_id, lower(display_name));
CREATE INDEX groups_external_id ON groups (tenant_id, external_id) WHERE external_id IS NOT NULL;

-- Users as the users service told of them. A deleted one stays as a tombstone, so that an older answer or event cannot
-- bring it back; version orders what is heard.
CREATE TABLE known_users (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    display text NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE members (
    tenant_id text NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, group_id, member_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX members_of ON members (tenant_id, member_id, group_id);
