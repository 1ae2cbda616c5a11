-- Alerts: rules of tenants that a worker evaluates in the engine, and what they have found.

-- due_at: when the rule is to be evaluated next; it moves only when a result is stored, so of two workers that have evaluated the
-- same rule one stores its result. leased_until: another worker does not begin before. problem: why the last evaluation failed.
CREATE TABLE alert_rules (
    tenant_id text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    definition json NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    evaluated_at timestamptz,
    problem text,
    due_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);
CREATE INDEX alert_rules_due_at ON alert_rules (due_at);

-- The alerts that are pending or firing (fired_at is set); one that is resolved has no row. absent_since: a firing alert whose series
-- is not found any more, and that keeps firing for a time.
CREATE TABLE alerts (
    tenant_id text COLLATE "C" NOT NULL,
    rule_id uuid NOT NULL,
    id uuid NOT NULL,
    labels json NOT NULL,
    value text NOT NULL,
    active_at timestamptz NOT NULL,
    fired_at timestamptz,
    absent_since timestamptz,
    PRIMARY KEY (tenant_id, rule_id, id),
    FOREIGN KEY (tenant_id, rule_id) REFERENCES alert_rules ON DELETE CASCADE
) WITH (fillfactor = 70);

-- When series of a tenant were last written to the engine again; until it shows them, alerts are not evaluated.
CREATE TABLE engine_rewritten (
    tenant_id text COLLATE "C" PRIMARY KEY,
    rewritten_at timestamptz NOT NULL
);

-- The first rules of the platform, about the processes that the engine scrapes. Operators change and delete them like others.
INSERT INTO alert_rules (tenant_id, id, definition)
SELECT 'quartet', gen_random_uuid(), definition FROM (VALUES
('{"name": "ProcessDown", "expr": "up == 0", "severity": "critical", "for": "2m", "annotations": {
    "summary": "{{ $labels.job }} {{ $labels.service }} {{ $labels.process }} at {{ $labels.instance }} cannot be read",
    "runbook": "docs/operations.md#when-an-alert-fires"}}'::json),
('{"name": "OutboxWaits", "expr": "max by (service) (quartet_outbox_lag_seconds) > 60", "severity": "critical", "for": "1m", "annotations": {
    "summary": "Events wait in the outbox of {{ $labels.service }}, the oldest for {{ $value }} s",
    "runbook": "docs/operations.md#when-an-alert-fires"}}'),
('{"name": "DeadLetters", "expr": "max by (queue) (quartet_queue_messages{queue=~\".+[.]dead\"}) > 0", "for": "5m", "annotations": {
    "summary": "{{ $value }} messages are in {{ $labels.queue }}",
    "runbook": "docs/operations.md#when-an-alert-fires"}}'),
('{"name": "LoginFailures", "expr": "sum(increase(quartet_logins_total{result=\"locked_out\"}[10m])) > 50", "annotations": {
    "summary": "{{ $value }} logins of all tenants were locked out in 10 minutes",
    "runbook": "docs/operations.md#when-an-alert-fires"}}'),
('{"name": "CertificateExpires", "expr": "min by (service, process, certificate) (quartet_certificate_expiry_timestamp_seconds) - time() < 14 * 86400", "annotations": {
    "summary": "The {{ $labels.certificate }} certificate of {{ $labels.service }} {{ $labels.process }} is valid for {{ $value }} s only",
    "runbook": "docs/operations.md#when-an-alert-fires"}}'),
('{"name": "LoggingFails", "expr": "max by (service, kind) (quartet_logging_failure) > 0", "severity": "critical", "annotations": {
    "summary": "The audit log misses events of {{ $labels.service }} ({{ $labels.kind }})",
    "runbook": "docs/operations.md#when-an-alert-fires"}}')
) AS rules (definition);
