#!/bin/sh
# Fills the volumes of secrets (compose.yaml) before anything else starts: one volume per reader below DIR, every file
# readable by its reader only. What is there already is kept. Runs as root in the image of PostgreSQL, which knows that
# server's user; RabbitMQ's files are handed over by rabbitmq-init, which knows the other one's.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
directory=${1:?usage: secrets.sh DIR}

sh "$here/../secrets.sh" "$directory"

# PostgreSQL makes the services' roles with these (deploy/postgres/init.sh); the rest of their secrets is not its business.
for service in users groups audit audit-owner metrics; do
    mkdir -p "$directory/postgres/$service"
    cp "$directory/$service/quartet_database_password" "$directory/postgres/$service/"
done
mkdir -p "$directory/postgres/postgres-exporter"
cp "$directory/postgres-exporter/password" "$directory/postgres/postgres-exporter/"
mkdir -p "$directory/grafana"
[ -s "$directory/grafana/password" ] || {
    LC_ALL=C tr -dc 'A-Za-z0-9' </dev/urandom | head -c 43 >"$directory/grafana/password.new"
    mv "$directory/grafana/password.new" "$directory/grafana/password"
}

own() { # own USER FOLDER...: only that user reads them, and nobody writes them
    user=$1
    shift
    for folder in "$@"; do
        chown -R "$user" "$directory/$folder"
        find "$directory/$folder" -type d -exec chmod 0500 {} + -o -type f -exec chmod 0400 {} +
    done
}
own postgres:postgres postgres
own 999:999 redis # as compose.yaml runs it
own 472:0 grafana # the user of its image
own 65534:65534 prometheus # the same
own 65534:65534 postgres-exporter redis-exporter # as compose.yaml runs them
own 65534:65534 victoria-metrics # as compose.yaml runs it, with the data
[ ! -d /data/victoria-metrics ] || chown 65534:65534 /data/victoria-metrics
own 10001:10001 users groups audit audit-owner metrics admin
