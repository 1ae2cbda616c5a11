-- How many events of each action and outcome a tenant had in each hour (UTC, by the event's own time).

-- The key is also the order of every query: a tenant's hours lie together, so a range of hours is one index range scan.
-- `count` stands in no index, and each page keeps room, so that counting on is an update in place (HOT).
CREATE TABLE event_counts (
    tenant_id text NOT NULL,
    hour timestamptz NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    count bigint NOT NULL CHECK (count > 0),
    PRIMARY KEY (tenant_id, hour, action, outcome)
) WITH (fillfactor = 80);
