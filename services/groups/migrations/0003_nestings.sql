-- Groups as members of groups, apart from users: who walks the graph never touches a user's row.
CREATE TABLE nestings (
    tenant_id text NOT NULL,
    parent_id uuid NOT NULL,
    child_id uuid NOT NULL CHECK (child_id <> parent_id),
    PRIMARY KEY (tenant_id, parent_id, child_id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, child_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX nestings_of ON nestings (tenant_id, child_id, parent_id);
