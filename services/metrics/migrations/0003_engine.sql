-- What the engine, a VictoriaMetrics, is still to learn; its samples are copies of `series` and `samples`.

-- Series whose samples in the engine are to be deleted and written again, and when at the earliest. The engine has a late event in the
-- minute in which it arrived: it keeps either of two values that it got for the same time, so samples are never overwritten.
CREATE TABLE engine_rewrites (
    tenant_id text COLLATE "C" NOT NULL,
    series bigint NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, series)
);

-- Deleted tenants whose series the engine has deleted.
CREATE TABLE engine_erased (
    tenant_id text COLLATE "C" PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- Whether the engine has values of the series. A new counter gets a 0 first, without which its first value would not be an increase.
ALTER TABLE series ADD COLUMN is_written boolean NOT NULL DEFAULT false;
