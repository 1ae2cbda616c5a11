"""Verifies the audit log of Quartet from the bytes in docs/audit-formats.md, without any code of the service."""
