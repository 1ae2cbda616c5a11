"""Users as SCIM resources."""
