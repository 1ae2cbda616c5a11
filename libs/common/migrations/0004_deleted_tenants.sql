-- Tenants that are deleted, for good: what this service has of them is removed, and what is heard of them late has no
-- effect. due_at is when it is looked next for something to remove, NULL once nothing can come any more.
CREATE TABLE deleted_tenants (
    tenant_id text PRIMARY KEY,
    deleted_at timestamptz NOT NULL,
    due_at timestamptz
);
CREATE INDEX deleted_tenants_due ON deleted_tenants (tenant_id) WHERE due_at IS NOT NULL;
