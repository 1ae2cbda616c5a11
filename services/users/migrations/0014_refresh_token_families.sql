-- Of a session's refresh tokens the last one is kept, and what all of them begin with: that is how a used one is known.
-- Tokens that were used before this stay as they are, with `used_at`, until their session ends.
ALTER TABLE refresh_tokens ADD COLUMN family_hash bytea;
CREATE UNIQUE INDEX refresh_tokens_of_family ON refresh_tokens (tenant_id, family_hash) WHERE family_hash IS NOT NULL;
