-- The events of applications that were accepted in the last 30 days, so that one that is sent again is no second entry.

-- digest: SHA-256 of the application's source and id; event_id: the id of the entry.
CREATE TABLE application_events (
    tenant_id text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, digest)
);
CREATE INDEX application_events_received_at ON application_events (received_at);
