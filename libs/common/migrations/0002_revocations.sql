-- Which access tokens are refused before they expire: those of `tenant_id` that `kind` and `id` point at and that were
-- issued until `revoked_at`, or all of them while it is `endless` (a suspended tenant).
CREATE TABLE revocations (
    tenant_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('token', 'session', 'subject', 'client', 'tenant')),
    id text NOT NULL,
    revoked_at timestamptz NOT NULL,
    endless boolean NOT NULL,
    -- who reads what is new asks for what transactions wrote that had not ended when they looked the last time
    written_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant_id, kind, id)
);
CREATE INDEX revocations_written_by ON revocations (written_by);
