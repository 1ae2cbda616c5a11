-- Retention by age, and legal holds: what may be removed of a log, and what stays of it (docs/audit-formats.md, "Retention").

-- Entries of the tenant expire so many days after they were recorded; without a row they are kept for ever.
CREATE TABLE retentions (
    tenant_id text PRIMARY KEY,
    days integer NOT NULL CHECK (days BETWEEN 30 AND 36500),
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL
);

-- While a tenant has a row, nothing of its entries is removed.
CREATE TABLE legal_holds (
    tenant_id text PRIMARY KEY,
    id uuid NOT NULL,
    reason text NOT NULL,
    set_at timestamptz NOT NULL,
    set_by text NOT NULL
);

-- The entries of a log below `entries` have expired, all of them recorded before `recorded_until`. Those below `reported` are
-- in an event. The minimum index (tlog-tiles, "Pruning") is the first leaf of the tile in which `entries` is.
CREATE TABLE pruned_logs (
    tenant_id text PRIMARY KEY,
    entries bigint NOT NULL CHECK (entries > 0),
    recorded_until timestamptz NOT NULL,
    pruned_at timestamptz NOT NULL,
    reported bigint NOT NULL DEFAULT 0 CHECK (reported BETWEEN 0 AND entries)
);

-- A log is pruned further only while a retention applies, no hold does, and all entries up to there are old enough.
CREATE FUNCTION refuse_pruning() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    start bigint := CASE WHEN TG_OP = 'INSERT' THEN 0 ELSE OLD.entries END;
BEGIN
    IF NEW.entries = start THEN
        RETURN NEW;
    END IF;
    IF NEW.entries < start OR EXISTS (SELECT FROM legal_holds h WHERE h.tenant_id = NEW.tenant_id)
        OR NOT EXISTS (SELECT FROM retentions r WHERE r.tenant_id = NEW.tenant_id)
        OR NOT EXISTS (SELECT FROM checkpoints c WHERE c.tenant_id = NEW.tenant_id AND c.size >= NEW.entries)
        OR EXISTS (
            SELECT FROM entries e JOIN retentions r USING (tenant_id)
            WHERE e.tenant_id = NEW.tenant_id AND e.sequence >= start AND e.sequence < NEW.entries
            AND e.recorded_at >= now() - make_interval(days => r.days))
    THEN
        RAISE EXCEPTION 'the audit log is append only: entries below % of % have not expired', NEW.entries, NEW.tenant_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER pruned_logs_expired BEFORE INSERT OR UPDATE ON pruned_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_pruning();
CREATE TRIGGER pruned_logs_stay BEFORE DELETE OR TRUNCATE ON pruned_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Requests of erasures are removed of deleted tenants only, and entries and their parts also once they have expired.
CREATE OR REPLACE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = g.tenant_id)
        OR EXISTS (SELECT FROM legal_holds h WHERE h.tenant_id = g.tenant_id)
    ) THEN
        RAISE EXCEPTION 'the audit log is append only: DELETE on % is refused', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION refuse_early_loss() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g WHERE EXISTS (SELECT FROM legal_holds h WHERE h.tenant_id = g.tenant_id)
        OR NOT EXISTS (SELECT FROM pruned_logs p WHERE p.tenant_id = g.tenant_id AND g.sequence < p.entries)
        AND NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = g.tenant_id)
    ) THEN
        RAISE EXCEPTION 'the audit log is append only: DELETE on % is refused', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER entries_stay ON entries;
CREATE TRIGGER entries_stay AFTER DELETE ON entries
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_early_loss();
DROP TRIGGER personal_parts_stay ON personal_parts;
CREATE TRIGGER personal_parts_stay AFTER DELETE ON personal_parts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_early_loss();
DROP TRIGGER erased_parts_stay ON erased_parts;
CREATE TRIGGER erased_parts_stay AFTER DELETE ON erased_parts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_early_loss();

-- Leaves are removed below the minimum index only: tile by tile, while the full tile has exactly their hashes.
CREATE FUNCTION refuse_leaf_loss() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT tenant_id, sequence / 256 AS index,
                   string_agg(sha256('\x00'::bytea || leaf), ''::bytea ORDER BY sequence) AS hashes
            FROM gone GROUP BY tenant_id, sequence / 256
        ) AS g
        WHERE NOT EXISTS (SELECT FROM pruned_logs p WHERE p.tenant_id = g.tenant_id AND (g.index + 1) * 256 <= p.entries)
        OR NOT EXISTS (
            SELECT FROM tiles t
            WHERE t.tenant_id = g.tenant_id AND t.level = 0 AND t.index = g.index AND t.hashes = g.hashes)
    ) THEN
        RAISE EXCEPTION 'the audit log is append only: DELETE on leaves is refused, since their tile does not keep their hashes'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER leaves_stay ON leaves;
CREATE TRIGGER leaves_append_only BEFORE UPDATE OR TRUNCATE ON leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER leaves_stay AFTER DELETE ON leaves
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_leaf_loss();

-- While a hold applies, no person is erased either.
CREATE FUNCTION refuse_held_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM legal_holds h WHERE h.tenant_id = OLD.tenant_id) THEN
        RAISE EXCEPTION 'a legal hold applies to %: UPDATE on personal_parts is refused', OLD.tenant_id
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER personal_parts_hold BEFORE UPDATE ON personal_parts
    FOR EACH ROW EXECUTE FUNCTION refuse_held_erasure();
