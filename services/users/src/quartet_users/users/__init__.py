"""Users: SCIM resources of people and their HTTP routes."""
