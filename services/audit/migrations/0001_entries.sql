-- The audit log: one log per tenant, each a gapless sequence of entries that are never changed.

-- The size of each tenant's log. Whoever appends to a log holds its row until commit, so that the order of the sequence
-- is the order of the commits; logs of other tenants are not touched.
CREATE TABLE logs (
    tenant_id text PRIMARY KEY,
    size bigint NOT NULL DEFAULT 0 CHECK (size >= 0)
) WITH (fillfactor = 50);

-- `entry` is the finished JSON, exactly as it was recorded and as it is handed out; the columns beside it are searched.
-- Text is compared by bytes (COLLATE "C"), so that an index serves prefixes and no change of locale reorders it.
CREATE TABLE entries (
    tenant_id text NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL,
    time timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    action text COLLATE "C" NOT NULL,
    actor text COLLATE "C" NOT NULL,
    resource_id text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    entry json NOT NULL,
    PRIMARY KEY (tenant_id, sequence),
    UNIQUE (tenant_id, id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- One index per filter, each in the order in which pages are read.
CREATE INDEX entries_by_time ON entries (tenant_id, time, sequence);
CREATE INDEX entries_by_action ON entries (tenant_id, action, time, sequence);
CREATE INDEX entries_by_actor ON entries (tenant_id, actor, time, sequence);
CREATE INDEX entries_by_resource ON entries (tenant_id, resource_id, time, sequence);
CREATE INDEX entries_by_outcome ON entries (tenant_id, outcome, time, sequence);

-- The service's role owns the tables, and an owner cannot be shut out by REVOKE: these triggers stop every statement of
-- the service, though not an owner who drops them first. That such a change is found is the Merkle tree's part.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER logs_stay BEFORE DELETE OR TRUNCATE ON logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER logs_grow BEFORE UPDATE ON logs
    FOR EACH ROW WHEN (NEW.size < OLD.size OR NEW.tenant_id <> OLD.tenant_id) EXECUTE FUNCTION refuse_change();
