-- The keys that sign the logs, and the last checkpoint that was signed of each log.

-- All logs have the same keys; a key has the name of the log that it signs. private_key is encrypted by QUARTET_MASTER_KEY.
-- signs_until is NULL until the key is replaced. Old keys stay, since what they have signed must stay verifiable.
CREATE TABLE signing_keys (
    tenant_id text NOT NULL,
    key_id text NOT NULL,
    type smallint NOT NULL,
    public_key bytea NOT NULL,
    private_key text NOT NULL,
    signs_from timestamptz NOT NULL,
    signs_until timestamptz,
    PRIMARY KEY (tenant_id, key_id)
);
CREATE TRIGGER signing_keys_stay BEFORE DELETE OR TRUNCATE ON signing_keys
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- frontier is that of the tree at size. The leaf of the deployment log at deployment_index commits, with salt, to the text of
-- note; the deployment log itself, '', has none.
CREATE TABLE checkpoints (
    tenant_id text PRIMARY KEY,
    size bigint NOT NULL CHECK (size >= 0),
    frontier bytea NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL,
    deployment_index bigint,
    salt bytea CHECK (length(salt) = 32),
    CHECK ((deployment_index IS NULL) = (tenant_id = '') AND (salt IS NULL) = (tenant_id = ''))
) WITH (fillfactor = 50);

-- The last checkpoint of the deployment log, '', that witnesses have cosigned; note has their cosignatures.
CREATE TABLE cosigned_checkpoints (
    tenant_id text PRIMARY KEY,
    size bigint NOT NULL,
    frontier bytea NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TRIGGER checkpoints_stay BEFORE DELETE OR TRUNCATE ON checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
