"""SCIM: users as resources, their lists, searches and Bulk, the schemas of tenants, and what users belong to."""
