-- Names are compared as RFC 7644 section 5 says: PostgreSQL cannot prepare them so, hence `migrate` does it in Python.

-- Users whose key may not be the prepared form of their name; a row stays while another user of the tenant has that form.
CREATE TABLE unprepared_names (
    tenant_id text NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);
INSERT INTO unprepared_names
SELECT tenant_id, id FROM users WHERE octet_length(resource ->> 'userName') <> char_length(resource ->> 'userName');
