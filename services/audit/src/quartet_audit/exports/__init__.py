"""Exports of the log: NDJSON, CSV, OCSF and bundles for the verifier."""
