-- Grants of roles end with the user, who has lost what by a change, and by which way a user has a role.

ALTER TABLE role_grants ADD COLUMN user_id uuid
    GENERATED ALWAYS AS (CASE WHEN grantee_type = 'User' THEN grantee_id END) STORED;
CREATE INDEX role_grants_of_user ON role_grants (tenant_id, user_id) WHERE user_id IS NOT NULL;
ALTER TABLE role_grants ADD FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE;

-- Each way by which a user has a role; group_id is the group that it was given to, NULL for the user itself.
CREATE VIEW held_roles AS
SELECT g.tenant_id, g.grantee_id AS user_id, g.role_id, NULL::uuid AS group_id
FROM role_grants g WHERE g.grantee_type = 'User'
UNION ALL
SELECT m.tenant_id, m.user_id, g.role_id, g.grantee_id
FROM memberships m
JOIN role_grants g ON g.tenant_id = m.tenant_id AND g.grantee_id = m.group_id AND g.grantee_type = 'Group'
WHERE m.present
UNION ALL
SELECT m.tenant_id, m.user_id, g.role_id, g.grantee_id
FROM memberships m
JOIN ancestors a ON a.tenant_id = m.tenant_id AND a.group_id = m.group_id
JOIN role_grants g ON g.tenant_id = a.tenant_id AND g.grantee_id = a.ancestor_id AND g.grantee_type = 'Group'
WHERE m.present;

-- Who may lose a scope by the change (`batch`) that is being made: their scopes before it. Who has lost none is removed
-- in the same transaction; those who are left wait here until their tokens are told to be refused.
CREATE TABLE scope_losses (
    tenant_id text NOT NULL,
    batch uuid NOT NULL,
    user_id uuid NOT NULL,
    scopes text[] NOT NULL,
    lost_at timestamptz,
    actor text NOT NULL,
    PRIMARY KEY (tenant_id, batch, user_id)
);
