"""SCIM over HTTP: what the routes of users and groups share; knows Quart, libs/common and libs/scim, no database."""
