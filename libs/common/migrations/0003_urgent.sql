-- Events that do not wait for those before them: that a token is revoked has to be known while 50,000 new users are told.
ALTER TABLE outbox ADD COLUMN urgent boolean NOT NULL DEFAULT false;
CREATE INDEX outbox_urgent ON outbox (id) WHERE urgent;
