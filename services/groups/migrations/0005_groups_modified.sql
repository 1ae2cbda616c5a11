-- What has changed since a moment.
CREATE INDEX groups_modified ON groups (tenant_id, modified_at, id);
