#!/bin/sh
# Runs in RabbitMQ's image before the server does: hands its secrets to the server's user, and puts the Erlang cookie where
# the server looks for it, so that it does not make a guessable one of its own.
set -eu
umask 077
secrets=${1:?usage: rabbitmq-init.sh SECRETS DATA}
data=${2:?usage: rabbitmq-init.sh SECRETS DATA}

chown -R rabbitmq:rabbitmq "$secrets"
find "$secrets" -type d -exec chmod 0500 {} + -o -type f -exec chmod 0400 {} +
cp "$secrets/cookie" "$data/.erlang.cookie.new"
chmod 0400 "$data/.erlang.cookie.new"
chown rabbitmq:rabbitmq "$data" "$data/.erlang.cookie.new"
mv -f "$data/.erlang.cookie.new" "$data/.erlang.cookie"
