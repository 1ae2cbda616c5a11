-- Comparisons of gauges with what users, groups and audit have.

-- The events of a tenant that were applied last: a comparison tells users, groups and audit of them.
CREATE INDEX inbox_tenants ON inbox (tenant_id, received_at);

-- When all gauges of a tenant were compared last. `revision` grows with each comparison that is noted: who has compared at another revision
-- neither notes nor corrects anything, so that a correction is made once.
CREATE TABLE reconciliations (
    tenant_id text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    compared_at timestamptz
);

-- The gauges that differed at the last comparison, by how much, and since when by that amount.
CREATE TABLE drifts (
    tenant_id text COLLATE "C" NOT NULL,
    series bigint NOT NULL,
    metric text COLLATE "C" NOT NULL,
    labels text[] COLLATE "C" NOT NULL,
    drift bigint NOT NULL CHECK (drift <> 0),
    detected_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, series)
);
