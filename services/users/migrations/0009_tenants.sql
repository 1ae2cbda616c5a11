-- Tenants with a name, a state and a version, and passwords that are to be changed at the next login.

-- A deleted tenant stays as a row without its name, so that its id is never given to anybody again.
ALTER TABLE tenants
    ADD COLUMN display_name text NOT NULL DEFAULT '',
    ADD COLUMN status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'deleted')),
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN modified_at timestamptz;
UPDATE tenants SET modified_at = created_at;
ALTER TABLE tenants ALTER COLUMN modified_at SET NOT NULL;
-- Pages go by id, whatever the database's own collation.
ALTER TABLE tenants ALTER COLUMN tenant_id TYPE text COLLATE "C";

ALTER TABLE credentials ADD COLUMN must_change boolean NOT NULL DEFAULT false;
