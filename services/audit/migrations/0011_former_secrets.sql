-- Rotation of the secrets of webhooks: the one that was replaced signs too, until former_secret_until.

ALTER TABLE streams ADD COLUMN former_secret text, ADD COLUMN former_secret_until timestamptz;
