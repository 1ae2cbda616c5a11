-- No query compares encoded events: ANALYZE need not sort them, nor keep any of them in pg_statistic, which deletions do not
-- reach. It leaves the statistics that exist as they are; changing the type, even to the same, removes them.
ALTER TABLE outbox ALTER COLUMN event TYPE bytea, ALTER COLUMN event SET STATISTICS 0;
ALTER TABLE published_events ALTER COLUMN event TYPE bytea, ALTER COLUMN event SET STATISTICS 0;
