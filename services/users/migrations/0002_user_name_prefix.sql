-- `userName sw "..."` is a range of this index; without it, it would read every user of the tenant.
CREATE INDEX users_user_name_prefix ON users (tenant_id, user_name_key text_pattern_ops);
