-- The version of a tenant's memberships, which changes with everything that an answer about them depends on.

-- It is the sum of a tenant's slots. A transaction that changes memberships raises one slot, chosen by its session, so that
-- writers do not queue behind one row. The sum names one state: snapshots of one database are ordered (what one sees, every
-- later one sees too) and slots only grow, so two snapshots with the same sum see the same changes.
CREATE TABLE membership_versions (
    tenant_id text NOT NULL,
    slot smallint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant_id, slot)
) WITH (fillfactor = 50);

-- Triggers of statements, so that no writer can forget it and a thousand rows cost what one costs; the rows that a deleted
-- group takes along (ON DELETE CASCADE) are statements too. Whoever changes memberships has locked the groups before, so a
-- slot is the last lock that a transaction takes.
CREATE FUNCTION count_membership_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO membership_versions AS known (tenant_id, slot, version)
    SELECT DISTINCT tenant_id, pg_backend_pid() % 16, 1 FROM changed ORDER BY tenant_id
    ON CONFLICT (tenant_id, slot) DO UPDATE SET version = known.version + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER members_added AFTER INSERT ON members
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_membership_change();
CREATE TRIGGER members_removed AFTER DELETE ON members
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_membership_change();
CREATE TRIGGER nestings_added AFTER INSERT ON nestings
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_membership_change();
CREATE TRIGGER nestings_removed AFTER DELETE ON nestings
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_membership_change();

-- The path that explains a membership shows the names of groups.
CREATE FUNCTION count_renamed_groups() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO membership_versions AS known (tenant_id, slot, version)
    SELECT DISTINCT tenant_id, pg_backend_pid() % 16, 1 FROM before JOIN after USING (tenant_id, id)
    WHERE before.display_name <> after.display_name ORDER BY tenant_id
    ON CONFLICT (tenant_id, slot) DO UPDATE SET version = known.version + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER groups_renamed AFTER UPDATE ON groups
    REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION count_renamed_groups();
