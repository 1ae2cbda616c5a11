-- What lists of a million users need: one order everywhere, totals that nobody has to count, e-mail addresses by index.

-- Names are compared by code point, whatever the database's own collation, as SCIM's filters and orders want it. One
-- index then answers `eq`, `sw`, an order and the next page of it.
ALTER TABLE users ALTER COLUMN user_name_key TYPE text COLLATE "C", ALTER COLUMN external_id TYPE text COLLATE "C";
DROP INDEX users_user_name_prefix;
-- What has changed since a moment.
CREATE INDEX users_modified ON users (tenant_id, modified_at, id);

-- How many users a tenant has is the sum over its slots. A connection always adds to the same slot, so that writers
-- seldom wait for each other, and a rolled back transaction takes its share back.
CREATE TABLE user_totals (
    tenant_id text NOT NULL,
    slot integer NOT NULL,
    total bigint NOT NULL,
    PRIMARY KEY (tenant_id, slot)
) WITH (fillfactor = 50);

-- E-mail addresses in lower case: what identity providers look users up by, besides their names. It finds candidates,
-- and the filter itself decides; so the beginning of a long address is enough.
CREATE TABLE user_emails (
    tenant_id text NOT NULL,
    address text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, address, user_id)
);
CREATE INDEX user_emails_of ON user_emails (tenant_id, user_id);

CREATE FUNCTION email_addresses(resource jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(lower(one ->> 'value'), 320) FROM jsonb_path_query(resource, '$.emails[*]') AS one
    WHERE one ->> 'value' IS NOT NULL
$$;

-- All that follows from users is done by statement, for all of its users at once, so that no writer can forget it.
CREATE FUNCTION users_came() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_totals AS t (tenant_id, slot, total)
    SELECT tenant_id, pg_backend_pid() % 64, count(*) FROM changed GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id, slot) DO UPDATE SET total = t.total + excluded.total;
    INSERT INTO user_emails SELECT tenant_id, address, id FROM changed, email_addresses(resource) AS address;
    RETURN NULL;
END $$;

CREATE FUNCTION users_went() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_totals AS t (tenant_id, slot, total)
    SELECT tenant_id, pg_backend_pid() % 64, -count(*) FROM changed GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id, slot) DO UPDATE SET total = t.total + excluded.total;
    DELETE FROM user_emails e USING changed c WHERE e.tenant_id = c.tenant_id AND e.user_id = c.id;
    RETURN NULL;
END $$;

CREATE FUNCTION users_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM before b JOIN changed c USING (tenant_id, id)
        WHERE b.resource -> 'emails' IS DISTINCT FROM c.resource -> 'emails'
    ) THEN
        DELETE FROM user_emails e USING changed c WHERE e.tenant_id = c.tenant_id AND e.user_id = c.id;
        INSERT INTO user_emails SELECT tenant_id, address, id FROM changed, email_addresses(resource) AS address;
    END IF;
    RETURN NULL;
END $$;

-- The table is locked since its columns were changed: nobody writes between the counts and the triggers.
INSERT INTO user_totals SELECT tenant_id, 0, count(*) FROM users GROUP BY tenant_id;
INSERT INTO user_emails SELECT tenant_id, address, id FROM users, email_addresses(resource) AS address;

CREATE TRIGGER users_came AFTER INSERT ON users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION users_came();
CREATE TRIGGER users_went AFTER DELETE ON users
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION users_went();
CREATE TRIGGER users_changed AFTER UPDATE ON users
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION users_changed();
