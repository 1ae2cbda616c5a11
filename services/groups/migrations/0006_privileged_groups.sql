-- Groups that may carry roles: the users service marks a group before it grants a role to it. Who changes the members of a
-- marked group, or of a group below one, needs the scopes of its roles, which the users service is asked for. Other groups
-- cost no call. A mark without roles costs a call and is removed then, unless it is new: its grant may not be committed yet.
CREATE TABLE privileged_groups (
    tenant_id text NOT NULL,
    group_id uuid NOT NULL,
    marked_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, group_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
