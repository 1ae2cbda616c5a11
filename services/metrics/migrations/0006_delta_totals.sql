-- The totals of deltas that applications send: the engine has cumulative samples only.

-- A metric with its labels is known by a digest. `state`: the times of its last points, by which a repeated point is known, the time of its
-- last samples, and the total of each of its series.
CREATE TABLE delta_totals (
    tenant_id text COLLATE "C" NOT NULL,
    metric_key bytea NOT NULL,
    state json NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, metric_key)
) WITH (fillfactor = 80);
