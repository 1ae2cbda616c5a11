-- Jobs of tenants, such as imports, their files and their reports. A worker that runs a job renews `leased_until`; each
-- set of records is one transaction together with the counts, so that a job that is taken over continues behind it.
CREATE TABLE data_jobs (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    format text NOT NULL,
    options jsonb NOT NULL,
    is_dry_run boolean NOT NULL,
    caller jsonb NOT NULL,              -- on whose behalf it runs
    state text NOT NULL CHECK (state IN ('uploading', 'waiting', 'running', 'completed', 'failed', 'cancelled')),
    is_cancelled boolean NOT NULL DEFAULT false, -- by a client: the worker ends it after the set that runs
    error text,
    upload_bytes bigint NOT NULL DEFAULT 0,
    result_bytes bigint NOT NULL DEFAULT 0,
    results integer NOT NULL DEFAULT 0, -- chunks of the result
    position bigint NOT NULL DEFAULT 0, -- records of all finished sets
    done bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    findings bigint NOT NULL DEFAULT 0,
    part bigint NOT NULL DEFAULT 0,     -- of `whole`, in bytes or records
    whole bigint NOT NULL DEFAULT 0,
    saved jsonb NOT NULL DEFAULT '{}',  -- what its kind needs to continue
    created_at timestamptz NOT NULL,
    touched_at timestamptz NOT NULL,    -- of the last chunk of an upload
    started_at timestamptz,
    ended_at timestamptz,
    worker uuid,
    leased_until timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX data_jobs_running ON data_jobs (tenant_id) WHERE state = 'running'; -- one at a time
CREATE INDEX data_jobs_open ON data_jobs (created_at) WHERE state IN ('uploading', 'waiting', 'running');

CREATE TABLE data_job_chunks (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL,
    is_result boolean NOT NULL,
    number integer NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (tenant_id, job_id, is_result, number),
    FOREIGN KEY (tenant_id, job_id) REFERENCES data_jobs ON DELETE CASCADE
);
ALTER TABLE data_job_chunks ALTER data SET STORAGE EXTERNAL; -- compressing them costs more than it saves

CREATE TABLE data_job_findings (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL,
    number bigint NOT NULL,
    line bigint NOT NULL,
    is_error boolean NOT NULL,
    reason text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (tenant_id, job_id, number),
    FOREIGN KEY (tenant_id, job_id) REFERENCES data_jobs ON DELETE CASCADE
);
