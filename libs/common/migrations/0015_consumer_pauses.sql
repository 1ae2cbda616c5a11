-- The consumers of the service, once an operator has paused them: while `is_paused`, no worker takes anything from the
-- queue. `version` counts the changes.
CREATE TABLE consumer_pauses (
    consumer text PRIMARY KEY,
    is_paused boolean NOT NULL,
    reason text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1
);
