-- Logins of people: their sessions and the refresh tokens of these.

-- ends_at: when the session is over unless it is used before; expires_at: when it is over however much it is used.
CREATE TABLE sessions (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    client_id text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    source_address text,
    user_agent text,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_of_user ON sessions (tenant_id, user_id, id);
CREATE INDEX sessions_ends_at ON sessions (ends_at);

-- Used ones stay as long as their session: whoever shows one again has a copy, or somebody else has.
CREATE TABLE refresh_tokens (
    tenant_id text NOT NULL,
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    issued_at timestamptz NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (tenant_id, session_id);
