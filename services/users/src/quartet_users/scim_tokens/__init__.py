"""SCIM tokens of identity providers."""
