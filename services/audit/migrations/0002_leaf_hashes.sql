-- What remains of the entries of a deleted tenant: their leaf hashes, so that the tree over its log can still be proven.

-- hash is that of a leaf (RFC 6962 section 2.1): SHA-256 of a zero byte and the entry's JSON as it was recorded.
CREATE TABLE leaf_hashes (
    tenant_id text NOT NULL,
    sequence bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (tenant_id, sequence)
);
CREATE TRIGGER leaf_hashes_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON leaf_hashes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE FUNCTION leaf_hash(entry json) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256('\x00'::bytea || convert_to(entry::text, 'UTF8'))
$$;

-- Entries are removed only of a tenant that is deleted, and only when the hash of each is kept.
CREATE FUNCTION refuse_loss() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g
        WHERE NOT EXISTS (SELECT FROM deleted_tenants d WHERE d.tenant_id = g.tenant_id)
        OR NOT EXISTS (
            SELECT FROM leaf_hashes h
            WHERE h.tenant_id = g.tenant_id AND h.sequence = g.sequence AND h.hash = leaf_hash(g.entry))
    ) THEN
        RAISE EXCEPTION 'the audit log is append only: DELETE on entries is refused'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER entries_append_only ON entries;
CREATE TRIGGER entries_append_only BEFORE UPDATE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entries_leave_their_hashes AFTER DELETE ON entries
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION refuse_loss();
