"""SCIM over HTTP: code that the routes of users and groups share; uses Quart, libs/common and libs/scim."""
