-- Dead letters: what a consumer could not apply, taken from its queue of dead letters. Here they can be searched, and
-- listing them moves nothing. `tenant_id` is empty for what cannot be read.
CREATE TABLE dead_letters (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    consumer text NOT NULL,
    digest bytea NOT NULL,       -- SHA-256 of message id and body: a second copy of a message is no second dead letter
    message_id text,
    type text,
    subject text,
    event_time text,
    reason text NOT NULL,
    failure text NOT NULL,       -- the beginning of the reason, by which dead letters are counted
    attempts int NOT NULL,
    returns int NOT NULL,        -- how often it was redriven
    content_type text,
    headers text NOT NULL,       -- a JSON object
    body bytea NOT NULL,
    died_at timestamptz NOT NULL DEFAULT now(),
    redrive_id uuid,             -- the redrive that will send it
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, consumer, digest)
);
CREATE INDEX dead_letters_id ON dead_letters (id);
CREATE INDEX dead_letters_redrive ON dead_letters (redrive_id, id) WHERE redrive_id IS NOT NULL;

-- A redrive sends the dead letters that were selected when it was created.
CREATE TABLE redrives (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    actor_id text NOT NULL,
    rate int NOT NULL,           -- messages per second
    selected int NOT NULL,
    sent int NOT NULL DEFAULT 0,
    failed int NOT NULL DEFAULT 0, -- sent ones that are dead letters again
    created_at timestamptz NOT NULL DEFAULT now(),
    paced_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    is_cancelled boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX redrives_running ON redrives (id) WHERE finished_at IS NULL;
