#!/bin/sh
# Makes the database `quartet`: per service a role and a schema of its own, and nothing for anybody else. It can be repeated.
# The tables of audit belong to a second role, quartet_audit_owner, which only migrations use; it gets those of an earlier release.
# Natively the launcher runs it before every start (PGHOST, PGPORT, PGPASSFILE); in a container it is a script of
# /docker-entrypoint-initdb.d and runs once. Passwords are read by psql from files, never from the command line.
set -eu

secrets=${QUARTET_SECRETS_ROOT:-/run/secrets}
user=${POSTGRES_USER:-postgres}
export QUARTET_SECRET_FILE
run() { psql -X -q -v ON_ERROR_STOP=1 --no-password -U "$user" "$@"; }

run -d postgres <<'SQL' >/dev/null
SELECT 'CREATE DATABASE quartet' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'quartet') \gexec
REVOKE ALL ON DATABASE quartet, postgres, template1 FROM PUBLIC;
SQL
run -d quartet <<'SQL' >/dev/null
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SQL

for service in users groups audit metrics audit-owner; do
    QUARTET_SECRET_FILE=$secrets/$service/quartet_database_password
    [ -r "$QUARTET_SECRET_FILE" ] || {
        echo "init.sh: cannot read $QUARTET_SECRET_FILE: run deploy/secrets.sh first, or set QUARTET_SECRETS_ROOT" >&2
        exit 1
    }
    role=quartet_$(echo "$service" | tr - _)
    run -d quartet -v role="$role" -v schema="${service%-owner}" <<'SQL' >/dev/null
SET client_min_messages = warning;
\set password `cat "$QUARTET_SECRET_FILE"`
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
ALTER ROLE :"role" IN DATABASE quartet SET search_path = :"schema";
GRANT CONNECT ON DATABASE quartet TO :"role";
CREATE SCHEMA IF NOT EXISTS :"schema" AUTHORIZATION :"role";
REVOKE ALL ON SCHEMA :"schema" FROM PUBLIC;
SQL
done
# The exporter of PostgreSQL's numbers: it reads statistics, and no table.
QUARTET_SECRET_FILE=$secrets/postgres-exporter/password
[ -r "$QUARTET_SECRET_FILE" ] || {
    echo "init.sh: cannot read $QUARTET_SECRET_FILE: run deploy/secrets.sh first, or set QUARTET_SECRETS_ROOT" >&2
    exit 1
}
run -d quartet <<'SQL' >/dev/null
SET client_min_messages = warning;
\set password `cat "$QUARTET_SECRET_FILE"`
SELECT 'CREATE ROLE quartet_exporter' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'quartet_exporter') \gexec
ALTER ROLE quartet_exporter LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD :'password';
ALTER ROLE quartet_exporter SET statement_timeout = '5s';
GRANT pg_monitor TO quartet_exporter;
GRANT CONNECT ON DATABASE quartet TO quartet_exporter;
SQL
# Until migrate has granted less (services/audit/src/quartet_audit/ownership_store.py), running processes keep what they need.
run -d quartet <<'SQL' >/dev/null
SET client_min_messages = warning;
SELECT nspowner = 'quartet_audit'::regrole AS is_former FROM pg_namespace WHERE nspname = 'audit' \gset
\if :is_former
BEGIN;
REASSIGN OWNED BY quartet_audit TO quartet_audit_owner;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA audit TO quartet_audit;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA audit TO quartet_audit;
COMMIT;
\endif
GRANT USAGE ON SCHEMA audit TO quartet_audit;
GRANT quartet_audit TO quartet_audit_owner;
SQL
