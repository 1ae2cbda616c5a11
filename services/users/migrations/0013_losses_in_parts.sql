-- Who may lose a scope, many in a row: who logs in waits while they are written.

ALTER TABLE scope_losses RENAME TO single_losses;
ALTER TABLE single_losses RENAME CONSTRAINT scope_losses_pkey TO single_losses_pkey;

-- `scopes` is what all `users` of the row had before the change (`batch`) that was made at `lost_at`. Whether they have
-- it still is looked for when the row is taken.
CREATE TABLE scope_losses (
    tenant_id text NOT NULL,
    batch uuid NOT NULL,
    part integer NOT NULL,
    users uuid[] NOT NULL,
    scopes text[] NOT NULL,
    lost_at timestamptz NOT NULL,
    actor text NOT NULL,
    PRIMARY KEY (tenant_id, batch, part)
);
INSERT INTO scope_losses (tenant_id, batch, part, users, scopes, lost_at, actor)
SELECT tenant_id, batch, row_number() OVER (PARTITION BY tenant_id, batch), ARRAY[user_id], scopes, lost_at, actor
FROM single_losses;
DROP TABLE single_losses;
