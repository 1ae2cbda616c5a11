-- The totals of deltas that applications send: the engine has cumulative samples only.

-- A stream is a metric with its labels, known by a digest. `state`: the times of its last points, by which a repeated point is known, the
-- time of its last samples, and the total of each of its series.
CREATE TABLE delta_streams (
    tenant_id text COLLATE "C" NOT NULL,
    stream bytea NOT NULL,
    state json NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, stream)
) WITH (fillfactor = 80);
