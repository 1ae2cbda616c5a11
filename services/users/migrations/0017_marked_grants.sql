-- When the groups service confirmed that it has marked the group of a grant; NULL until then. The worker sends what is NULL:
-- grants from before this migration, and new ones once more.
ALTER TABLE role_grants ADD COLUMN marked_at timestamptz;
CREATE INDEX role_grants_unmarked ON role_grants (tenant_id, grantee_id) WHERE grantee_type = 'Group' AND marked_at IS NULL;
