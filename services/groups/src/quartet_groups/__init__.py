"""The groups service: SCIM Groups and their members."""
