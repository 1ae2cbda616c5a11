-- Each log becomes a Merkle tree, and each entry parts with salted commitments: docs/audit-formats.md has the formats.

-- The roots of the tree's complete subtrees, the largest first: one for each bit of size.
ALTER TABLE logs ADD COLUMN frontier bytea NOT NULL DEFAULT '';

-- The leaves of all logs; the deployment log, which has no tenant, is ''. A leaf has no personal data and stays for good.
CREATE TABLE leaves (
    tenant_id text NOT NULL,
    sequence bigint NOT NULL,
    leaf bytea NOT NULL CHECK (length(leaf) <= 65535),
    PRIMARY KEY (tenant_id, sequence)
);

-- Hashes of up to 256 nodes. At level 0 a tile is written when it is full: until then it is derived from the leaves.
-- At higher levels it grows by a hash for each full tile below.
CREATE TABLE tiles (
    tenant_id text NOT NULL,
    level smallint NOT NULL,
    index bigint NOT NULL,
    hashes bytea NOT NULL CHECK (length(hashes) % 32 = 0 AND length(hashes) <= 8192),
    PRIMARY KEY (tenant_id, level, index)
);
ALTER TABLE tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes cannot be compressed

-- The personal parts of entries, and their salts: NULL where an entry never had the part, or where it was erased.
-- Rows change by erasure only. What was erased is in dead rows until VACUUM, so a single one is reason enough for it.
CREATE TABLE personal_parts (
    tenant_id text NOT NULL,
    sequence bigint NOT NULL,
    actor bytea,
    actor_salt bytea,
    resource bytea,
    resource_salt bytea,
    source bytea,
    source_salt bytea,
    changes bytea,
    changes_salt bytea,
    PRIMARY KEY (tenant_id, sequence),
    CHECK ((actor IS NULL) = (actor_salt IS NULL) AND (resource IS NULL) = (resource_salt IS NULL)
           AND (source IS NULL) = (source_salt IS NULL) AND (changes IS NULL) = (changes_salt IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 0);

-- Which part of which entry was erased, when, and by which request.
CREATE TABLE erased_parts (
    tenant_id text NOT NULL,
    sequence bigint NOT NULL,
    part text NOT NULL CHECK (part IN ('actor', 'resource', 'source', 'changes')),
    erased_at timestamptz NOT NULL,
    request_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, sequence, part)
);

-- Requests to erase a person: entries below `size` are searched, which is done for those below `searched`.
CREATE TABLE erasures (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    user_id text NOT NULL,
    actor text NOT NULL,
    requested_at timestamptz NOT NULL,
    size bigint NOT NULL,
    searched bigint NOT NULL DEFAULT 0,
    entries bigint NOT NULL DEFAULT 0,
    parts bigint NOT NULL DEFAULT 0,
    completed_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX erasures_open ON erasures (tenant_id, requested_at) WHERE completed_at IS NULL;

-- The entries that exist are written anew, and not changed in place: a dropped column would keep the personal data.
DROP INDEX entries_by_time, entries_by_action, entries_by_actor, entries_by_resource, entries_by_outcome;
ALTER TABLE entries DROP CONSTRAINT entries_pkey, DROP CONSTRAINT entries_tenant_id_id_key;
ALTER TABLE entries RENAME TO recorded_entries;

-- `facts` is JSON, exactly as it was hashed; the other columns are searched. Text is compared by bytes (COLLATE "C"), so
-- that an index serves prefixes and no change of locale reorders it.
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
    facts bytea NOT NULL,
    facts_salt bytea NOT NULL,
    PRIMARY KEY (tenant_id, sequence),
    UNIQUE (tenant_id, id)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);

-- Nothing is kept of tenants deleted before: their hashes were of plain text, and no checkpoint of their logs was signed.
DROP TRIGGER entries_append_only ON recorded_entries;
DROP TRIGGER entries_leave_their_hashes ON recorded_entries;
DROP TRIGGER logs_stay ON logs;
DROP TRIGGER logs_grow ON logs;
DELETE FROM recorded_entries e WHERE EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = e.tenant_id);
DELETE FROM logs l WHERE EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = l.tenant_id);
DROP TABLE leaf_hashes;
DROP FUNCTION refuse_loss();
DROP FUNCTION leaf_hash(json);

-- 32 random bytes: a UUID of version 4 has 122 random bits.
CREATE FUNCTION new_salt() RETURNS bytea LANGUAGE sql VOLATILE AS $$
    SELECT sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))
$$;
CREATE FUNCTION commitment(salt bytea, content bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(sha256(salt || content), decode(repeat('00', 32), 'hex'))
$$;

-- The text is cut, not parsed: PostgreSQL cannot parse \u0000. The members have had this order always, facts first, and a
-- quotation mark inside of a value has a backslash before it.
INSERT INTO entries
SELECT tenant_id, sequence, id, time, recorded_at, action, actor, resource_id, outcome,
       convert_to(substring(entry::text FOR strpos(entry::text, ',"source_address":') - 1) || '}', 'UTF8'), new_salt()
FROM recorded_entries ORDER BY tenant_id, sequence;

INSERT INTO personal_parts (tenant_id, sequence, source, source_salt, changes, changes_salt)
SELECT tenant_id, sequence,
       convert_to('{' || nullif(source, '"source_address":null') || ',"user_agent":null}', 'UTF8'),
       CASE WHEN source <> '"source_address":null' THEN new_salt() END,
       convert_to('{' || changes, 'UTF8'), new_salt()
FROM (
    SELECT tenant_id, sequence, substring(rest FOR strpos(rest, ',"data":') - 1) AS source,
           substring(rest FROM strpos(rest, ',"data":') + 1) AS changes
    FROM (
        SELECT tenant_id, sequence, substring(entry::text FROM strpos(entry::text, ',"source_address":') + 1) AS rest
        FROM recorded_entries
    ) AS halved
) AS cut
ORDER BY tenant_id, sequence;

DROP TABLE recorded_entries;

-- One index per filter, each in the order in which pages are read.
CREATE INDEX entries_by_time ON entries (tenant_id, time, sequence);
CREATE INDEX entries_by_action ON entries (tenant_id, action, time, sequence);
CREATE INDEX entries_by_actor ON entries (tenant_id, actor, time, sequence);
CREATE INDEX entries_by_resource ON entries (tenant_id, resource_id, time, sequence);
CREATE INDEX entries_by_outcome ON entries (tenant_id, outcome, time, sequence);

-- The trees over what exists: leaves, tiles level by level, frontiers.
INSERT INTO leaves (tenant_id, sequence, leaf)
SELECT e.tenant_id, e.sequence,
       '\x01'::bytea || int8send(e.sequence) || int8send((extract(epoch FROM e.time) * 1000000)::bigint)
       || uuid_send(e.id) || int2send(octet_length(e.action)::smallint) || convert_to(e.action, 'UTF8')
       || commitment(e.facts_salt, e.facts) || commitment(p.actor_salt, p.actor)
       || commitment(p.resource_salt, p.resource) || commitment(p.source_salt, p.source)
       || commitment(p.changes_salt, p.changes)
FROM entries e JOIN personal_parts p USING (tenant_id, sequence) ORDER BY e.tenant_id, e.sequence;

-- The root over the hashes of a complete subtree (RFC 9162 section 2.1.1).
CREATE FUNCTION subtree_root(hashes bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    nodes bytea := hashes;
    above bytea;
BEGIN
    WHILE length(nodes) > 32 LOOP
        above := '';
        FOR pair IN 0 .. length(nodes) / 64 - 1 LOOP
            above := above || sha256('\x01'::bytea || substring(nodes FROM pair * 64 + 1 FOR 64));
        END LOOP;
        nodes := above;
    END LOOP;
    RETURN nodes;
END $$;

CREATE FUNCTION frontier_of(tenant text, size bigint) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
    start bigint := 0;
    frontier bytea := '';
    before bigint;
BEGIN
    FOR height IN REVERSE 62 .. 0 LOOP
        CONTINUE WHEN size & (1::bigint << height) = 0;
        before := start >> (height / 8 * 8);
        frontier := frontier || subtree_root(CASE WHEN height < 8 THEN (
            SELECT string_agg(sha256('\x00'::bytea || leaf), ''::bytea ORDER BY sequence) FROM leaves
            WHERE tenant_id = tenant AND sequence >= start AND sequence < start + (1::bigint << height)
        ) ELSE (
            SELECT substring(hashes FROM (before % 256 * 32 + 1)::integer FOR 32 << height % 8) FROM tiles
            WHERE tenant_id = tenant AND level = height / 8 AND index = before / 256
        ) END);
        start := start + (1::bigint << height);
    END LOOP;
    RETURN frontier;
END $$;

INSERT INTO tiles (tenant_id, level, index, hashes)
SELECT tenant_id, 0, sequence / 256, string_agg(sha256('\x00'::bytea || leaf), ''::bytea ORDER BY sequence)
FROM leaves GROUP BY tenant_id, sequence / 256 HAVING count(*) = 256;

DO $$
BEGIN
    FOR below IN 0 .. 7 LOOP
        INSERT INTO tiles (tenant_id, level, index, hashes)
        SELECT tenant_id, below + 1, index / 256, string_agg(subtree_root(hashes), ''::bytea ORDER BY index)
        FROM tiles WHERE level = below AND length(hashes) = 8192 GROUP BY tenant_id, index / 256;
    END LOOP;
END $$;

UPDATE logs SET frontier = frontier_of(tenant_id, size);

DROP FUNCTION frontier_of(text, bigint);
DROP FUNCTION subtree_root(bytea);
DROP FUNCTION commitment(bytea, bytea);
DROP FUNCTION new_salt();

-- What may change from now on.
ALTER TABLE logs ADD CHECK (length(frontier) = 32 * bit_count(size::bit(64)));
CREATE TRIGGER logs_stay BEFORE DELETE OR TRUNCATE ON logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER logs_grow BEFORE UPDATE ON logs
    FOR EACH ROW WHEN (NEW.tenant_id <> OLD.tenant_id OR NEW.size < OLD.size
                       OR NEW.size = OLD.size AND NEW.frontier <> OLD.frontier) EXECUTE FUNCTION refuse_change();
CREATE TRIGGER leaves_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON leaves
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tiles_stay BEFORE DELETE OR TRUNCATE ON tiles
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER tiles_grow BEFORE UPDATE ON tiles
    FOR EACH ROW WHEN ((NEW.tenant_id, NEW.level, NEW.index) IS DISTINCT FROM (OLD.tenant_id, OLD.level, OLD.index)
                       OR substring(NEW.hashes FOR length(OLD.hashes)) <> OLD.hashes) EXECUTE FUNCTION refuse_change();

-- Entries and their parts are removed only of a tenant that is deleted. The leaves stay.
CREATE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = g.tenant_id)
    ) THEN
        RAISE EXCEPTION 'the audit log is append only: DELETE on % is refused', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER entries_append_only BEFORE UPDATE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_stay AFTER DELETE ON entries
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER erased_parts_append_only BEFORE UPDATE OR TRUNCATE ON erased_parts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER erased_parts_stay AFTER DELETE ON erased_parts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();

-- A part changes only by being erased, once erased_parts says so.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (NEW.tenant_id, NEW.sequence) IS DISTINCT FROM (OLD.tenant_id, OLD.sequence) OR EXISTS (
        SELECT FROM (VALUES
            ('actor', OLD.actor, OLD.actor_salt, NEW.actor, NEW.actor_salt),
            ('resource', OLD.resource, OLD.resource_salt, NEW.resource, NEW.resource_salt),
            ('source', OLD.source, OLD.source_salt, NEW.source, NEW.source_salt),
            ('changes', OLD.changes, OLD.changes_salt, NEW.changes, NEW.changes_salt)
        ) AS parts (part, content, salt, new_content, new_salt)
        WHERE (new_content, new_salt) IS DISTINCT FROM (content, salt) AND (new_content IS NOT NULL OR NOT EXISTS (
            SELECT FROM erased_parts e
            WHERE e.tenant_id = OLD.tenant_id AND e.sequence = OLD.sequence AND e.part = parts.part))
    ) THEN
        RAISE EXCEPTION 'the audit log is append only: UPDATE on personal_parts is refused'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER personal_parts_erase BEFORE UPDATE ON personal_parts
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER personal_parts_truncate BEFORE TRUNCATE ON personal_parts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER personal_parts_stay AFTER DELETE ON personal_parts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
CREATE TRIGGER erasures_stay AFTER DELETE ON erasures
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
