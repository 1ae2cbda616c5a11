-- Restores of tenants from archives: which archive, and how many lines of each kind are stored.
CREATE TABLE restores (
    tenant_id text PRIMARY KEY,
    archive text NOT NULL, -- the SHA-256 of the archive's manifest
    counts json NOT NULL DEFAULT '{}',
    stored_at timestamptz NOT NULL DEFAULT now(), -- when the last part was stored
    completed_at timestamptz
);
