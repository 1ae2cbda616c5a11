-- How many users are suspended is counted in this index; active are all others, of which user_totals has the sum.
CREATE INDEX users_suspended ON users (tenant_id) WHERE resource -> 'active' = 'false';
