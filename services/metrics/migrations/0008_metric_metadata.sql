-- What the metrics of applications are: the engine stores samples only.

CREATE TABLE metric_metadata (
    tenant_id text COLLATE "C" NOT NULL,
    metric text COLLATE "C" NOT NULL,
    type text NOT NULL,
    unit text NOT NULL,
    help text NOT NULL,
    sent_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, metric)
) WITH (fillfactor = 80);
