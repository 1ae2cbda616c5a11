-- Restores of logs: the role that serves may note what was erased in the deployment before, of entries that lack these parts.

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Note erased parts while the tenant is restored from an archive; how many. Parts that an entry has are left out.
CREATE FUNCTION restore_erased_parts(
    tenant text, sequences bigint[], parts text[], times timestamptz[], requests uuid[]
) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    noted bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM restores r WHERE r.tenant_id = tenant AND r.completed_at IS NULL) THEN
        RAISE EXCEPTION 'the audit log is append only: the tenant % is not being restored', tenant
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO erased_parts (tenant_id, sequence, part, erased_at, request_id)
    SELECT tenant, gone.sequence, gone.part, gone.erased_at, gone.request_id
    FROM unnest(sequences, parts, times, requests) AS gone (sequence, part, erased_at, request_id)
    JOIN personal_parts p ON p.tenant_id = tenant AND p.sequence = gone.sequence
    WHERE CASE gone.part WHEN 'actor' THEN p.actor WHEN 'resource' THEN p.resource WHEN 'source' THEN p.source
        WHEN 'changes' THEN p.changes END IS NULL;
    GET DIAGNOSTICS noted = ROW_COUNT;
    RETURN noted;
END $$;
REVOKE EXECUTE ON FUNCTION restore_erased_parts(text, bigint[], text[], timestamptz[], uuid[]) FROM PUBLIC;
