-- What every service has: events that wait to be published, and events that were taken in.

-- A queue, not a resource: rows live for milliseconds and are read in order of id over all tenants, so the key is the id.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    actor_id text NOT NULL,
    aggregate text NOT NULL,
    type text NOT NULL,
    event_id uuid NOT NULL,
    traceparent text,
    event bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE inbox (
    tenant_id text NOT NULL,
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX inbox_received_at ON inbox USING brin (received_at);
