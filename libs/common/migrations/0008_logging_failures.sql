-- Failures of logging: what keeps events of this service from the audit log. Neither table has anything of a tenant's.

-- A failure that lasts, by its kind. It is published when it begins and when it ends, whichever worker notices it.
CREATE TABLE logging_failures (
    kind text PRIMARY KEY,
    problem text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now()
);

-- Events of the journal that were published until `recorded_until` have entries in the audit log: one row.
CREATE TABLE recorded_position (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    recorded_until timestamptz NOT NULL
);
INSERT INTO recorded_position (recorded_until) VALUES (now());
