#!/bin/sh
# Creates the secrets of a Quartet stack below DIR: one folder per reader, one file per secret, readable by the owner only.
# What is there already is kept, so this can run before every start. Needs only sh, tr, head and /dev/urandom, so that it
# runs natively and in a small container alike.
set -eu
umask 077
LC_ALL=C
export LC_ALL

[ $# -eq 1 ] || {
    echo "usage: secrets.sh DIR" >&2
    exit 2
}
directory=$1
services="users groups audit metrics"
scopes="users:read users:write groups:read groups:write audit:read audit:write audit:export audit:erase audit:streams audit:retention"
scopes="$scopes metrics:read metrics:write alerts:manage events:manage origins:manage tenant:admin privileged:write platform:admin"
former_scopes() { # the scopes that earlier releases gave to quartet-admin, one release a line
    directory_scopes="users:read users:write groups:read groups:write audit:read audit:export metrics:read metrics:write"
    echo "$directory_scopes events:manage tenant:admin platform:admin"
    echo "$directory_scopes events:manage tenant:admin privileged:write platform:admin"
}

letters() { # letters SET COUNT: that many random characters out of SET
    tr -dc "$1" </dev/urandom | head -c "$2"
}
password() { letters 'A-Za-z0-9' 43; } # 256 bits
key() { # 32 random bytes as base64url: 42 free characters, a 43rd whose two lowest bits are zero, one of padding
    letters 'A-Za-z0-9_-' 42
    letters 'AEIMQUYcgkosw048' 1
    printf '='
}
keep() { # keep FILE COMMAND...: writes the command's output to FILE unless it is there; never half a file
    file=$directory/$1
    shift
    [ ! -s "$file" ] || return 0
    mkdir -p "$(dirname "$file")"
    "$@" >"$file.new.$$"
    [ -s "$file.new.$$" ] || {
        echo "secrets.sh: cannot write $file: check the permissions and the free space" >&2
        exit 1
    }
    mv "$file.new.$$" "$file"
}
redis_exporter_conf() { # an account that can read how Redis is, and no keys
    printf 'user quartet_exporter on >%s resetkeys resetchannels -@all +ping +info +latency|latest\n' \
        "$(cat "$directory/redis-exporter/password")"
}
redis_passwords() { # by address; releases of the exporter differ in whether it names the account
    secret=$(cat "$directory/redis-exporter/password")
    printf '{"redis://redis:6379":"%s","redis://quartet_exporter@redis:6379":"%s"}' "$secret" "$secret"
}
redis_conf() { printf 'requirepass %s\n' "$(cat "$directory/redis/password")"; }
rabbitmq_conf() { printf 'default_user = quartet\ndefault_pass = %s\n' "$(cat "$directory/rabbitmq/password")"; }
quoted_list() { # "a","b" for the words a b
    separator=
    for word in "$@"; do
        printf '%s"%s"' "$separator" "$word"
        separator=,
    done
}
client() { # client NAME FOLDER SCOPE...: one API client that users knows from its first start
    name=$1
    secret=$(cat "$directory/$2/quartet_client_secret")
    shift 2
    printf '{"client_id":"quartet-%s","client_secret":"%s","scopes":[%s],"tenants":["*"]}' \
        "$name" "$secret" "$(quoted_list "$@")"
}
bootstrap_clients() {
    printf '['
    # shellcheck disable=SC2086  # the scopes are words
    client admin admin $scopes
    for service in $services; do
        printf ','
        client "$service" "$service" service
    done
    printf ']'
}
update_admin_scopes() { # gives quartet-admin the scopes of this release, unless an operator has changed its list
    file=$directory/users/quartet_bootstrap_clients
    text=$(cat "$file")
    # shellcheck disable=SC2086  # the scopes are words
    new="\"scopes\":[$(quoted_list $scopes)]"
    former_scopes | while read -r former; do
        # shellcheck disable=SC2086  # the scopes are words
        old="\"scopes\":[$(quoted_list $former)]"
        case $text in
            *"$old"*)
                printf '%s' "${text%%"$old"*}$new${text#*"$old"}" >"$file.new.$$"
                mv "$file.new.$$" "$file"
                ;;
        esac
    done
}

keep postgres/password password
keep redis/password password
keep redis/auth.conf redis_conf
keep redis-exporter/password password
keep redis-exporter/passwords.json redis_passwords # as the container of the exporter reads it
keep redis/exporter.conf redis_exporter_conf
keep postgres-exporter/password password
keep rabbitmq/password password
keep rabbitmq/cookie password
keep rabbitmq/auth.conf rabbitmq_conf
keep victoria-metrics/password password
keep metrics/quartet_metrics_engine_password cat "$directory/victoria-metrics/password"
keep admin/quartet_client_secret password
keep prometheus/token password
for service in $services; do
    keep "$service/quartet_private_token" cat "$directory/prometheus/token"
    keep "$service/quartet_database_password" password
    keep "$service/quartet_redis_password" cat "$directory/redis/password"
    keep "$service/quartet_broker_password" cat "$directory/rabbitmq/password"
    keep "$service/quartet_client_secret" password
done
keep users/quartet_master_key key
keep audit/quartet_master_key key
# audit's migrations run as the owner of its tables: their settings are audit's, but for the password of the database
keep audit-owner/quartet_database_password password
for name in quartet_redis_password quartet_broker_password quartet_client_secret quartet_master_key; do
    cp "$directory/audit/$name" "$directory/audit-owner/$name"
done
keep users/quartet_bootstrap_clients bootstrap_clients
update_admin_scopes
