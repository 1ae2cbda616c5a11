-- Origins whose pages may read responses to tokens of a tenant: all of them in one row, so that the newest version counts
-- in whatever order events come.
CREATE TABLE tenant_origins (
    tenant_id text PRIMARY KEY,
    version bigint NOT NULL,
    origins text[] NOT NULL,
    -- apis read rows of transactions that had not ended at their last read
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX tenant_origins_written_by ON tenant_origins (written_by);
