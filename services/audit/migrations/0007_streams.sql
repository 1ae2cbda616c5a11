-- Streams: destinations that get the entries of a tenant's log as they are appended.

-- position: the sequence of the next entry. batch_end: where the batch ends that failed, so that it is sent again as it was.
-- secret is encrypted by QUARTET_MASTER_KEY. lease: of the worker that delivers the stream, until leased_until; a change of
-- the stream ends it, so that the worker cannot store a position afterwards. replays makes the ids of messages new.
CREATE TABLE streams (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    name text NOT NULL,
    destination json NOT NULL,
    secret text,
    filters json NOT NULL,
    format text NOT NULL,
    created_at timestamptz NOT NULL,
    position bigint NOT NULL CHECK (position >= 0),
    batch_end bigint,
    replays integer NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    problem text,
    due_at timestamptz NOT NULL,
    paused_at timestamptz,
    pause_reason text,
    lease uuid,
    leased_until timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);
