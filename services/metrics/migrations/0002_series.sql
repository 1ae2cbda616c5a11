-- Metrics of each tenant as series: counters and gauges by label set, in minutes, hours and days (UTC, by the times of events).

-- A series: one label set of a metric. `total` is the sum of all its amounts, so the present value of a gauge. The row is also the
-- lock of the series: whoever adds amounts locks it first, in the order of the key. `series` is made of metric and labels
-- (series_id), so that a worker knows it without a query.
-- What a writer of samples to an engine must write again begins at `changed_from`; `revision` grows with each change.
CREATE TABLE series (
    tenant_id text COLLATE "C" NOT NULL,
    series bigint NOT NULL,
    metric text COLLATE "C" NOT NULL,
    labels text[] COLLATE "C" NOT NULL,
    total bigint NOT NULL DEFAULT 0,
    changed_from timestamptz,
    revision bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, series),
    UNIQUE (tenant_id, metric, labels)
) WITH (fillfactor = 70);
CREATE INDEX series_changed ON series (tenant_id, series) WHERE changed_from IS NOT NULL;

-- By how much a series grew in the minute, hour or day that begins at `start`; of daily numbers, the number of the day.
-- `amount` stands in no index, and each page keeps room, so that adding to it is an update in place (HOT).
CREATE TABLE samples (
    tenant_id text COLLATE "C" NOT NULL,
    series bigint NOT NULL,
    step text COLLATE "C" NOT NULL CHECK (step IN ('minute', 'hour', 'day')),
    start timestamptz NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (tenant_id, series, step, start)
) WITH (fillfactor = 80);

-- Which users were active on a day (UTC), for some weeks: only then an activity of a day can be a second one.
-- The rows of a deleted user have a random id instead of the user's.
CREATE TABLE active_users (
    tenant_id text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL,
    day date NOT NULL,
    PRIMARY KEY (tenant_id, user_id, day)
);
CREATE INDEX active_users_day ON active_users (tenant_id, day);

-- The random ids of deleted users, for as long as their rows are kept: a late event of a user is no second user.
CREATE TABLE former_users (
    tenant_id text COLLATE "C" NOT NULL,
    user_id uuid NOT NULL,
    alias uuid NOT NULL DEFAULT gen_random_uuid(),
    deleted_on date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    PRIMARY KEY (tenant_id, user_id)
);

-- The key of a series: the first eight bytes of the SHA-256 of metric and labels, as in series_domain.py.
CREATE FUNCTION series_id(metric text, labels text[]) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT ('x' || left(encode(sha256(convert_to(array_to_string(metric || labels, chr(31)), 'UTF8')), 'hex'), 16))::bit(64)::bigint
$$;

-- Moves what processes of the previous release have counted into series, with the gauges that follow from it: users as if all were
-- active, groups, sessions, API clients and entries of the audit log. Returns the number of rows moved.
CREATE FUNCTION move_event_counts() RETURNS bigint LANGUAGE sql AS $$
    WITH moved AS (
        DELETE FROM event_counts RETURNING tenant_id, hour, action, outcome, count
    ), amounts AS (
        SELECT tenant_id, hour, 'quartet_events_total' AS metric, ARRAY[action, outcome] AS labels, count AS amount FROM moved
        UNION ALL
        SELECT tenant_id, hour, 'quartet_audit_entries', '{}', count FROM moved
        UNION ALL
        SELECT tenant_id, hour, rule.metric, rule.labels, rule.factor * count FROM moved JOIN (VALUES
            ('users.user.created', 'quartet_users', '{active}'::text[], 1),
            ('users.user.deleted', 'quartet_users', '{active}', -1),
            ('groups.group.created', 'quartet_groups', '{}', 1),
            ('groups.group.deleted', 'quartet_groups', '{}', -1),
            ('users.login.succeeded', 'quartet_sessions', '{}', 1),
            ('users.session.ended', 'quartet_sessions', '{}', -1),
            ('users.login.succeeded', 'quartet_logins_total', '{success}', 1),
            ('users.login.succeeded', 'quartet_tokens_issued_total', '{password}', 1),
            ('users.client.created', 'quartet_api_clients', '{}', 1),
            ('users.client.deleted', 'quartet_api_clients', '{}', -1)
        ) AS rule (action, metric, labels, factor) USING (action)
    ), known AS (
        INSERT INTO series AS known (tenant_id, series, metric, labels, total, changed_from)
        SELECT tenant_id, series_id(metric, labels), metric, labels, sum(amount), min(hour) FROM amounts
        GROUP BY 1, 2, 3, 4 ORDER BY 1, 2
        ON CONFLICT (tenant_id, series) DO UPDATE SET total = known.total + excluded.total,
            changed_from = least(known.changed_from, excluded.changed_from), revision = known.revision + 1
        RETURNING 1
    ), stored AS (
        INSERT INTO samples AS known (tenant_id, series, step, start, amount)
        SELECT tenant_id, series_id(metric, labels), step, date_trunc(step, hour, 'UTC'), sum(amount)
        FROM amounts, (VALUES ('hour'), ('day')) AS steps (step), (SELECT count(*) FROM known) AS locked
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (tenant_id, series, step, start) DO UPDATE SET amount = known.amount + excluded.amount
        RETURNING 1
    )
    SELECT count(*) FROM moved, (SELECT count(*) FROM stored) AS done
$$;
SELECT move_event_counts();
