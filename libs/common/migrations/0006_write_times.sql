-- Times of changes that clients poll by: a list in their order shows nothing that is newer than a write that still runs.

-- The time of a write of the tenant's resources, taken in its transaction. Until that ends, it holds an advisory lock that
-- nobody waits for and others can see: its second key is a time in milliseconds (modulo 2^31) from before the one returned.
CREATE FUNCTION write_time(tenant text) RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        hashtext(tenant), (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint & 2147483647)::integer
    );
    RETURN clock_timestamp();
END $$;

-- Until when the tenant's writes are settled, in whole milliseconds: the statements that follow see all that have an earlier
-- time, and no write will get one any more. A write that is not among the locks has ended, or takes its time after this began.
CREATE FUNCTION settled_until(tenant text) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT date_trunc('milliseconds', statement_timestamp()) - interval '1 millisecond' * greatest(0, max(
        ((floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint - objid::bigint + 1073741824) & 2147483647)
        - 1073741824
    ))
    FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND classid::bigint = hashtext(tenant)::bigint & 4294967295
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$;
