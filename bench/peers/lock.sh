#!/bin/sh
# Makes requirements.lock anew out of requirements.in: the newest versions, pinned and hashed, for Python 3.11 and later. Needs uv.
set -eu
cd "$(dirname "$0")"
{
    echo "# Made by bench/peers/lock.sh; do not edit."
    uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-header requirements.in
} >requirements.lock.new
mv requirements.lock.new requirements.lock
