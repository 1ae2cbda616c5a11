-- Checkpoints of the deployment log, '', that QUARTET_CHECKPOINT_WEBHOOK has not taken yet, by size.
CREATE TABLE waiting_checkpoints (
    tenant_id text NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,
    PRIMARY KEY (tenant_id, size)
);
