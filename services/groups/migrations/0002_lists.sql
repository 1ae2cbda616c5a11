-- What lists of many groups need: one order everywhere, and totals that nobody has to count.

-- Names are compared by code point, whatever the database's own collation. One index answers `eq`, `sw`, an order and
-- the next page of it.
DROP INDEX groups_display_name;
CREATE INDEX groups_display_name ON groups (tenant_id, (lower(display_name) COLLATE "C"), id);
ALTER TABLE groups ALTER COLUMN external_id TYPE text COLLATE "C";

-- How many groups a tenant has is the sum over its slots. A connection always adds to the same slot, so that writers
-- seldom wait for each other, and a rolled back transaction takes its share back.
CREATE TABLE group_totals (
    tenant_id text NOT NULL,
    slot integer NOT NULL,
    total bigint NOT NULL,
    PRIMARY KEY (tenant_id, slot)
) WITH (fillfactor = 50);

CREATE FUNCTION count_groups() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO group_totals AS t (tenant_id, slot, total)
    SELECT tenant_id, pg_backend_pid() % 64, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id, slot) DO UPDATE SET total = t.total + excluded.total;
    RETURN NULL;
END $$;

-- The table is locked since its column was changed: nobody writes between the counts and the triggers.
INSERT INTO group_totals SELECT tenant_id, 0, count(*) FROM groups GROUP BY tenant_id;

CREATE TRIGGER groups_came AFTER INSERT ON groups
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_groups();
CREATE TRIGGER groups_went AFTER DELETE ON groups
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_groups();
