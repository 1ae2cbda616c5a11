-- When the last token expires that a revocation refuses, where that is known: it is not kept longer then.
ALTER TABLE revocations ADD COLUMN expires_at timestamptz;
