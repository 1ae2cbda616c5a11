-- Origins that a tenant has allowed: the truth. tenant_origins, which every service has, follows in the same transaction.
CREATE TABLE origins (
    tenant_id text NOT NULL,
    id uuid NOT NULL,
    origin text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, origin)
);
