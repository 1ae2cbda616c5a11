-- What users belong to, as the groups service told of it: so that a user's `groups` are read here, and nothing of a user
-- is written when groups are nested.

-- A deleted group stays as a tombstone, so that what is heard late of it is known to be over.
CREATE TABLE known_groups (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    display text NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX known_groups_display ON known_groups (tenant_id, lower(display));

-- version is the group's when the row last changed: events may come twice and in any order. A row that is not present is
-- the tombstone of a membership that ended.
CREATE TABLE memberships (
    tenant_id text NOT NULL,
    user_id uuid NOT NULL,
    group_id uuid NOT NULL,
    version bigint NOT NULL,
    present boolean NOT NULL,
    PRIMARY KEY (tenant_id, user_id, group_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX memberships_of_group ON memberships (tenant_id, group_id, user_id);

-- version is the parent's.
CREATE TABLE nestings (
    tenant_id text NOT NULL,
    child_id uuid NOT NULL,
    parent_id uuid NOT NULL,
    version bigint NOT NULL,
    present boolean NOT NULL,
    PRIMARY KEY (tenant_id, child_id, parent_id)
);
CREATE INDEX nestings_of_parent ON nestings (tenant_id, parent_id, child_id);

-- Every group above a group, however far: what follows from nestings.
CREATE TABLE ancestors (
    tenant_id text NOT NULL,
    group_id uuid NOT NULL,
    ancestor_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, group_id, ancestor_id)
);
CREATE INDEX ancestors_of_ancestor ON ancestors (tenant_id, ancestor_id, group_id);

-- The groups of users (RFC 7643 section 4.1.2). One group may stand twice as indirect, where two ways lead to it.
CREATE VIEW belongings AS
SELECT m.tenant_id, m.user_id, m.group_id, k.display, 'direct' AS type
FROM memberships m
JOIN known_groups k ON k.tenant_id = m.tenant_id AND k.id = m.group_id AND NOT k.deleted
WHERE m.present
UNION ALL
SELECT m.tenant_id, m.user_id, a.ancestor_id, k.display, 'indirect'
FROM memberships m
JOIN ancestors a ON a.tenant_id = m.tenant_id AND a.group_id = m.group_id
JOIN known_groups k ON k.tenant_id = a.tenant_id AND k.id = a.ancestor_id AND NOT k.deleted
WHERE m.present AND NOT EXISTS (
    SELECT FROM memberships d
    WHERE d.tenant_id = m.tenant_id AND d.user_id = m.user_id AND d.group_id = a.ancestor_id AND d.present
);
