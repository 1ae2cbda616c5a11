-- The tables belong to the role that runs migrations. The role that serves may read and insert (ownership_store.py); all else
-- that it needs of the log is one of these functions, which run with the rights of the owner.

-- For each function below: a fixed path, with temporary tables last, so that no caller puts a table of its own before these.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Lock logs until the transaction ends, in sorted order; a new log is empty.
CREATE FUNCTION lock_logs(wanted text[]) RETURNS TABLE (tenant_id text, size bigint, frontier bytea)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO logs AS log (tenant_id) SELECT one FROM unnest(wanted) AS one ORDER BY one
    ON CONFLICT (tenant_id) DO UPDATE SET size = log.size RETURNING log.tenant_id, log.size, log.frontier
$$;

-- Store the frontiers of logs that have grown; the trigger logs_grow refuses all else.
CREATE FUNCTION grow_logs(tenants text[], sizes bigint[], frontiers bytea[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE logs SET size = grown.size, frontier = grown.frontier
    FROM unnest(tenants, sizes, frontiers) AS grown (tenant_id, size, frontier)
    WHERE logs.tenant_id = grown.tenant_id
$$;

-- Append hashes to tiles of a level above 0; returns the tiles as they are then. The trigger tiles_grow refuses all else.
CREATE FUNCTION grow_tiles(above smallint, tenants text[], indexes bigint[], added bytea[])
RETURNS TABLE (tenant_id text, index bigint, hashes bytea)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO tiles AS tile (tenant_id, level, index, hashes)
    SELECT new.tenant_id, above, new.index, new.hashes
    FROM unnest(tenants, indexes, added) AS new (tenant_id, index, hashes)
    ON CONFLICT (tenant_id, level, index) DO UPDATE SET hashes = tile.hashes || EXCLUDED.hashes
    RETURNING tile.tenant_id, tile.index, tile.hashes
$$;

-- Replace the last checkpoints of logs.
CREATE FUNCTION store_checkpoints(
    tenants text[], sizes bigint[], frontiers bytea[], notes text[], times timestamptz[], indexes bigint[], salts bytea[]
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO checkpoints (tenant_id, size, frontier, note, signed_at, deployment_index, salt)
    SELECT * FROM unnest(tenants, sizes, frontiers, notes, times, indexes, salts)
    ON CONFLICT (tenant_id) DO UPDATE SET size = EXCLUDED.size, frontier = EXCLUDED.frontier, note = EXCLUDED.note,
        signed_at = EXCLUDED.signed_at, deployment_index = EXCLUDED.deployment_index, salt = EXCLUDED.salt
$$;
CREATE TRIGGER checkpoints_grow BEFORE UPDATE ON checkpoints
    FOR EACH ROW WHEN (NEW.tenant_id <> OLD.tenant_id OR NEW.size < OLD.size) EXECUTE FUNCTION refuse_change();

-- Whether a log has an entry of an action on a resource: what removes personal data demands the entry that says so.
CREATE FUNCTION has_entry(tenant text, wanted_action text, resource text) RETURNS boolean
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT EXISTS (
        SELECT FROM entries WHERE tenant_id = tenant AND action = wanted_action AND resource_id = resource)
$$;

-- Remove the personal parts of entries for an open request of erasure, of the log as it was then; the sequence of the
-- entry of each part removed. Refused unless the request is itself an entry of the log.
CREATE FUNCTION erase_parts(tenant text, request uuid, sequences bigint[], erased timestamptz) RETURNS SETOF bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    log_size bigint;
BEGIN
    SELECT size INTO log_size FROM erasures WHERE tenant_id = tenant AND id = request AND completed_at IS NULL;
    IF log_size IS NULL OR NOT has_entry(tenant, 'audit.erasure.requested', request::text) THEN
        RAISE EXCEPTION 'the audit log is append only: erasure % of the tenant % is not an open request with an entry',
            request, tenant USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- VACUUM takes this lock too: one that ends after the removal has begun after it, and so has seen its dead rows
    LOCK TABLE personal_parts, term_segments, term_postings IN SHARE UPDATE EXCLUSIVE MODE;
    RETURN QUERY
        INSERT INTO erased_parts AS noted (tenant_id, sequence, part, erased_at, request_id)
        SELECT p.tenant_id, p.sequence, parts.part, erased, request FROM personal_parts p
        CROSS JOIN LATERAL (
            VALUES ('actor', actor), ('resource', resource), ('source', source), ('changes', changes)
        ) AS parts (part, content)
        WHERE p.tenant_id = tenant AND p.sequence = ANY(sequences) AND p.sequence < log_size AND content IS NOT NULL
        RETURNING noted.sequence;
    UPDATE personal_parts p SET actor = NULL, actor_salt = NULL, resource = NULL, resource_salt = NULL,
                                source = NULL, source_salt = NULL, changes = NULL, changes_salt = NULL
    WHERE p.tenant_id = tenant AND p.sequence = ANY(sequences) AND p.sequence < log_size
        AND num_nonnulls(actor, resource, source, changes) > 0;
END $$;

-- Remove up to `most` rows of a deleted tenant from a table; their number. Refused unless the deletion is an entry of the
-- platform's log.
CREATE FUNCTION erase_tenant(relation text, tenant text, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    removed integer;
BEGIN
    IF relation NOT IN ('entries', 'personal_parts', 'erased_parts', 'erasures')
        OR NOT has_entry('quartet', 'users.tenant.deleted', tenant) THEN
        RAISE EXCEPTION 'the audit log is append only: % of the tenant % cannot be removed without an entry of its deletion',
            relation, tenant USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format(
        'DELETE FROM %1$I WHERE tenant_id = $1 AND ctid = ANY(ARRAY(SELECT ctid FROM %1$I WHERE tenant_id = $1 LIMIT $2))',
        relation) USING tenant, most;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;

-- Remove the next entries of a log that have expired by the retention of the tenant, `most` at most: only what a checkpoint
-- covers, and in the order of the log, an entry once all before it have expired. Their number. Triggers refuse it while a
-- legal hold is set, or if a tile does not have the hashes of the leaves that go.
CREATE FUNCTION prune_log(tenant text, most integer, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    first bigint := coalesce((SELECT entries FROM pruned_logs WHERE tenant_id = tenant), 0);
    after bigint;
    latest timestamptz;
BEGIN
    SELECT max(sequence) + 1, max(recorded_at) INTO after, latest FROM (
        SELECT e.sequence, e.recorded_at,
               bool_and(e.recorded_at < now() - make_interval(days => r.days)) OVER (ORDER BY e.sequence) AS has_expired
        FROM entries e JOIN retentions r USING (tenant_id)
        WHERE tenant_id = tenant AND e.sequence >= first AND e.sequence < first + most
            AND e.sequence < (SELECT size FROM checkpoints WHERE tenant_id = tenant)
    ) AS oldest WHERE has_expired;
    IF after IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO pruned_logs AS known (tenant_id, entries, recorded_until, pruned_at) VALUES (tenant, after, latest, at)
    ON CONFLICT (tenant_id) DO UPDATE SET entries = EXCLUDED.entries, pruned_at = EXCLUDED.pruned_at,
        recorded_until = greatest(known.recorded_until, EXCLUDED.recorded_until);
    DELETE FROM personal_parts WHERE tenant_id = tenant AND sequence >= first AND sequence < after;
    DELETE FROM erased_parts WHERE tenant_id = tenant AND sequence >= first AND sequence < after;
    DELETE FROM entries WHERE tenant_id = tenant AND sequence >= first AND sequence < after;
    DELETE FROM leaves WHERE tenant_id = tenant AND sequence >= first / 256 * 256 AND sequence < after / 256 * 256;
    RETURN after - first;
END $$;

REVOKE EXECUTE ON FUNCTION lock_logs(text[]), grow_logs(text[], bigint[], bytea[]),
    grow_tiles(smallint, text[], bigint[], bytea[]),
    store_checkpoints(text[], bigint[], bytea[], text[], timestamptz[], bigint[], bytea[]),
    erase_parts(text, uuid, bigint[], timestamptz), erase_tenant(text, text, integer),
    prune_log(text, integer, timestamptz) FROM PUBLIC;
