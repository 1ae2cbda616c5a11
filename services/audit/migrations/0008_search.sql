-- Searches by resource type, address, trace id and text: a column, and an index of terms that is built after the append.

-- Cut out of the text, not parsed: PostgreSQL cannot parse \u0000. Only a member has quotation marks without a backslash.
ALTER TABLE entries ADD COLUMN resource_type text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
    split_part(split_part(encode(facts, 'escape'), '"resource":{"type":"', 2), '"', 1)) STORED;

-- The blocks of a log (4,096 entries in the order of the sequence) that are in the index, with the times of their entries.
-- `unlisted` are places of entries with too many terms: they have no postings and are looked at by every search.
CREATE TABLE term_blocks (
    tenant_id text NOT NULL,
    block bigint NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    unlisted smallint[] NOT NULL,
    PRIMARY KEY (tenant_id, block)
);

-- The same for 512 entries each at the end of a log, in one row, until they are a block. Postings are sorted by term.
CREATE TABLE term_segments (
    tenant_id text NOT NULL,
    segment bigint NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    unlisted smallint[] NOT NULL,
    postings bytea NOT NULL,
    PRIMARY KEY (tenant_id, segment)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 0);
ALTER TABLE term_segments ALTER COLUMN postings SET STORAGE EXTERNAL;  -- hashes cannot be compressed

-- Which entries of a block have which terms; a term is known by its CRC-32, whose low bits are the slot.
-- Hashes of names can be guessed: rows are removed with the personal parts that they are made of, and vacuumed as these.
CREATE TABLE term_postings (
    tenant_id text NOT NULL,
    slot smallint NOT NULL,
    block bigint NOT NULL,
    postings bytea NOT NULL,
    PRIMARY KEY (tenant_id, slot, block)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 0,
        toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 0);
ALTER TABLE term_postings ALTER COLUMN postings SET STORAGE EXTERNAL;

-- Whatever removes personal parts removes their blocks from the index, in the same transaction; the worker builds them
-- again. The lock is that of the worker: it has not read the parts before they go and writes their terms afterwards.
CREATE FUNCTION forget_terms() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    gone_block record;
BEGIN
    FOR gone_block IN SELECT DISTINCT tenant_id, sequence / 4096 AS block FROM gone ORDER BY 1, 2 LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended(gone_block.tenant_id, 4096));
        DELETE FROM term_segments s WHERE s.tenant_id = gone_block.tenant_id
            AND s.segment >= gone_block.block * 8 AND s.segment < (gone_block.block + 1) * 8;
        DELETE FROM term_blocks b WHERE b.tenant_id = gone_block.tenant_id AND b.block = gone_block.block;
        IF FOUND THEN
            DELETE FROM term_postings p WHERE p.tenant_id = gone_block.tenant_id AND p.block = gone_block.block
                AND p.slot = ANY (ARRAY(SELECT generate_series(0, 1023)::smallint));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER personal_parts_forget_erased AFTER UPDATE ON personal_parts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_terms();
CREATE TRIGGER personal_parts_forget_deleted AFTER DELETE ON personal_parts
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_terms();
